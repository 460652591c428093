using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

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

    /// <summary>
    /// Packs rows of A as it lies, [rows, k] with rows lda apart, as one panel: [blocks of k][<paramref name="height"/>][16 lanes], so that a
    /// kernel walks through memory in order. Rows beyond <paramref name="rows"/> stay what they are.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RowPanel<S, V>(int rows, int height, int k, float* a, nint lda, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++, a += lda, target += Lanes)
            PairColumns<S, V>(k, a, target, (nint)height * Lanes);
    }

    /// <summary>Packs one block of up to 32 k of A that lies by columns, [k, rows] with rows of k lda apart, as <see cref="RowPanel"/> does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RowBlockTransposed<S, V>(int rows, int k, float* a, nint lda, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        float* block = stackalloc float[Lanes * Lanes];
        for (int i = 0; i < rows; i += Lanes)
        {
            int h = Math.Min(Lanes, rows - i);
            PairRows<S, V>(h, k, a + i, lda, block, Lanes);
            SimdTranspose.Run(Lanes, h, block, Lanes, target + ((nint)i * Lanes), Lanes);
        }
    }

    /// <summary>Packs rows of A that lies by columns, [k, rows] with rows of k lda apart, as [lanes][rows], lanes <paramref name="stride"/> apart: nothing is transposed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RowLanes<S, V>(int rows, int k, float* a, nint lda, float* target, nint stride) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int p = 0; p < k; p += Block)
            PairRows<S, V>(rows, Math.Min(Block, k - p), a + (p * lda), lda, target + (p / 2 * stride), stride);
    }

    /// <summary>Packs columns of B as it lies, [k, columns] with rows of k ldb apart, as panels [lanes][Width], one after the other; missing columns are zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Panels<S, V>(int columns, int k, float* b, nint ldb, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        nint panel = (nint)LanesOf(k) * Width;
        if (columns % Width != 0)
            new Span<float>(target + (columns / Width * panel), (int)panel).Clear();
        for (int p = 0; p < k; p += Block, target += Lanes * Width)
            for (int j = 0; j < columns; j += Width)
                PairRows<S, V>(Math.Min(Width, columns - j), Math.Min(Block, k - p), b + (p * ldb) + j, ldb, target + (j / Width * panel), Width);
    }

    /// <summary>Packs columns of B that lies by columns, [columns, k] with rows ldb apart, as one panel [lanes][Width]; missing columns are zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PanelTransposed<S, V>(int columns, int k, float* b, nint ldb, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        if (columns < Width)
            new Span<float>(target, LanesOf(k) * Width).Clear();
        PanelColumns<S, V, float>(columns, k, b, ldb, target);
    }

    /// <summary>The same of some columns of a panel, which are float32 or the bits of bfloat16 numbers; the others stay what they are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PanelColumns<S, V, T>(int columns, int k, T* b, nint ldb, float* target) where S : struct, ISimd<V> where V : unmanaged where T : unmanaged
    {
        float* block = stackalloc float[Lanes * Lanes];
        for (int j = 0; j < columns; j += Lanes)
        {
            int h = Math.Min(Lanes, columns - j);
            for (int p = 0; p < k; p += Block)
            {
                for (int i = 0; i < h; i++)
                {
                    T* row = b + ((j + i) * ldb) + p;
                    if (typeof(T) == typeof(float))
                        PairColumns<S, V>(Math.Min(Block, k - p), (float*)row, block + (i * Lanes), Lanes);
                    else
                        PairBits(Math.Min(Block, k - p), (ushort*)row, (uint*)block + (i * Lanes));
                }

                SimdTranspose.Run(h, Lanes, block, Lanes, target + ((nint)(p / 2) * Width) + j, Width);
            }
        }
    }

    /// <summary>The numbers k of <paramref name="columns"/> columns of a panel, <paramref name="count"/> of them from <paramref name="first"/> on, as float32 [k][columns], rows ldt apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<S, V>(int first, int count, int columns, float* panel, float* target, nint ldt) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int k = first; k < first + count; k++, target += ldt)
        {
            float* lane = panel + ((nint)((k / Block * Lanes) + (k % Lanes)) * Width);
            bool isHigh = k % Block >= Lanes;
            if (Sse.IsSupported && !isHigh)
            {
                for (int j = 0; j < columns; j += Lanes) // lanes of a cache line
                    Sse.Prefetch0(lane + j + (FewRows.Ahead / sizeof(float)));
            }

            for (int j = 0; j < columns; j += S.Count)
            {
                V pairs = S.Load(lane + j);
                S.Store(isHigh ? S.HighBf16(pairs) : S.LowBf16(pairs), target + j);
            }
        }
    }

    /// <summary>bfloat16 numbers, by their bits, as float32.</summary>
    public static void Widen(ReadOnlySpan<ushort> bits, Span<float> target)
    {
        for (int i = 0; i < bits.Length; i++)
            target[i] = BitConverter.UInt32BitsToSingle((uint)bits[i] << 16);
    }

    // The bits of a block of up to 32 numbers become lanes.
    private static void PairBits(int k, ushort* source, uint* target)
    {
        if (k == Block)
        {
            for (int l = 0; l < Lanes; l += 4)
                (Widened(source + l) | (Widened(source + l + Lanes) << 16)).Store(target + l);
            return;
        }

        for (int l = 0; l < Lanes; l++)
            target[l] = (l < k ? source[l] : 0u) | (l + Lanes < k ? (uint)source[l + Lanes] << 16 : 0u);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Widened(ushort* four) => Vector128.WidenLower(Vector128.CreateScalar(*(ulong*)four).AsUInt16());

    // Numbers k and k + 16 of each 32 of a row become 16 lanes, blocks of lanes ldt apart.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PairColumns<S, V>(int k, float* source, float* target, nint ldt) where S : struct, ISimd<V> where V : unmanaged
    {
        int p = 0;
        for (; p + Block <= k; p += Block, target += ldt)
            for (int l = 0; l < Lanes; l += S.Count)
                S.Store(S.PairBf16(S.Load(source + p + l), S.Load(source + p + l + Lanes)), target + l);
        if (p < k)
            for (int l = 0; l < Lanes; l += S.Count)
                S.Store(S.PairBf16(Part<S, V>(source + p + l, k - p - l), Part<S, V>(source + p + l + Lanes, k - p - l - Lanes)), target + l);
    }

    // Rows k and k + 16 of up to 32 become one row of lanes; missing rows are zeros.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PairRows<S, V>(int columns, int k, float* source, nint lds, float* target, nint ldt) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < columns; j += S.Count, source += S.Count, target += S.Count)
        {
            int n = Math.Min(S.Count, columns - j);
            float* low = source, high = source + (Lanes * lds), to = target;
            if (k == Block && n == S.Count)
            {
                for (int l = 0; l < Lanes; l++, low += lds, high += lds, to += ldt)
                    S.Store(S.PairBf16(S.Load(low), S.Load(high)), to);
            }
            else
            {
                for (int l = 0; l < Lanes; l++, low += lds, high += lds, to += ldt)
                    S.StorePartial(S.PairBf16(Part<S, V>(low, l < k ? n : 0), Part<S, V>(high, l + Lanes < k ? n : 0)), to, n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Part<S, V>(float* p, int n) where S : struct, ISimd<V> where V : unmanaged => S.LoadPartial(p, Math.Clamp(n, 0, S.Count));
}
