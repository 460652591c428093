using System.Numerics;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// A shuffled order of 0 .. count-1 that needs no memory: element i is computed, whatever the count. A Feistel network of four rounds is a
/// bijection of an even number of bits whatever its round function (Luby and Rackoff, 1988); values past the end are sent through it again
/// until one falls inside, which keeps it a bijection ("cycle walking"; Black and Rogaway, 2002). Its domain is below four times the count, so
/// that takes under four tries on average.
/// </summary>
internal readonly struct RandomPermutation
{
    private const int Rounds = 4;

    private readonly ulong count;
    private readonly ulong key;
    private readonly int halfBits;

    /// <summary>The order of <paramref name="count"/> elements that a key gives.</summary>
    public RandomPermutation(long count, ulong key)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        this.count = (ulong)count;
        this.key = key;
        halfBits = Math.Max(1, (64 - BitOperations.LeadingZeroCount(this.count - 1) + 1) / 2);
    }

    /// <summary>The element in place <paramref name="index"/>, 0 .. count-1.</summary>
    public long this[long index]
    {
        get
        {
            ulong x = (ulong)index;
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(x, this.count, nameof(index));
            do
            {
                x = Feistel(x);
            }
            while (x >= this.count);
            return (long)x;
        }
    }

    private ulong Feistel(ulong x)
    {
        ulong mask = (1UL << halfBits) - 1;
        ulong left = x >> halfBits;
        ulong right = x & mask;
        for (ulong round = 0; round < Rounds; round++)
        {
            (left, right) = (right, left ^ (RandomSource.Mix(this.key ^ RandomSource.Mix((right * Rounds) + round)) & mask));
        }
        return (left << halfBits) | right;
    }
}
