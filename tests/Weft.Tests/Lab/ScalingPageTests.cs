using System.Text.RegularExpressions;
using Weft.Lab.Report;
using Weft.Lab.ScalingLaws;
using Weft.Tensors;
using static Weft.Tests.Lab.PageBrowser;

namespace Weft.Tests.Lab;

/// <summary>Writes pages of scaling studies and opens them in a headless browser, where there is one.</summary>
public sealed class ScalingPageTests : IDisposable
{
    private const string Hostile = "</script><script>document.documentElement.dataset.error='in'</script><img src=x onerror=\"document.documentElement.dataset.error='img'\">{{css}}";

    private readonly PageFolder folder = new();

    public void Dispose() => this.folder.Dispose();

    private string Page => this.folder.Page;

    private static ScaledModel Model(string name, ulong seed, double floor, params double[] budgets)
    {
        var random = new RandomSource(seed);
        ScalingRun[] runs = [.. from budget in budgets from size in new[] { 1, 2, 4 } let n = size * Math.Sqrt(budget) / 20
                                let loss = (floor + (60 * Math.Pow(budget, -0.16))) * (1 + (0.03 * Math.Pow(Math.Log2(size) - 1, 2)))
                                select new ScalingRun(budget, 32 * size, (long)n, (long)n, 1e-3, 1, (long)(budget / (6 * n)), budget, loss * Math.Exp(0.005 * random.NextGaussian()), 1)];
        var fit = new LawFits(runs, seed);
        return new ScaledModel(name, $"({name} swiglu)*4", 2e-3, 64, [runs[0], runs[0] with { Rate = 2e-3 }], runs, fit.Frontier, fit.Compute, fit.Surface);
    }

    private static ShapeReport Shapes()
    {
        var law = new ShapeLaw([0.7, 0.11, 0.01], [0.93, 0.03, 0.04]);
        ShapeResult[] shapes = [.. from i in Enumerable.Range(0, 4) from j in Enumerable.Range(0, 4)
                                   let x = 0.06 * (i + 1) let r = 0.5 * (1 << j) let loss = 2.2 * law.At(x, r)
                                   select new ShapeResult(new AttentionShape(32 + (16 * i), 4, i == 3 && j == 3 ? 2 : 4, 8, 64 * (j + 1)), "attention swiglu", x, r, i == 3 && j == 3 ? "grouped" : j == (i + 2) % 4 ? "held out" : "fit",
                                       new ScalingRun(1e12, 64, 100_000, 90_000, 1e-3, 1, 1_000_000, 1e12, loss * (1 + (0.002 * ((i + j) % 3))), 2), 2.2, loss, new InferenceCost(300_000 + (5000 * i), 4096, 1024, 9000 + (500 * j) + i, 90_000))];
        return new ShapeReport("transformer", 1e12, 0.01, shapes, law, new ShapeError(0.002, 0.003, 0.01, 0.8),
            new ShapeProposal(shapes[5].Shape, shapes[5].Pattern, 100_000, shapes[5].X, shapes[5].Ratio, 4e5, 1e13, new Estimate(2.1, 2.05, 2.15), shapes[5].Cost));
    }

    private static ScalingReport Report(ShapeReport? shapes, params ScaledModel[] models)
    {
        ScalingReport report = new()
        {
            Corpus = new("sotu (built in)", 2_000_000, 1_800_000, 200_000),
            EvaluatedBytes = 100_000,
            Budgets = [.. models.SelectMany(m => m.Runs).Select(r => r.Budget).Distinct().Order()],
            Context = 256,
            Seeds = 1,
            Machine = new("AMD EPYC 9555", 2, 2, "AVX-512", "Linux 6.8", ".NET 10.0.1"),
            Command = "weft scaling",
            Models = models,
            Ratios = models.Length > 1 ? [new LossRatio(models[1].Name, models[0].Name, 1e13, new Estimate(0.95, 0.93, 0.97))] : [],
            Shapes = shapes,
        };
        return report with { Findings = ScalingFindings.Of(report) };
    }

    private static readonly double[] Four = [3e11, 1e12, 3e12, 1e13];

    private static readonly ScalingReport Typical = Report(Shapes(), Model("transformer", 1, 1.6, Four), Model("mamba2", 2, 1.5, Four));

    private static readonly Dictionary<string, ScalingReport> Reports = new()
    {
        ["typical"] = Typical,
        ["hostile names"] = Typical with { Corpus = Typical.Corpus with { Name = Hostile }, Findings = [Hostile], Command = Hostile, Shapes = Shapes() with { Model = Hostile }, Models = [.. Typical.Models.Select(m => m with { Name = Hostile, Pattern = Hostile })] },
        ["two budgets, no shapes"] = Report(null, Model("lstm", 3, 1.6, 1e11, 1e12)),
        ["one budget"] = Report(Shapes() with { Law = null, Error = null, Proposal = null, Shapes = [.. Shapes().Shapes.Select(s => s with { Predicted = double.NaN })] }, Model("transformer", 4, 1.6, 1e12)),
        ["all diverged"] = Report(null, Model("lost", 5, 1.6, 1e11) with { Frontier = [], Compute = null, Surface = null, Runs = [.. Model("lost", 5, 1.6, 1e11).Runs.Select(r => r with { BitsPerByte = double.NaN })] }),
    };

    public static TheoryData<string> Names => [.. Reports.Keys];

    [Fact]
    public void NamesCannotBreakOutOfThePage()
    {
        ScalingPage.Write(Typical, Page);
        int scripts = Regex.Count(File.ReadAllText(Page), "</script", RegexOptions.IgnoreCase);
        ScalingPage.Write(Reports["hostile names"], Page);
        Assert.Equal(scripts, Regex.Count(File.ReadAllText(Page), "</script", RegexOptions.IgnoreCase));
        Assert.DoesNotContain("<img src=x", File.ReadAllText(Page), StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task EveryChartIsDrawnInABrowser(string name)
    {
        ScalingReport report = Reports[name];
        string? browser = Find();
        if (browser is null)
        {
            Assert.Skip("No Chromium, Chrome or Edge is installed, so the page was not opened.");
        }

        ScalingPage.Write(report, Page);
        string dom = await Open(browser, Page, this.folder.Path);
        RequireNoScriptError(dom, name);
        Assert.Equal(report.Findings.Count, Regex.Count(Between(dom, "id=\"findings\"", "</dl>"), "<dd>"));
        Assert.Equal(report.Models.Count, Regex.Count(Between(dom, "id=\"models\"", "</table>"), "<tr>") - 1);
        int points = report.Models.Count(m => m.Frontier.Count > 0), laws = report.Models.Count(m => m.Compute is not null), bands = report.Models.Count(m => m.Compute is { Freedom: > 0 });
        Drawn("compute", points + laws + bands);
        Drawn("sizes", 2 * report.Models[0].Frontier.Count);
        Drawn("predicted", report.Shapes?.Law is null ? 0 : 4);
        Drawn("tradeoff", report.Shapes is null ? 0 : 4);

        void Drawn(string chart, int lines)
        {
            string drawing = Between(dom, $"id=\"{chart}\"", "<figcaption");
            Assert.DoesNotContain("NaN", drawing, StringComparison.Ordinal);
            Assert.Contains(lines == 0 ? "Not measured" : $"data-lines=\"{lines}\"", drawing, StringComparison.Ordinal);
            Assert.Equal(lines > 0, drawing.Contains("<svg", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void FindingsSayWhoLeadsAndWhatIsOpen()
    {
        IReadOnlyList<string> findings = Typical.Findings;
        Assert.StartsWith("At equal FLOPs: mamba2 has the lowest fitted loss", findings[0], StringComparison.Ordinal);
        Assert.Contains("0.950 (0.930 to 0.970)", findings[0], StringComparison.Ordinal);
        Assert.Contains(findings, f => f.StartsWith("Shape of transformer: by width", StringComparison.Ordinal) && f.Contains("better than saying their mean", StringComparison.Ordinal));
        Assert.All(findings, f => Assert.Contains(": ", f, StringComparison.Ordinal));
        Assert.Contains(Reports["one budget"].Findings, f => f.Contains("too few or too alike", StringComparison.Ordinal));
        Assert.Contains(Reports["all diverged"].Findings, f => f.Contains("every run diverged", StringComparison.Ordinal));
    }
}
