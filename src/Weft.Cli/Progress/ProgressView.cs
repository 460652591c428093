using Weft.Lab;
using Weft.Training;

namespace Weft.Cli.Progress;

/// <summary>
/// Shows how training goes on, a row a model. Reports come from the thread that trains and must cost it next to nothing.
/// </summary>
internal abstract class ProgressView : IDisposable
{
    /// <summary>The view that suits the terminal: a table drawn in place, or plain lines.</summary>
    public static ProgressView Start(Terminal terminal, IReadOnlyList<string> names, int seeds) =>
        terminal.IsLive ? new LiveView(terminal, names, seeds) : new PlainView(terminal, names, seeds);

    /// <summary>Takes note of how far a model is.</summary>
    public abstract void Report(ComparisonProgress progress);

    /// <summary>Ends the view; what it shows last stays on the screen.</summary>
    public abstract void Dispose();

    /// <summary>A time as it counts down: in whole seconds.</summary>
    protected static string Clock(double seconds) => seconds < 59.5 ? $"{Math.Max(0, seconds):0} s" : Human.Duration(seconds);

    /// <summary>What a model is doing, in a word or two.</summary>
    protected static string PhaseOf(ComparisonProgress p, int seeds) => p.Phase switch
    {
        ComparisonPhase.Preparing => "preparing",
        ComparisonPhase.Sweeping => "sweeping",
        ComparisonPhase.Training => seeds > 1 ? $"training {p.Seed + 1}/{seeds}" : "training",
        ComparisonPhase.Measuring => "measuring",
        _ => "done",
    };
}
