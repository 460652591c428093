using System.Text.RegularExpressions;
using Weft.Lab.Report;
using static Weft.Tests.Lab.PageBrowser;
using static Weft.Tests.Lab.ReportSamples;

namespace Weft.Tests.Lab;

/// <summary>Writes report pages and opens them in a headless Chromium, where there is one.</summary>
public sealed class ReportPageTests : IDisposable
{
    private const string Hostile = "</script><script>document.documentElement.dataset.error='in'</script><img src=x onerror=\"document.documentElement.dataset.error='img'\">{{css}}";

    private readonly PageFolder folder = new();

    public void Dispose() => this.folder.Dispose();

    private string Page => this.folder.Page;

    [Fact]
    public void Names_cannot_break_out_of_the_page()
    {
        ComparisonReport safe = Typical(), hostile = safe with { Corpus = safe.Corpus with { Name = Hostile }, Findings = [Hostile], Command = Hostile };
        HtmlReport.Write(safe, Page);
        int scripts = Scripts();
        HtmlReport.Write(hostile with { Models = [.. safe.Models.Select(m => m with { Name = Hostile, Pattern = Hostile })] }, Page);
        Assert.Equal(scripts, Scripts());
        Assert.DoesNotContain("<img src=x", File.ReadAllText(Page), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("<title>&lt;/script&gt;", File.ReadAllText(Page), StringComparison.Ordinal);
        Assert.Equal(["report.html"], Directory.GetFiles(this.folder.Path).Select(Path.GetFileName));

        int Scripts() => Regex.Count(File.ReadAllText(Page), "</script", RegexOptions.IgnoreCase);
    }

    [Fact]
    public void The_page_asks_nothing_of_the_network()
    {
        HtmlReport.Write(Typical(), Page);
        string page = File.ReadAllText(Page);
        Assert.Contains("default-src 'none'", page, StringComparison.Ordinal);
        Assert.DoesNotMatch("<(script|img|iframe)[^>]*\\ssrc=|<link[^>]*href=\"(?!data:)|@import|url\\(", page[..page.IndexOf("Licensed to the Apache", StringComparison.Ordinal)]);
    }

    private static readonly Dictionary<string, ComparisonReport> Reports = new()
    {
        ["three seeds"] = Typical(3),
        ["one seed, hostile names"] = Typical(1) with { Corpus = new(Hostile, 3, 2, 1), Models = [.. Typical(1).Models.Select((m, i) => m with { Name = $"{Hostile}{i}" })], Findings = [Hostile] },
        ["one diverged, nothing else measured"] = Report(Model("lost", double.NaN), Model("bare", 2.4)) with { Baselines = new(0, double.NaN, double.NaN, double.NaN) },
    };

    public static TheoryData<string> Names => [.. Reports.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Every_chart_is_drawn_in_a_browser(string name)
    {
        ComparisonReport report = Reports[name];
        string? browser = PageBrowser.Find();
        if (browser is null)
            Assert.Skip("No Chromium, Chrome or Edge is installed, so the report page was not opened.");
        HtmlReport.Write(report, Page);
        string dom = await PageBrowser.Open(browser, Page, this.folder.Path);

        Assert.True(dom.Contains("id=\"findings\"", StringComparison.Ordinal), $"{name}: {browser} did not open the page.");
        RequireNoScriptError(dom, name);
        Assert.Equal(report.Findings.Count, Regex.Count(Between(dom, "id=\"findings\"", "</dl>"), "<dd>"));
        Dictionary<int, string> colours = Regex.Matches(Between(dom, "id=\"models\"", "</table>"), "data-model=\"(\\d+)\" stroke=\"(#\\w+)\"")
            .DistinctBy(m => m.Groups[1].Value).ToDictionary(m => int.Parse(m.Groups[1].Value), m => m.Groups[2].Value);
        Assert.Equal(report.Models.Count, colours.Count);

        Drawn("learning", m => m.Curve.Select(c => c.Seed).Distinct().Count() is var seeds && seeds > 1 ? seeds + 1 : seeds);
        Drawn("speed", Decoded);
        Drawn("state", Decoded);
        Drawn("recall", m => m.Recall.Count > 0 ? 2 : 0);

        static int Decoded(ModelResult m) => m.Decode.Select(d => d.Measured).Distinct().Count();

        void Drawn(string chart, Func<ModelResult, int> lines)
        {
            string drawing = Between(dom, $"id=\"{chart}\"", "<figcaption");
            Assert.DoesNotContain("NaN", drawing, StringComparison.Ordinal);
            if (report.Models.Sum(lines) == 0)
            {
                Assert.Contains("Not measured", drawing, StringComparison.Ordinal);
                return;
            }
            Assert.Contains("<svg", drawing, StringComparison.Ordinal);
            foreach (IGrouping<string, int> colour in Enumerable.Range(0, report.Models.Count).GroupBy(i => colours[i], i => lines(report.Models[i])))
                Assert.True(Regex.Count(drawing, $"<path d=\"M[^\"]*L[^\"]*\" fill=\"none\" stroke=\"{colour.Key}\"") == colour.Sum(), $"{name}: {chart} should hold {colour.Sum()} lines in {colour.Key}.");
        }
    }
}
