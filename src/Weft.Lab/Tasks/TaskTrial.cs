using System.Diagnostics;
using System.Text.Json.Serialization;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>How a model is trained on a task.</summary>
/// <param name="Budget">Steps, FLOPs or seconds, at most; learning ends sooner where two looks in a row find the main difficulty solved.</param>
/// <param name="Rate">The peak learning rate.</param>
/// <param name="Seed">Decides the initial weights and the examples.</param>
/// <param name="Decay">The weight decay; null: the task's first.</param>
/// <param name="Solved">The share of examples answered exactly that solves a difficulty.</param>
/// <param name="Examples">The examples that a score is of.</param>
/// <param name="Evaluations">How often learning is looked at, over the whole budget.</param>
public sealed record TrialOptions(Budget Budget, double Rate, ulong Seed, double? Decay = null, double Solved = 0.99, int Examples = 256, int Evaluations = 24);

/// <summary>A look at learning: examples learned from, FLOPs spent, the score at the main difficulty.</summary>
public sealed record TrialPoint(long Samples, double Flops, double Exact, double Correct, double Loss);

/// <summary>What came of training one model at one rate from one seed.</summary>
/// <param name="Rate">The peak learning rate.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Samples">The examples learned from.</param>
/// <param name="SamplesToSolve">Those after which the main difficulty was solved, and stayed so to the end; null where it was not.</param>
/// <param name="Flops">Counted training FLOPs.</param>
/// <param name="Seconds">Training seconds.</param>
/// <param name="HasDiverged">Whether the loss was no number at some step.</param>
/// <param name="Curve">The looks at learning.</param>
/// <param name="Scores">The scores at all difficulties, at the end; none of a trial that was only for a sweep.</param>
public sealed record Trial(
    double Rate, int Seed, long Samples, long? SamplesToSolve, double Flops, double Seconds, bool HasDiverged, IReadOnlyList<TrialPoint> Curve, IReadOnlyList<TaskAccuracy> Scores)
{
    /// <summary>The weight decay, where several were tried.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Decay { get; init; }

    /// <summary>The last look, by which rates are compared.</summary>
    [JsonIgnore]
    public TrialPoint? Last => Curve.Count > 0 ? Curve[^1] : null;
}

/// <summary>Trains a model on a task and scores it. The same task, model, options and thread count give the same result, times aside (and with a budget of seconds the number of steps).</summary>
public static class TaskTrial
{
    private const ulong ScoreSeed = 0x5eed_0f_5c04e5; // of the examples that are scored: never those of training

    /// <summary>Runs one trial; <paramref name="progress"/> gets the part of the budget done and the last look, a few times a second.</summary>
    /// <exception cref="InputException">The budget does not pay a step, or the model cannot do the task.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Trial Run(LabTask task, ModelConfig config, Device device, TrialOptions options, bool score, Action<double, TrialPoint?>? progress = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(options);
        int longest = task.TrainOn.Max(task.Length), batch = task.Batch;
        config = config with { Vocabulary = task.Vocabulary, Context = longest };
        var model = new LanguageModel(config, device, options.Seed);
        TrainingOptions training = new TrainingOptions { Budget = options.Budget, Rate = options.Rate, Seed = options.Seed, Decay = options.Decay ?? task.Decays[0], BatchSize = batch, Context = longest }.For(config);
        using var learner = new Learner(model, training);
        var examples = new TrainingExamples(task, options.Seed + 1, options.Seed + 3);
        var difficulties = new RandomSource(options.Seed + 2);
        int[] tokens = new int[batch * longest], targets = new int[batch * longest];
        var curve = new List<TrialPoint>();
        (long steps, long total, double flops, double seconds, long? solved, bool diverged) = (0, 0, 0, 0, null, false);
        while (total == 0 || steps < total)
        {
            cancel.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp(), before = device.Flops;
            int difficulty = task.TrainOn[difficulties.NextInt(task.TrainOn.Count)], length = task.Length(difficulty);
            for (int i = 0; i < batch; i++)
            {
                examples.Make(difficulty, tokens.AsSpan(i * length, length), targets.AsSpan(i * length, length));
                if (task.LearnsAll)
                {
                    tokens.AsSpan((i * length) + 1, length - 1).CopyTo(targets.AsSpan(i * length));
                }
            }

            try
            {
                learner.Backward(tokens.AsSpan(0, batch * length), targets.AsSpan(0, batch * length), length);
                double each = device.Flops - before;
                total = Planned(options.Budget, steps, (flops + each) / (steps + 1), seconds / Math.Max(1, steps));
                learner.Update(options.Rate * training.Schedule.Factor(steps, total));
            }
            catch (TrainingDivergedException)
            {
                diverged = true;
                break;
            }

            steps++;
            flops += device.Flops - before;
            seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (steps == total || steps * options.Evaluations / total > (steps - 1) * options.Evaluations / total)
            {
                TaskAccuracy now = TaskScore.Of(model, task, task.Main, options.Examples, ScoreSeed);
                curve.Add(new TrialPoint(steps * batch, flops, now.Exact, now.Correct, now.Loss));
                bool isSolved = now.Exact >= options.Solved;
                if (isSolved && solved is not null)
                {
                    break; // at two looks in a row: one may be luck
                }

                solved = isSolved ? steps * batch : null;
            }

            progress?.Invoke((double)steps / total, curve.Count > 0 ? curve[^1] : null);
        }

        TaskAccuracy[] scores = score && !diverged ? [.. task.ScoreOn.Select(d => TaskScore.Of(model, task, d, options.Examples, ScoreSeed + 1))] : [];
        return new Trial(options.Rate, (int)options.Seed, steps * batch, solved, flops, seconds, diverged, curve, scores);
    }

    // The steps in all, by what a step took so far: difficulties, and so steps, differ in length.
    private static long Planned(Budget budget, long steps, double flops, double seconds) => (long)Math.Min(long.MaxValue / 2, budget.Kind switch
    {
        BudgetKind.Steps => budget.Amount,
        BudgetKind.Flops => steps == 0 ? AtLeastOne(budget.Amount / flops, budget) : Math.Max(steps + 1, budget.Amount / flops),
        BudgetKind.Time => steps == 0 ? double.MaxValue : Math.Max(steps + 1, budget.Amount / seconds),
        _ => throw new InputException($"a task's budget is one of steps, FLOPs or time, not {budget}: its examples are made as they are needed"),
    });

    private static double AtLeastOne(double steps, Budget budget) => steps >= 1 ? steps : throw new InputException($"a budget of {budget} does not pay one step of the task; give more");
}
