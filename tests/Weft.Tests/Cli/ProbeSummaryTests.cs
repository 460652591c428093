using Weft.Cli;
using Weft.Lab.Report;
using Weft.Tests.Lab;

namespace Weft.Tests.Cli;

public class ProbeSummaryTests
{
    [Fact]
    public void The_table_tells_what_each_model_needed_and_got_right()
    {
        using var output = new StringWriter();
        ProbeSummary.Write(ProbeSamples.Typical(), new Terminal(output, TextWriter.Null), Path.GetFullPath("report.html"));
        string[] lines = [.. output.ToString().Split('\n').Select(l => string.Join(' ', l.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Trim())];
        Assert.Contains("attention 629.0k 32.8 KB 0.003 31.0k 99.5 % ±0.0 98.0 % ±0.0 92.0 % ±1.0", lines);
        Assert.Contains(lines, l => l.StartsWith("mamba2[state=16] 636.0k 18.4 KB 0.01 not within 96.0k", StringComparison.Ordinal));
        Assert.Contains("lost 624.0k 9.2 KB 0.001 not within 320 diverged diverged diverged", lines);
        Assert.Contains(lines, l => l.StartsWith("- Learning: hybrid solves 8 pairs after 28k samples", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("file:", StringComparison.Ordinal));
    }

    [Fact]
    public void A_probe_without_models_has_an_empty_table()
    {
        using var output = new StringWriter();
        ProbeSummary.Write(ProbeSamples.Report(), new Terminal(output, TextWriter.Null), Path.GetFullPath("report.html"));
        Assert.Contains("No model was trained.", output.ToString(), StringComparison.Ordinal);
        Assert.Empty(ProbeSamples.Report().Difficulties());
    }
}
