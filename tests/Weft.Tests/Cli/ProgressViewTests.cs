using Spectre.Console;
using Weft.Cli;
using Weft.Cli.Progress;
using Weft.Lab;
using Weft.Lab.Tasks;

namespace Weft.Tests.Cli;

public class ProgressViewTests
{
    private static readonly string[] Names = ["transformer", "attention[window=64] mamba2"];

    private static ComparisonProgress At(int model, ComparisonPhase phase, double fraction, string? note = null) =>
        new(model, Names[model], 0, phase, fraction, (long)(100 * fraction), 100, phase == ComparisonPhase.Preparing ? double.NaN : 2.5, 12_345, TimeSpan.FromSeconds(83), note);

    [Fact]
    public void PlainLinesComeAtPhasesAndNotAtEveryReport()
    {
        StringWriter output = new();
        using (ProgressView view = ProgressView.Start(new Terminal(output, TextWriter.Null), Names, seeds: 1))
        {
            view.Report(At(0, ComparisonPhase.Preparing, 0, "the budget was lowered"));
            for (int i = 0; i < 1000; i++)
            {
                view.Report(At(0, ComparisonPhase.Training, i / 1000.0));
            }
            view.Report(At(0, ComparisonPhase.Done, 1));
        }
        string[] lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("transformer: the budget was lowered", lines[0].Trim());
        Assert.Contains(lines, l => l.Contains("training") && l.Contains("loss 2.500 bits/byte") && l.Contains("12.3k tokens/s") && l.Contains("1 min 23 s left"));
        Assert.Contains("done", lines[^1]);
        Assert.InRange(lines.Length, 4, 8);
        Assert.DoesNotContain('\u001b', output.ToString());
    }

    [Theory]
    [InlineData(60)]
    [InlineData(80)]
    [InlineData(140)]
    public void TheLiveTableFitsItsTerminalAndEndsComplete(int width)
    {
        StringWriter output = new();
        using (ProgressView view = ProgressView.Start(new Terminal(output, TextWriter.Null, console: Screen(output, width)), Names, seeds: 3))
        {
            view.Report(At(0, ComparisonPhase.Done, 1, "a note [with brackets]"));
            view.Report(At(1, ComparisonPhase.Training, 0.5));
        }
        string last = output.ToString();
        last = last[last.LastIndexOf("model", StringComparison.Ordinal)..];
        Assert.Contains("transformer", last);
        Assert.Contains(width < 100 ? "attention[windo…" : "attention[window=64] mamba2", last);
        Assert.Contains("training 1/3", last);
        Assert.Contains("2.500", last);
        Assert.Equal(width > 60, last.Contains("50/100"));
        Assert.Equal(width > 60, last.Contains('━'));
        Assert.Contains("a note [with brackets]", last);
        Assert.All(last.Split('\n'), line => Assert.InRange(line.TrimEnd().Length, 0, width));
    }

    [Fact]
    public void AProbeShowsRateAndAccuracy()
    {
        StringWriter lines = new(), table = new();
        foreach (Terminal terminal in (Terminal[])[new(lines, TextWriter.Null), new(table, TextWriter.Null, console: Screen(table, 80))])
        {
            using ProgressView view = ProgressView.StartProbe(terminal, Names, isOnText: false);
            view.Report(new ProbeProgress(0, Names[0], ProbePhase.Preparing, 0, 0, 0, 0, 0, double.NaN, null, "9 trials"));
            view.Report(new ProbeProgress(0, Names[0], ProbePhase.Sweeping, 2, 4, 0.0045, 0.25, 0.4, 0.125, TimeSpan.FromSeconds(83)));
            view.Report(new ProbeProgress(1, Names[1], ProbePhase.Repeating, 2, 3, 0.0045, 0.25, 0, double.NaN, TimeSpan.FromSeconds(83)));
        }

        Assert.Contains("transformer: 9 trials", lines.ToString());
        Assert.Matches("transformer +rate 2/4 +25%  rate 0.0045  40%  12.5% exact  1 min 23 s left", lines.ToString());
        Assert.Matches("attention.* seed 2/3", lines.ToString());
        Assert.All((string[])["exact", "12.5%", "0.0045", "40%", "rate 2/4", "seed 2/3"], part => Assert.Contains(part, table.ToString()));
    }

    private static IAnsiConsole Screen(TextWriter output, int width)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Yes,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.Yes,
            Out = new ScreenOutput(output, width),
            Enrichment = new ProfileEnrichment { UseDefaultEnrichers = false },
        });
        return console;
    }

    private sealed class ScreenOutput(TextWriter writer, int width) : IAnsiConsoleOutput
    {
        public TextWriter Writer => writer;
        public bool IsTerminal => true;
        public int Width => width;
        public int Height => 40;
        public void SetEncoding(System.Text.Encoding encoding) { }
    }
}
