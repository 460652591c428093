namespace Weft.Models;

/// <summary>Writes a list of blocks as a pattern's text with repetitions folded.</summary>
internal static class PatternFormatter
{
    // The exact search costs n^3 / 6 steps: some milliseconds here.
    private const int MaxExact = 256;

    public static string Format(IReadOnlyList<BlockSpec> blocks)
    {
        // From here on an item is a text: a block, or a folded run, which alone contains '*'.
        List<string> items = [.. blocks.Select(b => b.ToString())];
        if (items.Count > 1 && items.TrueForAll(t => t == items[0]))
        {
            return $"{items[0]}*{items.Count}";
        }
        if (items.Count > MaxExact)
        {
            Shrink(items);
        }
        return items.Count > MaxExact ? string.Join(' ', items) : Shortest([.. items]);
    }

    private static string Repeat(string unit, bool single, int count) => single ? $"{count}*{unit}" : $"({unit})*{count}";

    private static int RepeatLength(int unit, bool single, int count)
    {
        int digits = count < 10 ? 1 : count < 100 ? 2 : count < 1000 ? 3 : 4;
        return unit + digits + (single ? 1 : 3);
    }

    private static bool IsSingle(string[] items, int start, int period) => period == 1 && !items[start].Contains('*');

    /// <summary>The shortest text, by dynamic programming over every range of items: a range is two ranges side by side, or a unit repeated.</summary>
    private static string Shortest(string[] items)
    {
        int n = items.Length;
        // same[i, j]: how many items from i on equal those from j on.
        var same = new int[n + 1, n + 1];
        for (int i = n - 1; i >= 0; i--)
        {
            for (int j = n - 1; j > i; j--)
            {
                same[i, j] = items[i] == items[j] ? same[i + 1, j + 1] + 1 : 0;
            }
        }
        // length[i, j] of the shortest text for items i..j-1, and how it is made: k > 0 splits after k items, -p repeats a unit of p.
        var length = new int[n + 1, n + 1];
        var made = new int[n + 1, n + 1];
        for (int size = 1; size <= n; size++)
        {
            for (int i = 0; i + size <= n; i++)
            {
                int j = i + size;
                int best = size == 1 ? items[i].Length : int.MaxValue;
                for (int p = 1; p <= size / 2; p++)
                {
                    if (size % p == 0 && same[i, i + p] >= size - p)
                    {
                        int folded = RepeatLength(length[i, i + p], IsSingle(items, i, p), size / p);
                        if (folded < best)
                        {
                            best = folded;
                            made[i, j] = -p;
                        }
                    }
                }
                for (int k = 1; k < size; k++)
                {
                    int split = length[i, i + k] + 1 + length[i + k, j];
                    if (split < best)
                    {
                        best = split;
                        made[i, j] = k;
                    }
                }
                length[i, j] = best;
            }
        }
        return Text(0, n);

        // Recurses at most once an item deep.
        string Text(int i, int j)
        {
            int how = made[i, j];
            return how == 0 ? items[i]
                : how > 0 ? $"{Text(i, i + how)} {Text(i + how, j)}"
                : Repeat(Text(i, i - how), IsSingle(items, i, -how), (j - i) / -how);
        }
    }

    /// <summary>Folds runs in place, shortest period first, until the search can take the rest or nothing folds.</summary>
    private static void Shrink(List<string> items)
    {
        int period = 1;
        while (items.Count > MaxExact && period <= Math.Min(MaxExact, items.Count / 2))
        {
            int before = items.Count;
            Fold(items, period);
            // What a fold brought together may repeat in turn.
            period = items.Count < before ? 1 : period + 1;
        }
    }

    private static void Fold(List<string> items, int period)
    {
        var folded = new List<string>(items.Count);
        int start = 0;
        while (start < items.Count)
        {
            int matched = 0; // items from start on that equal the ones a period later
            while (start + matched + period < items.Count && items[start + matched] == items[start + matched + period])
            {
                matched++;
            }
            int count = (matched / period) + 1;
            if (count == 1)
            {
                // Up to the mismatch fewer and fewer items match, so no run begins before it.
                int skip = Math.Min(matched + 1, items.Count - start);
                folded.AddRange(items.GetRange(start, skip));
                start += skip;
                continue;
            }
            string[] unit = [.. items.GetRange(start, period)];
            folded.Add(Repeat(Shortest(unit), IsSingle(unit, 0, period), count));
            start += period * count;
        }
        items.Clear();
        items.AddRange(folded);
    }
}
