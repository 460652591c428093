using Weft.Models.Checkpoints;
using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

using Weft.Tests.Laws;

/// <summary>The chunked scalar-decay recurrence against its definition, against public references and against double precision.</summary>
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

    [Fact]
    public void ThreadsDoNotChangeBits()
    {
        using CpuDevice one = new(1), three = new(3);
        Case c = new(2, 150, 6, 2, 16, 24, Chunk: 32);
        Dictionary<string, float[]> expected = Run(device, c, chunked: true);
        foreach ((string what, float[] values) in expected)
        {
            Assert.Equal(values, Run(one, c, chunked: true)[what]);
            Assert.Equal(values, Run(three, c, chunked: true)[what]);
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

    [Fact]
    public void LongRunsStayCloseToDoublePrecision()
    {
        const int time = 20_000, heads = 3, dk = 8, dv = 8;
        float[] q = LawTools.Gaussian(time * dk, 1), k = LawTools.Gaussian(time * dk, 2), v = LawTools.Gaussian(time * heads * dv, 3), a = new float[time * heads];
        float[] random = Decays(time, -0.05, 4);
        for (int t = 0; t < time; t++)
        {
            (a[t * heads], a[(t * heads) + 1], a[(t * heads) + 2]) = (random[t], -1e-5f, 0); // forgetting, hardly, never
        }

        var state = new double[heads, dk, dv];
        var expected = new double[time * heads * dv];
        for (int t = 0; t < time; t++)
        {
            for (int h = 0; h < heads; h++)
            {
                double decay = Math.Exp(a[(t * heads) + h]);
                for (int i = 0; i < dk; i++)
                {
                    for (int j = 0; j < dv; j++)
                    {
                        state[h, i, j] = (decay * state[h, i, j]) + ((double)k[(t * dk) + i] * v[(((t * heads) + h) * dv) + j]);
                        expected[(((t * heads) + h) * dv) + j] += state[h, i, j] * q[(t * dk) + i];
                    }
                }
            }
        }

        using var tape = new Tape(device) { Recording = false };
        (Tensor o, Tensor final) = Ops.ScalarDecay(tape.Of(q, new Shape(1, time, dk)), tape.Of(k, new Shape(1, time, dk)), tape.Of(v, new Shape(1, time, heads * dv)),
            tape.Of(a, new Shape(1, time, heads)), null, null, null, 1);
        float[] actual = o.ToArray(), last = final.ToArray();
        for (int h = 0; h < heads; h++)
        {
            int head = h;
            float[] Of(Func<int, float> at) => [.. Enumerable.Range(0, time * dv).Select(i => at((((i / dv) * heads) + head) * dv + (i % dv)))];
            LawTools.Close(Of(i => actual[i]), Of(i => (float)expected[i]), 1e-5, $"o of head {h}");
            LawTools.Close(last.AsSpan(h * dk * dv, dk * dv), [.. Enumerable.Range(0, dk * dv).Select(i => (float)state[head, i / dv, i % dv])], 1e-5, $"state of head {h}");
        }
    }

    [Theory]
    [InlineData("ssd")]
    [InlineData("simple_gla")]
    [InlineData("linear_attn")]
    public void EqualsThePublicReference(string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(AppContext.BaseDirectory, "Fixtures", "ops", name + ".safetensors"));
        bool ssd = name == "ssd"; // its state is [B,H,P,N]: ours transposed
        string q = ssd ? "C" : "q", k = ssd ? "B" : "k", v = ssd ? "X" : "v", decay = ssd ? "A" : "g", initial = ssd ? "initial_states" : "initial_state";
        (Shape shape, float[] values) = Read("in." + v);
        int batch = shape[0], time = shape[1], heads = shape[2];
        float[]? logDecays = file.Contains("in." + decay) ? Read("in." + decay).Values : null;

        using var tape = new Tape(device);
        Tensor Input(string of, int columns) => device.Of(Read("in." + of).Values, new Shape(batch, time, columns)).WithGrad();
        Tensor tq = Input(q, heads * 8), tk = Input(k, heads * 8), tv = Input(v, heads * 6);
        Tensor ta = device.Of(logDecays ?? new float[batch * time * heads], new Shape(batch, time, heads)).WithGrad();
        Tensor ts = device.Of(State("in." + initial), new Shape(batch, heads, 8, 6)).WithGrad();
        (Tensor o, Tensor final) = Ops.ScalarDecay(Ops.Copy(tq, tape), Ops.Copy(tk, tape), Ops.Copy(tv, tape), Ops.Copy(ta, tape), null, null, Ops.Copy(ts, tape),
            heads, ssd ? 1 : 0.3535533905932738f, chunk: 16);
        LawTools.Close(o.ToArray(), Read("out.o").Values, 1e-5, "o");
        LawTools.Close(final.ToArray(), State("out.state"), 1e-5, "state");

        Tensor loss = Ops.Add(Ops.Sum(Ops.Multiply(o, tape.Of(Read("do").Values, o.Shape))).Reshape(new Shape(1)),
            Ops.Sum(Ops.Multiply(final, tape.Of(State("ds"), final.Shape))).Reshape(new Shape(1)));
        tape.Backward(loss);
        LawTools.Close(tq.Grad!.ToArray(), Read("grad." + q).Values, 1e-4, "dq");
        LawTools.Close(tk.Grad!.ToArray(), Read("grad." + k).Values, 1e-4, "dk");
        LawTools.Close(tv.Grad!.ToArray(), Read("grad." + v).Values, 1e-4, "dv");
        LawTools.Close(ts.Grad!.ToArray(), State("grad." + initial), 1e-4, "dS");
        if (logDecays is not null)
        {
            LawTools.Close(ta.Grad!.ToArray(), Read("grad." + decay).Values, 1e-4, "da");
        }

        (Shape Shape, float[] Values) Read(string array)
        {
            long[] lengths = [.. file.Info(array).Shape];
            var result = new float[lengths.Aggregate(1L, (x, y) => x * y)];
            file.ReadFloat32(array, result);
            return (lengths.Length == 4 ? new Shape((int)lengths[0], (int)lengths[1], (int)lengths[2], (int)lengths[3]) : new Shape((int)lengths[0], (int)lengths[1], (int)lengths[2]), result);
        }

        float[] State(string array)
        {
            float[] x = Read(array).Values;
            return ssd ? [.. Enumerable.Range(0, x.Length).Select(i => x[(i / 48 * 48) + (i % 6 * 8) + (i / 6 % 8)])] : x;
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
