using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>One head's inputs from a chunk's first token on, and their sizes.</summary>
internal struct DeltaRuleHead
{
    public Strided Q, K, V, Beta, Decay; // Decay none for no decay
    public int KeyWidth, ValueWidth;
    public float Scale;

    public readonly DeltaRuleHead From(long t) =>
        this with { Q = Q.From(t), K = K.From(t), V = V.From(t), Beta = Beta.From(t), Decay = Decay.From(t) };
}

/// <summary>
/// The gated delta rule on one head (Yang et al., arXiv 2412.06464; without decay arXiv 2406.06484).
/// <para>
/// With y_t = v_t - e^a_t S_{t-1}^T k_t, the error of what the state recalls, and u_t = beta_t y_t, what is written, the rule is
/// S_t = e^a_t S_{t-1} + k_t u_t^T. In a chunk that starts from S_0, with g_i = e^(a_0 + .. + a_i) and D_ij = e^(a_{j+1} + .. + a_i)
/// for j &lt;= i, this unrolls to Y = V - diag(g) K S_0 + L U, where L_ij = -D_ij k_i^T k_j for j &lt; i: a unit triangular system
/// (I - L diag(beta)) Y = V - diag(g) K S_0 for all errors of the chunk, the WY (or UT) form. It is solved by forward substitution
/// with the right side that S_0 gives: less work than the papers' two products with the inverse, (..)^-1 V and (..)^-1 K, whose
/// independence of S_0 only a machine that runs all chunks at once can use. Then
/// O = diag(scale g) Q S_0 + P U with P = scale D o Q K^T, and S_c = g_c S_0 + (diag(D_c) K)^T U.
/// </para>
/// <para>
/// The decays come in through D and g only: running products, so nothing overflows or cancels. A decay per key channel would scale
/// K and Q by channel where these scale by token.
/// </para>
/// </summary>
internal static unsafe partial class DeltaRuleKernel
{
    private const int Block = Ops.DeltaRuleBlock;

    // Rows solved by substitution between products that subtract all earlier rows.
    private const int SolveBlock = 8;

    /// <summary>The floats of scratch that <see cref="Chunk"/> needs for c tokens.</summary>
    public static long Scratch(int c, int dk, int dv) => WithinScratch(c) + Rounded(c * dk) + (2 * Rounded(c * dv));

    private static long WithinScratch(int c) => Rounded(3 * c) + (3 * Rounded(c * c));

    private static int Rounded(int floats) => (floats + 15) / 16 * 16;

    /// <summary>What one chunk's tokens do to each other.</summary>
    private ref struct Within
    {
        public float* Beta, G; // [c]: write strengths; decays from before the chunk to each token
        public float* D;       // [c,c]: decays between tokens, zero above the diagonal
        public float* L;       // [c,c]: -D o K K^T, zero on and above the diagonal
        public float* P;       // [c,c]: scale D o Q K^T, zero above the diagonal

        /// <summary>The decays from each token to the chunk's end.</summary>
        public readonly float* Last(int c) => D + ((c - 1) * c);
    }

    /// <summary>
    /// Runs a chunk of c tokens: <paramref name="s"/> [dk,dv] is updated in place, outputs go to the rows of <paramref name="o"/>, and the
    /// errors y [c,dv] to <paramref name="y"/> unless null.
    /// </summary>
    public static void Chunk<S, V>(in DeltaRuleHead h, int c, float* s, Strided o, float* y, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth;
        Within w = Relate<S, V>(h, c, ref scratch);
        float* x = Take(ref scratch, c * dk), u = Take(ref scratch, c * dv);
        y = y != null ? y : Take(ref scratch, c * dv);

        // Y = V - diag(g) K S_0 + L U.
        for (int i = 0; i < c; i++)
        {
            Scale<S, V>(dk, -w.G[i], h.K[i], x + (i * dk));
        }

        Simd.Copy(c, dv, h.V.At, (nint)h.V.Stride, y, dv);
        SmallGemm.NN(c, dv, dk, x, dk, s, dv, y, dv, 1);
        Solve<S, V>(c, dv, w.L, w.Beta, y, u);

        // O = diag(scale g) Q S_0 + P U.
        for (int i = 0; i < c; i++)
        {
            Scale<S, V>(dk, h.Scale * w.G[i], h.Q[i], x + (i * dk));
        }

        SmallGemm.NN(c, dv, dk, x, dk, s, dv, o.At, (nint)o.Stride, 0);
        LowerTimes(c, dv, w.P, u, dv, o.At, (nint)o.Stride);

        // S_c = g_c S_0 + (diag(D_c) K)^T U.
        for (int i = 0; i < c; i++)
        {
            Scale<S, V>(dk, w.Last(c)[i], h.K[i], x + (i * dk));
        }

        if (!h.Decay.IsNone)
        {
            Scale<S, V>(dk * dv, w.G[c - 1], s, s);
        }

        SmallGemm.TN(dk, dv, c, x, dk, u, dv, s, dv, 1);
    }

    /// <summary>
    /// Runs one token, the definition itself: reads S^T k, then in one more pass, in cache, adds the write and reads S^T q.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Step<S, V>(in DeltaRuleHead h, float* s, float* o, float* y)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth;
        float* q = h.Q.At, k = h.K.At, v = h.V.At;
        float decay = h.Decay.IsNone ? 1 : Simd.Exp(*h.Decay.At);
        V e = S.Create(decay), beta = S.Create(*h.Beta.At), scale = S.Create(h.Scale), drop = S.Create(-decay);
        int strip = 4 * S.Count, j = 0;
        for (; j <= dv - strip; j += strip)
        {
            V y0 = S.Zero, y1 = S.Zero, y2 = S.Zero, y3 = S.Zero;
            float* row = s + j;
            for (int i = 0; i < dk; i++, row += dv)
            {
                V ki = S.Create(k[i]);
                y0 = S.Fma(ki, S.Load(row), y0);
                y1 = S.Fma(ki, S.Load(row + S.Count), y1);
                y2 = S.Fma(ki, S.Load(row + (2 * S.Count)), y2);
                y3 = S.Fma(ki, S.Load(row + (3 * S.Count)), y3);
            }

            y0 = S.Fma(drop, y0, S.Load(v + j));
            y1 = S.Fma(drop, y1, S.Load(v + j + S.Count));
            y2 = S.Fma(drop, y2, S.Load(v + j + (2 * S.Count)));
            y3 = S.Fma(drop, y3, S.Load(v + j + (3 * S.Count)));
            if (y != null)
            {
                S.Store(y0, y + j);
                S.Store(y1, y + j + S.Count);
                S.Store(y2, y + j + (2 * S.Count));
                S.Store(y3, y + j + (3 * S.Count));
            }

            V u0 = S.Mul(beta, y0), u1 = S.Mul(beta, y1), u2 = S.Mul(beta, y2), u3 = S.Mul(beta, y3);
            V o0 = S.Zero, o1 = S.Zero, o2 = S.Zero, o3 = S.Zero;
            row = s + j;
            for (int i = 0; i < dk; i++, row += dv)
            {
                V ki = S.Create(k[i]), qi = S.Create(q[i]);
                V s0 = S.Fma(ki, u0, S.Mul(e, S.Load(row)));
                V s1 = S.Fma(ki, u1, S.Mul(e, S.Load(row + S.Count)));
                V s2 = S.Fma(ki, u2, S.Mul(e, S.Load(row + (2 * S.Count))));
                V s3 = S.Fma(ki, u3, S.Mul(e, S.Load(row + (3 * S.Count))));
                S.Store(s0, row);
                S.Store(s1, row + S.Count);
                S.Store(s2, row + (2 * S.Count));
                S.Store(s3, row + (3 * S.Count));
                o0 = S.Fma(qi, s0, o0);
                o1 = S.Fma(qi, s1, o1);
                o2 = S.Fma(qi, s2, o2);
                o3 = S.Fma(qi, s3, o3);
            }

            S.Store(S.Mul(scale, o0), o + j);
            S.Store(S.Mul(scale, o1), o + j + S.Count);
            S.Store(S.Mul(scale, o2), o + j + (2 * S.Count));
            S.Store(S.Mul(scale, o3), o + j + (3 * S.Count));
        }

        for (; j < dv; j += S.Count)
        {
            int n = Math.Min(S.Count, dv - j);
            V error = S.Zero, sum = S.Zero;
            for (int i = 0; i < dk; i++)
            {
                error = S.Fma(S.Create(k[i]), S.LoadPartial(s + (i * dv) + j, n), error);
            }

            error = S.Fma(drop, error, S.LoadPartial(v + j, n));
            if (y != null)
            {
                S.StorePartial(error, y + j, n);
            }

            V write = S.Mul(beta, error);
            for (int i = 0; i < dk; i++)
            {
                float* row = s + (i * dv) + j;
                V x = S.Fma(S.Create(k[i]), write, S.Mul(e, S.LoadPartial(row, n)));
                S.StorePartial(x, row, n);
                sum = S.Fma(S.Create(q[i]), x, sum);
            }

            S.StorePartial(S.Mul(scale, sum), o + j, n);
        }
    }

    /// <summary>Computes what a chunk's tokens do to each other, into memory taken from <paramref name="scratch"/>.</summary>
    private static Within Relate<S, V>(in DeltaRuleHead h, int c, ref float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth;
        float* small = Take(ref scratch, 3 * c), e = small + (2 * c);
        var w = new Within { Beta = small, G = small + c, D = Take(ref scratch, c * c), L = Take(ref scratch, c * c), P = Take(ref scratch, c * c) };
        float g = 1;
        for (int i = 0; i < c; i++)
        {
            w.Beta[i] = *h.Beta[i];
            e[i] = h.Decay.IsNone ? 1 : Simd.Exp(*h.Decay[i]);
            w.G[i] = g *= e[i];
        }

        // Row i of D is row i-1 times e^a_i, and 1 on the diagonal.
        Simd.Fill(w.D, c * c, 0);
        for (int i = 0; i < c; i++)
        {
            float* row = w.D + (i * c);
            if (i > 0)
            {
                Scale<S, V>(i, e[i], row - c, row);
            }

            row[i] = 1;
        }

        float* transposed = scratch; // K^T [dk,c], wanted for these two products only
        SmallGemm.Transpose(c, dk, h.K.At, (nint)h.K.Stride, transposed, c);
        for (int i = 0; i < c; i += Block)
        {
            int rows = Math.Min(Block, c - i);
            SmallGemm.NN(rows, i + rows, dk, h.K[i], (nint)h.K.Stride, transposed, c, w.L + (i * c), c, 0);
            SmallGemm.NN(rows, i + rows, dk, h.Q[i], (nint)h.Q.Stride, transposed, c, w.P + (i * c), c, 0);
        }

        for (int i = 0; i < c; i++)
        {
            float* d = w.D + (i * c);
            int computed = Math.Min(c, (i / Block * Block) + Block);
            Multiply<S, V>(computed, -1, d, w.L + (i * c));
            Multiply<S, V>(computed, h.Scale, d, w.P + (i * c));
            w.L[(i * c) + i] = 0;
        }

        return w;
    }

    /// <summary>Y += L U with U = diag(beta) Y, row after row: Y, U [c,n]; Y holds the right side on entry. Without beta (null) u is y.</summary>
    public static void Solve<S, V>(int c, int n, float* lower, float* beta, float* y, float* u) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < c; i += SolveBlock)
        {
            int rows = Math.Min(SolveBlock, c - i);
            if (i > 0)
            {
                SmallGemm.NN(rows, n, i, lower + (i * c), c, u, n, y + (i * n), n, 1);
            }

            for (int r = i; r < i + rows; r++)
            {
                for (int j = i; j < r; j++)
                {
                    Simd.Axpy(n, lower[(r * c) + j], u + (j * n), y + (r * n));
                }

                if (beta != null)
                {
                    Scale<S, V>(n, beta[r], y + (r * n), u + (r * n));
                }
            }
        }
    }

    /// <summary>y += X x with X [c,c] zero above the diagonal and x [c,n].</summary>
    public static void LowerTimes(int c, int n, float* lower, float* x, nint ldx, float* y, nint ldy)
    {
        for (int i = 0; i < c; i += Block)
        {
            SmallGemm.NN(Math.Min(Block, c - i), n, Math.Min(c, i + Block), lower + (i * c), c, x, ldx, y + (i * ldy), ldy, 1);
        }
    }

    private static float* Take(ref float* scratch, int floats)
    {
        float* taken = scratch;
        scratch += Rounded(floats);
        return taken;
    }

    /// <summary>y = alpha x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale<S, V>(int n, float alpha, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        int i = 0;
        for (; i <= n - S.Count; i += S.Count)
        {
            S.Store(S.Mul(a, S.Load(x + i)), y + i);
        }

        if (i < n)
        {
            S.StorePartial(S.Mul(a, S.LoadPartial(x + i, n - i)), y + i, n - i);
        }
    }

    /// <summary>y = alpha x y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply<S, V>(int n, float alpha, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        int i = 0;
        for (; i <= n - S.Count; i += S.Count)
        {
            S.Store(S.Mul(S.Mul(a, S.Load(x + i)), S.Load(y + i)), y + i);
        }

        if (i < n)
        {
            S.StorePartial(S.Mul(S.Mul(a, S.LoadPartial(x + i, n - i)), S.LoadPartial(y + i, n - i)), y + i, n - i);
        }
    }
}
