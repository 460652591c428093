using System.Diagnostics;
namespace Weft.Cli.Progress;

/// <summary>
/// Lines for a log or a pipe: when a model enters a phase, every tenth of its work or every 15 seconds, and when it is done.
/// </summary>
internal sealed class PlainView : ProgressView
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan AtLeast = TimeSpan.FromSeconds(1); // a tenth of short work is not worth a line

    private readonly TextWriter output;
    private readonly int nameWidth;
    private readonly CancellationTokenRegistration onCancel;
    private readonly Stopwatch sinceLine = Stopwatch.StartNew();
    private (int Model, string Phase, int Tenth) last = (-1, "", 0);
    private string? note;

    public PlainView(Terminal terminal, IReadOnlyList<string> names)
    {
        output = terminal.Out;
        nameWidth = names.Max(n => n.Length);
        onCancel = terminal.Cancel.Register(() => terminal.Error.WriteLine($"weft: {Stopping}"));
    }

    protected override void Report(ProgressRow row)
    {
        if (row.Note is string note && note != this.note)
        {
            this.note = note;
            output.WriteLine($"{row.Name}: {note}");
        }
        var now = (row.Model, row.Phase, Tenth: (int)(row.Fraction * 10));
        bool isNew = (now.Model, now.Phase) != (last.Model, last.Phase);
        if (!isNew && !(now.Tenth > last.Tenth && sinceLine.Elapsed > AtLeast) && sinceLine.Elapsed < Interval)
        {
            return;
        }
        last = now;
        sinceLine.Restart();
        output.WriteLine(Line(row));
        output.Flush();
    }

    public override void Dispose() => onCancel.Dispose();

    private string Line(ProgressRow row)
    {
        List<string> parts = [row.Name.PadRight(nameWidth), $"{row.Phase,-9}", $"{row.Fraction,4:0%}", .. row.Words.Where(w => w.Length > 0)];
        if (row.Remaining is { TotalSeconds: > 0 and double left })
        {
            parts.Add($"{Clock(left)} left");
        }
        return string.Join("  ", parts);
    }
}
