using Weft.Tensors;

namespace Weft.Models;

/// <summary>How a width is cut into heads: the usual numbers, the options, and what to say where they do not divide.</summary>
internal static class HeadSizes
{
    /// <summary>
    /// The options <c>heads</c> and <c>head-dim</c>: either is what the other leaves of <paramref name="width"/>; unless told, heads are
    /// as wide as the largest of <paramref name="most"/>, its half, its quarter, .. that divides the width into at least two heads.
    /// </summary>
    /// <exception cref="InputException">One was given that does not divide the width, or both were and do not make it up.</exception>
    public static (int Heads, int HeadDim) Read(BlockOptions options, int width, int most)
    {
        bool byHeads = options.IsGiven("heads"), byWidth = options.IsGiven("head-dim");
        int usual = most;
        while (usual > 1 && (width % usual != 0 || width / usual < 2))
        {
            usual /= 2;
        }

        int heads, headDim;
        if (byHeads && !byWidth)
        {
            heads = options.Int("heads", 1, 1, 4096);
            headDim = options.Int("head-dim", Math.Max(1, width / heads), 1, 4096);
        }
        else
        {
            headDim = options.Int("head-dim", usual, 1, 4096);
            heads = options.Int("heads", Math.Max(1, width / headDim), 1, 4096);
        }

        return heads * (long)headDim == width ? (heads, headDim)
            : throw (byHeads
                ? options.Refuse("heads", byWidth ? $"of head-dim={headDim} channels do not make up width {width}" : $"does not divide width {width}; heads that do: {Divisors(width, 64)}")
                : options.Refuse("head-dim", $"does not divide width {width}; head widths that do: {Divisors(width, 256)}"));
    }

    /// <summary>
    /// Reads <c>heads</c>, a divisor of <paramref name="columns"/> whose heads are even. Unless given: heads as near to
    /// <paramref name="usual"/> columns as divides, but at least four of them, as narrow models need several decays too.
    /// </summary>
    /// <exception cref="InputException">The number given does not divide the columns, or leaves odd heads.</exception>
    public static int Even(BlockOptions options, int columns, int usual, string what)
    {
        int target = Math.Min(usual, columns / 4);
        int width = Enumerable.Range(1, columns / 2).Select(half => 2 * half).Where(w => columns % w == 0).OrderBy(w => Math.Abs(w - target)).FirstOrDefault(columns);
        int heads = options.Int("heads", columns / width, 1, 4096);
        return columns % heads == 0 && columns / heads % 2 == 0 ? heads
            : throw options.Refuse("heads", $"does not split {what} {columns} into heads of an even width; heads that do: {Divisors(columns / 2, 128)}");
    }

    /// <summary>The largest few divisors of a number, for messages.</summary>
    public static string Divisors(int number, int most) =>
        string.Join(", ", Enumerable.Range(1, Math.Min(number, most)).Where(d => number % d == 0).Reverse().Take(6));
}
