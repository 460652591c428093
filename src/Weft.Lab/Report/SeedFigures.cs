namespace Weft.Lab.Report;

/// <summary>Figures that have a value a seed, as findings of all reports tell and compare them.</summary>
internal static class SeedFigures
{
    /// <summary>Whether both have several seeds, and the ranges of these overlap.</summary>
    public static bool Overlap(IReadOnlyList<double> a, IReadOnlyList<double> b) =>
        Math.Min(a.Count, b.Count) > 1 && Math.Max(a.Min(), b.Min()) <= Math.Min(a.Max(), b.Max());

    /// <summary>The mean, and the lowest and highest in brackets where there are several that differ.</summary>
    public static string Told(IReadOnlyList<double> values, Func<double, string> told) =>
        told(values.Min()) == told(values.Max()) ? told(values.Average()) : $"{told(values.Average())} ({told(values.Min())} to {told(values.Max())})";
}
