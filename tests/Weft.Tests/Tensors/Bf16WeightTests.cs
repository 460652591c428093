using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>Weights held in bfloat16 alone: filled by rows, the same bits in products as from float32 ones of the same values, and back to float32.</summary>
public class Bf16WeightTests
{
    public static TheoryData<string> Units => [nameof(Bf16Unit.Portable), CpuDevice.BestUnit.ToString()];

    [Fact]
    public void RowsAreSetInAnyPieces()
    {
        using CpuDevice device = new(2);
        foreach ((int n, int k) in QuantizedTests.Sizes)
        {
            float[] values = Draw(n * k, 1), rounded = Array.ConvertAll(values, Round);
            ushort[] bits = Array.ConvertAll(values, BitsOf);
            foreach (int each in new[] { 1, 5, 32, 40, n })
            {
                foreach (bool byBits in new[] { true, false })
                {
                    using Tensor held = device.Zeros(new Shape(n, k), WeightFormat.BFloat16), plain = device.Zeros(new Shape(n, k));
                    Assert.Equal((WeightFormat.BFloat16, false, n * k), (held.Format, held.RequiresGrad, held.ToArray().Count(v => v == 0)));
                    for (int row = 0; row < n; row += each)
                    {
                        int from = row * k, count = Math.Min(each, n - row) * k;
                        if (byBits)
                        {
                            held.SetRows(row, bits.AsSpan(from, count));
                            plain.SetRows(row, bits.AsSpan(from, count));
                        }
                        else
                        {
                            held.SetRows(row, values.AsSpan(from, count));
                            plain.SetRows(row, values.AsSpan(from, count));
                        }
                    }

                    Assert.Equal(rounded, held.ToArray());
                    Assert.Equal(byBits ? rounded : values, plain.ToArray());
                    var last = new float[k];
                    held.GetRows(n - 1, last);
                    Assert.Equal(rounded[^k..], last);
                    var read = new ushort[n * k];
                    held.GetRows(0, read);
                    Assert.Equal(bits, read);
                }
            }

            using Tensor quantized = device.Of(values, new Shape(n, k));
            quantized.Quantize(WeightFormat.BFloat16);
            Assert.Equal(rounded, quantized.ToArray());
        }
    }

    [Fact]
    public void AFloat32TensorOfAnyRankTakesRows()
    {
        using CpuDevice device = new(1);
        using Tensor x = device.Zeros(new Shape(2, 3, 4));
        long version = x.Version;
        x.SetRows(2, [1f, 2, 3, 4, 5, 6, 7, 8]);
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], x.ToArray());
        Assert.NotEqual(version, x.Version);
    }

    [Fact]
    public void WhatIsNoNumberOrTooLargeStaysSo()
    {
        using CpuDevice device = new(1);
        ushort[] bits = [0x7f80, 0xff80, 0x7fc0, 0x0001, 0x8000, 0x7f7f];
        using Tensor w = device.Zeros(new Shape(6, 1), WeightFormat.BFloat16);
        w.SetRows(0, bits);
        Assert.Equal(bits.Select(b => (uint)b << 16), w.ToArray().Select(BitConverter.SingleToUInt32Bits));
        w.SetRows(0, [float.PositiveInfinity, float.NaN, float.MaxValue, 1 + (1f / 256), 1 + (3f / 256), float.Epsilon]);
        Assert.Equal([float.PositiveInfinity, float.NaN, float.PositiveInfinity, 1, 1 + (4f / 256), 0], w.ToArray()); // ties to even
    }

    [Theory]
    [MemberData(nameof(Units))]
    public void ProductsHaveTheBitsOfAFloat32WeightOfTheSameValues(string unit)
    {
        foreach (Precision precision in new[] { Precision.Float32, Precision.BFloat16 })
        {
            using CpuDevice device = new(2, precision, Enum.Parse<Bf16Unit>(unit));
            foreach ((int n, int k) in new[] { (33, 47), (50, 100), (96, 40), (257, 70), (64, 1100) })
            {
                foreach (int m in new[] { 1, 2, 3, 4, 31, 70, 200 })
                {
                    using Tensor x = device.Of(Draw(m * k, 1), new Shape(m, k)), y = device.Zeros(new Shape(m, n)), z = device.Zeros(new Shape(m, n));
                    using Tensor held = device.Of(Draw(n * k, 2), new Shape(n, k));
                    held.Quantize(WeightFormat.BFloat16);
                    using Tensor master = device.Of(held.ToArray(), new Shape(n, k)).WithGrad();
                    device.MatMul(x, false, held, true, null, y, false);
                    device.MatMul(x, false, master, true, null, z, false);
                    float[] actual = y.ToArray(), expected = z.ToArray();
                    if (precision == Precision.BFloat16 || m > FewRows.MaxRows)
                    {
                        Assert.Equal(expected, actual);
                    }
                    else
                    {
                        Laws.LawTools.Close(actual, expected, 1e-6, $"{m} x {n} x {k}"); // sums in another order
                    }
                }
            }
        }
    }

    [Fact]
    public void HeadLossHasTheBitsOfAFloat32HeadInBf16()
    {
        const int vocabulary = 4096 + 77, width = 72, count = 300;
        using CpuDevice device = new(2, Precision.BFloat16);
        using Tensor head = device.Of(Draw(vocabulary * width, 1), new Shape(vocabulary, width)), x = device.Of(Draw(count * width, 2), new Shape(1, count, width));
        head.Quantize(WeightFormat.BFloat16);
        using Tensor master = device.Of(head.ToArray(), head.Shape);
        using var tape = new Tape(device) { Recording = false };
        Tokens targets = tape.Tokens([.. Enumerable.Range(0, count).Select(i => i * 31 % vocabulary)], 1, count);
        Assert.Equal(Ops.HeadLoss(x, master, targets).ToArray(), Ops.HeadLoss(x, head, targets).ToArray());
    }

    [Theory]
    [MemberData(nameof(QuantizedTests.WithScales), MemberType = typeof(QuantizedTests))]
    public void FewerBitsComeFromItsValues(WeightFormat format)
    {
        using CpuDevice device = new(2);
        foreach ((int n, int k) in QuantizedTests.Sizes)
        {
            using Tensor held = device.Of(Draw(n * k, 1), new Shape(n, k));
            held.Quantize(WeightFormat.BFloat16);
            using Tensor plain = device.Of(held.ToArray(), held.Shape);
            held.Quantize(format);
            plain.Quantize(format);
            Assert.Equal(format, held.Format);
            Assert.Equal(plain.ToArray(), held.ToArray());
        }
    }

    [Fact]
    public void TurnsToFloat32AndLearns()
    {
        using CpuDevice device = new(2);
        foreach ((int n, int k) in QuantizedTests.Sizes)
        {
            using Tensor w = device.Of(Draw(n * k, 1), new Shape(n, k)), x = device.Of(Draw(k, 2), new Shape(1, k));
            w.Quantize(WeightFormat.BFloat16);
            float[] values = w.ToArray();
            w.Dequantize();
            Assert.Equal((WeightFormat.Float32, true, (long)n * k * sizeof(float)), (w.Format, w.RequiresGrad, w.Bytes));
            Assert.Equal(values, w.ToArray());
            using var tape = new Tape(device);
            tape.Backward(Ops.Sum(Ops.Linear(Ops.Copy(x, tape), w)));
            Assert.Equal(x.ToArray(), w.Grad!.ToArray()[^k..]);
        }
    }

    [Fact]
    public void WhatCannotBeIsRefused()
    {
        using CpuDevice device = new(1);
        using Tensor w = device.Zeros(new Shape(4, 8), WeightFormat.BFloat16), few = device.Zeros(new Shape(4, 8), WeightFormat.Int8), x = device.Zeros(new Shape(4, 8));
        Assert.All(few.ToArray(), v => Assert.Equal(0, v));
        foreach ((int row, int count) in new[] { (0, 7), (1, 32), (-1, 8), (4, 8), (0, 40) })
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => w.SetRows(row, new ushort[count]));
            Assert.Throws<ArgumentOutOfRangeException>(() => w.SetRows(row, new float[count]));
            Assert.Throws<ArgumentOutOfRangeException>(() => w.GetRows(row, new float[count]));
        }

        Assert.Throws<InvalidOperationException>(() => few.SetRows(0, new float[8]));
        Assert.Throws<InvalidOperationException>(() => few.SetRows(0, new ushort[8]));
        Assert.Throws<InvalidOperationException>(() => x.GetRows(0, new ushort[8]));
        Assert.Throws<InvalidOperationException>(few.Dequantize);
        Assert.Throws<InvalidOperationException>(x.Dequantize);
        Assert.Throws<InvalidOperationException>(() => w.Quantize(WeightFormat.Float32));
        Assert.Throws<InvalidOperationException>(() => device.MatMul(x, false, w, false, null, x, false));
        Assert.Throws<ArgumentException>(() => device.Zeros(new Shape(8), WeightFormat.BFloat16));
    }

    private static float Round(float x) => Bf16Tests.Round(x);

    private static ushort BitsOf(float x) => (ushort)(BitConverter.SingleToUInt32Bits(Round(x)) >> 16);

    private static float[] Draw(int count, int seed)
    {
        var values = new float[count];
        new RandomSource((ulong)seed).FillGaussian(values);
        return values;
    }
}
