using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;


/// <summary>What is particular to attention's options and its cache; what all mixers share is in the laws.</summary>
public sealed class AttentionTests : IDisposable
{
    private const int Width = 32;
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    private Mixer Create(string block, int width = Width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 2));

    [Theory]
    [InlineData("attention[heads=3]", "heads=3", "does not divide the width 32", "32, 16, 8, 4, 2, 1")]
    [InlineData("attention[heads=4, kv-heads=3]", "kv-heads=3", "heads=4", "4, 2, 1")]
    [InlineData("attention[heads=2, kv-heads=4]", "kv-heads=4", "heads=2")]
    [InlineData("attention[heads=2, head-dim=15]", "head-dim=15", "odd", "16")]
    [InlineData("attention[heads=32]", "head-dim=1", "odd")]
    [InlineData("attention[window=-1]", "window=-1")]
    [InlineData("attention[rope-theta=0.5]", "rope-theta=0.5", "10000")]
    [InlineData("attention[rope=1]", "rope")]
    [InlineData("attention[positions=sine]", "positions=sine", "alibi")]
    [InlineData("attention[positions=alibi, rope-theta=10000]", "rope-theta=10000", "positions=rope")]
    [InlineData("attention[heads=1, positions=hard-alibi]", "positions=hard-alibi", "2 heads")]
    [InlineData("attention[heads=4, positions=hard-alibi, local-heads=4]", "local-heads=4", "3")]
    [InlineData("forgetting-attention[heads=3]", "heads=3", "does not divide the width 32")]
    [InlineData("forgetting-attention[heads=4, kv-heads=3]", "kv-heads=3", "4, 2, 1")]
    [InlineData("forgetting-attention[window=4]", "window")]
    [InlineData("block-sparse-attention[heads=3]", "heads=3", "does not divide the width 32")]
    [InlineData("block-sparse-attention[block-size=0]", "block-size=0", "from 4")]
    [InlineData("block-sparse-attention[block-size=16, budget=100]", "budget=100", "96", "112")]
    [InlineData("block-sparse-attention[block-size=16, budget=48]", "budget=48", "64")]
    [InlineData("vertical-slash-attention[kv-heads=3, heads=4]", "kv-heads=3", "4, 2, 1")]
    [InlineData("vertical-slash-attention[vertical=0]", "vertical=0", "from 1")]
    [InlineData("vertical-slash-attention[tile=100]", "tile=100", "64, 128")]
    [InlineData("vertical-slash-attention[tile=32, last=40]", "last=40", "32")]
    public void ImpossibleOptionsAreRefused(string block, params string[] says) => Refused.With(() => Create(block), says);

    [Theory]
    [InlineData("attention", 128, 2)] // heads of 64
    [InlineData("attention", 192, 3)]
    [InlineData("attention", 32, 1)]
    [InlineData("attention", 100, 2)] // 100 / 64 is no whole number: heads of 50
    [InlineData("attention[head-dim=32]", 128, 4)]
    [InlineData("attention[heads=8]", 128, 8)]
    public void HeadsHaveAUsualNumber(string block, int width, int heads)
    {
        long given = Create($"attention[heads={heads}]", width).Cost(100, 0).Flops;
        Assert.Equal(given, Create(block, width).Cost(100, 0).Flops);
    }

    [Fact]
    public void ParametersAreNamedAndCounted()
    {
        Mixer mixer = Create("attention[heads=4, kv-heads=2, head-dim=10, bias]");
        Assert.Equal(["qkv_proj.weight [80, 32]", "qkv_proj.bias [80]", "out_proj.weight [32, 40]"], mixer.Parameters().Select(p => $"{p.Name} {p.Tensor.Shape}"));
        Assert.Equal((80 * 32) + 80 + (32 * 40), mixer.Cost(1, 0).Parameters);
    }

    [Fact]
    public void WithoutPositionsTheOrderOfThePastDoesNotMatter()
    {
        float[] x = LawTools.Gaussian(3 * Width, 1), swapped = [.. x[Width..(2 * Width)], .. x[..Width], .. x[(2 * Width)..]];
        Assert.True(Error("attention[heads=2, rope-theta=0]") < 1e-6);
        Assert.True(Error("attention[heads=2, positions=none]") < 1e-6);
        Assert.True(Error("attention[heads=2]") > 1e-3);
        Assert.True(Error("attention[heads=2, positions=alibi]") > 1e-3);
        Assert.True(Error("forgetting-attention[heads=2]") > 1e-3);

        double Error(string block)
        {
            Mixer mixer = Create(block);
            float[] a = LawTools.Mix(mixer, mixer.NewState(1), x, 1, Width, [3]), b = LawTools.Mix(mixer, mixer.NewState(1), swapped, 1, Width, [3]);
            return LawTools.Error(b.AsSpan(2 * Width), a.AsSpan(2 * Width));
        }
    }

    /// <summary>The slopes of the paper's footnote: of 2^n heads a geometric sequence; of others, those of 2^n and then every second one of 2^(n+1).</summary>
    [Theory]
    [InlineData(1, new[] { 8.0 })]
    [InlineData(4, new[] { 2.0, 4, 6, 8 })]
    [InlineData(8, new[] { 1.0, 2, 3, 4, 5, 6, 7, 8 })]
    [InlineData(3, new[] { 4.0, 8, 2 })]
    [InlineData(12, new[] { 1.0, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5 })]
    public void AlibiSlopes(int heads, double[] exponents) => Assert.Equal(exponents.Select(e => (float)Math.Pow(2, -e)), Attention.Slopes(heads));

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(100)]
    public void ACacheRemembersTheLastTokens(int window)
    {
        const int batch = 2, width = 3;
        var cache = new TokenCache(device, "cache", batch, width, window);
        using var tape = new Tape(device) { Recording = false };
        var random = new Random(window);
        var seen = new List<float>(); // of sequence 0, its first column: the position itself
        for (int step = 0; step < 40; step++)
        {
            int tokens = random.Next(3) == 0 ? random.Next(1, 90) : 1;
            var values = new float[batch * tokens * width];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = seen.Count + (i / width % tokens) + (1000 * (i / width / tokens)) + (0.1f * (i % width));
            }

            // Recorded or not, the same is remembered.
            tape.Recording = step % 5 == 3;
            Tensor rows = tape.Of(values, new Shape(batch, tokens, width));
            cache.Before(tape);
            cache.Append(tape, rows, Ops.Affine(rows, -1));
            seen.AddRange(Enumerable.Range(seen.Count, tokens).Select(p => (float)p));

            int length = window == 0 ? seen.Count : Math.Min(window, seen.Count);
            Assert.Equal((seen.Count, length), (cache.Position, cache.Length));
            Assert.Equal(2L * batch * length * width * 4, cache.Bytes);
            Dictionary<string, (Shape Shape, float[] Values)> saved = cache.Save().ToDictionary(a => a.Name, a => (a.Shape, a.Values));
            Assert.Equal(new Shape(batch, length, width), saved["cache.keys"].Shape);
            for (int i = 0; i < saved["cache.keys"].Values.Length; i++)
            {
                float expected = seen[seen.Count - length + (i / width % length)] + (1000 * (i / width / length)) + (0.1f * (i % width));
                Assert.Equal(expected, saved["cache.keys"].Values[i], 1e-3f);
                Assert.Equal(-expected, saved["cache.values"].Values[i], 1e-3f);
            }

            cache.Detach();
            tape.Reset();
        }

        if (window > 0)
        {
            Assert.True(cache.ReservedBytes <= 2L * batch * (window + Device.AttentionTile - 1) * width * 4);
        }
    }

    [Fact]
    public void ReservedRoomIsNotAllocatedAgain()
    {
        var cache = new TokenCache(device, "cache", 1, 8);
        cache.Reserve(1000);
        long reserved = cache.ReservedBytes;
        Assert.True(reserved >= 2 * 1000 * 8 * 4);
        using var tape = new Tape(device) { Recording = false };
        cache.Append(tape, tape.Of(new float[8000], new Shape(1, 1000, 8)), tape.Of(new float[8000], new Shape(1, 1000, 8)));
        Assert.Equal(reserved, cache.ReservedBytes);
        Refused.With(() => cache.Reserve(1L << 40), "window");
    }

    [Theory]
    [InlineData("attention[heads=2]", 200_000, 2L * 200_000 * Width * 4)]
    [InlineData("attention[heads=2, window=100]", 5_000_000_000, 2L * 100 * Width * 4)]
    public void AFilledStateIsAsLargeAsOneThatRead(string block, long tokens, long bytes)
    {
        Mixer mixer = Create(block);
        var state = (AttentionState)mixer.NewState(1);
        state.Cache.FillForMeasurement(tokens, new RandomSource(1));
        Assert.Equal(bytes, state.Bytes);
        long room = state.Cache.ReservedBytes;
        float[] y = LawTools.Mix(mixer, state, LawTools.Gaussian(Width, 2), 1, Width, [1]);
        Assert.All(y, v => Assert.True(float.IsFinite(v)));
        Assert.Equal(tokens + 1, state.Cache.Position);
        Assert.Equal(room, state.Cache.ReservedBytes);
    }

    [Fact]
    public void DamagedStatesAreRefused()
    {
        Mixer mixer = Create("attention[heads=2, window=10]");
        MixerState state = mixer.NewState(1);
        LawTools.Mix(mixer, state, LawTools.Gaussian(25 * Width, 1), 1, Width, [25]);
        Dictionary<string, (Shape Shape, float[] Values)> saved = LawTools.Save(state);
        foreach (float word in new[] { float.NaN, -1, 0.5f, 65536, float.PositiveInfinity })
        {
            Try("cache.position", new Shape(4), [25, 0, word, 0], "position");
        }

        Try("cache.position", new Shape(4), [0, 0, 0, 60000], "position");
        Try("cache.position", new Shape(4), [9, 0, 0, 0], "keys", "[1, 9, 32]");
        Try("cache.position", new Shape(3), [25, 0, 0], "position", "[3]");
        Try("cache.values", new Shape(1, 10, 16), new float[160], "values", "[1, 10, 32]");
        Try("cache.keys", new Shape(2, 10, 32), new float[640], "keys", "[2, 10, 32]");

        void Try(string name, Shape shape, float[] values, params string[] says)
        {
            var damaged = new Dictionary<string, (Shape Shape, float[] Values)>(saved) { [name] = (shape, values) };
            Refused.With(() => LawTools.Restore(state, damaged), says);

            // A refused state leaves the one there as it was.
            Assert.Equal(saved["cache.keys"].Values, LawTools.Save(state)["cache.keys"].Values);
        }
    }

    /// <summary>A sequence recorded in segments gives the gradients of the whole: they pass through the cache.</summary>
    [Theory]
    [InlineData("attention[heads=2, kv-heads=1]")]
    [InlineData("attention[heads=2, window=7]")]
    [InlineData("attention[heads=2, window=40]")]
    public void GradientsPassThroughSegments(string block)
    {
        const int tokens = 75;
        Mixer mixer = Create(block);
        float[] whole = Run([tokens]), parts = Run([1, 20, 5, 3, 46]);
        LawTools.Close(parts, whole, 1e-4, block);

        float[] Run(int[] pieces)
        {
            Tensor x = device.Of(LawTools.Gaussian(2 * tokens * Width, 3), new Shape(2, tokens, Width)).WithGrad();
            Tensor weight = device.Of(LawTools.Gaussian(2 * tokens * Width, 4), new Shape(2, tokens, Width));
            foreach (Parameter parameter in mixer.Parameters())
            {
                parameter.Tensor.ClearGrad();
            }

            using var tape = new Tape(device);
            MixerState state = mixer.NewState(2);
            Tensor all = Ops.Copy(x, tape), weights = Ops.Copy(weight, tape);
            Tensor loss = tape.Of([0], new Shape(1, 1, 1));
            int at = 0;
            foreach (int piece in pieces)
            {
                Tensor y = mixer.Mix(Ops.Slice(all, 1, at, piece), state);
                loss = Ops.Add(loss, Ops.Sum(Ops.Multiply(y, Ops.Slice(weights, 1, at, piece))));
                at += piece;
            }

            tape.Backward(loss);
            return [.. x.Grad!.ToArray(), .. mixer.Parameters().SelectMany(p => p.Tensor.Grad!.ToArray())];
        }
    }
}
