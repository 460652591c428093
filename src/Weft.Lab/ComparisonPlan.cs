using System.Diagnostics;
using System.Text.Json.Serialization;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>
/// What a comparison has decided before it trains, kept on the disk so that an interrupted one goes on as it began: the FLOPs that
/// every model gets, and each model's steps and learning rate.
/// </summary>
internal sealed record ComparisonPlan
{
    public const string FileName = "plan.json";

    /// <summary>Everything that was asked for, as one text: another text is another comparison.</summary>
    public required string Key { get; init; }

    /// <summary>The training FLOPs of each model; NaN when equal data, not equal FLOPs, was asked for.</summary>
    public required double Flops { get; init; }

    /// <summary>One a model.</summary>
    public required IReadOnlyList<PlannedModel> Models { get; init; }

    /// <summary>The plan that a folder holds for the same comparison; null if it holds none, or another's.</summary>
    public static ComparisonPlan? Find(string folder, string key)
    {
        ComparisonPlan? plan = Kept.Read(Path.Combine(folder, FileName), PlanJson.Default.ComparisonPlan);
        return plan?.Key == key ? plan : null;
    }

    public void Save(string folder) => Kept.Write(Path.Combine(folder, FileName), this, PlanJson.Default.ComparisonPlan);
}

/// <summary>A model's part of a plan.</summary>
/// <param name="Steps">The optimiser steps that its budget pays.</param>
/// <param name="FlopsPerStep">Counted FLOPs of one.</param>
/// <param name="SecondsPerStep">Measured time of one, for estimates.</param>
/// <param name="Rate">The peak learning rate.</param>
/// <param name="Sweep">The rates tried, if any were.</param>
internal sealed record PlannedModel(long Steps, double FlopsPerStep, double SecondsPerStep, double Rate, IReadOnlyList<SweepPoint>? Sweep);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, NewLine = "\n", Converters = [typeof(FiniteOrNullConverter)])]
[JsonSerializable(typeof(ComparisonPlan))]
internal sealed partial class PlanJson : JsonSerializerContext;

/// <summary>What a training step costs: counted FLOPs, measured seconds, bytes of text.</summary>
internal readonly record struct StepCost(double Flops, double Seconds, double Bytes)
{
    /// <summary>The steps that a budget pays.</summary>
    public double Steps(Budget budget) => budget.Amount / budget.Kind switch
    {
        BudgetKind.Steps => 1,
        BudgetKind.Data => Bytes,
        BudgetKind.Flops => Flops,
        _ => Seconds,
    };
}

/// <summary>Turns a budget into steps.</summary>
internal static class Planner
{
    /// <summary>What each model gets when no budget is named: about a minute on two cores of 2025.</summary>
    public const double DefaultFlops = 1.2e13;

    /// <summary>Where the default would take longer than this for a model, all models get less.</summary>
    public const double DefaultSeconds = 75;

    private static readonly double[] Round = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
    private const double MeasuredSeconds = 2;
    private const int MostSteps = 10_000;

    /// <summary>Measures a step of each model, and divides the budget by it.</summary>
    /// <exception cref="InputException">The budget does not pay one step.</exception>
    public static (double Flops, PlannedModel[] Models, string? Note) Plan(
        IReadOnlyList<ModelConfig> configs, Corpus corpus, Device device, Budget? asked, TrainingOptions options, CancellationToken cancel)
    {
        StepCost[] steps = [.. configs.Select(config => MeasureStep(config, corpus, device, options, MeasuredSeconds, cancel))];
        Budget budget = asked ?? new Budget(BudgetKind.Flops, DefaultFlops);
        if (budget.Kind is BudgetKind.Data or BudgetKind.Steps)
        {
            double count = budget.Kind == BudgetKind.Steps ? budget.Amount : budget.Amount / steps[0].Bytes;
            return (double.NaN, [.. configs.Zip(steps, (c, s) => Row(c, s, count))], null);
        }

        string? note = null;
        double flops = budget.Kind == BudgetKind.Time ? steps.Min(s => budget.Amount / s.Seconds * s.Flops) : budget.Amount;
        double slowest = steps.Max(s => flops / s.Flops * s.Seconds);
        if (asked is null && slowest > DefaultSeconds)
        {
            flops *= DefaultSeconds / slowest;
            double unit = Math.Pow(10, Math.Floor(Math.Log10(flops)) - 1);
            flops = Math.Floor(flops / unit) * unit;
            note = $"this machine would take {Human.Duration(slowest)} a model for the default budget of {Human.Flops(DefaultFlops)} FLOPs: each gets {Human.Flops(flops)}; --budget {DefaultFlops:0.0e0}flop asks for all of it";
        }

        return (flops, [.. configs.Zip(steps, (c, s) => Row(c, s, flops / s.Flops))], note);

        PlannedModel Row(ModelConfig config, StepCost step, double count) => count >= 1
            ? new PlannedModel((long)count, step.Flops, step.Seconds, BlockTable.DefaultRate(config), null)
            : throw new InputException($"--budget {budget} does not pay one step of '{config.Name}', which takes {Human.Flops(step.Flops)} FLOPs, "
                + $"{step.Bytes:0} bytes and {Human.Duration(step.Seconds)} here; give more, or a smaller --context");
    }

    /// <summary>The whole round number at or below an amount, so that small differences of speed do not change a budget.</summary>
    public static double RoundBelow(double amount)
    {
        double unit = Math.Pow(10, Math.Floor(Math.Log10(amount)));
        return Math.Round(unit * Round.Last(r => r * unit <= amount));
    }

    /// <summary>What a step of a model costs, measured over about so many <paramref name="seconds"/>, four steps at least.</summary>
    public static StepCost MeasureStep(ModelConfig config, TokenSource source, Device device, TrainingOptions options, double seconds, CancellationToken cancel)
    {
        var model = new LanguageModel(config, device, 1);
        using var trainer = new Trainer(model, source, options with { Budget = new Budget(BudgetKind.Steps, MostSteps), Rate = 1e-5 });
        var times = new List<double>();
        long start = Stopwatch.GetTimestamp();
        while (times.Count < 4 || (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds && times.Count < MostSteps))
        {
            cancel.ThrowIfCancellationRequested();
            long before = Stopwatch.GetTimestamp();
            trainer.Step();
            times.Add(Stopwatch.GetElapsedTime(before).TotalSeconds);
        }

        // The first steps run code that is still being compiled: the last third tells the speed.
        double[] settled = [.. times.Skip(times.Count * 2 / 3).Order()];
        return new StepCost((double)trainer.Flops / trainer.Steps, settled[settled.Length / 2], (double)trainer.Bytes / trainer.Steps);
    }
}
