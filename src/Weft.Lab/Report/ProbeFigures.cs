using Weft.Lab.Tasks;

namespace Weft.Lab.Report;

/// <summary>Figures over the seeds of a probed model. Trials that diverged count where it is asked how many solved the task, and are left out of accuracies.</summary>
public static class ProbeFigures
{
    /// <summary>The difficulties that were scored, ascending.</summary>
    public static IReadOnlyList<int> Difficulties(this ProbeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        return [.. report.Models.SelectMany(m => m.Trials).SelectMany(t => t.Scores).Select(s => s.Difficulty).Distinct().Order()];
    }

    /// <summary>The exact accuracy of each seed at a difficulty; none where every trial diverged.</summary>
    public static IReadOnlyList<double> Exact(this ProbedModel model, int difficulty) => Scores(model, difficulty, s => s.Exact);

    /// <summary>The share of each seed's answers that are right, token by token; none where every trial diverged.</summary>
    public static IReadOnlyList<double> Correct(this ProbedModel model, int difficulty) => Scores(model, difficulty, s => s.Correct);

    private static double[] Scores(ProbedModel model, int difficulty, Func<TaskAccuracy, double> of)
    {
        ArgumentNullException.ThrowIfNull(model);
        return [.. model.Trials.Where(t => !t.HasDiverged).SelectMany(t => t.Scores).Where(s => s.Difficulty == difficulty).Select(of).Where(double.IsFinite)];
    }

    /// <summary>How many seeds solved the main difficulty.</summary>
    public static int Solved(this ProbedModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Trials.Count(t => t.SamplesToSolve is not null);
    }

    /// <summary>The samples that solving the main difficulty took, the median over all seeds; null where half of them or more did not solve it.</summary>
    public static double? SamplesToSolve(this ProbedModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        double[] needed = [.. model.Trials.Select(t => t.SamplesToSolve is long samples ? samples : double.PositiveInfinity).Order()];
        if (needed.Length == 0)
            return null;
        double median = (needed[(needed.Length - 1) / 2] + needed[needed.Length / 2]) / 2;
        return double.IsFinite(median) ? median : null;
    }

    /// <summary>The most samples that a trial learned from.</summary>
    public static long MostSamples(this ProbedModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Trials.Select(t => t.Samples).DefaultIfEmpty().Max();
    }

    /// <summary>The bytes of state at the end of an example of a difficulty; null where they are not known.</summary>
    public static long? StateBytes(this ProbeReport report, ProbedModel model, int difficulty)
    {
        ArgumentNullException.ThrowIfNull(model);
        IReadOnlyList<int> all = report.Difficulties();
        int at = all.Count == model.State.Count ? all.ToList().IndexOf(difficulty) : -1;
        return at < 0 ? null : model.State[at];
    }
}
