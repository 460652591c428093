using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

using Weft.Tests.Laws;

/// <summary>The chunked scalar-decay recurrence against its definition, with views and missing inputs, and in pieces.</summary>
public sealed class ScalarDecayTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <summary>A case: sizes, which inputs there are, and which outputs the loss sees.</summary>
    /// <param name="Decay">The mean log decay: -8 forgets at once, -0.001 hardly.</param>
    public sealed record Case(int Batch, int Time, int Heads, int KeyHeads, int Dk, int Dv, int Chunk = 16, double Decay = -0.3,
        bool Gate = true, bool Skip = true, bool Initial = true, bool Views = true, bool OnlyO = false, bool OnlyFinal = false, float Scale = 0.7f);

    private static readonly Case[] Cases =
    [
        new(2, 1, 4, 2, 8, 8),
        new(3, 2, 2, 1, 5, 48),
        new(1, 15, 4, 1, 16, 64),
        new(3, 16, 2, 2, 8, 80),
        new(1, 17, 6, 2, 20, 48),
        new(2, 37, 3, 3, 7, 9),
        new(1, 257, 2, 1, 16, 64, Chunk: 64),
        new(3, 257, 2, 2, 8, 8, Chunk: 32, Decay: -0.001),
        new(1, 63, 2, 1, 64, 64, Chunk: 64, Decay: -8),
        new(1, 64, 2, 1, 24, 16, Chunk: 64, Decay: -2),
        new(1, 65, 2, 1, 16, 80, Chunk: 64),
        new(2, 100, 2, 1, 8, 8, Chunk: 40),
        new(1, 100, 2, 1, 8, 8, Chunk: 5),
        new(2, 50, 4, 2, 12, 20, Gate: false),
        new(2, 50, 4, 2, 12, 20, Skip: false),
        new(2, 50, 4, 2, 12, 20, Initial: false),
        new(2, 50, 4, 4, 12, 20, Gate: false, Skip: false, Initial: false, Views: false, Scale: 1),
        new(2, 50, 4, 2, 12, 20, Views: false),
        new(2, 50, 4, 2, 12, 20, OnlyO: true),
        new(2, 50, 4, 2, 12, 20, OnlyFinal: true),
        new(1, 3, 4, 2, 12, 20, Initial: false, OnlyFinal: true),
        new(1, 300, 2, 1, 6, 6, Chunk: 8), // more chunks than are held at a time
    ];

    public static TheoryData<int, string> All => [.. Cases.Select((c, i) => (i, c.ToString()))];

    [Theory]
    [MemberData(nameof(All))]
    public void ChunkedIsTheDefinition(int index, string name)
    {
        Case c = Cases[index];
        Dictionary<string, float[]> expected = Run(device, c, chunked: false), actual = Run(device, c, chunked: true);
        foreach ((string what, float[] values) in expected)
        {
            LawTools.Close(actual[what], values, what is "o" or "final" ? 1e-5 : 1e-4, $"{name}: {what}");
        }
    }

    [Theory]
    [InlineData(new[] { 32, 32, 32, 32, 22 }, true)]
    [InlineData(new[] { 96, 54 }, true)]
    [InlineData(new[] { 128, 22 }, true)]
    [InlineData(new[] { 1, 1, 100, 48 }, false)]
    [InlineData(new[] { 70, 6, 74 }, false)]
    public void PiecesAreTheWhole(int[] pieces, bool onGrid)
    {
        const int batch = 2, heads = 2, dk = 8, dv = 24, chunk = 32;
        int time = pieces.Sum();
        using var tape = new Tape(device) { Recording = false };
        float[] q = LawTools.Gaussian(batch * time * dk, 1), k = LawTools.Gaussian(batch * time * dk, 2), v = LawTools.Gaussian(batch * time * heads * dv, 3);
        float[] a = Decays(batch * time * heads, -0.2, 4);
        Tensor whole = device.Of(LawTools.Gaussian(batch * heads * dk * dv, 5), new Shape(batch, heads, dk, dv));
        Tensor state = device.Of(whole.ToArray(), whole.Shape);
        (Tensor o, Tensor final) = Piece(0, time, whole);
        Assert.Same(whole, final);
        float[] expected = o.ToArray(), actual = new float[expected.Length];
        int at = 0;
        foreach (int piece in pieces)
        {
            float[] part = Piece(at, piece, state).O.ToArray();
            for (int b = 0; b < batch; b++)
            {
                part.AsSpan(b * piece * heads * dv, piece * heads * dv).CopyTo(actual.AsSpan(((b * time) + at) * heads * dv));
            }

            at += piece;
        }

        double tolerance = onGrid ? 0 : 1e-5;
        LawTools.Close(actual, expected, tolerance, "o");
        LawTools.Close(state.ToArray(), whole.ToArray(), tolerance, "final");

        (Tensor O, Tensor Final) Piece(int start, int count, Tensor initial)
        {
            Tensor Part(float[] x, int columns) => tape.Of([.. Enumerable.Range(0, batch).SelectMany(b => x.Skip(((b * time) + start) * columns).Take(count * columns))], new Shape(batch, count, columns));
            return Ops.ScalarDecay(Part(q, dk), Part(k, dk), Part(v, heads * dv), Part(a, heads), null, null, initial, 1, chunk: chunk);
        }
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(7, 64)]
    [InlineData(8, 64)]
    [InlineData(64, 64)]
    [InlineData(200, 64)]
    [InlineData(200, 24)]
    [InlineData(21, 5)]
    public void FlopsAreAsDeclared(int time, int chunk)
    {
        using var tape = new Tape(device);
        Tensor Some(int columns) => tape.Of(LawTools.Gaussian(3 * time * columns, 1), new Shape(3, time, columns));
        long before = device.Flops;
        Ops.ScalarDecay(Some(2 * 5), Some(2 * 5), Some(4 * 6), tape.Of(Decays(3 * time * 4, -1, 2), new Shape(3, time, 4)), null, null, null, 2, chunk: chunk);
        Assert.Equal(3 * ScalarDecay.Flops(time, 4, 2, 5, 6, chunk), device.Flops - before);
    }

    private static float[] Decays(int count, double mean, ulong seed)
    {
        var random = new RandomSource(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(mean * 2 * random.NextDouble()))];
    }

    /// <summary>Outputs, final state and all gradients, by name.</summary>
    private static Dictionary<string, float[]> Run(CpuDevice device, Case c, bool chunked)
    {
        using var tape = new Tape(device);
        int keys = c.KeyHeads * c.Dk, values = c.Heads * c.Dv, count = c.Batch * c.Time;
        var learned = new Dictionary<string, Tensor>();
        Tensor Input(string name, float[] x, Shape shape)
        {
            learned[name] = device.Of(x, shape).WithGrad();
            return Ops.Copy(learned[name], tape);
        }

        Shape Over(int columns) => new(c.Batch, c.Time, columns);
        float[] a = Decays(count * c.Heads, c.Decay, 4);
        Tensor q, k, v, decay;
        Tensor? gate = null;
        if (c.Views)
        {
            // One tensor whose columns are v, q, a, k and the gate: all views, all gradients into one array.
            int columns = values + (2 * keys) + (2 * c.Heads), decays = values + keys;
            float[] x = LawTools.Gaussian((long)count * columns, 1);
            for (int i = 0; i < a.Length; i++)
            {
                x[(i / c.Heads * columns) + decays + (i % c.Heads)] = a[i];
            }

            Tensor wide = Input("wide", x, Over(columns));
            (v, q, decay, k) = (wide.Columns(0, values), wide.Columns(values, keys), wide.Columns(decays, c.Heads), wide.Columns(decays + c.Heads, keys));
            gate = c.Gate ? wide.Columns(columns - c.Heads, c.Heads) : null;
        }
        else
        {
            (q, k) = (Input("q", LawTools.Gaussian(count * keys, 1), Over(keys)), Input("k", LawTools.Gaussian(count * keys, 2), Over(keys)));
            (v, decay) = (Input("v", LawTools.Gaussian(count * values, 3), Over(values)), Input("a", a, Over(c.Heads)));
            gate = c.Gate ? Input("gate", LawTools.Gaussian(count * c.Heads, 8), Over(c.Heads)) : null;
        }

        Tensor? skip = null;
        if (c.Skip)
        {
            learned["skip"] = skip = device.Of(LawTools.Gaussian(c.Heads, 5), new Shape(c.Heads)).WithGrad();
        }

        Shape state = new(c.Batch, c.Heads, c.Dk, c.Dv);
        Tensor? initial = c.Initial ? Input("initial", LawTools.Gaussian(state.Count, 6), state) : null;
        (Tensor o, Tensor final) = chunked
            ? ScalarDecay.Chunked(q, k, v, decay, gate, skip, initial, c.KeyHeads, c.Scale, c.Chunk)
            : ScalarDecay.Scan(q, k, v, decay, gate, skip, initial, c.KeyHeads, c.Scale);
        var result = new Dictionary<string, float[]> { ["o"] = o.ToArray(), ["final"] = final.ToArray() };

        Tensor Weighted(Tensor x, ulong seed) => Ops.Sum(Ops.Multiply(x, tape.Of(LawTools.Gaussian(x.Shape.Count, seed), x.Shape))).Reshape(new Shape(1));
        tape.Backward(c.OnlyO ? Weighted(o, 9) : c.OnlyFinal ? Weighted(final, 10) : Ops.Add(Weighted(o, 9), Weighted(final, 10)));
        foreach ((string name, Tensor tensor) in learned)
        {
            result["d" + name] = tensor.Grad?.ToArray() ?? new float[tensor.Shape.Count];
        }

        return result;
    }
}
