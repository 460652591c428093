using System.Numerics;

namespace Weft.Tensors;

/// <summary>The whole state of a <see cref="RandomSource"/>: four words, saved and restored exactly.</summary>
public readonly record struct RandomState(ulong S0, ulong S1, ulong S2, ulong S3);

/// <summary>
/// A small random generator whose stream depends on nothing but its seed: xoshiro256++ (Blackman and Vigna, "Scrambled linear
/// pseudorandom number generators", 2021), seeded through SplitMix64. Its state is four words and nothing else - no cached second
/// Gaussian - so saving <see cref="State"/> and restoring it continues the very same stream. Not safe for several threads at once,
/// and not for secrets.
/// </summary>
public sealed class RandomSource
{
    private ulong s0, s1, s2, s3;

    /// <summary>
    /// Starts the stream of a seed. Different values of <paramref name="stream"/> give unrelated streams of one seed, so that each
    /// parameter, say, can have its own, whatever the order in which they are drawn.
    /// </summary>
    public RandomSource(ulong seed, ulong stream = 0) => Restart(seed, stream);

    /// <summary>Goes to the start of a stream of a seed: the draws that follow are those of a new source.</summary>
    public void Restart(ulong seed, ulong stream = 0)
    {
        // The stream is hashed before it is combined, so that (seed 1, stream 0) and (seed 0, stream 1) share nothing.
        ulong x = seed ^ Mix(stream * 0xD1342543DE82EF95UL);
        s0 = SplitMix(ref x);
        s1 = SplitMix(ref x);
        s2 = SplitMix(ref x);
        s3 = SplitMix(ref x);
    }

    /// <summary>Continues from a saved state.</summary>
    /// <exception cref="InputException">The state is all zero, which no generator reaches.</exception>
    public RandomSource(RandomState state) => State = state;

    /// <summary>The state before the next draw.</summary>
    /// <exception cref="InputException">Set to all zero, from which the generator would only ever draw zeros.</exception>
    public RandomState State
    {
        get => new(s0, s1, s2, s3);
        set
        {
            if (value == default)
            {
                throw new InputException("a saved random state is all zero: it was not written by Weft, or it is damaged");
            }
            (s0, s1, s2, s3) = value;
        }
    }

    /// <summary>64 uniform bits.</summary>
    public ulong NextUInt64()
    {
        ulong result = BitOperations.RotateLeft(s0 + s3, 23) + s0;
        ulong t = s1 << 17;
        s2 ^= s0;
        s3 ^= s1;
        s1 ^= s2;
        s0 ^= s3;
        s2 ^= t;
        s3 = BitOperations.RotateLeft(s3, 45);
        return result;
    }

    /// <summary>Uniform in [0, 1), on the grid of 2^-24: every value is exact.</summary>
    public float NextFloat() => (NextUInt64() >> 40) * (1f / (1 << 24));

    /// <summary>Uniform in [0, 1), on the grid of 2^-53: every value is exact.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1L << 53));

    /// <summary>Uniform in 0 .. <paramref name="exclusiveMax"/> - 1, without bias.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The bound is not positive.</exception>
    public int NextInt(int exclusiveMax) => (int)NextLong(exclusiveMax);

    /// <summary>Uniform in 0 .. <paramref name="exclusiveMax"/> - 1, without bias (Lemire, "Fast random integer generation in an interval", 2019).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The bound is not positive.</exception>
    public long NextLong(long exclusiveMax)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(exclusiveMax);
        ulong bound = (ulong)exclusiveMax;
        ulong high = Math.BigMul(NextUInt64(), bound, out ulong low);
        if (low < bound)
        {
            ulong threshold = (0UL - bound) % bound; // 2^64 mod bound: the draws that would favour small values
            while (low < threshold)
            {
                high = Math.BigMul(NextUInt64(), bound, out low);
            }
        }
        return (long)high;
    }

    /// <summary>A standard normal draw (mean 0, variance 1). Uses two uniform draws, and keeps nothing for the next call.</summary>
    public float NextGaussian() => (float)GaussianPair().First;

    /// <summary>Fills with independent draws of mean 0 and the given standard deviation.</summary>
    public void FillGaussian(Span<float> destination, float standardDeviation = 1f)
    {
        int i = 0;
        for (; i + 1 < destination.Length; i += 2)
        {
            (double first, double second) = GaussianPair();
            destination[i] = (float)(first * standardDeviation);
            destination[i + 1] = (float)(second * standardDeviation);
        }
        if (i < destination.Length)
        {
            destination[i] = (float)(GaussianPair().First * standardDeviation);
        }
    }

    /// <summary>Fills with independent uniform draws from <paramref name="low"/> to <paramref name="high"/> (which rounding may reach).</summary>
    public void FillUniform(Span<float> destination, float low, float high)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = low + ((high - low) * NextFloat());
        }
    }

    /// <summary>
    /// SplitMix64's finaliser: a bijection of 64 bits in which each input bit flips about half of the output. The same mixing serves
    /// wherever a hash of small integers is wanted, such as a seed for one epoch.
    /// </summary>
    public static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }

    private static ulong SplitMix(ref ulong x) => Mix(x += 0x9E3779B97F4A7C15UL);

    // Box and Muller: a radius from an exponential draw and a uniform angle make two independent normals.
    private (double First, double Second) GaussianPair()
    {
        double radius = Math.Sqrt(-2.0 * Math.Log(1.0 - NextDouble())); // 1 - u is in (0, 1]: the logarithm is finite
        (double sin, double cos) = Math.SinCos(2.0 * Math.PI * NextDouble());
        return (radius * cos, radius * sin);
    }
}
