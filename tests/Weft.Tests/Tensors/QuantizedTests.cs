using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>Weights of 16, 8 and 4 bits: what they hold, and products with them against their definition, the rounded weights multiplied in double.</summary>
public class QuantizedTests
{
    public static TheoryData<WeightFormat> Formats => [WeightFormat.BFloat16, WeightFormat.Int8, WeightFormat.Int4];

    public static TheoryData<WeightFormat> WithScales => [WeightFormat.Int8, WeightFormat.Int4];

    public static IEnumerable<(int N, int K)> Sizes => [(1, 1), (16, 16), (32, 32), (33, 31), (50, 100), (31, 64), (96, 40), (257, 70), (64, 1100)];

    [Theory]
    [MemberData(nameof(WithScales))]
    public void WeightsAreWithinHalfAStep(WeightFormat format)
    {
        using CpuDevice device = new(2);
        foreach ((int n, int k) in Sizes)
        {
            float[] values = Draw(n * k, 1), held = Held(device, values, n, k, format);
            for (int row = 0; row < n; row++)
            {
                for (int g = 0; g < k; g += QuantizedWeight.Group)
                {
                    int from = (row * k) + g, count = Math.Min(QuantizedWeight.Group, k - g);
                    float largest = values.AsSpan(from, count).ToArray().Max(MathF.Abs);
                    double error = 0, plain = 0, step = largest / (format == WeightFormat.Int8 ? 127.0 : 7);
                    for (int i = from; i < from + count; i++)
                    {
                        error += Math.Pow(held[i] - values[i], 2);
                        plain += Math.Pow((Math.Round(values[i] / step) * step) - values[i], 2);
                        if (format == WeightFormat.Int8)
                        {
                            Assert.InRange(Math.Abs(held[i] - values[i]), 0, step * 0.5 * 1.01); // the scale is rounded too
                        }
                    }

                    // Four bits: what is beyond the range is clipped, where that leaves less error than the widest step does. The scale is rounded.
                    Assert.True(format == WeightFormat.Int8 || error <= plain + (count * Math.Pow(largest / 512, 2)), $"{n} x {k}: {error} of squared error, {plain} with the largest as the last level");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(WithScales))]
    public void WhatIsOnTheGridIsKept(WeightFormat format)
    {
        using CpuDevice device = new(1);
        int high = format == WeightFormat.Int8 ? 127 : 7;
        const int n = 40, k = 96;
        var values = new float[n * k];
        RandomSource random = new(1);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = 0.25f * (i % QuantizedWeight.Group == 5 ? high : random.NextInt((2 * high) + 1) - high);
        }

        Array.Clear(values, 3 * k, k); // a row of zeros
        Assert.Equal(values, Held(device, values, n, k, format));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void ProductsEqualTheirDefinition(WeightFormat format)
    {
        foreach (Precision precision in new[] { Precision.Float32, Precision.BFloat16 })
        {
            using CpuDevice device = new(2, precision);
            foreach ((int n, int k) in Sizes)
            {
                foreach (int m in new[] { 1, 2, 3, 4, 5, 33, 70 })
                {
                    foreach ((bool accumulate, bool withBias) in new[] { (false, false), (true, false), (false, true) })
                    {
                        Check(device, m, n, k, format, accumulate, withBias);
                    }
                }
            }
        }
    }

    private static void Check(CpuDevice device, int m, int n, int k, WeightFormat format, bool accumulate, bool withBias)
    {
        float[] av = Draw(m * k, 1), cv = Draw(m * n, 3), bias = Draw(n, 4);
        using Tensor a = device.Of(av, new Shape(m, k)), w = device.Of(Draw(n * k, 2), new Shape(n, k)), c = device.Of(cv, new Shape(m, n)), z = device.Of(bias, new Shape(n));
        w.Quantize(format);
        float[] wv = w.ToArray();
        device.MatMul(a, false, w, true, withBias ? z : null, c, accumulate);
        float[] actual = c.ToArray();
        bool rounds = format == WeightFormat.BFloat16 && device.Precision == Precision.BFloat16 && Bf16Gemm.Takes(m, n, k, isWeight: true);
        double tolerance = format == WeightFormat.BFloat16 ? 1e-6 : m > FewRows.MaxRows && device.Precision == Precision.BFloat16 ? 8e-3 : 1e-5;
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = accumulate ? cv[(i * n) + j] : withBias ? bias[j] : 0, size = Math.Abs(sum);
                for (int p = 0; p < k; p++)
                {
                    double term = (double)Bf16Tests.Round(av[(i * k) + p], rounds) * wv[(j * k) + p];
                    sum += term;
                    size += Math.Abs(term);
                }

                double error = Math.Abs(actual[(i * n) + j] - sum);
                Assert.True(error <= tolerance * size, $"{m} x {n} x {k}, {device.Precision}, accumulate {accumulate}, bias {withBias}: [{i},{j}] is {actual[(i * n) + j]}, not {sum}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void ARowIsTheSameBesideOthersAndOnAnyThreads(WeightFormat format)
    {
        const int n = 700, k = 200, most = 40;
        float[] rows = Draw(most * k, 1), weight = Draw(n * k, 2);
        foreach (Precision precision in new[] { Precision.Float32, Precision.BFloat16 })
        {
            float[] Product(int threads, int m)
            {
                using CpuDevice device = new(threads, precision);
                using Tensor a = device.Of(rows.AsSpan(0, m * k), new Shape(m, k)), w = device.Of(weight, new Shape(n, k)), c = device.Zeros(new Shape(m, n));
                w.Quantize(format);
                device.MatMul(a, false, w, true, null, c, false);
                return c.ToArray();
            }

            float[] few = Product(1, 4), many = Product(1, most);
            foreach (int m in new[] { 1, 2, 3, 4 })
            {
                Assert.Equal(few[..(m * n)], Product(2, m));
            }

            foreach (int m in new[] { 17, 33, most })
            {
                Assert.Equal(many[..(m * n)], Product(2, m));
                Assert.Equal(many[..(m * n)], Product(3, m));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void EmbeddingsAndHeadsReadThePackedForm(WeightFormat format)
    {
        const int vocabulary = 4096 + 77, width = 72, count = 2100; // logits in several pieces of rows and columns
        using CpuDevice device = new(2);
        using Tensor table = device.Of(Draw(vocabulary * width, 1), new Shape(vocabulary, width));
        table.Quantize(format);
        float[] rows = table.ToArray();
        using Tensor plain = device.Of(rows, new Shape(vocabulary, width));
        using var tape = new Tape(device) { Recording = false };
        int[] ids = [.. Enumerable.Range(0, count).Select(i => i * 31 % vocabulary)];
        Tensor x = Ops.Embed(table, tape.Tokens(ids, 1, count));
        Assert.Equal(Ops.Embed(plain, tape.Tokens(ids, 1, count)).ToArray(), x.ToArray());
        float[] losses = Ops.HeadLoss(x, table, tape.Tokens(ids, 1, count)).ToArray(), expected = Ops.HeadLoss(x, plain, tape.Tokens(ids, 1, count)).ToArray();
        for (int i = 0; i < count; i++)
        {
            Assert.Equal(expected[i], losses[i], 1e-4 * (1 + Math.Abs(expected[i])));
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void TheFloat32ValuesAreGone(WeightFormat format)
    {
        using CpuDevice device = new(1);
        const int n = 512, k = 256;
        using Tensor w = device.Of(Draw(n * k, 1), new Shape(n, k)).WithGrad(), x = device.Of(Draw(k, 2), new Shape(1, k)).WithGrad();
        w.Quantize(format);
        Assert.Equal((format, false), (w.Format, w.RequiresGrad));
        Assert.Equal(n * k / 32 * (format == WeightFormat.BFloat16 ? 64 : format == WeightFormat.Int8 ? 34 : 18), w.Bytes);
        Assert.Throws<InvalidOperationException>(() => w.Fill(0));
        Assert.Throws<InvalidOperationException>(() => w.Columns(0, 8));
        Assert.Throws<InvalidOperationException>(() => w.Quantize(format));
        Assert.Throws<InvalidOperationException>(() => x.Columns(0, 8).Quantize(format));
        using var tape = new Tape(device);
        Refused.With(() => Ops.Linear(Ops.Copy(x, tape), w), format.Word(), "not trained", format == WeightFormat.BFloat16 ? "float32 first" : "without quantising");
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void NothingIsAllocatedByAProduct(WeightFormat format)
    {
        foreach (Precision precision in new[] { Precision.Float32, Precision.BFloat16 })
        {
            using CpuDevice device = new(2, precision);
            using Tensor w = device.Of(Draw(64 * 80, 1), new Shape(64, 80)), many = device.Of(Draw(64 * 80, 2), new Shape(64, 80)), c = device.Zeros(new Shape(64, 64));
            using Tensor few = device.Of(Draw(2 * 80, 3), new Shape(2, 80)), d = device.Zeros(new Shape(2, 64));
            w.Quantize(format);
            Assert.Equal(0, Allocations.Least(() =>
            {
                device.MatMul(many, false, w, true, null, c, false);
                device.MatMul(few, false, w, true, null, d, false);
            }));
        }
    }

    private static float[] Held(CpuDevice device, float[] values, int n, int k, WeightFormat format)
    {
        using Tensor w = device.Of(values, new Shape(n, k));
        w.Quantize(format);
        return w.ToArray();
    }

    private static float[] Draw(int count, int seed)
    {
        var values = new float[count];
        new RandomSource((ulong)seed).FillGaussian(values);
        return values;
    }
}
