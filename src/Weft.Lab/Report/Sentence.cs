namespace Weft.Lab.Report;

/// <summary>Words and figures as the findings of all reports say them.</summary>
internal static class Sentence
{
    /// <summary>a, b and c.</summary>
    public static string List(IEnumerable<string> items, string and = "and")
    {
        string[] all = [.. items];
        return all.Length < 2 ? string.Concat(all) : $"{string.Join(", ", all[..^1])} {and} {all[^1]}";
    }

    /// <summary>With a capital at the start.</summary>
    public static string Upper(string text) => text.Length > 0 ? char.ToUpperInvariant(text[0]) + text[1..] : text;

    public static string Ratio(double x) => x >= 10 ? $"{x:F0}" : $"{x:F1}";

    public static string Bytes(long n) => n >= 1e9 ? $"{n / 1e9:G3} GB" : n >= 1e6 ? $"{n / 1e6:G3} MB" : n >= 1e3 ? $"{n / 1e3:G3} kB" : $"{n} bytes";
}
