using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>A number known when the kernel is compiled: the rows of its register block.</summary>
internal interface IRows
{
    static abstract int Count { get; }
}

internal readonly struct Rows1 : IRows { public static int Count => 1; }
internal readonly struct Rows2 : IRows { public static int Count => 2; }
internal readonly struct Rows3 : IRows { public static int Count => 3; }
internal readonly struct Rows4 : IRows { public static int Count => 4; }
internal readonly struct Rows5 : IRows { public static int Count => 5; }
internal readonly struct Rows6 : IRows { public static int Count => 6; }
internal readonly struct Rows7 : IRows { public static int Count => 7; }
internal readonly struct Rows8 : IRows { public static int Count => 8; }
internal readonly struct Rows9 : IRows { public static int Count => 9; }
internal readonly struct Rows10 : IRows { public static int Count => 10; }
internal readonly struct Rows11 : IRows { public static int Count => 11; }
internal readonly struct Rows12 : IRows { public static int Count => 12; }
internal readonly struct Rows13 : IRows { public static int Count => 13; }
internal readonly struct Rows14 : IRows { public static int Count => 14; }

/// <summary>How a kernel reads A: element (i, p) at a[p * lda + i] when stored by columns (packed or transposed), else at a[i * lda + p].</summary>
internal interface ILayout
{
    static abstract bool ByColumns { get; }
}

internal readonly struct ByColumns : ILayout { static bool ILayout.ByColumns => true; }

internal readonly struct ByRows : ILayout { static bool ILayout.ByColumns => false; }

/// <summary>Columns of a register block: two vectors, one, or part of one.</summary>
internal interface IColumns
{
    static abstract bool Two { get; }
    static abstract bool Partial { get; }
}

internal readonly struct TwoVectors : IColumns { public static bool Two => true; public static bool Partial => false; }

internal readonly struct OneVector : IColumns { public static bool Two => false; public static bool Partial => false; }

internal readonly struct PartVector : IColumns { public static bool Two => false; public static bool Partial => true; }

/// <summary>
/// The register-blocked kernel under every matrix product: C[R, cols] = alpha * A[R, k] B[k, cols] + init, with all of C's block in registers
/// over the whole of k. init is C itself, a bias (ldinit 0) or zeros (ldinit 0). Every block shape sums an element over p in the same order,
/// so results do not depend on how a matrix is cut into blocks.
/// </summary>
internal static unsafe class GemmKernel
{
    /// <summary>Largest number of rows: 2 * 14 sums, 2 vectors of B and 1 of A fill 31 of 32 registers.</summary>
    public const int MaxRows = 14;

    /// <summary>Runs the kernel compiled for this number of rows (1..14).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<S, V, L, C>(int rows, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float* init, nint ldinit, float alpha, int cols)
        where S : struct, ISimd<V> where V : unmanaged where L : struct, ILayout where C : struct, IColumns
    {
        switch (rows)
        {
            case 1: Block<S, V, L, C, Rows1>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 2: Block<S, V, L, C, Rows2>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 3: Block<S, V, L, C, Rows3>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 4: Block<S, V, L, C, Rows4>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 5: Block<S, V, L, C, Rows5>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 6: Block<S, V, L, C, Rows6>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 7: Block<S, V, L, C, Rows7>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 8: Block<S, V, L, C, Rows8>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 9: Block<S, V, L, C, Rows9>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 10: Block<S, V, L, C, Rows10>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 11: Block<S, V, L, C, Rows11>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 12: Block<S, V, L, C, Rows12>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 13: Block<S, V, L, C, Rows13>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
            case 14: Block<S, V, L, C, Rows14>(k, a, lda, b, ldb, c, ldc, init, ldinit, alpha, cols); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block<S, V, L, C, R>(int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, float* init, nint ldinit, float alpha, int cols)
        where S : struct, ISimd<V> where V : unmanaged where L : struct, ILayout where C : struct, IColumns where R : struct, IRows
    {
        V s0 = S.Zero, t0 = S.Zero;
        V s1 = S.Zero, t1 = S.Zero;
        V s2 = S.Zero, t2 = S.Zero;
        V s3 = S.Zero, t3 = S.Zero;
        V s4 = S.Zero, t4 = S.Zero;
        V s5 = S.Zero, t5 = S.Zero;
        V s6 = S.Zero, t6 = S.Zero;
        V s7 = S.Zero, t7 = S.Zero;
        V s8 = S.Zero, t8 = S.Zero;
        V s9 = S.Zero, t9 = S.Zero;
        V s10 = S.Zero, t10 = S.Zero;
        V s11 = S.Zero, t11 = S.Zero;
        V s12 = S.Zero, t12 = S.Zero;
        V s13 = S.Zero, t13 = S.Zero;
        // Rows of A; with A stored by columns they are constant offsets from one pointer.
        float* a1 = a + 1 * lda;
        float* a2 = a + 2 * lda;
        float* a3 = a + 3 * lda;
        float* a4 = a + 4 * lda;
        float* a5 = a + 5 * lda;
        float* a6 = a + 6 * lda;
        float* a7 = a + 7 * lda;
        float* a8 = a + 8 * lda;
        float* a9 = a + 9 * lda;
        float* a10 = a + 10 * lda;
        float* a11 = a + 11 * lda;
        float* a12 = a + 12 * lda;
        float* a13 = a + 13 * lda;
        for (nint p = 0; p < k; p++)
        {
            V b0 = C.Partial ? S.LoadPartial(b, cols) : S.Load(b);
            V b1 = C.Two ? S.Load(b + S.Count) : S.Zero;
            V x = S.Create(L.ByColumns ? a[0] : a[p]);
            s0 = S.Fma(x, b0, s0);
            if (C.Two) t0 = S.Fma(x, b1, t0);
            if (R.Count > 1) { x = S.Create(L.ByColumns ? a[1] : a1[p]); s1 = S.Fma(x, b0, s1); if (C.Two) t1 = S.Fma(x, b1, t1); }
            if (R.Count > 2) { x = S.Create(L.ByColumns ? a[2] : a2[p]); s2 = S.Fma(x, b0, s2); if (C.Two) t2 = S.Fma(x, b1, t2); }
            if (R.Count > 3) { x = S.Create(L.ByColumns ? a[3] : a3[p]); s3 = S.Fma(x, b0, s3); if (C.Two) t3 = S.Fma(x, b1, t3); }
            if (R.Count > 4) { x = S.Create(L.ByColumns ? a[4] : a4[p]); s4 = S.Fma(x, b0, s4); if (C.Two) t4 = S.Fma(x, b1, t4); }
            if (R.Count > 5) { x = S.Create(L.ByColumns ? a[5] : a5[p]); s5 = S.Fma(x, b0, s5); if (C.Two) t5 = S.Fma(x, b1, t5); }
            if (R.Count > 6) { x = S.Create(L.ByColumns ? a[6] : a6[p]); s6 = S.Fma(x, b0, s6); if (C.Two) t6 = S.Fma(x, b1, t6); }
            if (R.Count > 7) { x = S.Create(L.ByColumns ? a[7] : a7[p]); s7 = S.Fma(x, b0, s7); if (C.Two) t7 = S.Fma(x, b1, t7); }
            if (R.Count > 8) { x = S.Create(L.ByColumns ? a[8] : a8[p]); s8 = S.Fma(x, b0, s8); if (C.Two) t8 = S.Fma(x, b1, t8); }
            if (R.Count > 9) { x = S.Create(L.ByColumns ? a[9] : a9[p]); s9 = S.Fma(x, b0, s9); if (C.Two) t9 = S.Fma(x, b1, t9); }
            if (R.Count > 10) { x = S.Create(L.ByColumns ? a[10] : a10[p]); s10 = S.Fma(x, b0, s10); if (C.Two) t10 = S.Fma(x, b1, t10); }
            if (R.Count > 11) { x = S.Create(L.ByColumns ? a[11] : a11[p]); s11 = S.Fma(x, b0, s11); if (C.Two) t11 = S.Fma(x, b1, t11); }
            if (R.Count > 12) { x = S.Create(L.ByColumns ? a[12] : a12[p]); s12 = S.Fma(x, b0, s12); if (C.Two) t12 = S.Fma(x, b1, t12); }
            if (R.Count > 13) { x = S.Create(L.ByColumns ? a[13] : a13[p]); s13 = S.Fma(x, b0, s13); if (C.Two) t13 = S.Fma(x, b1, t13); }
            b += ldb;
            if (L.ByColumns) a += lda;
        }
        V scale = S.Create(alpha);
        Finish<S, V, C>(s0, t0, scale, c, init, cols);
        if (R.Count > 1) Finish<S, V, C>(s1, t1, scale, c + 1 * ldc, init + 1 * ldinit, cols);
        if (R.Count > 2) Finish<S, V, C>(s2, t2, scale, c + 2 * ldc, init + 2 * ldinit, cols);
        if (R.Count > 3) Finish<S, V, C>(s3, t3, scale, c + 3 * ldc, init + 3 * ldinit, cols);
        if (R.Count > 4) Finish<S, V, C>(s4, t4, scale, c + 4 * ldc, init + 4 * ldinit, cols);
        if (R.Count > 5) Finish<S, V, C>(s5, t5, scale, c + 5 * ldc, init + 5 * ldinit, cols);
        if (R.Count > 6) Finish<S, V, C>(s6, t6, scale, c + 6 * ldc, init + 6 * ldinit, cols);
        if (R.Count > 7) Finish<S, V, C>(s7, t7, scale, c + 7 * ldc, init + 7 * ldinit, cols);
        if (R.Count > 8) Finish<S, V, C>(s8, t8, scale, c + 8 * ldc, init + 8 * ldinit, cols);
        if (R.Count > 9) Finish<S, V, C>(s9, t9, scale, c + 9 * ldc, init + 9 * ldinit, cols);
        if (R.Count > 10) Finish<S, V, C>(s10, t10, scale, c + 10 * ldc, init + 10 * ldinit, cols);
        if (R.Count > 11) Finish<S, V, C>(s11, t11, scale, c + 11 * ldc, init + 11 * ldinit, cols);
        if (R.Count > 12) Finish<S, V, C>(s12, t12, scale, c + 12 * ldc, init + 12 * ldinit, cols);
        if (R.Count > 13) Finish<S, V, C>(s13, t13, scale, c + 13 * ldc, init + 13 * ldinit, cols);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<S, V, C>(V s, V t, V scale, float* c, float* init, int cols) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
    {
        if (C.Partial)
        {
            S.StorePartial(S.Fma(s, scale, S.LoadPartial(init, cols)), c, cols);
            return;
        }
        S.Store(S.Fma(s, scale, S.Load(init)), c);
        if (C.Two)
            S.Store(S.Fma(t, scale, S.Load(init + S.Count)), c + S.Count);
    }
}
