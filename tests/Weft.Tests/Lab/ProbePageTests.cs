using System.Text.RegularExpressions;
using Weft.Lab.Report;
using Weft.Lab.Tasks;
using static Weft.Tests.Lab.PageBrowser;
using static Weft.Tests.Lab.ProbeSamples;

namespace Weft.Tests.Lab;

/// <summary>Writes pages of probes and opens them in a headless browser, where there is one.</summary>
public sealed class ProbePageTests : IDisposable
{
    private const string Hostile = "</script><script>document.documentElement.dataset.error='in'</script><img src=x onerror=\"document.documentElement.dataset.error='img'\">{{css}}";

    private readonly PageFolder folder = new();

    public void Dispose() => this.folder.Dispose();

    private string Page => this.folder.Page;

    private static ProbeReport Harmful => Typical() with
    {
        Task = new(Hostile, Hostile, Hostile, Hostile, [4, 8], 8),
        Findings = [Hostile],
        Command = Hostile,
        Models = [.. Typical().Models.Select((m, i) => m with { Name = $"{Hostile}{i}", Pattern = Hostile })],
    };

    [Fact]
    public void Names_cannot_break_out_of_the_page()
    {
        ProbePage.Write(Typical(), Page);
        int scripts = Scripts();
        ProbePage.Write(Harmful, Page);
        Assert.Equal(scripts, Scripts());
        Assert.DoesNotContain("<img src=x", File.ReadAllText(Page), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("<title>&lt;/script&gt;", File.ReadAllText(Page), StringComparison.Ordinal);
        Assert.Equal(["report.html"], Directory.GetFiles(this.folder.Path).Select(Path.GetFileName));

        int Scripts() => Regex.Count(File.ReadAllText(Page), "</script", RegexOptions.IgnoreCase);
    }

    [Fact]
    public void The_page_asks_nothing_of_the_network()
    {
        ProbePage.Write(Typical(), Page);
        string page = File.ReadAllText(Page);
        Assert.Contains("default-src 'none'", page, StringComparison.Ordinal);
        Assert.DoesNotMatch("<(script|img|iframe)[^>]*\\ssrc=|<link[^>]*href=\"(?!data:)|@import|url\\(", page[..page.IndexOf("Licensed to the Apache", StringComparison.Ordinal)]);
    }

    private static readonly Dictionary<string, ProbeReport> Reports = new()
    {
        ["two seeds"] = Typical(),
        ["hostile names"] = Harmful,
        ["one seed, copying"] = Of("copy", "letters", [.. Typical(1).Models]),
        ["one of two seeds diverged"] = Report(Model("a", "a", [10, 10, 10, 10], 3e-3, Trial(3e-3, 0, null, .5, .4, .3, .2), Diverged(3e-3, 1))),
        ["all diverged"] = Report(Model("lost", "lost", [10, 10, 10, 10], 1e-3, Diverged(1e-3, 0)) with { Sweep = [] }),
        ["no model"] = Report(),
    };

    public static TheoryData<string> Names => [.. Reports.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Every_chart_is_drawn_in_a_browser(string name)
    {
        ProbeReport report = Reports[name];
        string? browser = Find();
        if (browser is null)
            Assert.Skip("No Chromium, Chrome or Edge is installed, so the page was not opened.");
        ProbePage.Write(report, Page);
        string dom = await Open(browser, Page, this.folder.Path);

        Assert.True(dom.Contains("id=\"findings\"", StringComparison.Ordinal), $"{name}: {browser} did not open the page.");
        RequireNoScriptError(dom, name);
        Assert.Equal(report.Findings.Count, Regex.Count(Between(dom, "id=\"findings\"", "</dl>"), "<dd>"));
        Assert.Equal(report.Models.Count, Regex.Count(Between(dom, "id=\"models\"", "</table>"), "<tr>") - 1);

        int scored = report.Models.Count(m => m.Exact(8).Count > 0);
        int learned = report.Models.Count(m => m.Trials.Any(t => !t.HasDiverged));
        Drawn("difficulty", scored + Dots(report), "trained on");
        Drawn("state", scored + Dots(report), report.Task.Name == "copy" ? "bound: 5" : "");
        Drawn("samples", learned + report.Models.Select(m => m.Trials.Count(t => !t.HasDiverged)).Where(n => n > 1).Sum(), "");
        Drawn("rates", report.Models.Where(m => m.Sweep.Count > 0).Sum(m => m.Sweep.Any(t => t.Rate == m.Rate) ? 2 : 1), "");

        static int Dots(ProbeReport report) => report.Models.Any(m => m.Trials.Count > 1) ? report.Models.Count(m => m.Exact(8).Count > 0) : 0;

        void Drawn(string chart, int lines, string says)
        {
            string drawing = Between(dom, $"id=\"{chart}\"", "<figcaption");
            Assert.DoesNotContain("NaN", drawing, StringComparison.Ordinal);
            if (lines == 0)
            {
                Assert.Contains("Not measured", drawing, StringComparison.Ordinal);
                return;
            }
            Assert.Contains("<svg", drawing, StringComparison.Ordinal);
            Assert.Contains($"data-lines=\"{lines}\"", drawing, StringComparison.Ordinal);
            Assert.Contains(says, drawing, StringComparison.Ordinal);
        }
    }
}
