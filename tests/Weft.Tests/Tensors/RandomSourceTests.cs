using Weft.Tensors;

namespace Weft.Tests.Tensors;

public class RandomSourceTests
{
    [Fact]
    public void FollowsThePublishedAlgorithm()
    {
        // The first outputs of xoshiro256++ from the state (1, 2, 3, 4), as its authors' C code gives them.
        RandomSource random = new(new RandomState(1, 2, 3, 4));
        ulong[] expected = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205];
        Assert.Equal(expected, expected.Select(_ => random.NextUInt64()));
    }

    [Fact]
    public void ContinuesFromASavedStateAfterEveryKindOfDraw()
    {
        RandomSource random = new(seed: 7);
        for (int i = 0; i < 100; i++)
        {
            random.NextGaussian();
            random.NextInt(10);
            RandomSource restored = new(random.State);
            Assert.Equal(random.NextGaussian(), restored.NextGaussian());
            Assert.Equal(random.NextFloat(), restored.NextFloat());
            Assert.Equal(random.State, restored.State);
        }
    }

    [Fact]
    public void SeedsAndStreamsAreUnrelated()
    {
        HashSet<ulong> seen = [];
        for (ulong seed = 0; seed < 50; seed++)
        {
            for (ulong stream = 0; stream < 50; stream++)
            {
                Assert.True(seen.Add(new RandomSource(seed, stream).NextUInt64()));
            }
        }
    }

    [Fact]
    public void DrawsHaveTheirDistributions()
    {
        RandomSource random = new(seed: 1);
        const int N = 200_000;
        float[] gaussian = new float[N + 1];
        random.FillGaussian(gaussian, standardDeviation: 2f);
        double mean = gaussian.Average(x => (double)x);
        double variance = gaussian.Average(x => (double)x * x) - (mean * mean);
        double kurtosis = gaussian.Average(x => Math.Pow((x - mean) / 2, 4));
        Assert.InRange(mean, -0.03, 0.03);
        Assert.InRange(variance, 3.93, 4.07);
        Assert.InRange(kurtosis, 2.9, 3.1);

        float[] uniform = new float[N];
        random.FillUniform(uniform, -1f, 3f);
        Assert.InRange(uniform.Min(), -1f, -0.999f);
        Assert.InRange(uniform.Max(), 2.999f, 3f);
        Assert.InRange(uniform.Average(), 0.98, 1.02);

        int[] counts = new int[7];
        for (int i = 0; i < 70_000; i++)
        {
            counts[random.NextInt(7)]++;
        }
        Assert.All(counts, count => Assert.InRange(count, 9_600, 10_400));
        Assert.Equal(0, random.NextInt(1));
        Assert.All(Enumerable.Range(0, 1000), _ => Assert.InRange(random.NextLong(long.MaxValue), 0, long.MaxValue - 1));
    }

    [Fact]
    public void RefusesAnAllZeroState() => Refused.With(() => new RandomSource(default(RandomState)), "all zero");
}
