using System.Globalization;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>How a mixer's columns are split into heads: the usual number, the option, and what to say where it does not divide.</summary>
internal static class HeadSplit
{
    /// <summary>
    /// Reads <c>heads</c>, a divisor of <paramref name="columns"/> whose heads are even. Unless given: heads as near to
    /// <paramref name="usual"/> columns as divides, but at least four of them, as narrow models need several decays too.
    /// </summary>
    /// <exception cref="InputException">The number given does not divide the columns, or leaves odd heads.</exception>
    public static int Read(BlockOptions options, int columns, int usual, string what)
    {
        int target = Math.Min(usual, columns / 4);
        int width = Enumerable.Range(1, columns / 2).Select(half => 2 * half).Where(w => columns % w == 0).OrderBy(w => Math.Abs(w - target)).FirstOrDefault(columns);
        int heads = options.Int("heads", columns / width, 1, 4096);
        return columns % heads == 0 && columns / heads % 2 == 0 ? heads
            : throw options.Refuse("heads", $"does not split {what} {columns} into heads of an even width; heads that do: {Divisors(columns / 2, 128)}");
    }

    /// <summary>The largest divisors of a number, none above <paramref name="most"/>: for messages.</summary>
    public static string Divisors(int number, int most) => string.Join(", ",
        Enumerable.Range(1, Math.Min(number, most)).Where(d => number % d == 0).Reverse().Take(6).Select(d => d.ToString(CultureInfo.InvariantCulture)));
}
