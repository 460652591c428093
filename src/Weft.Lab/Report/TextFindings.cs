using Weft.Lab.TextTasks;

namespace Weft.Lab.Report;

/// <summary>
/// Says in plain words what a probe on a text found, of each quantity in turn: how it goes along its axis, and who leads at the end. Made by
/// fixed rules from the report's figures alone; a lead inside the spread of seeds is said to be.
/// </summary>
public static class TextFindings
{
    /// <summary>With one seed, relative differences below this are taken for noise.</summary>
    public const double SingleSeedDoubt = 0.01;

    /// <summary>Derives the findings, in the order of the task's quantities.</summary>
    public static IReadOnlyList<string> Of(TextReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        List<string> findings = [.. report.Task.Quantities.Select(q => Along(report, q)).OfType<string>()];
        foreach (TextModel m in report.Models)
        {
            TextCondition[] lost = [.. m.Conditions.Where(c => c.Trainings.Any(t => !double.IsFinite(t.BitsPerByte)))];
            if (lost.Length > 0)
                findings.Add($"Diverged: {m.Name} at {Sentence.List(lost.Select(c => c.Name))}; a lower learning rate is the first thing to try. Its figures leave those trainings out.");
        }

        findings.AddRange(RateFindings.Of([.. report.Models.SelectMany(m => m.Conditions.Where(c => c.Sweep.Count > 0).Select(c =>
            new RateFindings.Swept(m.Conditions.Count(o => o.Sweep.Count > 0) > 1 ? $"{m.Name}, {c.Name}" : m.Name, c.Rate, [.. c.Sweep.Select(t => t.Rate)])))]));
        findings.Add($"How sure: {(report.Seeds > 1 ? $"{report.Seeds} seeds a figure; what lies inside their spread is said to." : "One seed, so the spread between seeds is unknown; --seeds 3 measures it.")} All of it holds for this text, budget and model size.");
        return findings;
    }

    private static string? Along(TextReport report, Quantity q)
    {
        TextModel[] measured = [.. report.Models.Where(m => m.Axis(q.Name).Count > 0)];
        if (measured.Length == 0)
            return null;
        double[] common = [.. measured[0].Axis(q.Name).Where(x => measured.All(m => m.At(q.Name, x).Count > 0))];
        bool isShared = common.Length > 1 && measured.All(m => m.Axis(q.Name) is var axis && axis[0] == common[0] && axis[^1] == common[^1]);
        List<string> said = [(isShared ? $"at {report.Point(q, common[0])} and {report.Point(q, common[^1])} " : "") + string.Join(", ", measured.Select(Course))];
        if (q.Better != Better.Neither && measured.Length > 1 && common.Length > 0)
        {
            foreach (double x in common.Length > 1 ? [common[0], common[^1]] : common)
                said.Add(Leads(x));
        }

        return $"{q.Title}: {string.Join("; ", said)}.";

        string Course(TextModel m)
        {
            IReadOnlyList<double> axis = m.Axis(q.Name);
            double from = m.Mean(q.Name, axis[0]), to = m.Mean(q.Name, axis[^1]);
            string change = from > 0 && to > 0 ? to / from is >= 2 or <= 0.5 ? $" ({Sentence.Ratio(Math.Max(to / from, from / to))} times {(to > from ? "as much" : "less")})" : $" ({100 * ((to / from) - 1):+0.0;-0.0;±0.0} %)" : "";
            return isShared ? $"{m.Name} {q.Told(from)} and {q.Told(to)}{change}"
                : axis.Count == 1 ? $"{m.Name} {q.Told(from)} at {report.Point(q, axis[0])}" : $"{m.Name} {q.Told(from)} at {report.Point(q, axis[0])}, {q.Told(to)} at {report.Point(q, axis[^1])}{change}";
        }

        string Leads(double x)
        {
            TextModel[] ranked = [.. measured.OrderBy(m => q.Better == Better.Lower ? m.Mean(q.Name, x) : -m.Mean(q.Name, x))];
            TextModel first = ranked[0];
            TextModel[] tied = [.. ranked.Skip(1).Where(m => IsTied(first.At(q.Name, x), m.At(q.Name, x)))];
            string place = $"at {report.Point(q, x)}";
            return tied.Length == 0 ? $"{place} {first.Name} is best"
                : tied.Length == measured.Length - 1 ? $"{place} none leads beyond the spread of seeds"
                : $"{place} {first.Name} is best, beside {Sentence.List(tied.Select(m => m.Name))} inside the spread of seeds";
        }
    }

    /// <summary>Whether two figures cannot be told apart: their seeds overlap, or with one seed they are close.</summary>
    internal static bool IsTied(IReadOnlyList<double> a, IReadOnlyList<double> b, double singleSeedDoubt = SingleSeedDoubt) => Math.Min(a.Count, b.Count) > 1
        ? SeedFigures.Overlap(a, b)
        : Math.Abs(a.Average() - b.Average()) <= singleSeedDoubt * Math.Max(Math.Abs(a.Average()), Math.Abs(b.Average()));

    /// <summary>Whether a is less than b: -1; more: 1; 0: too close to tell.</summary>
    internal static int Compare(IReadOnlyList<double> a, IReadOnlyList<double> b, double singleSeedDoubt = SingleSeedDoubt) => IsTied(a, b, singleSeedDoubt) ? 0 : a.Average().CompareTo(b.Average());
}
