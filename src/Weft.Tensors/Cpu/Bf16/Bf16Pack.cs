using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Matrices of bfloat16 in pairs, as the processors' instructions multiply them: a lane of 32 bits holds the numbers k and k + 16 of a
/// block of 32 (the same on both sides of a product, so that its sum does not care), which a vector of 16 lanes makes from two of
/// float32 without moving anything across lanes. Depth is padded with zeros to whole blocks.
/// </summary>
internal static unsafe class Bf16Pack
{
    /// <summary>Numbers of k in a block, and the lanes that hold them.</summary>
    public const int Block = 32, Lanes = 16;

    /// <summary>Columns of a panel of B: a lane row of a panel is two cache lines.</summary>
    public const int Width = 32;

    /// <summary>The lanes that hold k numbers: whole blocks.</summary>
    public static int LanesOf(int k) => (k + Block - 1) / Block * Lanes;

    /// <summary>Lanes from one row of packed A to the next: whole blocks, and one more where rows would lie a multiple of 1 KB apart and share few cache sets.</summary>
    public static int StrideOf(int k)
    {
        int lanes = LanesOf(k);
        return lanes % 256 == 0 ? lanes + Lanes : lanes;
    }

    /// <summary>Packs rows of A as it lies, [rows, k] with rows lda apart, as [rows][lanes], target rows <paramref name="stride"/> lanes apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows<S, V>(int rows, int k, float* a, nint lda, float* target, nint stride) where S : struct, ISimd<V> where V : unmanaged
    {
        int whole = k / Block * Block;
        for (int i = 0; i < rows; i++, a += lda, target += stride)
        {
            float* to = target;
            for (int p = 0; p < whole; p += Block)
                for (int l = 0; l < Lanes; l += S.Count, to += S.Count)
                    S.Store(S.PairBf16(S.Load(a + p + l), S.Load(a + p + l + Lanes)), to);
            if (whole < k)
                for (int l = 0; l < Lanes; l += S.Count, to += S.Count)
                    S.Store(S.PairBf16(Part<S, V>(a + whole + l, k - whole - l), Part<S, V>(a + whole + l + Lanes, k - whole - l - Lanes)), to);
        }
    }

    /// <summary>Packs rows of A that lies by columns, [k, rows] with rows of k lda apart, as <see cref="Rows"/> does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RowsTransposed<S, V>(int rows, int k, float* a, nint lda, float* target, nint stride) where S : struct, ISimd<V> where V : unmanaged
    {
        float* block = stackalloc float[Lanes * Lanes];
        for (int p = 0; p < k; p += Block)
        {
            for (int i = 0; i < rows; i += Lanes)
            {
                int h = Math.Min(Lanes, rows - i);
                PairRows<S, V>(h, Math.Min(Block, k - p), a + (p * lda) + i, lda, block, Lanes);
                SimdTranspose.Run(Lanes, h, block, Lanes, target + (i * stride) + (p / 2), stride);
            }
        }
    }

    /// <summary>Packs columns of B as it lies, [k, columns] with rows of k ldb apart, as one panel [lanes][Width]; missing columns are zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Panel<S, V>(int columns, int k, float* b, nint ldb, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        if (columns < Width)
            new Span<float>(target, LanesOf(k) * Width).Clear();
        for (int p = 0; p < k; p += Block, target += Lanes * Width)
            PairRows<S, V>(columns, Math.Min(Block, k - p), b + (p * ldb), ldb, target, Width);
    }

    /// <summary>Packs columns of B that lies by columns, [columns, k] with rows ldb apart, as one panel [lanes][Width]; missing columns are zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PanelTransposed<S, V>(int columns, int k, float* b, nint ldb, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        float* block = stackalloc float[Lanes * Lanes];
        if (columns < Width)
            new Span<float>(target, LanesOf(k) * Width).Clear();
        for (int j = 0; j < columns; j += Lanes)
        {
            int h = Math.Min(Lanes, columns - j);
            for (int p = 0; p < k; p += Block)
            {
                Rows<S, V>(h, Math.Min(Block, k - p), b + (j * ldb) + p, ldb, block, Lanes);
                SimdTranspose.Run(h, Lanes, block, Lanes, target + ((nint)(p / 2) * Width) + j, Width);
            }
        }
    }

    // Rows k and k + 16 of up to 32 become one row of lanes; missing rows are zeros.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PairRows<S, V>(int columns, int k, float* source, nint lds, float* target, nint ldt) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int l = 0; l < Lanes; l++, target += ldt)
        {
            float* low = source + (l * lds), high = low + (Lanes * lds);
            int lows = l < k ? columns : 0, highs = l + Lanes < k ? columns : 0;
            for (int j = 0; j < columns; j += S.Count)
            {
                if (j + S.Count <= Math.Min(lows, highs))
                    S.Store(S.PairBf16(S.Load(low + j), S.Load(high + j)), target + j);
                else
                    S.StorePartial(S.PairBf16(Part<S, V>(low + j, lows - j), Part<S, V>(high + j, highs - j)), target + j, Math.Min(S.Count, columns - j));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Part<S, V>(float* p, int n) where S : struct, ISimd<V> where V : unmanaged => S.LoadPartial(p, Math.Clamp(n, 0, S.Count));
}
