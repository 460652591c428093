using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Products of small row-major matrices that lie in the near caches, on the calling thread and without packing: the steps inside fused kernels.
/// C[m, n] = alpha * op(A) op(B) + beta * C with beta 0 (C is not read) or 1; ld = distance of rows in floats. Any of m, n, k may be 0.
/// Nothing outside the given rows is read or written. C must not overlap A or B.
/// </summary>
internal static unsafe class SmallGemm
{
    // Rows of A that stay addressable by pointers in general registers.
    private const int RowsByRows = 8;

    // Below this many rows of A, transposing B costs more than summing across vectors.
    internal const int DotRows = 4;

    /// <summary>64 zeros: what a product without beta starts from.</summary>
    internal static readonly float* Zeros = (float*)NativeMemory.AllocZeroed(64, sizeof(float));

    /// <summary>A[m, k] B[k, n].</summary>
    public static void NN(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha = 1)
    {
        if (Isa.Vector512) Product<Simd512, Vector512<float>, ByRows>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, RowsByRows);
        else if (Isa.Vector256) Product<Simd256, Vector256<float>, ByRows>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, 6);
        else Product<Simd128, Vector128<float>, ByRows>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, 6);
    }

    /// <summary>A[k, m]^T B[k, n].</summary>
    public static void TN(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha = 1)
    {
        if (Isa.Vector512) Product<Simd512, Vector512<float>, ByColumns>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, GemmKernel.MaxRows);
        else if (Isa.Vector256) Product<Simd256, Vector256<float>, ByColumns>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, 6);
        else Product<Simd128, Vector128<float>, ByColumns>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha, 6);
    }

    /// <summary>A[m, k] B[n, k]^T. <paramref name="scratch"/> holds n * k floats; it is not used (and may be null) for m &lt;= 4.</summary>
    public static void NT(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float* scratch, float alpha = 1)
    {
        if (m <= DotRows)
        {
            Dots(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha);
            return;
        }
        SimdTranspose.Run(n, k, b, ldb, scratch, n);
        NN(m, n, k, a, lda, scratch, n, c, ldc, beta, alpha);
    }

    /// <summary>target[j * ldt + i] = source[i * lds + j] for i &lt; rows, j &lt; cols.</summary>
    public static void Transpose(int rows, int cols, float* source, nint lds, float* target, nint ldt) =>
        SimdTranspose.Run(rows, cols, source, lds, target, ldt);

    /// <summary>A[m, k] B[n, k]^T as dot products along the rows: best where A or B has few rows, since it reads both once and moves nothing.</summary>
    internal static void Dots(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha = 1)
    {
        if (Isa.Vector512) Dots<Simd512, Vector512<float>>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha);
        else if (Isa.Vector256) Dots<Simd256, Vector256<float>>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha);
        else Dots<Simd128, Vector128<float>>(m, n, k, a, lda, b, ldb, c, ldc, beta, alpha);
    }

    /// <summary>
    /// One column panel (cols &lt;= 2 vectors) by one row panel (rows &lt;= 14): C = alpha * A B + init, in as many kernel calls as the columns need.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Panel<S, V, L>(int rows, int cols, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float* init, nint ldinit, float alpha)
        where S : struct, ISimd<V> where V : unmanaged where L : struct, ILayout
    {
        if (cols == 2 * S.Count)
        {
            GemmKernel.Run<S, V, L, TwoVectors>(rows, k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols);
            return;
        }
        int done = 0;
        if (cols >= S.Count)
        {
            GemmKernel.Run<S, V, L, OneVector>(rows, k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols);
            done = S.Count;
        }
        if (cols > done)
            GemmKernel.Run<S, V, L, PartVector>(rows, k, a, lda, b + done, ldb, c + done, ldc, init + done, ldinit, alpha, cols - done);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Product<S, V, L>(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha, int maxRows)
        where S : struct, ISimd<V> where V : unmanaged where L : struct, ILayout
    {
        Debug.Assert(beta is 0 or 1);
        int panels = (m + maxRows - 1) / maxRows;
        for (int j = 0; j < n; j += 2 * S.Count)
        {
            int cols = Math.Min(2 * S.Count, n - j);
            for (int p = 0; p < panels; p++)
            {
                // Panels of nearly equal height: no short last one.
                int i = (int)((long)m * p / panels), rows = (int)((long)m * (p + 1) / panels) - i;
                float* ci = c + i * ldc + j;
                float* ai = a + (L.ByColumns ? i : i * lda);
                Panel<S, V, L>(rows, cols, k, ai, lda, b + j, ldb, ci, ldc, beta == 0 ? Zeros : ci, beta == 0 ? 0 : ldc, alpha);
            }
        }
    }

    private static void Dots<S, V>(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int groups = (m + 3) / 4;
        for (int j = 0; j < n; j += 4)
        {
            int cols = Math.Min(4, n - j);
            for (int g = 0; g < groups; g++)
            {
                // Groups of nearly equal height. While B comes from memory for the first, the machine's own prefetching stops at each change
                // of rows: so each group asks for its share of the next rows of B.
                int i = (int)((long)m * g / groups), rows = (int)((long)m * (g + 1) / groups) - i;
                int share = 4 * g / groups, asked = groups == 1 || j + 8 > n ? 0 : (4 * (g + 1) / groups) - share;
                float* ai = a + i * lda;
                float* bj = b + j * ldb;
                float* ci = c + i * ldc + j;
                float* next = bj + (4 + share) * ldb;
                switch (rows)
                {
                    case 1: DotBlock<S, V, Rows1>(cols, k, ai, lda, bj, ldb, ci, ldc, beta, alpha, next, asked); break;
                    case 2: DotBlock<S, V, Rows2>(cols, k, ai, lda, bj, ldb, ci, ldc, beta, alpha, next, asked); break;
                    case 3: DotBlock<S, V, Rows3>(cols, k, ai, lda, bj, ldb, ci, ldc, beta, alpha, next, asked); break;
                    case 4: DotBlock<S, V, Rows4>(cols, k, ai, lda, bj, ldb, ci, ldc, beta, alpha, next, asked); break;
                }
            }
        }
    }

    /// <summary>
    /// R rows of A by up to 4 rows of B (a missing one repeats the last, and its sums are dropped), one vector sum an element. Asks for up to
    /// two rows of B that are wanted next.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DotBlock<S, V, R>(int cols, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float beta, float alpha,
        float* next, int asked)
        where S : struct, ISimd<V> where V : unmanaged where R : struct, IRows
    {
        float* b1 = b + Math.Min(1, cols - 1) * ldb;
        float* b2 = b + Math.Min(2, cols - 1) * ldb;
        float* b3 = b + Math.Min(3, cols - 1) * ldb;
        float* a1 = a + lda;
        float* a2 = a + 2 * lda;
        float* a3 = a + 3 * lda;
        V s00 = S.Zero, s01 = S.Zero, s02 = S.Zero, s03 = S.Zero;
        V s10 = S.Zero, s11 = S.Zero, s12 = S.Zero, s13 = S.Zero;
        V s20 = S.Zero, s21 = S.Zero, s22 = S.Zero, s23 = S.Zero;
        V s30 = S.Zero, s31 = S.Zero, s32 = S.Zero, s33 = S.Zero;
        nint p = 0;
        for (; p <= k - S.Count; p += S.Count)
        {
            if (asked > 0 && Sse.IsSupported)
            {
                Sse.Prefetch0(next + p);
                if (asked > 1) Sse.Prefetch0(next + ldb + p);
            }
            V y0 = S.Load(b + p), y1 = S.Load(b1 + p), y2 = S.Load(b2 + p), y3 = S.Load(b3 + p);
            V x = S.Load(a + p);
            s00 = S.Fma(x, y0, s00); s01 = S.Fma(x, y1, s01); s02 = S.Fma(x, y2, s02); s03 = S.Fma(x, y3, s03);
            if (R.Count > 1) { x = S.Load(a1 + p); s10 = S.Fma(x, y0, s10); s11 = S.Fma(x, y1, s11); s12 = S.Fma(x, y2, s12); s13 = S.Fma(x, y3, s13); }
            if (R.Count > 2) { x = S.Load(a2 + p); s20 = S.Fma(x, y0, s20); s21 = S.Fma(x, y1, s21); s22 = S.Fma(x, y2, s22); s23 = S.Fma(x, y3, s23); }
            if (R.Count > 3) { x = S.Load(a3 + p); s30 = S.Fma(x, y0, s30); s31 = S.Fma(x, y1, s31); s32 = S.Fma(x, y2, s32); s33 = S.Fma(x, y3, s33); }
        }
        int tail = (int)(k - p);
        if (tail > 0)
        {
            V y0 = S.LoadPartial(b + p, tail), y1 = S.LoadPartial(b1 + p, tail), y2 = S.LoadPartial(b2 + p, tail), y3 = S.LoadPartial(b3 + p, tail);
            V x = S.LoadPartial(a + p, tail);
            s00 = S.Fma(x, y0, s00); s01 = S.Fma(x, y1, s01); s02 = S.Fma(x, y2, s02); s03 = S.Fma(x, y3, s03);
            if (R.Count > 1) { x = S.LoadPartial(a1 + p, tail); s10 = S.Fma(x, y0, s10); s11 = S.Fma(x, y1, s11); s12 = S.Fma(x, y2, s12); s13 = S.Fma(x, y3, s13); }
            if (R.Count > 2) { x = S.LoadPartial(a2 + p, tail); s20 = S.Fma(x, y0, s20); s21 = S.Fma(x, y1, s21); s22 = S.Fma(x, y2, s22); s23 = S.Fma(x, y3, s23); }
            if (R.Count > 3) { x = S.LoadPartial(a3 + p, tail); s30 = S.Fma(x, y0, s30); s31 = S.Fma(x, y1, s31); s32 = S.Fma(x, y2, s32); s33 = S.Fma(x, y3, s33); }
        }
        DotStore<S, V>(cols, s00, s01, s02, s03, c, beta, alpha);
        if (R.Count > 1) DotStore<S, V>(cols, s10, s11, s12, s13, c + ldc, beta, alpha);
        if (R.Count > 2) DotStore<S, V>(cols, s20, s21, s22, s23, c + 2 * ldc, beta, alpha);
        if (R.Count > 3) DotStore<S, V>(cols, s30, s31, s32, s33, c + 3 * ldc, beta, alpha);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void DotStore<S, V>(int cols, V s0, V s1, V s2, V s3, float* c, float beta, float alpha) where S : struct, ISimd<V> where V : unmanaged
    {
        Vector128<float> sums = S.Sums(s0, s1, s2, s3) * alpha;
        if (beta != 0)
            sums += Simd128.LoadPartial(c, cols);
        Simd128.StorePartial(sums, c, cols);
    }
}
