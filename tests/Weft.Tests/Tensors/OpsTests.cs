using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

/// <summary>Every basic operation, a row each: its values against a plain loop in double precision, its gradients against differences.</summary>
public sealed class OpsTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <summary>An operation on tensors of given shapes, and its definition: from the inputs' values to the output's.</summary>
    private sealed record Row(string Name, Shape[] Inputs, Func<Tensor[], Tensor> Run, Func<float[][], double[]>? Definition = null);

    private static readonly Shape S = new(2, 3, 37);

    private static readonly Row[] Rows =
    [
        Map("Exp", Ops.Exp, Math.Exp),
        Map("Sigmoid", Ops.Sigmoid, Sigmoid),
        Map("Silu", Ops.Silu, x => x * Sigmoid(x)),
        Map("Softplus", Ops.Softplus, x => Math.Log(1 + Math.Exp(x))),
        Map("Tanh", Ops.Tanh, Math.Tanh),
        Map("Relu", Ops.Relu, x => Math.Max(0, x)),
        Map("Clamp from below", x => Ops.Clamp(x, 0, float.PositiveInfinity), x => Math.Max(0, x)),
        Map("Clamp from above", x => Ops.Clamp(x, -5, 0), x => Math.Min(0, x)),
        Map("Gelu", Ops.Gelu, x => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))))),
        Map("GeluExact", Ops.GeluExact, x => x * Gaussian(x)),
        Map("ReluSquared", Ops.ReluSquared, x => Math.Max(0, x) * Math.Max(0, x)),
        Map("EluPlusOne", Ops.EluPlusOne, x => x > 0 ? x + 1 : Math.Exp(x)),
        Map("Reciprocal", x => Ops.Reciprocal(Ops.Exp(x)), x => Math.Exp(-x)),
        Map("Log", x => Ops.Log(Ops.Exp(x)), x => x),
        Map("Sqrt", x => Ops.Sqrt(Ops.Exp(x)), x => Math.Sqrt(Math.Exp(x))),
        Map("Affine", x => Ops.Affine(x, -2, 3), x => 3 - (2 * x)),
        Map("SoftCap", x => Ops.SoftCap(x, 1.5f), x => 1.5 * Math.Tanh(x / 1.5)),
        Map("the same tensor twice", x => Ops.Multiply(x, x), x => x * x),
        Pair("Add", Ops.Add, (a, b) => a + b),
        Pair("Subtract", Ops.Subtract, (a, b) => a - b),
        Pair("Multiply", Ops.Multiply, (a, b) => a * b),
        Pair("SiluMul", Ops.SiluMul, (a, b) => a * Sigmoid(a) * b),
        new("Add, a row on all", [S, new(37)], t => Ops.Add(t[0], t[1]), v => [.. v[0].Select((x, i) => (double)x + v[1][i % 37])]),
        new("Multiply, a column on all", [S, new(2, 3, 1)], t => Ops.Multiply(t[0], t[1]), v => [.. v[0].Select((x, i) => (double)x * v[1][i / 37])]),
        new("Multiply, columns of a view on all", [new(2, 3, 4), new(2, 1, 9)], t => Ops.Multiply(t[0], t[1].Columns(3, 4)), v => [.. v[0].Select((x, i) => (double)x * v[1][(i / 12 * 9) + 3 + (i % 4)])]),
        new("Multiply, both ways", [new(2, 1, 5), new(2, 4, 1)], t => Ops.Multiply(t[0], t[1]),
            v => [.. Enumerable.Range(0, 40).Select(i => (double)v[0][(i / 20 * 5) + (i % 5)] * v[1][i / 5])]),
        new("SumTo columns", [S], t => Ops.SumTo(t[0], new Shape(1, 1, 37)), v => [.. Enumerable.Range(0, 37).Select(j => Enumerable.Range(0, 6).Sum(i => (double)v[0][(i * 37) + j]))]),
        new("SumTo rows", [S], t => Ops.SumTo(t[0], new Shape(2, 3, 1)), v => [.. v[0].Chunk(37).Select(r => r.Sum(x => (double)x))]),
        new("SumTo the middle", [S], t => Ops.SumTo(t[0], new Shape(2, 1, 37)), v => [.. Enumerable.Range(0, 74).Select(i => Enumerable.Range(0, 3).Sum(j => (double)v[0][(((i / 37 * 3) + j) * 37) + (i % 37)]))]),
        new("Sum", [S], t => Ops.Sum(t[0]), v => [v[0].Sum(x => (double)x)]),
        new("Linear", [S, new(11, 37), new(11)], t => Ops.Linear(t[0], t[1], t[2]), v => [.. Product(v[0], v[1], 6, 37, 11, false, true).Select((x, i) => x + v[2][i % 11])]),
        new("Linear of a column view", [new(2, 3, 50), new(11, 37)], t => Ops.Linear(t[0].Columns(9, 37), t[1]),
            v => Product([.. v[0].Chunk(50).SelectMany(r => r[9..46])], v[1], 6, 37, 11, false, true)),
        new("BlockLinear, narrow", [new(2, 3, 20), new(5, 4, 3)], t => Ops.BlockLinear(t[0], t[1]), v => Blocks(v, 6, 5, 4, 3)),
        new("BlockLinear, wide", [new(2, 40, 22), new(2, 11, 9)], t => Ops.BlockLinear(t[0], t[1]), v => Blocks(v, 80, 2, 11, 9)),
        new("BlockLinear, narrow to wide", [new(2, 3, 6), new(2, 3, 10)], t => Ops.BlockLinear(t[0], t[1]), v => Blocks(v, 6, 2, 3, 10)),
        new("AppendOnes", [new(2, 3, 10)], t => Ops.AppendOnes(t[0].Columns(2, 8), 2), v => [.. v[0].Chunk(10).SelectMany(r => (double[])[.. r[2..6], 1, .. r[6..], 1])]),
        new("DivideByLast, by the floor", [new(2, 3, 8), new(2, 3, 2)], t => Ops.DivideByLast(t[0], Ops.Affine(t[1], 0.1f, 3), 2, 0.1f), v => Divided(v[0], [.. v[1].Select(f => (0.1f * f) + 3)], 4)),
        new("DivideByLast, no floor", [new(2, 3, 44)], t => Ops.DivideByLast(Ops.Exp(t[0]), null, 2, 0.1f), v => Divided(Array.ConvertAll(v[0], MathF.Exp), null, 22)),
        new("MatMul", [new(2, 4, 5), new(2, 5, 6)], t => Ops.MatMul(t[0], t[1]), v => Products(v, 4, 5, 6, false, false)),
        new("MatMul, left transposed", [new(2, 5, 4), new(2, 5, 6)], t => Ops.MatMul(t[0], t[1], true), v => Products(v, 4, 5, 6, true, false)),
        new("MatMul, right transposed", [new(2, 4, 5), new(2, 6, 5)], t => Ops.MatMul(t[0], t[1], false, true), v => Products(v, 4, 5, 6, false, true)),
        new("MatMul, both transposed", [new(2, 5, 4), new(2, 6, 5)], t => Ops.MatMul(t[0], t[1], true, true), v => Products(v, 4, 5, 6, true, true)),
        new("Slice", [S], t => Ops.Slice(t[0], 1, 1, 2), v => [.. v[0].Where((_, i) => i / 37 % 3 >= 1).Select(x => (double)x)]),
        new("Slice of a view", [new(2, 3, 50)], t => Ops.Slice(t[0].Columns(5, 20), 1, 1, 1), v => [.. v[0].Where((_, i) => i / 50 % 3 == 1 && i % 50 is >= 5 and < 25).Select(x => (double)x)]),
        new("Concat in time", [new(2, 3, 7), new(2, 2, 7)], t => Ops.Concat(t[0], t[1], 1), v => [.. v[0][..21].Concat(v[1][..14]).Concat(v[0][21..]).Concat(v[1][14..]).Select(x => (double)x)]),
        new("Later", [new(2, 3, 9), new(2, 1, 4)], t => Joined(Ops.Later(t[0].Columns(3, 4), t[1])), v => [.. Enumerable.Range(0, 32).Select(i =>
            (double)(i / 4 % 4 == 0 ? v[1][(i / 16 * 4) + (i % 4)] : v[0][(((i / 16 * 3) + (i / 4 % 4) - 1) * 9) + 3 + (i % 4)]))]),
        new("Later, one token", [new(2, 1, 4)], t => Joined(Ops.Later(t[0], null)), v => [0, 0, 0, 0, .. v[0][..4].Select(x => (double)x), 0, 0, 0, 0, .. v[0][4..].Select(x => (double)x)]),
        new("AccumulateTurns", [new(2, 3, 5), new(2, 3, 2), new(2, 2, 2, 5)], t => Ops.AccumulateTurns(t[0], t[1], t[2]).Turns, Turns),
        new("TurnHeads", [new(2, 3, 14), new(2, 2, 7), new(2, 3, 12)], t => Ops.TurnHeads(t[0], t[1], t[2]), Turned),
        new("TurnHeadsLater", [new(1, 4, 14), new(3, 2, 7), new(1, 4, 6), new(1, 2, 21)], t => Joined(Ops.TurnHeadsLater(t[0], t[1], t[2], t[3])),
            v => [.. v[3].Select(x => (double)x), .. Turned(v)]),
        new("Transpose", [new(2, 3, 5)], t => Ops.Transpose(t[0], 1, 2), v => [.. Enumerable.Range(0, 30).Select(i => (double)v[0][(i / 15 * 15) + (i % 3 * 5) + (i / 3 % 5)])]),
        new("a view and its neighbour", [new(2, 3, 20)], t => Ops.Multiply(t[0].Columns(0, 10), t[0].Columns(10, 10)), v => [.. v[0].Chunk(20).SelectMany(r => r[..10].Zip(r[10..], (a, b) => (double)a * b))]),
        new("Reshape", [new(2, 3, 20)], t => Ops.Silu(t[0].Reshape(new Shape(12, 10))), v => [.. v[0].Select(x => x * Sigmoid(x))]),
        new("RmsNorm", [S, new(37)], t => Ops.RmsNorm(t[0], t[1], 1e-5f), v => Norm(v[0], v[1], null, 37, 37, 1e-5, false, false)),
        new("RmsNorm in groups", [new(4, 36), new(36)], t => Ops.RmsNorm(t[0], t[1], 1e-5f, 12), v => Norm(v[0], v[1], null, 36, 12, 1e-5, false, false)),
        new("RmsNorm, one weight for all groups", [new(4, 36), new(12)], t => Ops.RmsNorm(t[0], t[1], 1e-5f, 12), v => Norm(v[0], v[1], null, 36, 12, 1e-5, false, false)),
        new("RmsNorm, many rows", [new(300, 20), new(20)], t => Ops.RmsNorm(t[0], t[1], 1e-5f), v => Norm(v[0], v[1], null, 20, 20, 1e-5, false, false)),
        new("LayerNorm", [S, new(37)], t => Ops.LayerNorm(t[0], t[1], 1e-5f), v => Norm(Centered(v[0], 37), v[1], null, 37, 37, 1e-5, false, false)),
        new("LayerNorm in groups", [new(4, 36), new(36)], t => Ops.LayerNorm(t[0], t[1], 1e-5f, 12), v => Norm(Centered(v[0], 12), v[1], null, 36, 12, 1e-5, false, false)),
        new("L2Norm", [new(4, 36)], t => Ops.L2Norm(t[0], 12), v => Norm(v[0], null, null, 36, 12, 1e-6, true, false)),
        new("gated norm, gate first", [new(4, 36), new(4, 36), new(36)], t => Ops.GatedRmsNorm(t[0], t[1], t[2], 1e-5f, 18, true), v => Norm(v[0], v[2], v[1], 36, 18, 1e-5, false, true)),
        new("gated norm, gate last", [new(4, 36), new(4, 36), new(18)], t => Ops.GatedRmsNorm(t[0], t[1], t[2], 1e-5f, 18, false), v => Norm(v[0], v[2], v[1], 36, 18, 1e-5, false, false)),
        new("gated norm of views", [new(4, 80), new(36)], t => Ops.GatedRmsNorm(t[0].Columns(3, 36), t[0].Columns(40, 36), t[1], 1e-5f, 36, true),
            v => Norm([.. v[0].Chunk(80).SelectMany(r => r[3..39])], v[1], [.. v[0].Chunk(80).SelectMany(r => r[40..76])], 36, 36, 1e-5, false, true)),
        new("CrossEntropy", [new(2, 3, 37)], t => Ops.CrossEntropy(t[0], t[0].Tape!.Tokens([0, 36, 5, -1, 7, 20], 2, 3)), v =>
        {
            int[] targets = [0, 36, 5, -1, 7, 20];
            return [.. v[0].Chunk(37).Select((r, i) => targets[i] < 0 ? 0 : Math.Log(r.Sum(x => Math.Exp(x))) - r[targets[i]])];
        }),
        new("Embed", [new(9, 13)], t => Ops.Embed(t[0], t[0].Tape!.Tokens([3, 8, 3, 0], 2, 2)), v => [.. new[] { 3, 8, 3, 0 }.SelectMany(i => v[0].Skip(i * 13).Take(13)).Select(x => (double)x)]),
    ];

    public static TheoryData<int, string> All => [.. Rows.Select((r, i) => (i, r.Name))];

    [Theory]
    [MemberData(nameof(All))]
    public void ValuesAndGradients(int index, string name)
    {
        Row row = Rows[index];

        // Away from zero, where relu has a kink that differences would straddle.
        float[][] values = [.. row.Inputs.Select((s, i) => LawTools.Gaussian(s.Count, (ulong)(i + 1)).Select(v => MathF.CopySign(Math.Max(0.1f, Math.Abs(v)), v)).ToArray())];
        using var tape = new Tape(device);
        Tensor[] inputs = [.. row.Inputs.Select((s, i) => device.Of(values[i], s).WithGrad())];
        Tensor y = row.Run([.. inputs.Select(t => Ops.Copy(t, tape))]);
        float[] output = y.ToArray(), weights = LawTools.Gaussian(y.Shape.Count, 9);
        if (row.Definition is not null)
        {
            LawTools.Close(output, [.. row.Definition(values).Select(v => (float)v)], 1e-6, name);
        }

        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(weights, y.Shape))));
        tape.Reset();
        foreach ((Tensor input, float[] at) in inputs.Zip(values))
        {
            float[] gradient = input.Grad!.ToArray();
            double scale = gradient.Max(Math.Abs);
            Assert.True(scale > 0, $"{name}: no gradient");
            var numeric = new float[gradient.Length];
            for (int i = 0; i < gradient.Length; i += Math.Max(1, gradient.Length / 60))
            {
                double Loss(float h)
                {
                    float keep = at[i];
                    at[i] = keep + h;
                    input.Set(at);
                    at[i] = keep;
                    float[] moved = row.Run([.. inputs.Select(t => Ops.Copy(t, tape))]).ToArray();
                    tape.Reset();
                    return moved.Zip(weights, (a, b) => (double)a * b).Sum();
                }

                const float h = 0.02f;
                double difference = ((8 * (Loss(h) - Loss(-h))) - (Loss(2 * h) - Loss(-2 * h))) / (12 * h);
                input.Set(at);
                Assert.True(Math.Abs(difference - gradient[i]) <= 0.004 * Math.Max(1, scale), $"{name}: the derivative by element {i} is {difference:g5} by differences and {gradient[i]:g5} by the tape");
            }
        }
    }

    [Fact]
    public void GradientsOfOneTensorAddUpOverItsUses()
    {
        using var tape = new Tape(device);
        Tensor w = device.Of([1, 2, 3], new Shape(3)).WithGrad();
        Tensor x = Ops.Copy(w, tape);
        tape.Backward(Ops.Sum(Ops.Add(Ops.Affine(x, 2), Ops.Multiply(x, x))));
        Assert.Equal([4, 6, 8], w.Grad!.ToArray());
    }

    [Fact]
    public void AdamWIsItsDefinition()
    {
        float[] w = LawTools.Gaussian(1000, 1), m = LawTools.Gaussian(1000, 2), v = [.. LawTools.Gaussian(1000, 3).Select(Math.Abs)], g = LawTools.Gaussian(1000, 4);
        var s = new Shape(10, 100);
        Tensor tw = device.Of(w, s), tm = device.Of(m, s), tv = device.Of(v, s), tg = device.Of(g, s);
        device.AdamW(tw, tg, tm, tv, new AdamWStep(0.01f, 0.9f, 0.95f, 1e-8f, 0.1f, 7, 0.5f));
        float[] expected = new float[1000];
        for (int i = 0; i < 1000; i++)
        {
            double gi = 0.5 * g[i], mi = (0.9 * m[i]) + (0.1 * gi), vi = (0.95 * v[i]) + (0.05 * gi * gi);
            expected[i] = (float)((w[i] * (1 - (0.01 * 0.1))) - (0.01 * mi / (1 - Math.Pow(0.9, 7)) / (Math.Sqrt(vi / (1 - Math.Pow(0.95, 7))) + 1e-8)));
        }

        LawTools.Close(tw.ToArray(), expected, 1e-6, "AdamW");
        Assert.All(tg.ToArray(), x => Assert.Equal(0, x));
        Assert.Equal(g.Sum(x => (double)x * x), device.SumOfSquares(device.Of(g, s)), 1e-3);
    }

    [Fact]
    public void ShapesThatDoNotFitAreRefused()
    {
        using var tape = new Tape(device);
        Tensor a = tape.Empty(new Shape(2, 3)), b = tape.Empty(new Shape(2, 4));
        Assert.Throws<ArgumentException>(() => Ops.Add(a, b));
        Assert.Throws<ArgumentException>(() => Ops.Linear(a, b));
        Assert.Throws<ArgumentException>(() => Ops.RmsNorm(a, null, 1e-5f, 2));
        Assert.Throws<ArgumentException>(() => a.Reshape(new Shape(7)));
        Assert.Throws<ArgumentOutOfRangeException>(() => a.Columns(2, 2));
        Assert.Throws<InputException>(() => Ops.Embed(device.Zeros(new Shape(4, 2)), tape.Tokens([4], 1, 1)));
    }

    private static Tensor Joined((Tensor Y, Tensor Last) result) => Ops.Concat(result.Y, result.Last, 1);

    private static double[] Turns(float[][] v)
    {
        var result = new double[2 * 3 * 2 * 10];
        for (int i = 0; i < 20; i++)
        {
            int batch = i / 10, head = i / 5 % 2, pair = i % 5;
            double angle = (double)v[2][(batch * 20) + (head * 5) + pair] + v[2][(batch * 20) + 10 + (head * 5) + pair];
            for (int t = 0; t < 3; t++)
            {
                angle += (double)v[0][(((batch * 3) + t) * 5) + pair] * v[1][(((batch * 3) + t) * 2) + head];
                int at = (((((batch * 3) + t) * 2) + head) * 10) + pair;
                (result[at + 5], result[at]) = Math.SinCos(2 * Math.PI * angle);
            }
        }

        return result;
    }

    // Rank 2, heads of 7 columns; x, bias [H,2,7], turns.
    private static double[] Turned(float[][] v)
    {
        int heads = v[1].Length / 14, tokens = v[0].Length / 14, pairs = v[2].Length / tokens / heads / 2;
        return
        [
            .. Enumerable.Range(0, tokens * 2 * heads * 7).Select(e =>
            {
                int column = e % 7, head = e / 7 % heads, rank = e / 7 / heads % 2, token = e / 7 / heads / 2;
                double At(int i) => (double)v[0][(token * 14) + (rank * 7) + i] + v[1][(((head * 2) + rank) * 7) + i];
                double Turn(int i) => v[2][(((token * heads) + head) * 2 * pairs) + i];
                return column < pairs ? (At(column) * Turn(column)) - (At(column + pairs) * Turn(column + pairs))
                    : column < 2 * pairs ? (At(column - pairs) * Turn(column)) + (At(column) * Turn(column - pairs))
                    : At(column);
            }),
        ];
    }

    private static double[] Blocks(float[][] v, int rows, int blocks, int ins, int outs) =>
    [
        .. Enumerable.Range(0, rows * blocks * outs).Select(e =>
        {
            int row = e / (blocks * outs), column = e % (blocks * outs), block = column / outs;
            return Enumerable.Range(0, ins).Sum(i => (double)v[0][(((row * blocks) + block) * ins) + i] * v[1][(((block * ins) + i) * outs) + (column % outs)]);
        }),
    ];

    private static double[] Divided(float[] x, float[]? logFloor, int width) =>
        [.. x.Chunk(width).SelectMany((r, h) => r[..^1].Select(e => e / (Math.Max(Math.Abs(r[^1]), logFloor is null ? 0 : Math.Exp(logFloor[h])) + 0.1)))];

    private static float[] Centered(float[] x, int group) => [.. x.Chunk(group).SelectMany(g => g.Select(e => e - g.Average()))];

    private static Row Map(string name, Func<Tensor, Tensor> run, Func<double, double> f) =>
        new(name, [S], t => run(t[0]), v => [.. v[0].Select(x => f(x))]);

    private static Row Pair(string name, Func<Tensor, Tensor, Tensor> run, Func<double, double, double> f) =>
        new(name, [S, S], t => run(t[0], t[1]), v => [.. v[0].Zip(v[1], (a, b) => f(a, b))]);

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    /// <summary>The probability that a Gaussian number is below x: by its series near zero, by a continued fraction beyond.</summary>
    private static double Gaussian(double x)
    {
        double z = Math.Abs(x), bell = Math.Exp(-z * z / 2) / Math.Sqrt(2 * Math.PI), part = z, sum = z, fraction = z;
        for (int k = 1; k < 100; k++)
        {
            sum += part *= z * z / ((2 * k) + 1);
        }

        for (int k = 300; k > 0 && z > 2; k--)
        {
            fraction = z + (k / fraction);
        }

        double tail = z > 2 ? bell / fraction : 0.5 - (bell * sum);
        return x < 0 ? tail : 1 - tail;
    }

    [Fact]
    public void ExactGeluIsExactFarBelowZeroToo()
    {
        using var tape = new Tape(device) { Recording = false };
        float[] x = [.. Enumerable.Range(0, 50_001).Select(i => (i - 25_000) * (12f / 25_000)), float.NegativeInfinity, float.PositiveInfinity, float.NaN, -1e4f, 1e4f];
        float[] y = Ops.GeluExact(tape.Of(x, new Shape(x.Length))).ToArray();
        for (int i = 0; i <= 50_000; i++)
        {
            double exact = x[i] * Gaussian(x[i]);
            Assert.True(Math.Abs(y[i] - exact) <= 1e-6 * Math.Abs(exact), $"gelu({x[i]:R}) is {exact:R}, not {y[i]:R}");
        }

        Assert.Equal([float.NaN, float.PositiveInfinity, float.NaN, -0f, 1e4f], y[^5..]);
    }

    private static double[] Products(float[][] v, int m, int k, int n, bool ta, bool tb) =>
        [.. v[0].Chunk(m * k).Zip(v[1].Chunk(k * n), (a, b) => Product(a, b, m, k, n, ta, tb)).SelectMany(c => c)];

    private static double[] Product(float[] a, float[] b, int m, int k, int n, bool ta, bool tb)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                for (int l = 0; l < k; l++)
                {
                    c[(i * n) + j] += (double)a[ta ? (l * m) + i : (i * k) + l] * b[tb ? (j * k) + l : (l * n) + j];
                }
            }
        }

        return c;
    }

    private static double[] Norm(float[] x, float[]? w, float[]? z, int columns, int group, double epsilon, bool euclidean, bool gateFirst)
    {
        var y = new double[x.Length];
        for (int start = 0; start < x.Length; start += group)
        {
            double U(int i) => z is not null && gateFirst ? x[i] * z[i] * Sigmoid(z[i]) : x[i];
            double sum = Enumerable.Range(start, group).Sum(i => U(i) * U(i));
            double length = Math.Sqrt((euclidean ? sum : sum / group) + epsilon);
            for (int i = start; i < start + group; i++)
            {
                y[i] = U(i) / length * (w is null ? 1 : w[i % columns % w.Length]) * (z is not null && !gateFirst ? z[i] * Sigmoid(z[i]) : 1);
            }
        }

        return y;
    }
}
