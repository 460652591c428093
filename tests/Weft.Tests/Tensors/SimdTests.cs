using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

public unsafe class SimdTests
{
    /// <summary>|got - exact| in units of the last place of exact rounded to float; at least 2^-149, the spacing of subnormals.</summary>
    private static double Ulps(float got, double exact)
    {
        if (float.IsInfinity(got))
            return (float)exact == got ? 0 : double.PositiveInfinity;
        double unit = Math.Max(Math.ScaleB(1, -149), Math.ScaleB(1, Math.ILogB(exact == 0 ? double.Epsilon : exact) - 23));
        return Math.Abs(got - exact) / unit;
    }

    private static void CheckWithin(double bound, Func<float, float> f, Func<double, double> exact, float lo, float hi, int samples)
    {
        var random = new Random(5);
        double worst = 0;
        float at = 0;
        for (int i = 0; i <= samples; i++)
        {
            // Half of the samples uniform in the range, half uniform in the exponent.
            float x = i == samples ? hi : i == 0 ? lo : i % 2 == 0
                ? lo + (hi - lo) * random.NextSingle()
                : (i % 4 == 1 ? lo : hi) * MathF.Pow(2, -40 * random.NextSingle());
            double ulps = Ulps(f(x), exact(x));
            if (!(ulps <= worst))
                (worst, at) = (ulps, x);
        }
        Assert.True(worst <= bound, $"{worst:F3} ulp at {at:R}: {f(at):R}, exact {exact(at):R}");
    }

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    // The bounds that the documentation of Simd states. Without fused multiply-add a function may lose one ulp more.
    private static readonly double s_slack = Fma.IsSupported || System.Runtime.Intrinsics.Arm.AdvSimd.IsSupported ? 0 : 1;

    [Fact]
    public void ExpIsWithinItsBound()
    {
        CheckWithin(2, Simd.Exp, Math.Exp, -104, 88.7228f, 2_000_000);
        CheckWithin(2, Simd.Exp, Math.Exp, -2, 2, 500_000);
        Assert.Equal(0, Simd.Exp(float.NegativeInfinity));
        Assert.Equal(0, Simd.Exp(float.MinValue));
        Assert.Equal(float.PositiveInfinity, Simd.Exp(float.PositiveInfinity));
        Assert.Equal(float.PositiveInfinity, Simd.Exp(88.73f));
        Assert.Equal(float.PositiveInfinity, Simd.Exp(float.MaxValue));
        Assert.True(float.IsNaN(Simd.Exp(float.NaN)));
        Assert.Equal(1, Simd.Exp(0));
        Assert.Equal(1, Simd.Exp(-float.Epsilon));
    }

    [Fact]
    public void TheOthersAreWithinTheirBounds()
    {
        CheckWithin(3 + s_slack, Simd.Sigmoid, Sigmoid, -87, 100, 500_000);
        CheckWithin(3 + s_slack, Simd.Silu, x => x * Sigmoid(x), -87, 100, 500_000);
        CheckWithin(3 + s_slack, Simd.Softplus, x => Math.Max(x, 0) + Log1p(Math.Exp(-Math.Abs(x))), -104, 100, 500_000);
        CheckWithin(3 + s_slack, Simd.Tanh, Math.Tanh, -20, 20, 500_000);
        CheckWithin(2 + s_slack, Simd.Log1p, Log1p, 0, 1, 500_000);
        foreach (Func<float, float> f in new Func<float, float>[] { Simd.Sigmoid, Simd.Silu, Simd.Softplus, Simd.Tanh })
            Assert.True(float.IsNaN(f(float.NaN)));
        Assert.Equal((0f, 1f), (Simd.Sigmoid(float.NegativeInfinity), Simd.Sigmoid(float.PositiveInfinity)));
        Assert.Equal((0f, float.PositiveInfinity), (Simd.Softplus(float.NegativeInfinity), Simd.Softplus(float.PositiveInfinity)));
        Assert.Equal((-1f, 1f), (Simd.Tanh(float.NegativeInfinity), Simd.Tanh(float.PositiveInfinity)));
        Assert.Equal(-1e-30f, Simd.Tanh(-1e-30f));
    }

    /// <summary>ln(1 + u) without loss for small u (Kahan).</summary>
    private static double Log1p(double u)
    {
        double one = 1 + u;
        return one == 1 ? u : Math.Log(one) * (u / (one - 1));
    }

    [Fact]
    public void EveryWidthGivesTheBitsOfTheScalar()
    {
        var random = new Random(7);
        float* x = stackalloc float[16];
        for (int round = 0; round < 20_000; round++)
        {
            for (int i = 0; i < 16; i++)
                x[i] = round == 0 ? float.NaN : (random.NextSingle() * 2 - 1) * MathF.Pow(2, random.Next(-30, 9));
            Same(x, Simd.Exp, Simd.Exp(Vector512.Load(x)), Simd.Exp(Vector256.Load(x)), Simd.Exp(Vector128.Load(x)));
            Same(x, Simd.Sigmoid, Simd.Sigmoid(Vector512.Load(x)), Simd.Sigmoid(Vector256.Load(x)), Simd.Sigmoid(Vector128.Load(x)));
            Same(x, Simd.Silu, Simd.Silu(Vector512.Load(x)), Simd.Silu(Vector256.Load(x)), Simd.Silu(Vector128.Load(x)));
            Same(x, Simd.Softplus, Simd.Softplus(Vector512.Load(x)), Simd.Softplus(Vector256.Load(x)), Simd.Softplus(Vector128.Load(x)));
            Same(x, Simd.Tanh, Simd.Tanh(Vector512.Load(x)), Simd.Tanh(Vector256.Load(x)), Simd.Tanh(Vector128.Load(x)));
        }

        static void Same(float* x, Func<float, float> f, Vector512<float> wide, Vector256<float> half, Vector128<float> quarter)
        {
            for (int i = 0; i < 16; i++)
            {
                float y = f(x[i]);
                if (!y.Equals(wide[i]) || (i < 8 && !y.Equals(half[i])) || (i < 4 && !y.Equals(quarter[i])))
                    Assert.Fail($"at {x[i]:R}: scalar {y:R}, 512 {wide[i]:R}, 256 {(i < 8 ? half[i] : y):R}, 128 {(i < 4 ? quarter[i] : y):R}");
            }
        }
    }

    [Fact]
    public void LoopsAgreeWithTheDefinition()
    {
        foreach (int n in (int[])[.. Enumerable.Range(0, 70), 127, 128, 129, 1000])
        {
            using var x = new Guarded(1, n, 0, 1);
            using var y = new Guarded(1, n, 0, 2);
            double dot = 0, sum = 0, squares = 0, size = 0;
            float max = float.NegativeInfinity;
            for (int i = 0; i < n; i++)
            {
                dot += (double)x[0, i] * y[0, i];
                sum += x[0, i];
                squares += (double)x[0, i] * x[0, i];
                size += Math.Abs(x[0, i]);
                max = MathF.Max(max, x[0, i]);
            }
            double bound = 1e-6 * (1 + size);
            Assert.Equal(dot, Simd.Dot(n, x.Data, y.Data), bound);
            Assert.Equal(sum, Simd.Sum(n, x.Data), bound);
            Assert.Equal(squares, Simd.SumSquares(n, x.Data), bound);
            Assert.Equal(max, Simd.Max(n, x.Data));

            float[] before = new ReadOnlySpan<float>(y.Data, n).ToArray();
            Simd.Axpy(n, 0.5f, x.Data, y.Data);
            for (int i = 0; i < n; i++)
                Assert.Equal(before[i] + 0.5f * x[0, i], y[0, i], 1e-6f);
            Simd.Scale(n, 2, y.Data);
            for (int i = 0; i < n; i++)
                Assert.Equal(2 * before[i] + x[0, i], y[0, i], 2e-6f);
            Simd.Add(n, x.Data, y.Data);
            for (int i = 0; i < n; i++)
                Assert.Equal(2 * (before[i] + x[0, i]), y[0, i], 3e-6f);
            Simd.Fill(y.Data, n, 3);
            for (int i = 0; i < n; i++)
                Assert.Equal(3, y[0, i]);
            y.CheckPoison();
        }
    }

    [Fact]
    public void SumsDoNotDependOnAlignment()
    {
        const int n = 1003;
        float* memory = stackalloc float[2 * n + 32];
        var random = new Random(1);
        var values = new float[n];
        foreach (ref float v in values.AsSpan())
            v = random.NextSingle() - 0.3f;
        float? dot = null, sum = null;
        for (int shift = 0; shift < 16; shift++)
        {
            values.CopyTo(new Span<float>(memory + shift, n));
            values.CopyTo(new Span<float>(memory + n + 2 * shift, n));
            Assert.Equal(dot ??= Simd.Dot(n, memory + shift, memory + shift), Simd.Dot(n, memory + shift, memory + shift));
            Assert.Equal(sum ??= Simd.Sum(n, memory + shift), Simd.Sum(n, memory + shift));
        }
    }

    [Theory]
    [InlineData(0, 5, 0)]
    [InlineData(7, 33, 0)]
    [InlineData(7, 33, 4)]
    public void CopyTakesStridedRows(int rows, int cols, int gap)
    {
        using var source = new Guarded(rows, cols, gap, 1);
        using var target = new Guarded(rows, cols, gap == 0 ? 0 : 2, 2);
        Simd.Copy(rows, cols, source.Data, source.Ld, target.Data, target.Ld);
        Assert.Equal(source.Bytes(), target.Bytes());
        target.CheckPoison();
    }
}
