namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>Floats unpacked at a time for a product of many rows: 16 MB.</summary>
    private const int MostUnpacked = 1 << 22;

    private static HeldWeight HeldOf(Tensor weight) => (HeldWeight)weight.DeviceCopy!;

    // Its content is undefined.
    private HeldWeight New(Shape shape, WeightFormat format, MemoryUse use) => format == WeightFormat.BFloat16
        ? new Bf16Weight(this, shape[0], shape[1], use)
        : new QuantizedWeight(this, format, shape[0], shape[1], use);

    internal override (IDisposable Held, long Bytes) Hold(Shape shape, WeightFormat format, MemoryUse use)
    {
        using Timed timed = Measure([]);
        HeldWeight held = New(shape, format, use);
        held.Clear(Pool);
        return (held, held.Bytes);
    }

    internal override (IDisposable Held, long Bytes) Quantize(Tensor weight, WeightFormat format)
    {
        using Timed timed = Measure([weight]);
        HeldWeight target = New(weight.Shape, format, new MemoryUse($"a weight in {format.Word()}", null));
        switch (target, weight.Format)
        {
            case (Bf16Weight bf16, _): Bf16Gemm.Pack(Pool, true, bf16.N, bf16.K, weight.Pointer, weight.RowStride, bf16.Lanes); break;
            case (QuantizedWeight few, WeightFormat.Float32): Quantizer.Run(Pool, weight.Pointer, weight.RowStride, few); break;
            case (QuantizedWeight few, _): Quantizer.Run(Pool, (Bf16Weight)HeldOf(weight), few); break;
        }

        return (target, target.Bytes);
    }

    internal override void Dequantize(Tensor weight, Tensor values)
    {
        using Timed timed = Measure([weight, values]);
        ((Bf16Weight)HeldOf(weight)).Unpack(Pool, values.Pointer);
    }

    /// <summary>
    /// c = a w^T (+ bias) (+ c), of w the n rows from <paramref name="first"/> on, a multiple of 32. Few rows that are
    /// <paramref name="partOfMore"/> have the bits that they have among many.
    /// </summary>
    private void HeldProduct(Tensor a, HeldWeight w, int first, int n, Tensor? bias, Tensor c, bool accumulate, bool partOfMore = false)
    {
        bool inBf16 = kernels != null && Bf16Gemm.Takes(c.Shape.Rows, w.N, w.K, isWeight: true);
        if (w is Bf16Weight bf16)
            Bf16Product(a, false, bf16.LanesAt(first), inBf16, n, bf16.K, bias, c, accumulate, partOfMore);
        else
            QuantizedProduct(a, (QuantizedWeight)w, first, inBf16, n, bias, c, accumulate, partOfMore);
    }

    // A product with an op(b) in the panels of Bf16Pack, in bfloat16 or, of A as it lies, in float32.
    private void Bf16Product(Tensor a, bool transposeA, float* b, bool inBf16, int n, int k, Tensor? bias, Tensor c, bool accumulate, bool partOfMore = false)
    {
        int m = c.Shape.Rows;
        float* addend = bias is null ? null : bias.Pointer;
        if (m <= FewRows.MaxRows && !transposeA && !partOfMore)
            Bf16Rows.Run(Pool, m, n, k, a.Pointer, a.RowStride, inBf16, b, accumulate, c.Pointer, c.RowStride, addend);
        else if (inBf16)
            Bf16Gemm.Run(Pool, kernels, transposeA, m, n, k, a.Pointer, a.RowStride, b, accumulate ? 1 : 0, c.Pointer, c.RowStride, addend);
        else
            Gemm.RunBf16(Pool, m, n, k, a.Pointer, a.RowStride, b, accumulate ? 1 : 0, c.Pointer, c.RowStride, addend);
    }

    private void QuantizedProduct(Tensor a, QuantizedWeight w, int first, bool inBf16, int n, Tensor? bias, Tensor c, bool accumulate, bool partOfMore)
    {
        int m = c.Shape.Rows, k = w.K;
        float* addend = bias is null ? null : bias.Pointer;
        if (m <= FewRows.MaxRows && !partOfMore)
        {
            QuantizedRows.Run(Pool, m, first, n, a.Pointer, a.RowStride, w, accumulate, c.Pointer, c.RowStride, addend);
            return;
        }

        const int width = HeldWeight.Width;
        int depth = w.Groups * QuantizedWeight.Group, each = Math.Max(8, MostUnpacked / (depth * width)) * width;
        for (int column = 0; column < n; column += each)
        {
            int columns = Math.Min(each, n - column), panels = (columns + width - 1) / width, ld = panels * width;
            float* unpacked = Shared((long)depth * ld), to = c.Pointer + column, plus = addend == null ? null : addend + column;
            QuantizedUnpack.Run(Pool, w, (first + column) / width, panels, inBf16, unpacked);
            if (inBf16)
                Bf16Gemm.Run(Pool, kernels, false, m, columns, k, a.Pointer, a.RowStride, unpacked, accumulate ? 1 : 0, to, c.RowStride, plus);
            else
                Gemm.Run(Pool, false, false, m, columns, k, a.Pointer, a.RowStride, unpacked, ld, accumulate ? 1 : 0, to, c.RowStride, plus, partOfMore);
        }
    }
}
