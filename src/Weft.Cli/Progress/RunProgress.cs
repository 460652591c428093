using Weft.Lab;
using Weft.Training;

namespace Weft.Cli.Progress;

/// <summary>How far one training run is, from its steps: the loss smoothed, and reports no more often than anyone could read them.</summary>
internal sealed class RunProgress(TrainingRun run)
{
    private readonly Pace pace = new();
    private readonly long startSteps = run.Trainer.Steps;
    private readonly double startSeconds = run.Trainer.Seconds;
    private int measured = run.History.Count;

    /// <summary>Takes note of a step; returns a report when one is due.</summary>
    public ComparisonProgress? Add(StepResult step)
    {
        bool isDue = pace.IsDue(step.BitsPerByte);
        if (run.History.Count > measured)
        {
            // A run that goes on from a model has one measurement from before its first step.
            string start = measured == 0 && run.Start is not null ? $"{run.History[0].BitsPerByte:0.000} bits/byte held out before the first step" : "";
            measured = run.History.Count;
            EvaluationPoint last = run.History[^1];
            string now = last.Step > 0 ? $"{last.BitsPerByte:0.000} bits/byte held out after {Human.Bytes(last.Bytes)}" : "";
            return Now(start + (start.Length > 0 && now.Length > 0 ? ", " : "") + now);
        }
        return isDue ? Now() : null;
    }

    /// <summary>How far the run is now.</summary>
    public ComparisonProgress Now(string? note = null)
    {
        Trainer trainer = run.Trainer;
        long done = trainer.Steps - startSteps;
        double seconds = trainer.Seconds - startSeconds;
        bool isKnown = done > 0 && seconds > 0 && trainer.TotalSteps > 0;
        return new ComparisonProgress(
            Model: 0,
            Name: run.Model.Config.Name,
            Seed: 0,
            Phase: ComparisonPhase.Training,
            Fraction: trainer.TotalSteps == 0 ? 0 : trainer.Steps / (double)trainer.TotalSteps,
            Step: trainer.Steps,
            Steps: trainer.TotalSteps,
            Loss: pace.Loss,
            TokensPerSecond: isKnown ? done * trainer.TokensPerStep / seconds : 0,
            Remaining: isKnown ? TimeSpan.FromSeconds(Math.Min((trainer.TotalSteps - trainer.Steps) * seconds / done, 1e9)) : null,
            Note: note);
    }
}
