using System.Diagnostics;
using Weft.Lab;
using Weft.Training;

namespace Weft.Cli.Progress;

/// <summary>
/// Lines for a log or a pipe: when a model enters a phase, every tenth of its work or every 15 seconds, and when it is done.
/// </summary>
internal sealed class PlainView : ProgressView
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan AtLeast = TimeSpan.FromSeconds(1); // a tenth of short work is not worth a line

    private readonly TextWriter output;
    private readonly int seeds;
    private readonly int nameWidth;
    private readonly CancellationTokenRegistration onCancel;
    private readonly Stopwatch sinceLine = Stopwatch.StartNew();
    private (int Model, int Seed, ComparisonPhase Phase, int Tenth) _last = (-1, 0, default, 0);
    private string? note;

    public PlainView(Terminal terminal, IReadOnlyList<string> names, int seeds)
    {
        output = terminal.Out;
        this.seeds = seeds;
        nameWidth = names.Max(n => n.Length);
        onCancel = terminal.Cancel.Register(() => terminal.Error.WriteLine("weft: stopping; saving the run (a second Ctrl-C quits at once)"));
    }

    public override void Report(ComparisonProgress progress)
    {
        if (progress.Note is string note && note != this.note)
        {
            this.note = note;
            output.WriteLine($"{progress.Name}: {note}");
        }
        var now = (progress.Model, progress.Seed, progress.Phase, Tenth: (int)(progress.Fraction * 10));
        bool isNew = (now.Model, now.Seed, now.Phase) != (_last.Model, _last.Seed, _last.Phase);
        if (!isNew && !(now.Tenth > _last.Tenth && sinceLine.Elapsed > AtLeast) && sinceLine.Elapsed < Interval)
        {
            return;
        }
        _last = now;
        sinceLine.Restart();
        output.WriteLine(Line(progress));
        output.Flush();
    }

    public override void Dispose() => onCancel.Dispose();

    private string Line(ComparisonProgress p)
    {
        List<string> parts = [p.Name.PadRight(nameWidth), $"{PhaseOf(p, this.seeds),-9}", $"{p.Fraction,4:0%}"];
        if (p.Steps > 0)
        {
            parts.Add($"step {p.Step}/{p.Steps}");
        }
        if (double.IsFinite(p.Loss))
        {
            parts.Add($"loss {p.Loss:0.000} bits/byte");
        }
        if (p.TokensPerSecond > 0)
        {
            parts.Add($"{Human.Count(p.TokensPerSecond)} tokens/s");
        }
        if (p.Remaining is { TotalSeconds: > 0 and double left })
        {
            parts.Add($"{Clock(left)} left");
        }
        return string.Join("  ", parts);
    }
}
