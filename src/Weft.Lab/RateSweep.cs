using Weft.Lab.Report;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>Finds a learning rate: short trainings at rates around a given one, and the best of them on held-out text.</summary>
public static class RateSweep
{
    private const double Part = 0.25; // of the budget, for each rate
    private static readonly double[] Factors = [0.25, 0.5, 1, 2, 4];

    /// <summary>Rates by these <paramref name="factors"/> around the one that suits a model's mixers on text, in three digits.</summary>
    internal static double[] Around(ModelConfig config, IReadOnlyList<double> factors)
    {
        return [.. factors.Select(f => ThreeDigits(f * BlockTable.DefaultRate(config)))];

        static double ThreeDigits(double rate)
        {
            double unit = Math.Pow(10, Math.Floor(Math.Log10(rate)) - 2);
            return Math.Round(Math.Round(rate / unit) * unit, 9);
        }
    }

    /// <summary>Tries rates around that of <paramref name="options"/>, each with a quarter of their budget, and returns the best with all tried.</summary>
    /// <param name="begin">Makes the model as it is before training, for each rate.</param>
    /// <param name="source">What it learns from, and is judged on.</param>
    /// <param name="options">How it will be trained.</param>
    /// <param name="progress">Called a few times a second.</param>
    /// <param name="cancel">Gives the search up.</param>
    /// <exception cref="InputException">The corpus is too short, or the budget too small.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static (double Rate, IReadOnlyList<SweepPoint> Tried) Find(
        Func<LanguageModel> begin, TokenSource source, TrainingOptions options, Action<ComparisonProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(begin);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        var budget = new Budget(options.Budget.Kind, options.Budget.Kind == BudgetKind.Steps ? Math.Max(1, Math.Floor(Part * options.Budget.Amount)) : Part * options.Budget.Amount);
        var points = new List<SweepPoint>();
        foreach (double factor in Factors)
        {
            LanguageModel model = begin();
            double rate = factor * (options.Rate ?? BlockTable.DefaultRate(model.Config));
            using var trainer = new Trainer(model, source, options with { Budget = budget, Rate = rate });
            points.Add(new SweepPoint(rate, Try(trainer)));
        }

        SweepPoint best = points.Where(p => double.IsFinite(p.BitsPerByte)).MinBy(p => p.BitsPerByte) ?? points[0];
        return (best.Rate, points);

        // Held-out bits per byte; NaN for a rate too high for the model.
        double Try(Trainer trainer)
        {
            try
            {
                var pace = new Pace();
                trainer.Run(step =>
                {
                    cancel.ThrowIfCancellationRequested();
                    if (pace.IsDue(step.BitsPerByte))
                    {
                        double fraction = (points.Count + ((double)step.Step / trainer.TotalSteps)) / Factors.Length;
                        progress(new ComparisonProgress(0, trainer.Model.Config.Name, 0, ComparisonPhase.Sweeping, fraction, step.Step, trainer.TotalSteps, pace.Loss, trainer.Tokens / trainer.Seconds, null));
                    }
                });
                return Evaluation.HeldOut(trainer.Model, source, trainer.Context, atMost: options.EvaluationBytes).BitsPerByte;
            }
            catch (TrainingDivergedException)
            {
                return double.NaN;
            }
        }
    }
}
