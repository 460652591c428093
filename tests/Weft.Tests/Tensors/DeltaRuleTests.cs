using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>The delta rule's kernels against its equation in double precision.</summary>
public class DeltaRuleTests
{
    private const double OutputTolerance = 1e-5, GradientTolerance = 1e-4;

    /// <summary>batch, time, heads, key heads, dk, dv, chunk, decay (-1: none), initial state, gradient of o, gradient of the final state.</summary>
    public static TheoryData<int, int, int, int, int, int, int, double, bool, bool, bool> Shapes => new()
    {
        { 1, 1, 2, 2, 8, 8, 64, 1, true, true, true },
        { 3, 2, 2, 1, 48, 80, 64, 1, true, true, true },
        { 1, 63, 1, 1, 64, 64, 64, 0.1, false, true, true },
        { 2, 64, 2, 2, 64, 128, 64, 0.01, true, true, true },
        { 1, 65, 2, 1, 128, 80, 64, 1, true, true, true },
        { 3, 257, 4, 2, 48, 64, 64, 0.1, true, true, true },
        { 1, 257, 3, 3, 64, 128, 64, -1, true, true, true },
        { 1, 130, 2, 1, 8, 8, 64, 30, true, true, true },
        { 1, 130, 2, 2, 8, 13, 64, 0, false, true, false },
        { 2, 100, 2, 2, 12, 20, 32, 0.5, true, false, true },
        { 1, 37, 2, 2, 8, 6, 16, 0.5, true, true, false },
        { 1, 19, 1, 1, 5, 3, 1, 0.5, true, true, true },
        { 1, 50, 1, 1, 8, 8, 7, -1, false, true, true },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void EqualsTheEquation(int batch, int time, int heads, int keyHeads, int dk, int dv, int chunk, double decay, bool initial, bool outputs, bool final)
    {
        DeltaRuleReference x = DeltaRuleReference.Random(1, batch, time, heads, keyHeads, dk, dv, decay, initial);
        float[]? cotangent = outputs ? Gaussian(2, x.V.Length) : null, stateCotangent = final ? Gaussian(3, batch * heads * dk * dv) : null;
        x.Run(cotangent, stateCotangent);
        using var device = new CpuDevice(2);
        using Result y = Run(device, x, chunk, cotangent, stateCotangent);

        Close(x.O, y.O, OutputTolerance);
        Close(x.Final, y.Final, OutputTolerance);
        Close(x.DQ, y.DQ, GradientTolerance);
        Close(x.DK, y.DK, GradientTolerance);
        Close(x.DV, y.DV, GradientTolerance);
        Close(x.DBeta, y.DBeta, GradientTolerance);
        if (x.LogDecay is not null)
        {
            Close(x.DLogDecay, y.DLogDecay, GradientTolerance);
        }

        if (initial)
        {
            Close(x.DInitial, y.DInitial, GradientTolerance);
        }
    }

    [Fact]
    public void ResultsDoNotDependOnTheNumberOfThreads()
    {
        DeltaRuleReference x = DeltaRuleReference.Random(4, 2, 150, 4, 2, 24, 40, 0.3, true);
        float[] cotangent = Gaussian(5, x.V.Length), stateCotangent = Gaussian(6, 2 * 4 * 24 * 40);
        using var one = new CpuDevice(1);
        using Result expected = Run(one, x, 64, cotangent, stateCotangent);
        foreach (int threads in new[] { 2, 3, 5 })
        {
            using var device = new CpuDevice(threads);
            using Result y = Run(device, x, 64, cotangent, stateCotangent);
            Assert.Equal(expected.All, y.All);
        }
    }

    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(192)]
    public void PiecesOnTheChunkGridGiveTheSameBits(int cut)
    {
        DeltaRuleReference x = DeltaRuleReference.Random(7, 2, 193, 2, 1, 16, 24, 0.3, true);
        using var device = new CpuDevice(2);
        (float[] o, float[] final) = Infer(device, x, 64, 193);
        (float[] pieces, float[] last) = Infer(device, x, 64, cut, 193 - cut);
        Assert.Equal(o, pieces);
        Assert.Equal(final, last);
    }

    [Fact]
    public void AnyPiecesGiveTheSameSequence()
    {
        DeltaRuleReference x = DeltaRuleReference.Random(8, 2, 90, 2, 1, 16, 70, 0.3, true);
        x.Run();
        using var device = new CpuDevice(2);
        foreach (int[] pieces in new int[][] { [90], [1, 2, 3, 84], [.. Enumerable.Repeat(1, 90)], [70, 1, 19] })
        {
            (float[] o, float[] final) = Infer(device, x, 64, pieces);
            Close(x.O, o, OutputTolerance);
            Close(x.Final, final, OutputTolerance);
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0.02)]
    public void LongSequencesStayExact(double decay)
    {
        DeltaRuleReference x = DeltaRuleReference.Random(9, 1, 20_000, 1, 1, 16, 16, decay, false);
        x.Run();
        using var device = new CpuDevice(1);
        (float[] o, float[] final) = Infer(device, x, 64, 20_000);
        Close(x.O, o, 1e-4);
        Close(x.Final, final, 1e-4);
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(65, 64)]
    [InlineData(150, 64)]
    [InlineData(130, 24)]
    public void CountsTheFlopsThatItDeclares(int time, int chunk)
    {
        DeltaRuleReference x = DeltaRuleReference.Random(11, 2, time, 2, 1, 16, 24, 0.3, true);
        using var device = new CpuDevice(2);
        Infer(device, x, chunk, time);
        Assert.Equal(2 * Ops.DeltaRuleFlops(time, 2, 16, 24, chunk), device.Flops);
    }

    [Fact]
    public void DeclaresTheProductsItRuns()
    {
        // A chunk of 40: products with triangles by blocks of rows of 16, 16 and 8.
        const int dk = 16, dv = 24, c = 40, triangle = (16 * 16) + (16 * 32) + (8 * 40);
        Assert.Equal((6 * c * dk * dv) + (4 * triangle * dk) + (2 * triangle * dv) + (c * c * dv), Ops.DeltaRuleFlops(c, 1, dk, dv));
        Assert.Equal(3 * (6 * dk * dv), Ops.DeltaRuleFlops(1, 3, dk, dv));
        Assert.Equal((2 * Ops.DeltaRuleFlops(64, 3, dk, dv)) + Ops.DeltaRuleFlops(40, 3, dk, dv), Ops.DeltaRuleFlops(168, 3, dk, dv));
    }

    private static float[] Gaussian(ulong seed, int count)
    {
        var x = new float[count];
        new RandomSource(seed).FillGaussian(x);
        return x;
    }

    private static void Close(double[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double error = 0, size = 1e-30;
        for (int i = 0; i < expected.Length; i++)
        {
            error += (expected[i] - actual[i]) * (expected[i] - actual[i]);
            size += expected[i] * expected[i];
        }

        Assert.True(Math.Sqrt(error / size) <= tolerance, $"RMS error {Math.Sqrt(error / size):g3} of RMS, over {tolerance:g3}");
    }

    /// <summary>Runs the sequence in pieces, without recording, the state in place.</summary>
    private static (float[] O, float[] Final) Infer(CpuDevice device, DeltaRuleReference x, int chunk, params int[] pieces)
    {
        using var tape = new Tape(device) { Recording = false };
        using Tensor state = device.Zeros(new Shape(x.Batch, x.Heads, x.KeyWidth, x.ValueWidth));
        if (x.Initial is not null)
        {
            state.Set(x.Initial);
        }

        var o = new float[x.V.Length];
        int t = 0, values = x.Heads * x.ValueWidth;
        foreach (int piece in pieces)
        {
            tape.Reset();
            Tensor Part(float[] whole, int columns) => Ops.Slice(tape.Of(whole, new Shape(x.Batch, x.Time, columns)), 1, t, piece);
            (Tensor y, Tensor final) = Ops.DeltaRule(Part(x.Q, x.KeyHeads * x.KeyWidth), Part(x.K, x.KeyHeads * x.KeyWidth), Part(x.V, values),
                Part(x.Beta, x.Heads), x.LogDecay is null ? null : Part(x.LogDecay, x.Heads), state, x.KeyHeads, (float)x.Scale, chunk);
            Assert.Same(state, final);
            float[] part = y.ToArray();
            for (int b = 0; b < x.Batch; b++)
            {
                part.AsSpan(b * piece * values, piece * values).CopyTo(o.AsSpan(((b * x.Time) + t) * values));
            }

            t += piece;
        }

        return (o, state.ToArray());
    }

    private sealed record Result(Tape Tape, float[] O, float[] Final, float[] DQ, float[] DK, float[] DV, float[] DBeta, float[] DLogDecay, float[] DInitial) : IDisposable
    {
        public IEnumerable<float> All => [.. O, .. Final, .. DQ, .. DK, .. DV, .. DBeta, .. DLogDecay, .. DInitial];

        public void Dispose() => Tape.Dispose();
    }

    /// <summary>Outputs and gradients on a recording tape, with every input over time a view of one wide tensor's columns.</summary>
    private static Result Run(CpuDevice device, DeltaRuleReference x, int chunk, float[]? cotangent, float[]? stateCotangent)
    {
        var tape = new Tape(device);
        float[][] parts = x.LogDecay is null ? [x.Q, x.K, x.V, x.Beta] : [x.Q, x.K, x.V, x.Beta, x.LogDecay];
        int rows = x.Batch * x.Time;
        int[] widths = Array.ConvertAll(parts, p => p.Length / rows);
        var wide = new float[rows * widths.Sum()];
        int column = 0;
        var starts = new int[parts.Length];
        for (int p = 0; p < parts.Length; p++)
        {
            starts[p] = column;
            for (int row = 0; row < rows; row++)
            {
                parts[p].AsSpan(row * widths[p], widths[p]).CopyTo(wide.AsSpan((row * widths.Sum()) + column));
            }

            column += widths[p];
        }

        Tensor all = tape.Of(wide, new Shape(x.Batch, x.Time, column)).WithGrad();
        Tensor? initial = x.Initial is null ? null : tape.Of(x.Initial, new Shape(x.Batch, x.Heads, x.KeyWidth, x.ValueWidth)).WithGrad();
        Tensor[] views = [.. parts.Select((_, p) => all.Columns(starts[p], widths[p]))];
        (Tensor o, Tensor final) = Ops.DeltaRule(views[0], views[1], views[2], views[3], views.Length > 4 ? views[4] : null, initial, x.KeyHeads, (float)x.Scale, chunk);
        Tensor? fromOutputs = cotangent is null ? null : Ops.Sum(Ops.Multiply(o, tape.Of(cotangent, o.Shape))).Reshape(new Shape(1));
        Tensor? fromState = stateCotangent is null ? null : Ops.Sum(Ops.Multiply(final, tape.Of(stateCotangent, final.Shape))).Reshape(new Shape(1));
        tape.Backward(fromOutputs is null ? fromState! : fromState is null ? fromOutputs : Ops.Add(fromOutputs, fromState));
        float[] Grad(int p) => p < views.Length ? views[p].Grad!.ToArray() : [];
        return new Result(tape, o.ToArray(), final.ToArray(), Grad(0), Grad(1), Grad(2), Grad(3), Grad(4), initial?.Grad!.ToArray() ?? []);
    }
}
