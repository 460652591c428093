using System.Diagnostics;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>What a probe has decided before its first trial, kept beside the trials so that an interrupted one goes on as it began.</summary>
/// <param name="Key">Everything that was asked for, as one text: another text is another probe.</param>
/// <param name="Budget">What each trial gets.</param>
/// <param name="Seconds">Of one trial of each model, scoring included, as measured: for estimates.</param>
internal sealed record ProbePlan(string Key, string Budget, IReadOnlyList<double> Seconds)
{
    public const string FileName = "plan.json";

    private const double DefaultSeconds = 13 * 60; // of a whole probe where no budget is named: about 15 minutes where estimates are a little low
    private const double LeastSteps = 50;          // of a default, however slow the machine
    private const int MeasuredSteps = 10, MeasuredExamples = 8;
    private const double NoRate = 1e-6;            // what is measured does not depend on it

    /// <summary>Measures a step and a look of each model, and says what each trial gets, of so many <paramref name="trials"/> a model, one at a time on each of the devices.</summary>
    /// <exception cref="InputException">The budget does not pay one step, or a model cannot do the task.</exception>
    public static ProbePlan Make(string key, LabTask task, IReadOnlyList<ModelConfig> configs, IReadOnlyList<Device> devices, Budget? asked, IReadOnlyList<int> trials, Action<int> begins, CancellationToken cancel)
    {
        var options = new TrialOptions(asked ?? new Budget(BudgetKind.Steps, 1), NoRate, 1, Examples: task.TestSet);
        Cost[] costs = new Cost[configs.Count];
        for (int i = 0; i < costs.Length; i++)
        {
            begins(i);
            costs[i] = Measure(task, configs[i], devices[0], options.Examples, cancel);
            RequireOneStep(options.Budget, costs[i], configs[i].Name);
        }

        Budget budget = asked ?? new Budget(BudgetKind.Steps, DefaultSteps());
        return new ProbePlan(key, budget.ToString(), [.. costs.Select(c => Seconds(c, Steps(budget, c)))]);

        double Seconds(Cost cost, double steps) => (steps * cost.Step) + (Math.Min(steps, options.Evaluations) * cost.Look) + cost.Scores;

        // Equal steps for all, so that each sees as many examples; rounded, so that small differences of speed do not change them.
        double DefaultSteps()
        {
            double looks = costs.Select((c, i) => trials[i] * Seconds(c, options.Evaluations)).Sum(), step = costs.Select((c, i) => trials[i] * c.Step).Sum();
            return Planner.RoundBelow(Math.Max(LeastSteps, options.Evaluations + (((DefaultSeconds * devices.Count) - looks) / step)));
        }
    }

    // Seconds and FLOPs of a mean step, seconds of a look at learning and of the scores at the end.
    private readonly record struct Cost(double Step, double Flops, double Look, double Scores);

    private static Cost Measure(LabTask task, ModelConfig config, Device device, int examples, CancellationToken cancel)
    {
        Trial Run(int steps) => TaskTrial.Run(task, config, device, new TrialOptions(new Budget(BudgetKind.Steps, steps), NoRate, 1, Examples: 1, Evaluations: 1), score: false, null, cancel);
        Run(2); // code that is still being compiled
        Trial trial = Run(MeasuredSteps);
        double steps = (double)trial.Samples / task.Batch;
        var model = new LanguageModel(config with { Vocabulary = task.Vocabulary }, device, 1);
        Dictionary<int, double> scores = task.ScoreOn.Append(task.Main).Distinct().ToDictionary(d => d, d =>
        {
            cancel.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            TaskScore.Of(model, task, d, MeasuredExamples, 1);
            return Stopwatch.GetElapsedTime(start).TotalSeconds * examples / MeasuredExamples;
        });
        return new Cost(trial.Seconds / steps, trial.Flops / steps, scores[task.Main], task.ScoreOn.Sum(d => scores[d]));
    }

    private static double Steps(Budget budget, Cost cost) => budget.Kind switch
    {
        BudgetKind.Steps => budget.Amount,
        BudgetKind.Flops => budget.Amount / cost.Flops,
        _ => budget.Amount / cost.Step,
    };

    private static void RequireOneStep(Budget budget, Cost cost, string name)
    {
        if (Steps(budget, cost) < 1)
        {
            throw new InputException($"--budget {budget} does not pay one step of '{name}' at each rate, which takes {Human.Flops(cost.Flops)} FLOPs and {Human.Duration(cost.Step)} here; "
                + "the budget is each trial's: give more, such as 1000steps");
        }
    }
}

/// <summary>A finished trial on the disk.</summary>
/// <param name="Key">Everything that it depends on, as one text.</param>
/// <param name="Trial">What came of it.</param>
internal sealed record KeptTrial(string Key, Trial Trial);
