using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>Products of bfloat16 against their definition: operands rounded, sums in double.</summary>
public class Bf16Tests
{
    public static TheoryData<string> Units => [nameof(Bf16Unit.Portable), CpuDevice.BestUnit.ToString()];

    public static IEnumerable<(int M, int N, int K)> Sizes =>
        [(1, 16, 16), (2, 33, 17), (3, 50, 100), (4, 31, 64), (5, 16, 31), (14, 32, 32), (15, 33, 33), (33, 65, 129), (64, 64, 64), (31, 100, 1100), (200, 48, 96), (130, 257, 70)];

    [Theory]
    [MemberData(nameof(Units))]
    public void ProductsEqualTheirDefinition(string unit)
    {
        using CpuDevice device = new(2, Precision.BFloat16, Enum.Parse<Bf16Unit>(unit));
        Assert.Equal(unit, device.Unit.ToString());
        foreach ((int m, int n, int k) in Sizes)
        {
            foreach ((bool transA, bool transB) in new[] { (false, false), (false, true), (true, false) })
            {
                foreach (bool isWeight in new[] { true, false })
                {
                    foreach ((bool accumulate, bool withBias) in new[] { (false, false), (true, false), (false, true) })
                    {
                        Check(device, m, n, k, transA, transB, isWeight, accumulate, withBias);
                    }
                }
            }
        }
    }

    private static void Check(CpuDevice device, int m, int n, int k, bool transA, bool transB, bool isWeight, bool accumulate, bool withBias)
    {
        float[] av = Draw(m * k, 1), bv = Draw(n * k, 2), cv = Draw(m * n, 3), bias = Draw(n, 4);
        bool rounds = Bf16Gemm.Takes(m, n, k, isWeight);
        using Tensor a = device.Of(av, transA ? new Shape(k, m) : new Shape(m, k)), b = device.Of(bv, transB ? new Shape(n, k) : new Shape(k, n)), c = device.Of(cv, new Shape(m, n)), z = device.Of(bias, new Shape(n));
        device.MatMul(a, transA, isWeight ? b.WithGrad() : b, transB, withBias ? z : null, c, accumulate);
        float[] actual = c.ToArray();
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = accumulate ? cv[(i * n) + j] : withBias ? bias[j] : 0, size = Math.Abs(sum);
                for (int p = 0; p < k; p++)
                {
                    double x = Round(av[transA ? (p * m) + i : (i * k) + p], rounds), y = Round(bv[transB ? (j * k) + p : (p * n) + j], rounds);
                    sum += x * y;
                    size += Math.Abs(x * y);
                }

                double error = Math.Abs(actual[(i * n) + j] - sum);
                Assert.True(error <= (k + 2) * 1.2e-7 * size, $"{m} x {n} x {k}, {(transA ? "A^T" : "A")} {(transB ? "B^T" : "B")}, weight {isWeight}, accumulate {accumulate}, bias {withBias}: [{i},{j}] is {actual[(i * n) + j]}, not {sum}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Units))]
    public void ARowIsTheSameBesideOthersAndOnAnyThreads(string unit)
    {
        Bf16Unit which = Enum.Parse<Bf16Unit>(unit);
        const int n = 70, k = 200, most = 150;
        float[] rows = Draw(most * k, 1), weight = Draw(n * k, 2);
        float[] Product(int threads, int m)
        {
            using CpuDevice device = new(threads, Precision.BFloat16, which);
            using Tensor a = device.Of(rows.AsSpan(0, m * k), new Shape(m, k)), b = device.Of(weight, new Shape(n, k)).WithGrad(), c = device.Zeros(new Shape(m, n));
            device.MatMul(a, false, b, true, null, c, false);
            return c.ToArray();
        }

        float[] all = Product(1, most);
        foreach (int m in new[] { 5, 16, 33, 64, most })
        {
            Assert.Equal(all[..(m * n)], Product(2, m));
            Assert.Equal(all[..(m * n)], Product(3, m));
        }
    }

    [Fact]
    public void AChangedWeightIsPackedAgain()
    {
        using CpuDevice device = new(1, Precision.BFloat16);
        const int n = 40, k = 64;
        using Tensor a = device.Of(Draw(8 * k, 1), new Shape(8, k)), w = device.Of(Draw(n * k, 2), new Shape(n, k)).WithGrad(), c = device.Zeros(new Shape(8, n));
        float[] Product()
        {
            device.MatMul(a, false, w, true, null, c, false);
            return c.ToArray();
        }

        float[] first = Product();
        Assert.Equal(first, Product());
        w.Fill(0);
        Assert.All(Product(), x => Assert.Equal(0, x));
        w.Set(Draw(n * k, 2));
        Assert.Equal(first, Product());
        using Tensor gradient = device.Of(Draw(n * k, 3), w.Shape), mean = device.Zeros(w.Shape), variance = device.Zeros(w.Shape);
        device.AdamW(w, gradient, mean, variance, new AdamWStep(0.1f, 0.9f, 0.95f, 1e-8f, 0, 1, 1));
        Assert.NotEqual(first, Product());
        using Tensor other = device.Of(Draw(n * k, 2), w.Shape);
        w.CopyFrom(other);
        Assert.Equal(first, Product());
    }

    [Fact]
    public unsafe void RoundingIsToNearestEvenAndKeepsWhatIsNotANumber()
    {
        float[] values = [0, -0f, 1, 1.0078125f, 1.00390625f, 1.01171875f, 3.4e38f, float.MaxValue, float.Epsilon, float.PositiveInfinity, float.NegativeInfinity, float.NaN, BitConverter.UInt32BitsToSingle(0x7fffffff), BitConverter.UInt32BitsToSingle(0xff800001), -2.7182817f, 1e-40f];
        float* pairs = stackalloc float[16];
        fixed (float* v = values)
        {
            Bf16Pack.RowPanel<Simd128, System.Runtime.Intrinsics.Vector128<float>>(1, 1, 16, v, 16, pairs);
        }

        for (int i = 0; i < 16; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(pairs[i]);
            Assert.Equal(0u, bits >> 16); // nothing above k = 16
            float rounded = BitConverter.UInt32BitsToSingle(bits << 16), expected = Round(values[i], true);
            Assert.True(float.IsNaN(values[i]) ? float.IsNaN(rounded) : rounded == expected && float.IsNegative(rounded) == float.IsNegative(expected), $"{values[i]:R} rounds to {rounded:R}, not {expected:R}");
        }
    }

    [Fact]
    public void NothingIsAllocatedByAProduct()
    {
        using CpuDevice device = new(2, Precision.BFloat16);
        using Tensor a = device.Of(Draw(64 * 64, 1), new Shape(64, 64)), w = device.Of(Draw(64 * 64, 2), new Shape(64, 64)).WithGrad(), c = device.Zeros(new Shape(64, 64)), one = device.Zeros(new Shape(1, 64));
        Assert.Equal(0, Allocations.Least(() =>
        {
            device.MatMul(a, false, w, true, null, c, false);
            device.MatMul(a, true, a, false, null, c, true);
            device.MatMul(one, false, w, true, null, one, false);
        }));
    }

    /// <summary>The nearest number of bfloat16, ties to even.</summary>
    internal static float Round(float x, bool rounds = true)
    {
        if (!rounds || !float.IsFinite(x))
        {
            return x;
        }

        uint bits = BitConverter.SingleToUInt32Bits(x), half = bits & 0xffff, kept = bits >> 16;
        kept += half > 0x8000 || (half == 0x8000 && (kept & 1) != 0) ? 1u : 0;
        return BitConverter.UInt32BitsToSingle(kept << 16);
    }

    private static float[] Draw(int count, int seed)
    {
        var values = new float[count];
        new RandomSource((ulong)seed).FillGaussian(values);
        return values;
    }
}
