using Weft.Lab.TextTasks;

namespace Weft.Lab.Report;

/// <summary>Figures over the seeds of a probe on a text. Trainings that diverged are left out.</summary>
public static class TextFigures
{
    /// <summary>A quantity of a model at a point of its axis, a value a seed; none where it was not measured.</summary>
    public static IReadOnlyList<double> At(this TextModel model, string quantity, double x)
    {
        ArgumentNullException.ThrowIfNull(model);
        return [.. model.Points().Where(p => p.Quantity == quantity && p.X == x && double.IsFinite(p.Value)).Select(p => p.Value)];
    }

    /// <summary>The points of a quantity's axis at which a model was measured, ascending.</summary>
    public static IReadOnlyList<double> Axis(this TextModel model, string quantity)
    {
        ArgumentNullException.ThrowIfNull(model);
        return [.. model.Points().Where(p => p.Quantity == quantity && double.IsFinite(p.Value)).Select(p => p.X).Distinct().Order()];
    }

    /// <summary>The mean over seeds; no number where it was not measured.</summary>
    public static double Mean(this TextModel model, string quantity, double x) => model.At(quantity, x) is { Count: > 0 } all ? all.Average() : double.NaN;

    /// <summary>A value in its unit.</summary>
    public static string Told(this Quantity quantity, double value)
    {
        ArgumentNullException.ThrowIfNull(quantity);
        return quantity.Unit switch
        {
            _ when !double.IsFinite(value) => "no figure",
            "share" => $"{100 * value:0.#} %",
            "bytes" => Sentence.Bytes((long)value),
            "bits" => $"{value:0.000}",
            _ => $"{(Math.Abs(value) is >= 1e5 or (> 0 and < 1e-3) ? value.ToString("0.00e0") : value >= 1000 ? value.ToString("N0") : value.ToString("G4"))}{(quantity.Unit.Length > 0 ? " " + quantity.Unit : "")}",
        };
    }

    /// <summary>A point of a quantity's axis, by its name where it has one.</summary>
    public static string Point(this TextReport report, Quantity quantity, double x)
    {
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(quantity);
        return quantity.Axis is null && report.Task.Ticks.FirstOrDefault(t => t.X == x) is { } tick ? tick.Name : $"{x:0.####} {quantity.Axis ?? report.Task.Axis}";
    }

    private static IEnumerable<TextPoint> Points(this TextModel model) => model.Conditions.SelectMany(c => c.Trainings).SelectMany(t => t.Found);
}
