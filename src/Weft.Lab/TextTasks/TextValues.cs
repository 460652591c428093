using Weft.Models;

namespace Weft.Lab.TextTasks;

/// <summary>What findings read from a report: means over seeds, and when two of them differ.</summary>
internal static class TextValues
{
    /// <summary>With one seed, differences in bits per byte below this are taken for noise.</summary>
    public const double SingleSeedDoubt = 0.02;

    /// <summary>A mean over seeds, and from the least to the greatest of them; null where nothing was found.</summary>
    public static (double Mean, double Spread, int Seeds)? Of(TextModel model, string quantity, double x)
    {
        double[] values = [.. model.Conditions.SelectMany(c => c.Trainings).SelectMany(t => t.Found).Where(p => p.Quantity == quantity && p.X == x && double.IsFinite(p.Value)).Select(p => p.Value)];
        return values.Length == 0 ? null : (values.Average(), values.Max() - values.Min(), values.Length);
    }

    /// <summary>The points of a quantity's axis at which a model was measured, ascending.</summary>
    public static double[] Points(TextModel model, string quantity) =>
        [.. model.Conditions.SelectMany(c => c.Trainings).SelectMany(t => t.Found).Where(p => p.Quantity == quantity && double.IsFinite(p.Value)).Select(p => p.X).Distinct().Order()];

    /// <summary>Whether a is less than b by more than seeds explain: -1; more: 1; 0: too close to tell.</summary>
    public static int Compare((double Mean, double Spread, int Seeds) a, (double Mean, double Spread, int Seeds) b, double singleSeedDoubt = SingleSeedDoubt)
    {
        double doubt = a.Seeds > 1 && b.Seeds > 1 ? Math.Max(a.Spread, b.Spread) : singleSeedDoubt;
        return Math.Abs(a.Mean - b.Mean) <= doubt ? 0 : Math.Sign(a.Mean - b.Mean);
    }

    /// <summary>The first model of only attention, and the first without any; null where there is none.</summary>
    public static (TextModel? Attention, TextModel? Recurrent) Sides(TextReport report)
    {
        TextModel? attention = null, recurrent = null;
        foreach (TextModel model in report.Models)
        {
            var blocks = Pattern.Parse(model.Pattern);
            attention ??= blocks.Where(Layers.IsMixer).All(Layers.IsAttention) ? model : null;
            recurrent ??= !blocks.Any(Layers.IsAttention) ? model : null;
        }

        return (attention, recurrent);
    }
}
