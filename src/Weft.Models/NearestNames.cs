namespace Weft.Models;

/// <summary>Finds the names a person may have meant by one that is not known.</summary>
public static class NearestNames
{
    // Names are short; a longer text is compared by its beginning, so that the cost stays bounded.
    private const int MaxCompared = 64;

    /// <summary>
    /// The candidates closest to <paramref name="text"/>, closest first, at most <paramref name="max"/>; none where nothing is close.
    /// Distance counts insertions, deletions, substitutions and swaps of neighbours (Damerau-Levenshtein, optimal string alignment),
    /// ignoring case; a candidate that begins with the text or holds it, or that the text begins with, is close whatever its length.
    /// </summary>
    public static IReadOnlyList<string> Of(string text, IEnumerable<string> candidates, int max = 3)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(candidates);
        string wanted = Compared(text);
        var close = new List<(int Distance, string Name)>();
        foreach (string name in candidates.Distinct(StringComparer.Ordinal))
        {
            string other = Compared(name);
            int distance = Distance(wanted, other);
            int shorter = Math.Min(wanted.Length, other.Length);
            bool begins = shorter >= 2 && wanted.AsSpan(0, shorter).SequenceEqual(other.AsSpan(0, shorter));
            bool holds = wanted.Length >= 3 && other.Contains(wanted, StringComparison.Ordinal);
            if (begins || holds)
            {
                distance = Math.Min(distance, 1);
            }
            if (distance <= Math.Max(1, Math.Max(wanted.Length, other.Length) / 3))
            {
                close.Add((distance, name));
            }
        }
        return [.. close.OrderBy(c => c.Distance).ThenBy(c => c.Name, StringComparer.Ordinal).Take(max).Select(c => c.Name)];
    }

    /// <summary>The end of an "unknown name" message: <c>nearest: a, b</c>, or <c>known: ...</c> with every name where nothing is close.</summary>
    public static string Hint(string text, IEnumerable<string> candidates)
    {
        ArgumentNullException.ThrowIfNull(candidates);
        string[] names = [.. candidates];
        IReadOnlyList<string> nearest = Of(text, names);
        return nearest.Count > 0 ? $"nearest: {string.Join(", ", nearest)}"
            : names.Length > 0 ? $"known: {string.Join(", ", names.Order(StringComparer.Ordinal))}"
            : "none is known";
    }

    private static string Compared(string text) => text[..Math.Min(text.Length, MaxCompared)].ToLowerInvariant();

    private static int Distance(string a, string b)
    {
        // d[i, j]: edits that turn the first i characters of a into the first j of b.
        var d = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    d[i, j] = i + j;
                    continue;
                }
                int best = Math.Min(d[i - 1, j], d[i, j - 1]) + 1;
                best = Math.Min(best, d[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    best = Math.Min(best, d[i - 2, j - 2] + 1);
                }
                d[i, j] = best;
            }
        }
        return d[a.Length, b.Length];
    }
}
