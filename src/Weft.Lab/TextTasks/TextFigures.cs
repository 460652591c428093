using System.Globalization;

namespace Weft.Lab.TextTasks;

/// <summary>Figures of a report, as tasks' findings read and write them.</summary>
internal static class TextFigures
{
    /// <summary>A quantity at a point: the mean over a condition's trainings; null where it was not measured.</summary>
    public static double? At(this TextCondition condition, string quantity, double x)
    {
        double[] values = [.. condition.Trainings.SelectMany(t => t.Found).Where(p => p.Quantity == quantity && p.X == x).Select(p => p.Value)];
        return values.Length == 0 ? null : values.Average();
    }

    /// <summary>The points at which a quantity was measured, ascending.</summary>
    public static double[] Points(this TextCondition condition, string quantity) =>
        [.. condition.Trainings.SelectMany(t => t.Found).Where(p => p.Quantity == quantity).Select(p => p.X).Distinct().Order()];

    /// <summary>A quantity at all its points.</summary>
    public static (double X, double Value)[] Curve(this TextCondition condition, string quantity) =>
        [.. condition.Points(quantity).Select(x => (x, condition.At(quantity, x)!.Value))];

    /// <summary>A number with a given number of decimals, written the same everywhere.</summary>
    public static string Fixed(this double value, int decimals) => value.ToString($"F{decimals}", CultureInfo.InvariantCulture);
}
