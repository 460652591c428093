namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>Floats unpacked at a time for a product of many rows: 16 MB.</summary>
    private const int MostUnpacked = 1 << 22;

    internal override (IDisposable Held, long Bytes) Quantize(Tensor weight, WeightFormat format)
    {
        using Timed timed = Measure([weight]);
        var quantized = new QuantizedWeight(this, format, weight.Shape[0], weight.Shape[1]);
        Quantizer.Run(Pool, weight.Pointer, weight.RowStride, quantized);
        return (quantized, quantized.Bytes);
    }

    private static QuantizedWeight QuantizedOf(Tensor weight) => (QuantizedWeight)weight.DeviceCopy!;

    /// <summary>c = a w^T (+ bias) (+ c), of w the n rows from <paramref name="first"/> on, a multiple of 32.</summary>
    private void QuantizedProduct(Tensor a, QuantizedWeight w, int first, int n, Tensor? bias, Tensor c, bool accumulate)
    {
        int m = c.Shape.Rows, k = w.K;
        float* addend = bias is null ? null : bias.Pointer;
        if (m <= FewRows.MaxRows)
        {
            QuantizedRows.Run(Pool, m, first, n, a.Pointer, a.RowStride, w, accumulate, c.Pointer, c.RowStride, addend);
            return;
        }

        bool toBf16 = kernels != null && Bf16Gemm.Takes(m, w.N, k, isWeight: true);
        int depth = w.Groups * QuantizedWeight.Group, each = Math.Max(8, MostUnpacked / (depth * QuantizedWeight.Width)) * QuantizedWeight.Width;
        for (int column = 0; column < n; column += each)
        {
            int columns = Math.Min(each, n - column), panels = (columns + QuantizedWeight.Width - 1) / QuantizedWeight.Width, ld = panels * QuantizedWeight.Width;
            float* unpacked = Shared((long)depth * ld), to = c.Pointer + column, plus = addend == null ? null : addend + column;
            QuantizedUnpack.Run(Pool, w, (first + column) / QuantizedWeight.Width, panels, toBf16, unpacked);
            if (toBf16)
                Bf16Gemm.Run(Pool, kernels, false, m, columns, k, a.Pointer, a.RowStride, unpacked, accumulate ? 1 : 0, to, c.RowStride, plus);
            else
                Gemm.Run(Pool, false, false, m, columns, k, a.Pointer, a.RowStride, unpacked, ld, accumulate ? 1 : 0, to, c.RowStride, plus);
        }
    }
}
