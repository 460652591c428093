namespace Weft.Lab.Report;

/// <summary>What is said of learning-rate sweeps: whether the best rate lies between others tried, or at an end.</summary>
internal static class RateFindings
{
    /// <summary>A model, its best rate, and the rates tried.</summary>
    public sealed record Swept(string Name, double Rate, IReadOnlyList<double> Tried);

    /// <summary>One finding; none without models.</summary>
    public static IEnumerable<string> Of(IReadOnlyList<Swept> models)
    {
        Swept[] swept = [.. models.Where(m => m.Tried.Count > 1)];
        List<string> said = [];
        if (swept.Where(m => m.Rate == m.Tried.Max()).ToArray() is { Length: > 0 } high)
            said.Add($"{Sentence.List(high.Select(Told))} {(high.Length > 1 ? "are" : "is")} best at the highest rate tried, so a higher one may be better still.");
        if (swept.Where(m => m.Rate == m.Tried.Min()).ToArray() is { Length: > 0 } low)
            said.Add($"{Sentence.List(low.Select(Told))} {(low.Length > 1 ? "are" : "is")} best at the lowest rate tried, so a lower one may be better still.");
        if (said.Count == 0 && swept.Length > 0)
            said.Add($"{(swept.Length == 1 ? $"The best rate of {swept[0].Name} lies" : "The best rates lie")} between others tried.");
        if (models.Where(m => m.Tried.Count <= 1).Select(m => m.Name).ToArray() is { Length: > 0 } single)
            said.Add($"{Sentence.List(single)} {(single.Length > 1 ? "were" : "was")} trained at one rate only; another may do better.");
        return said.Count > 0 ? [$"Learning rates: {string.Join(" ", said)}"] : [];

        static string Told(Swept m) => $"{m.Name} ({m.Rate:G3})";
    }
}
