using Weft.Models;
using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;


/// <summary>Attention and rotary positions against their definitions, for shapes that cut tiles in every way.</summary>
public sealed class AttentionTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <param name="Batch">B.</param>
    /// <param name="Tokens">T.</param>
    /// <param name="Heads">H.</param>
    /// <param name="KeyHeads">H_kv.</param>
    /// <param name="HeadDim">d.</param>
    /// <param name="Window">Keys that a query sees; 0 for all.</param>
    /// <param name="Past">Tokens remembered.</param>
    /// <param name="Start">The row of the oldest of them.</param>
    /// <param name="Room">Rows of the cache.</param>
    /// <param name="Position">The first token's position.</param>
    /// <param name="ValueDim">d_v; 0 for d.</param>
    /// <param name="Local">Heads with a window of their own.</param>
    /// <param name="Slopes">Whether scores fall with the distance.</param>
    /// <param name="Gates">Whether there are forget gates.</param>
    public sealed record Case(int Batch, int Tokens, int Heads, int KeyHeads, int HeadDim, int Window = 0, int Past = 0, int Start = 0, int Room = 0, long Position = 0,
        int ValueDim = 0, int Local = 0, bool Slopes = false, bool Gates = false)
    {
        public AttentionOptions Options => new(Heads, KeyHeads, HeadDim, 1 / MathF.Sqrt(HeadDim), Window) { ValueDim = ValueDim == 0 ? HeadDim : ValueDim, LocalHeads = Local };

        public int Queries => Heads * HeadDim;

        public int Keys => KeyHeads * HeadDim;

        public int Values => KeyHeads * Options.ValueDim;

        public int Forget => Gates ? Heads : 0;
    }

    public static IEnumerable<Case> Cases =>
    [
        new(1, 1, 1, 1, 1),
        new(2, 5, 2, 2, 8),
        new(1, 64, 1, 1, 16),
        new(2, 65, 4, 2, 32),
        new(1, 200, 2, 1, 20),
        new(1, 130, 3, 3, 33),
        new(2, 100, 2, 2, 16, Window: 1),
        new(2, 100, 2, 2, 16, Window: 10),
        new(1, 300, 2, 1, 16, Window: 64),
        new(1, 300, 2, 1, 16, Window: 70),
        new(2, 7, 4, 2, 16, Past: 9, Room: 9, Position: 9),
        new(2, 70, 4, 2, 16, Past: 100, Start: 3, Room: 120, Position: 100),
        new(2, 70, 2, 1, 16, Past: 100, Start: 90, Room: 128, Position: 1000),
        new(1, 90, 2, 2, 24, Window: 50, Past: 50, Start: 30, Room: 64, Position: 7001),
        new(1, 20, 2, 2, 24, Window: 50, Past: 100, Start: 70, Room: 128, Position: (1L << 40) + 5),
        new(3, 1, 4, 2, 16, Past: 63, Room: 64, Position: 63),
        new(2, 1, 4, 1, 40, Past: 700, Start: 500, Room: 768, Position: 2000),
        new(2, 1, 4, 4, 40, Window: 300, Past: 700, Start: 500, Room: 768, Position: 2000),
        new(1, 1, 2, 2, 7, Past: 5, Room: 8, Position: 1L << 40),
        new(2, 130, 4, 2, 16, ValueDim: 21),
        new(2, 1, 4, 2, 16, Past: 300, Start: 250, Room: 320, Position: 900, ValueDim: 40),
        new(2, 130, 3, 1, 16, Slopes: true),
        new(1, 1, 4, 2, 16, Window: 290, Past: 300, Start: 250, Room: 320, Position: (1L << 40) + 300, Slopes: true),
        new(2, 70, 4, 2, 16, Window: 90, Past: 100, Start: 90, Room: 128, Position: 1000, Slopes: true),
        new(1, 150, 4, 2, 16, Local: 3),
        new(2, 90, 80, 40, 4, Past: 100, Start: 90, Room: 128, Position: 1000, Local: 79),
        new(1, 1, 4, 4, 16, Window: 2, Past: 300, Start: 250, Room: 320, Position: 5100, Local: 3),
        new(1, 1, 4, 2, 16, Past: 300, Start: 250, Room: 320, Position: 900, Local: 2, Slopes: true),
        new(2, 130, 4, 2, 16, Gates: true),
        new(2, 70, 2, 1, 16, Past: 100, Start: 90, Room: 128, Position: 1000, ValueDim: 24, Gates: true),
        new(3, 1, 2, 2, 16, Past: 300, Start: 250, Room: 320, Position: 900, Gates: true),
    ];

    public static TheoryData<int, string> All
    {
        get
        {
            var data = new TheoryData<int, string>();
            foreach ((int index, Case c) in Cases.Index())
            {
                data.Add(index, c.ToString());
            }

            return data;
        }
    }

    /// <summary>Operands of a case: columns of one projection, as a mixer has them, and a cache with rows that nobody may read.</summary>
    private sealed class Operands
    {
        private readonly Case c;
        private readonly Tensor fused;
        private readonly Tensor? pastKeys, pastValues, pastForget;
        private readonly float[]? slopes;

        public Operands(Device device, Case c)
        {
            this.c = c;
            int columns = c.Queries + c.Keys + c.Values + c.Forget;
            float[] values = LawTools.Gaussian((long)c.Batch * c.Tokens * columns, 1);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = i % columns < columns - c.Forget ? values[i] : -MathF.Abs(values[i]) / 10;
            }

            fused = device.Of(values, new Shape(c.Batch, c.Tokens, columns)).WithGrad();
            slopes = c.Slopes ? [.. Enumerable.Range(1, c.Heads).Select(h => 0.7f / h)] : null;
            if (c.Past > 0)
            {
                pastKeys = Cache(2, c.Keys, x => x);
                pastValues = Cache(3, c.Values, x => x);
                pastForget = c.Gates ? Cache(4, c.Heads, x => -MathF.Abs(x) / 10) : null;
            }

            Tensor Cache(ulong seed, int width, Func<float, float> of)
            {
                float[] rows = LawTools.Gaussian((long)c.Batch * c.Room * width, seed);
                for (int i = 0; i < rows.Length; i++)
                {
                    int row = i / width % c.Room;
                    rows[i] = (row - c.Start + c.Room) % c.Room < c.Past ? of(rows[i]) : 1e30f;
                }

                return device.Of(rows, new Shape(c.Batch, c.Room, width)).WithGrad();
            }
        }

        public IEnumerable<(string Name, Tensor Tensor)> Leaves => new[] { ("q, k, v and f", fused), ("the past keys", pastKeys), ("the past values", pastValues), ("the past gates", pastForget) }
            .Where(l => l.Item2 is not null).Select(l => (l.Item1, l.Item2!));

        public (Tensor Q, Tensor K, Tensor V, Tensor? Forget) Views(Tape tape)
        {
            Tensor all = Ops.Copy(fused, tape);
            int keys = c.Queries + c.Keys;
            return (all.Columns(0, c.Queries), all.Columns(c.Queries, c.Keys), all.Columns(keys, c.Values), c.Gates ? all.Columns(keys + c.Values, c.Heads) : null);
        }

        public Tensor Fast(Tape tape)
        {
            (Tensor q, Tensor k, Tensor v, Tensor? forget) = Views(tape);
            var bias = new AttentionBias(slopes is null ? null : tape.Device.Of(slopes, new Shape(c.Heads)), forget);
            return Ops.Attention(q, k, v, new AttentionPast(pastKeys, pastValues, c.Start, c.Past, pastForget), c.Options, c.Position, bias);
        }

        public Tensor Plain(Tape tape)
        {
            (Tensor q, Tensor k, Tensor v, Tensor? forget) = Views(tape);
            (Tensor keys, Tensor values) = (Joined(pastKeys, k), Joined(pastValues, v));
            if (forget is null)
            {
                return AttentionDefinition.Run(Whole(q), keys, values, c.Options, slopes);
            }

            return ForgettingSoftmax.Scan(q, keys, values, Joined(pastForget, forget), c.KeyHeads, c.Options.Scale);

            Tensor Joined(Tensor? past, Tensor own)
            {
                if (past is null)
                {
                    return Whole(own);
                }

                Tensor copy = Ops.Copy(past, tape);
                int first = Math.Min(c.Past, c.Room - c.Start);
                Tensor old = Ops.Slice(copy, 1, c.Start, first);
                return Ops.Concat(first == c.Past ? old : Ops.Concat(old, Ops.Slice(copy, 1, 0, c.Past - first), 1), own, 1);
            }

            static Tensor Whole(Tensor x) => Ops.Slice(x, 1, 0, x.Shape[1]);
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public void EqualsItsDefinition(int index, string name)
    {
        Case c = Cases.ElementAt(index);
        var operands = new Operands(device, c);
        (float[] y, float[][] gradients) = Gradients(operands, operands.Fast);
        (float[] expected, float[][] expectedGradients) = Gradients(operands, operands.Plain);
        LawTools.Close(y, expected, 1e-5, name);
        foreach (((string leaf, _), float[] actual, float[] reference) in operands.Leaves.Zip(gradients, expectedGradients))
        {
            LawTools.Close(actual, reference, 1e-4, $"{name}: the gradient of {leaf}");
        }

        // Without recording: one token takes the way of decoding.
        using var tape = new Tape(device) { Recording = false };
        long before = device.Flops;
        LawTools.Close(operands.Fast(tape).ToArray(), expected, 1e-5, name + ", not recorded");
        Assert.Equal(c.Batch * c.Options.Flops(c.Tokens, c.Past), device.Flops - before);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void ThreadsDoNotChangeBits(int index, string name)
    {
        Case c = Cases.ElementAt(index);
        using var one = new CpuDevice(1);
        using var five = new CpuDevice(5);
        var first = new Operands(one, c);
        var other = new Operands(five, c);
        (float[] y, float[][] gradients) = Gradients(first, first.Fast);
        (float[] again, float[][] gradientsAgain) = Gradients(other, other.Fast);
        Assert.True(y.AsSpan().SequenceEqual(again), name);
        Assert.All(gradients.Zip(gradientsAgain), g => Assert.True(g.First.AsSpan().SequenceEqual(g.Second), name));
    }

    /// <summary>All cases, and more of the heads that models have.</summary>
    public static IEnumerable<Case> CasesInBf16 =>
    [
        .. Cases,
        new(1, 129, 2, 2, 8),
        new(2, 131, 4, 2, 64),
        new(1, 200, 4, 1, 80, Window: 70),
        new(1, 190, 2, 2, 64, Window: 50, Past: 77, Start: 30, Room: 128, Position: 7001),
        new(1, 150, 4, 2, 80, ValueDim: 64, Local: 3, Slopes: true),
        new(1, 150, 2, 1, 64, Past: 130, Start: 100, Room: 192, Position: 130, Gates: true),
    ];

    public static TheoryData<int, string, string> AllInBf16
    {
        get
        {
            var data = new TheoryData<int, string, string>();
            foreach ((int index, Case c) in CasesInBf16.Index())
            {
                foreach (Bf16Unit unit in new[] { Bf16Unit.Portable, CpuDevice.BestUnit }.Distinct())
                {
                    data.Add(index, unit.ToString(), c.ToString());
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(AllInBf16))]
    public void InBf16AgreesWithFloat32OnAnyThreads(int index, string unit, string name)
    {
        Case c = CasesInBf16.ElementAt(index);
        using CpuDevice one = new(1, Precision.BFloat16, Enum.Parse<Bf16Unit>(unit)), three = new(3, Precision.BFloat16, Enum.Parse<Bf16Unit>(unit));
        Operands exact = new(device, c), rounded = new(one, c), again = new(three, c);
        (float[] expected, float[][] expectedGradients) = Gradients(exact, exact.Fast);
        (float[] y, float[][] gradients) = Gradients(rounded, rounded.Fast);
        LawTools.Close(y, expected, 2e-2, name);
        Assert.False(y.AsSpan().SequenceEqual(expected), $"{name}: nothing was rounded");
        foreach (((string leaf, _), float[] actual, float[] reference) in exact.Leaves.Zip(gradients, expectedGradients))
        {
            LawTools.Close(actual, reference, 2e-2, $"{name}: the gradient of {leaf}");
        }

        (float[] sameY, float[][] sameGradients) = Gradients(again, again.Fast);
        Assert.True(y.AsSpan().SequenceEqual(sameY), name);
        Assert.All(gradients.Zip(sameGradients), g => Assert.True(g.First.AsSpan().SequenceEqual(g.Second), name));
    }

    private static (float[] Y, float[][] Gradients) Gradients(Operands operands, Func<Tape, Tensor> attention)
    {
        foreach ((_, Tensor tensor) in operands.Leaves)
        {
            tensor.ClearGrad();
        }

        using var tape = new Tape(operands.Leaves.First().Tensor.Device);
        Tensor y = attention(tape);
        float[] values = y.ToArray();
        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(LawTools.Gaussian(values.Length, 7), y.Shape))));
        return (values, [.. operands.Leaves.Select(l => l.Tensor.Grad!.ToArray())]);
    }

    [Theory]
    [InlineData(0, Precision.Float32)]
    [InlineData(1, Precision.Float32)]
    [InlineData(40, Precision.Float32)]
    [InlineData(64, Precision.Float32)]
    [InlineData(100, Precision.Float32)]
    [InlineData(0, Precision.BFloat16)]
    [InlineData(1, Precision.BFloat16)]
    [InlineData(40, Precision.BFloat16)]
    [InlineData(64, Precision.BFloat16)]
    [InlineData(100, Precision.BFloat16)]
    public void PiecesOnTheGridGiveTheSameBits(int window, Precision precision)
    {
        const int tokens = 230, first = 128;
        int past = window == 0 ? first : Math.Min(first, window + 3); // what begins within a tile
        var options = new AttentionOptions(2, 1, 24, 0.2f, window);
        using var cpu = new CpuDevice(2, precision);
        using var tape = new Tape(cpu);
        Tensor q = tape.Of(LawTools.Gaussian(tokens * 48, 1), new Shape(1, tokens, 48));
        Tensor k = tape.Of(LawTools.Gaussian(tokens * 24, 2), new Shape(1, tokens, 24)), v = tape.Of(LawTools.Gaussian(tokens * 24, 3), new Shape(1, tokens, 24));
        float[] whole = Ops.Attention(q, k, v, default, options, 0).ToArray();
        Tensor start = Ops.Attention(Part(q, 0, first), Part(k, 0, first), Part(v, 0, first), default, options, 0);
        Tensor end = Ops.Attention(Part(q, first, tokens - first), Part(k, first, tokens - first), Part(v, first, tokens - first),
            new AttentionPast(k, v, first - past, past), options, first);
        float[] pieces = [.. start.ToArray(), .. end.ToArray()];
        Assert.Equal(whole, pieces);

        static Tensor Part(Tensor x, int from, int count) => Ops.Slice(x, 1, from, count);
    }

    [Fact]
    public void PairsAreTheVisibleOnes()
    {
        foreach (int window in new[] { 0, 1, 3, 10, 100 })
        {
            foreach (int past in new[] { 0, 1, 5, 9, 10, 11, 200 })
            {
                foreach (int tokens in new[] { 0, 1, 4, 20, 150 })
                {
                    long seen = Enumerable.Range(past + 1, tokens).Sum(p => (long)(window == 0 ? p : Math.Min(p, window)));
                    Assert.Equal(seen, new AttentionOptions(1, 1, 1, 1, window).Pairs(tokens, past));
                }
            }
        }
    }

    [Fact]
    public void BackwardCountsFiveProducts()
    {
        var c = new Case(2, 70, 4, 2, 16, Past: 100, Start: 3, Room: 120, Position: 100);
        var operands = new Operands(device, c);
        using var tape = new Tape(device);
        Tensor loss = Ops.Sum(operands.Fast(tape));
        long before = device.Flops;
        tape.Backward(loss);
        Assert.Equal(c.Batch * c.Options.Flops(c.Tokens, c.Past) / 2 * 5, device.Flops - before);
    }

    /// <summary>The gates' sums over 50,000 tokens, far beyond what float32 resolves, leave the last tokens' weights exact.</summary>
    [Fact]
    public void LongSumsOfGatesLoseNothing()
    {
        const int tokens = 50_000, dim = 8, last = 70;
        using var tape = new Tape(device) { Recording = false };
        float[] gates = LawTools.Gaussian(tokens, 4, 10).Select(g => -MathF.Abs(g)).ToArray();
        Array.Fill(gates, -0.1f, tokens - last, last);
        Tensor q = tape.Of(LawTools.Gaussian(tokens * dim, 1), new Shape(1, tokens, dim)), k = tape.Of(LawTools.Gaussian(tokens * dim, 2), new Shape(1, tokens, dim));
        Tensor v = tape.Of(LawTools.Gaussian(tokens * dim, 3), new Shape(1, tokens, dim)), f = tape.Of(gates, new Shape(1, tokens, 1));
        gates[tokens - last] = -1000;
        Tensor cut = tape.Of(gates, new Shape(1, tokens, 1));
        var options = new AttentionOptions(1, 1, dim, 0.3f, 0);
        float[] one = Last(Ops.Attention(Part(q), Part(k), Part(v), new AttentionPast(k, v, 0, tokens - last, f), options, tokens - last, new AttentionBias(LogForget: Part(cut))));
        float[] alone = Last(Ops.Attention(Part(q), Part(k), Part(v), default, options, 0, new AttentionBias(LogForget: Part(f))));
        LawTools.Close(one, alone, 1e-6, "behind a gate that forgets all");

        Tensor Part(Tensor x) => Ops.Slice(x, 1, tokens - last, last);

        static float[] Last(Tensor x) => x.ToArray();
    }

    [Fact]
    public void LargeScoresSaturate()
    {
        const int tokens = 80, dim = 16;
        using var tape = new Tape(device);
        Tensor q = tape.Of(LawTools.Gaussian(tokens * dim, 1, 1000), new Shape(1, tokens, dim)), k = tape.Of(LawTools.Gaussian(tokens * dim, 2, 1000), new Shape(1, tokens, dim));
        Tensor v = tape.Of(LawTools.Gaussian(tokens * dim, 3), new Shape(1, tokens, dim));
        float[] y = Ops.Attention(q, k, v, default, new AttentionOptions(1, 1, dim, 1, 0), 0).ToArray();
        (float[] qs, float[] ks, float[] vs) = (q.ToArray(), k.ToArray(), v.ToArray());
        for (int t = 0; t < tokens; t++)
        {
            int best = Enumerable.Range(0, t + 1).MaxBy(s => Enumerable.Range(0, dim).Sum(i => (double)qs[(t * dim) + i] * ks[(s * dim) + i]));
            Assert.Equal(vs[(best * dim)..((best + 1) * dim)], y[(t * dim)..((t + 1) * dim)]);
        }
    }

    [Theory]
    [InlineData(1, 1, 1, 2, 0, 0)]
    [InlineData(2, 70, 3, 16, 0, 30)]
    [InlineData(1, 20, 2, 24, 6, 1000)]
    [InlineData(1, 3, 1, 128, 0, 1_000_000)]
    [InlineData(1, 3, 1, 64, 32, (1L << 31) - 1)]
    public void RopeEqualsItsDefinition(int batch, int tokens, int heads, int headDim, int rotary, long position)
    {
        const double theta = 10000;
        int width = heads * headDim, r = rotary == 0 ? headDim : rotary;
        Tensor wide = device.Of(LawTools.Gaussian((long)batch * tokens * (width + 5), 1), new Shape(batch, tokens, width + 5)).WithGrad();
        using var tape = new Tape(device);
        Tensor x = Ops.Copy(wide, tape).Columns(5, width);
        Tensor y = Ops.Rope(x, headDim, position, (float)theta, rotary);
        float[] weight = LawTools.Gaussian(y.Shape.Count, 2), input = x.ToArray(), expected = new float[input.Length], gradient = new float[wide.Shape.Count];
        for (int i = 0; i < input.Length; i++)
        {
            int column = i % headDim, pair = column % (r / 2), row = i / width;
            if (column >= r)
            {
                expected[i] = input[i];
                gradient[(row * (width + 5)) + 5 + (i % width)] = weight[i];
                continue;
            }

            (double sin, double cos) = Math.SinCos((position + (row % tokens)) * Math.Pow(theta, -2.0 * pair / r));
            bool low = column < r / 2;
            int other = low ? i + (r / 2) : i - (r / 2);
            expected[i] = (float)((input[i] * cos) + ((low ? -1 : 1) * input[other] * sin));
            gradient[(row * (width + 5)) + 5 + (i % width)] = (float)((weight[i] * cos) + ((low ? 1 : -1) * weight[other] * sin));
        }

        LawTools.Close(y.ToArray(), expected, 1e-6, "rope");
        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(weight, y.Shape))));
        LawTools.Close(wide.Grad!.ToArray(), gradient, 1e-6, "rope's gradient");
    }

    [Fact]
    public void RopeOfAnyPieceGivesTheSameBits()
    {
        using var tape = new Tape(device);
        Tensor x = tape.Of(LawTools.Gaussian(150 * 32, 1), new Shape(1, 150, 32));
        float[] whole = Ops.Rope(x, 16, 40, 10000).ToArray();
        float[] pieces = [.. Ops.Rope(Ops.Slice(x, 1, 0, 33), 16, 40, 10000).ToArray(), .. Ops.Rope(Ops.Slice(x, 1, 33, 117), 16, 73, 10000).ToArray()];
        Assert.Equal(whole, pieces);
    }

    [Fact]
    public void WrongShapesAreRefused()
    {
        using var tape = new Tape(device);
        Tensor q = tape.Empty(new Shape(1, 4, 16)), k = tape.Empty(new Shape(1, 4, 8)), cache = tape.Empty(new Shape(1, 10, 8));
        var options = new AttentionOptions(2, 1, 8, 1, 0);
        Assert.Throws<ArgumentException>(() => Ops.Attention(q, q, k, default, options, 0));
        Assert.Throws<ArgumentException>(() => Ops.Attention(q, k, k, default, options with { KeyHeads = 3 }, 0));
        Assert.Throws<ArgumentException>(() => Ops.Attention(q, k, k, new AttentionPast(cache, cache, 0, 11), options, 11));
        Assert.Throws<ArgumentException>(() => Ops.Attention(q, k, k, new AttentionPast(cache, cache, 0, 10), options, 9));
        Assert.Throws<ArgumentException>(() => Ops.Attention(q, k, k, new AttentionPast(q, q, 0, 2), options, 2));
        Assert.Throws<ArgumentException>(() => Ops.Rope(q, 8, 0, 10000, 3));
        Assert.Throws<ArgumentException>(() => Ops.Rope(q, 8, -1, 10000));
        Assert.Throws<ArgumentOutOfRangeException>(() => Ops.CopyTokens(k, 2, cache, 0, 3));
    }
}
