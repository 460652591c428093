using Weft.Lab;
using Weft.Lab.Tasks;
using Weft.Training;

namespace Weft.Cli.Progress;

/// <summary>What a view shows of one model.</summary>
/// <param name="Model">Its row, from 0.</param>
/// <param name="Name">Its name.</param>
/// <param name="Phase">What is being done, in a word or two.</param>
/// <param name="Figures">A text a column; an empty one leaves what was there.</param>
/// <param name="Words">The same for a line of a log.</param>
/// <param name="Fraction">The part of the model's work that is done: 0 to 1.</param>
/// <param name="Remaining">The time to the end of everything; null before it is known.</param>
/// <param name="Note">A line worth keeping in view; null for none.</param>
internal sealed record ProgressRow(
    int Model, string Name, string Phase, IReadOnlyList<string> Figures, IReadOnlyList<string> Words, double Fraction, TimeSpan? Remaining, string? Note);

/// <summary>
/// Shows how training goes on, a row a model. Reports come from the thread that trains and must cost it next to nothing.
/// </summary>
internal abstract class ProgressView : IDisposable
{
    private static readonly string[] TrainingColumns = ["bits/byte", "tokens/s", "step"];
    private static readonly string[] ProbeColumns = ["exact", "rate", "trial"], TextColumns = ["bits/byte", "rate", "training"];

    private int seeds = 1;

    /// <summary>What a terminal says between the request to stop and the end.</summary>
    protected string Stopping { get; private set; } = "";

    /// <summary>The view of trainings that suits the terminal: a table drawn in place, or plain lines.</summary>
    public static ProgressView Start(Terminal terminal, IReadOnlyList<string> names, int seeds)
    {
        ProgressView view = Start(terminal, names, TrainingColumns, "stopping; saving the run (a second Ctrl-C quits at once)");
        view.seeds = seeds;
        return view;
    }

    /// <summary>The same of a probe, of generated examples or on a text.</summary>
    public static ProgressView StartProbe(Terminal terminal, IReadOnlyList<string> names, bool isOnText) =>
        Start(terminal, names, isOnText ? TextColumns : ProbeColumns, "stopping; finished trials are saved (a second Ctrl-C quits at once)");

    /// <summary>Takes note of how far a model is.</summary>
    public void Report(ComparisonProgress progress) => Report(new ProgressRow(progress.Model, progress.Name, PhaseOf(progress, seeds),
        [
            double.IsFinite(progress.Loss) ? $"{progress.Loss:0.000}" : "",
            progress.TokensPerSecond > 0 ? Human.Count(progress.TokensPerSecond) : "",
            progress.Steps > 0 ? $"{progress.Step}/{progress.Steps}" : "",
        ],
        [
            progress.Steps > 0 ? $"step {progress.Step}/{progress.Steps}" : "",
            double.IsFinite(progress.Loss) ? $"loss {progress.Loss:0.000} bits/byte" : "",
            progress.TokensPerSecond > 0 ? $"{Human.Count(progress.TokensPerSecond)} tokens/s" : "",
        ], progress.Fraction, progress.Remaining, progress.Note));

    /// <summary>Takes note of how far a model of a probe is.</summary>
    public void Report(ProbeProgress progress) => Report(new ProgressRow(progress.Model, progress.Name, PhaseOf(progress),
        [
            double.IsFinite(progress.Exact) ? $"{progress.Exact:0.0%}" : double.IsFinite(progress.BitsPerByte) ? $"{progress.BitsPerByte:0.000}" : "",
            progress.Rate > 0 ? $"{progress.Rate:0.#####}" : "",
            progress.Rate > 0 ? $"{progress.Part:0%}" : "",
        ],
        [
            progress.Rate > 0 ? $"rate {progress.Rate:0.#####} {progress.Part,4:0%}" : "",
            double.IsFinite(progress.Exact) ? $"{progress.Exact:0.0%} exact" : double.IsFinite(progress.BitsPerByte) ? $"{progress.BitsPerByte:0.000} bits/byte" : "",
        ], progress.Fraction, progress.Remaining, progress.Note));

    /// <summary>Takes note of a model's row.</summary>
    protected abstract void Report(ProgressRow row);

    /// <summary>Ends the view; what it shows last stays on the screen.</summary>
    public abstract void Dispose();

    /// <summary>A time as it counts down: in whole seconds.</summary>
    protected static string Clock(double seconds) => seconds < 59.5 ? $"{Math.Max(0, seconds):0} s" : Human.Duration(seconds);

    private static ProgressView Start(Terminal terminal, IReadOnlyList<string> names, IReadOnlyList<string> columns, string stopping)
    {
        ProgressView view = terminal.IsLive ? new LiveView(terminal, names, columns) : new PlainView(terminal, names);
        view.Stopping = stopping;
        return view;
    }

    private static string PhaseOf(ComparisonProgress p, int seeds) => p.Phase switch
    {
        ComparisonPhase.Preparing => "preparing",
        ComparisonPhase.Sweeping => "sweeping",
        ComparisonPhase.Training => seeds > 1 ? $"training {p.Seed + 1}/{seeds}" : "training",
        ComparisonPhase.Measuring => "measuring",
        _ => "done",
    };

    private static string PhaseOf(ProbeProgress p) => p.Phase switch
    {
        ProbePhase.Preparing => "preparing",
        ProbePhase.Sweeping => $"rate {p.Trial}/{p.Trials}",
        ProbePhase.Repeating => $"seed {p.Trial}/{p.Trials}",
        _ => "done",
    };
}
