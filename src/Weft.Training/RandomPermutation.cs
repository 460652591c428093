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

    private readonly ulong _count;
    private readonly ulong _key;
    private readonly int _halfBits;

    /// <summary>The order of <paramref name="count"/> elements that a key gives.</summary>
    public RandomPermutation(long count, ulong key)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        _count = (ulong)count;
        _key = key;
        _halfBits = Math.Max(1, (64 - BitOperations.LeadingZeroCount(_count - 1) + 1) / 2);
    }

    /// <summary>The element in place <paramref name="index"/>, 0 .. count-1.</summary>
    public long this[long index]
    {
        get
        {
            ulong x = (ulong)index;
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(x, _count, nameof(index));
            do
            {
                x = Feistel(x);
            }
            while (x >= _count);
            return (long)x;
        }
    }

    private ulong Feistel(ulong x)
    {
        ulong mask = (1UL << _halfBits) - 1;
        ulong left = x >> _halfBits;
        ulong right = x & mask;
        for (ulong round = 0; round < Rounds; round++)
        {
            (left, right) = (right, left ^ (RandomSource.Mix(_key ^ RandomSource.Mix((right * Rounds) + round)) & mask));
        }
        return (left << _halfBits) | right;
    }
}
