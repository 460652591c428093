using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Attention's tiles as operands of <see cref="Bf16Kernels"/>. Every tile is whole: <see cref="Tile"/> rows, columns padded to panels, zeros
/// where nothing is; so a number is summed in the same order wherever sequences are cut.
/// </summary>
internal static unsafe class Bf16Tiles
{
    public const int Tile = AttentionView.Tile;

    /// <summary>Columns, padded to panels.</summary>
    public static int Padded(int columns) => (columns + Bf16Pack.Width - 1) / Bf16Pack.Width * Bf16Pack.Width;

    /// <summary>Floats of a packed tile, in any of its forms.</summary>
    public static int Floats(int columns) => Tile / 2 * Padded(columns);

    /// <summary>Copies rows times scale into a tile with rows Padded(columns) apart.</summary>
    public static void Copy(int rows, int columns, float* x, nint ldx, float scale, float* tile)
    {
        int stride = Padded(columns);
        for (int i = 0; i < rows; i++)
        {
            new ReadOnlySpan<float>(x + (i * ldx), columns).CopyTo(new Span<float>(tile + (i * stride), columns));
            if (scale != 1)
            {
                Simd.Scale(columns, scale, tile + (i * stride));
            }
        }
    }

    /// <summary>Copies a head's keys, or values, from <paramref name="from"/> to <paramref name="to"/> - 1 into a tile that begins at <paramref name="start"/>, zeros beside.</summary>
    public static void Gather(in AttentionView view, bool values, int batch, int keyHead, long start, long from, long to, float* tile)
    {
        int columns = values ? view.ValueDim : view.HeadDim, stride = Padded(columns);
        if (to - from < Tile || stride != columns)
        {
            new Span<float>(tile, Tile * stride).Clear();
        }

        for (long k = from; k < to;)
        {
            KeyRun run = view.Run(k, to);
            float* rows = values ? view.Values(run, batch, keyHead) : view.Keys(run, batch, keyHead);
            Copy(run.Count, columns, rows, values ? view.ValueStride(run) : view.KeyStride(run), 1, tile + ((k - start) * stride));
            k += run.Count;
        }
    }

    /// <summary>Packs a tile as A: panels of rows, one after the other.</summary>
    public static void PackRows(Bf16Kernels* kernels, int columns, float* tile, float* target)
    {
        int stride = Padded(columns);
        for (int panel = 0; panel < Panels(kernels); panel++)
        {
            int row = RowOf(kernels, panel), rows = RowOf(kernels, panel + 1) - row;
            float* from = tile + (row * stride), to = target + (row * (stride / 2));
            if (Isa.Vector512) Bf16Pack.RowPanel<Simd512, Vector512<float>>(rows, rows, stride, from, stride, to);
            else if (Isa.Vector256) Bf16Pack.RowPanel<Simd256, Vector256<float>>(rows, rows, stride, from, stride, to);
            else Bf16Pack.RowPanel<Simd128, Vector128<float>>(rows, rows, stride, from, stride, to);
        }
    }

    /// <summary>Packs a tile as B: [rows, columns].</summary>
    public static void PackColumns(int columns, float* tile, float* target)
    {
        int stride = Padded(columns);
        if (Isa.Vector512) Bf16Pack.Panels<Simd512, Vector512<float>>(stride, Tile, tile, stride, target);
        else if (Isa.Vector256) Bf16Pack.Panels<Simd256, Vector256<float>>(stride, Tile, tile, stride, target);
        else Bf16Pack.Panels<Simd128, Vector128<float>>(stride, Tile, tile, stride, target);
    }

    /// <summary>Packs a tile's transpose as B: [columns, rows].</summary>
    public static void PackTransposed(int columns, float* tile, float* target)
    {
        int stride = Padded(columns), side = Bf16Pack.Width;
        for (int i = 0; i < Tile; i += side)
        {
            float* from = tile + (i * stride), to = target + (i * (stride / 2));
            if (Isa.Vector512) Bf16Pack.PanelTransposed<Simd512, Vector512<float>>(side, stride, from, stride, to);
            else if (Isa.Vector256) Bf16Pack.PanelTransposed<Simd256, Vector256<float>>(side, stride, from, stride, to);
            else Bf16Pack.PanelTransposed<Simd128, Vector128<float>>(side, stride, from, stride, to);
        }
    }

    /// <summary>Packed A by lanes, [lanes of a tile][Tile], as the kernels take it: where they want panels of rows, in <paramref name="target"/>.</summary>
    public static float* Lanes(Bf16Kernels* kernels, float* pairs, float* target)
    {
        if (kernels->TakesLanes)
        {
            return pairs;
        }

        for (int panel = 0; panel < Panels(kernels); panel++)
        {
            int row = RowOf(kernels, panel), rows = RowOf(kernels, panel + 1) - row;
            for (int lane = 0; lane < Tile / 2; lane += Bf16Pack.Lanes)
            {
                SimdTranspose.Run(Bf16Pack.Lanes, rows, pairs + (lane * Tile) + row, Tile, target + (row * (Tile / 2)) + (lane * rows), Bf16Pack.Lanes);
            }
        }

        return target;
    }

    /// <summary>
    /// C[rows, columns] = A B, or C + A B, with a depth of <paramref name="depth"/>, padded; A packed as rows, or from <see cref="Lanes"/>.
    /// Whole panels of rows are computed: C has memory for a tile, columns padded.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(Bf16Kernels* kernels, int rows, int columns, int depth, float* a, bool byLanes, float* b, float* c, nint ldc, bool add)
    {
        int lanes = Padded(depth) / 2;
        bool takesLanes = byLanes && kernels->TakesLanes;
        for (int j = 0; j < columns; j += Bf16Pack.Width, b += lanes * Bf16Pack.Width)
        {
            for (int panel = 0, i = 0; i < rows; panel++)
            {
                int end = RowOf(kernels, panel + 1);
                Bf16Tile tile = new()
                {
                    A = a + (takesLanes ? i : i * lanes),
                    StrideA = Tile * sizeof(float),
                    B = b,
                    C = c + (i * ldc) + j,
                    StrideC = ldc * sizeof(float),
                    Lanes = lanes,
                    Accumulate = add ? 1 : 0,
                };
                kernels->Run(end - i, byLanes, &tile);
                i = end;
            }
        }
    }

    /// <summary>Rows of a tile where its panels begin: of nearly equal height.</summary>
    public static int RowOf(Bf16Kernels* kernels, int panel) => Tile * panel / Panels(kernels);

    public static int Panels(Bf16Kernels* kernels) => (Tile + kernels->MaxRows - 1) / kernels->MaxRows;

    /// <summary>
    /// <see cref="AttentionKernel.SoftmaxColumns"/> on a whole tile of scores, of which the probabilities are stored by lanes of keys:
    /// rows i and i + 16 of each 32 in a row of lanes, rows <see cref="Tile"/> apart.
    /// </summary>
    public static void SoftmaxColumns(float* s, int columns, float* max, float* sum, float* rescale, float* pairs)
    {
        if (Isa.Vector512) SoftmaxColumns<Simd512, Vector512<float>>(s, columns, max, sum, rescale, pairs);
        else if (Isa.Vector256) SoftmaxColumns<Simd256, Vector256<float>>(s, columns, max, sum, rescale, pairs);
        else SoftmaxColumns<Simd128, Vector128<float>>(s, columns, max, sum, rescale, pairs);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SoftmaxColumns<S, V>(float* s, int columns, float* max, float* sum, float* rescale, float* pairs) where S : struct, ISimd<V> where V : unmanaged
    {
        const int apart = Bf16Pack.Lanes * Tile;
        for (int c = 0; c < columns; c += S.Count)
        {
            float* column = s + c;
            V old = S.Load(max + c), largest = old, other = old;
            for (int i = 0; i < Tile; i += 2)
            {
                largest = S.Max(largest, S.Load(column + (i * Tile)));
                other = S.Max(other, S.Load(column + (i * Tile) + Tile));
            }

            largest = S.Max(largest, other);
            V lows = S.Zero, highs = S.Zero;
            float* to = pairs + c;
            for (int block = 0; block < Tile; block += Bf16Pack.Block)
            {
                float* low = column + (block * Tile);
                for (int l = 0; l < Bf16Pack.Lanes; l++, low += Tile, to += Tile)
                {
                    V p = Simd.Exp<S, V>(S.Sub(S.Load(low), largest)), q = Simd.Exp<S, V>(S.Sub(S.Load(low + apart), largest));
                    S.Store(S.PairBf16(p, q), to);
                    lows = S.Add(lows, p);
                    highs = S.Add(highs, q);
                }
            }

            V factor = Simd.Exp<S, V>(S.Sub(old, largest));
            S.Store(largest, max + c);
            S.Store(factor, rescale + c);
            S.Store(S.Fma(S.Load(sum + c), factor, S.Add(lows, highs)), sum + c);
        }
    }

    /// <summary>
    /// <see cref="AttentionKernel.ScoreGradients"/> on a whole tile [queries, keys]: d holds the gradients of scores afterwards, and
    /// they are stored as packed rows too, and by lanes of queries, as the probabilities are.
    /// </summary>
    public static void ScoreGradients(Bf16Kernels* kernels, float* s, float* d, float* logSums, float* delta, float* probabilities, float* gradients, float* rows)
    {
        // Where a row's first block of lanes lies among packed rows, and its second one behind it.
        int* at = stackalloc int[Tile], second = stackalloc int[Tile];
        for (int panel = 0; panel < Panels(kernels); panel++)
        {
            int start = RowOf(kernels, panel), end = RowOf(kernels, panel + 1);
            for (int i = start; i < end; i++)
            {
                (at[i], second[i]) = ((start * (Tile / 2)) + ((i - start) * Bf16Pack.Lanes), (end - start) * Bf16Pack.Lanes);
            }
        }

        if (Isa.Vector512) ScoreGradients<Simd512, Vector512<float>>(s, d, logSums, delta, probabilities, gradients, rows, at, second);
        else if (Isa.Vector256) ScoreGradients<Simd256, Vector256<float>>(s, d, logSums, delta, probabilities, gradients, rows, at, second);
        else ScoreGradients<Simd128, Vector128<float>>(s, d, logSums, delta, probabilities, gradients, rows, at, second);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScoreGradients<S, V>(float* s, float* d, float* logSums, float* delta, float* probabilities, float* gradients, float* rows, int* at, int* second)
        where S : struct, ISimd<V> where V : unmanaged
    {
        const int apart = Bf16Pack.Lanes * Tile;
        for (int i = 0; i < Tile; i = i % Bf16Pack.Block == Bf16Pack.Lanes - 1 ? i + Bf16Pack.Lanes + 1 : i + 1)
        {
            int j = i + Bf16Pack.Lanes;
            V shift = S.Create(logSums[i]), otherShift = S.Create(logSums[j]), mean = S.Create(delta[i]), otherMean = S.Create(delta[j]);
            float* row = rows + at[i], otherRow = rows + at[j];
            for (int c = 0; c < Tile; c += Bf16Pack.Block, row += second[i], otherRow += second[j])
            {
                for (int l = 0; l < Bf16Pack.Lanes; l += S.Count)
                {
                    float* si = s + c + l, di = d + c + l, next = si + Bf16Pack.Lanes, nextD = di + Bf16Pack.Lanes;
                    V p0 = Simd.Exp<S, V>(S.Sub(S.Load(si), shift)), q0 = Simd.Exp<S, V>(S.Sub(S.Load(si + apart), otherShift));
                    S.Store(S.PairBf16(p0, q0), probabilities + c + l);
                    p0 = S.Mul(p0, S.Sub(S.Load(di), mean));
                    q0 = S.Mul(q0, S.Sub(S.Load(di + apart), otherMean));
                    S.Store(S.PairBf16(p0, q0), gradients + c + l);

                    V p1 = Simd.Exp<S, V>(S.Sub(S.Load(next), shift)), q1 = Simd.Exp<S, V>(S.Sub(S.Load(next + apart), otherShift));
                    S.Store(S.PairBf16(p1, q1), probabilities + c + l + Bf16Pack.Lanes);
                    p1 = S.Mul(p1, S.Sub(S.Load(nextD), mean));
                    q1 = S.Mul(q1, S.Sub(S.Load(nextD + apart), otherMean));
                    S.Store(S.PairBf16(p1, q1), gradients + c + l + Bf16Pack.Lanes);

                    S.Store(S.PairBf16(p0, p1), row + l);
                    S.Store(S.PairBf16(q0, q1), otherRow + l);
                    S.Store(p0, di);
                    S.Store(p1, nextD);
                    S.Store(q0, di + apart);
                    S.Store(q1, nextD + apart);
                }
            }

            s += j % Bf16Pack.Block == Bf16Pack.Block - 1 ? Tile + apart : Tile;
            d += j % Bf16Pack.Block == Bf16Pack.Block - 1 ? Tile + apart : Tile;
            probabilities += Tile;
            gradients += Tile;
        }
    }
}
