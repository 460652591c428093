using System.Buffers.Binary;
using Weft.Training;

namespace Weft.Tests.Training;

public class TokenBatchesTests
{
    // A corpus that says of every byte where it stands: windows are recognised by their first four bytes.
    private static Corpus Numbered(int words)
    {
        byte[] bytes = new byte[4 * words];
        for (int i = 0; i < words; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 * i), i);
        }
        return Corpus.FromBytes(bytes, "numbered");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(1_000)]
    [InlineData(70_000)]
    public void APermutationTakesEachElementOnce(int count)
    {
        foreach (ulong key in new ulong[] { 0, 1, ulong.MaxValue })
        {
            RandomPermutation order = new(count, key);
            bool[] seen = new bool[count];
            for (int i = 0; i < count; i++)
            {
                Assert.False(seen[order[i]]);
                seen[order[i]] = true;
            }
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomPermutation(count, 0)[count]);
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomPermutation(count, 0)[-1]);
    }

    [Fact]
    public void APermutationOfAnySizeIsShuffled()
    {
        RandomPermutation huge = new(long.MaxValue, 1);
        Assert.Equal(1000, Enumerable.Range(0, 1000).Select(i => huge[i]).Distinct().Count());
        // In a shuffled order of n about one element stays in place, and neighbours land n/3 apart on average.
        const int N = 10_000;
        RandomPermutation order = new(N, 42);
        Assert.InRange(Enumerable.Range(0, N).Count(i => order[i] == i), 0, 8);
        Assert.InRange(Enumerable.Range(0, N - 1).Average(i => Math.Abs((double)(order[i] - order[i + 1]))), N * 0.32, N * 0.346);
    }

    [Fact]
    public void AnEpochTakesEachWindowOnceAndTheNextCutsElsewhere()
    {
        using Corpus corpus = Numbered(5_000);
        const int Context = 16;
        TokenBatches batches = new(corpus, batch: 1, Context, seed: 9);
        HashSet<long> starts = [];
        HashSet<string> orders = [];
        int[] window = new int[Context + 1];
        int[] expected = new int[Context + 1];
        for (int epoch = 0; epoch < 20; epoch++)
        {
            List<long> offsets = [];
            long windows = 0;
            do
            {
                batches.Next(window);
                windows = batches.WindowsPerEpoch;
                Assert.Equal(epoch, batches.Position.Epoch);
                offsets.Add(Find(corpus, window, expected));
            }
            while (batches.Position.Index < windows);
            offsets.Sort();
            Assert.Equal(windows, offsets.Count);
            Assert.All(offsets.Zip(offsets.Skip(1)), pair => Assert.Equal(Context, pair.Second - pair.First));
            Assert.InRange(offsets[0], 0, Context - 1);
            Assert.InRange(corpus.TrainLength - offsets[^1], Context + 1, 2 * Context);
            starts.Add(offsets[0]);
        }
        Assert.True(starts.Count > 8); // 20 draws of 16 values
    }

    [Fact]
    public void NeverTouchesTheHeldOutPart()
    {
        byte[] bytes = new byte[3_000];
        bytes.AsSpan(1_500).Fill(1); // half is held out of a corpus this small
        using Corpus corpus = Corpus.FromBytes(bytes, "x");
        Assert.Equal(1_500, corpus.TrainLength);
        foreach (int context in new[] { 1, 7, 700, 1_000, 1_498, 1_499 })
        {
            TokenBatches batches = new(corpus, batch: 3, context, seed: 1);
            int[] into = new int[batches.TokensPerBatch];
            for (int i = 0; i < 1_000; i++)
            {
                batches.Next(into);
                Assert.False(into.AsSpan().ContainsAnyExcept(0));
            }
        }
        Refused.With(() => new TokenBatches(corpus, 1, 1_500, 0), "too short for a context of 1500");
    }

    [Fact]
    public void TheOrderFollowsFromTheSeedAndContinuesFromAnyPosition()
    {
        using Corpus corpus = Numbered(3_000);
        TokenBatches one = new(corpus, batch: 5, context: 32, seed: 1);
        TokenBatches same = new(corpus, batch: 5, context: 32, seed: 1);
        TokenBatches other = new(corpus, batch: 5, context: 32, seed: 2);
        int[] a = new int[one.TokensPerBatch];
        int[] b = new int[one.TokensPerBatch];
        bool differs = false;
        for (int i = 0; i < 150; i++) // across epochs
        {
            BatchPosition position = one.Position;
            one.Next(a);
            same.Next(b);
            Assert.Equal(a, b);
            TokenBatches resumed = new(corpus, batch: 5, context: 32, seed: 77) { Position = position };
            resumed.Next(b);
            Assert.Equal(a, b);
            Assert.Equal(one.Position, resumed.Position);
            other.Next(b);
            differs |= !a.SequenceEqual(b);
        }
        Assert.True(one.Position.Epoch > 0);
        Assert.True(differs);
    }

    [Fact]
    public void RefusesPositionsOfAnotherCorpus()
    {
        using Corpus corpus = Numbered(3_000);
        TokenBatches batches = new(corpus, batch: 1, context: 32, seed: 1);
        BatchPosition before = batches.Position;
        Refused.With(() => batches.Position = new BatchPosition(1, 0, 1_000_000), "past its epoch's end");
        Refused.With(() => batches.Position = new BatchPosition(1, -1, 0), "negative");
        Assert.Equal(before, batches.Position);
        Assert.Throws<ArgumentException>(() => batches.Next(new int[32]));
    }

    private static long Find(Corpus corpus, int[] window, int[] expected)
    {
        // The window covers a whole word at one of four alignments: the one at which the corpus agrees.
        for (int shift = 0; shift < 4; shift++)
        {
            long offset = (4L * BinaryPrimitives.ReadInt32BigEndian([.. window.Skip(shift).Take(4).Select(x => (byte)x)])) - shift;
            if (offset >= 0 && offset <= corpus.TrainLength - window.Length)
            {
                corpus.Read(offset, expected);
                if (expected.AsSpan().SequenceEqual(window))
                {
                    return offset;
                }
            }
        }
        throw new InvalidOperationException("the window is not a piece of the training part");
    }
}
