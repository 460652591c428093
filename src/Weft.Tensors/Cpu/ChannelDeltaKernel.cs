using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>One head's inputs from a chunk's first token on, and their sizes: Beta, or A and B, the others none.</summary>
internal struct ChannelDeltaHead
{
    public Strided Q, K, V, Decay, Beta, A, B;
    public int KeyWidth, ValueWidth;
    public float Scale;

    public readonly bool LowRank => Beta.IsNone;

    public readonly ChannelDeltaHead From(long t) => this with
    {
        Q = Q.From(t),
        K = K.From(t),
        V = V.From(t),
        Decay = Decay.From(t),
        Beta = Beta.From(t),
        A = A.From(t),
        B = B.From(t),
    };
}

/// <summary>
/// The delta rule with a decay per key channel, on one head. With G_i = g_0 + .. + g_i in a chunk that starts from S_0, E_i = e^G_i, and
/// scores &lt;x, y&gt;_ij = sum over channels of x_i y_j e^(G_i - G_j) (<see cref="DecayedScores"/>):
/// <para>
/// the delta rule proper (Kimi delta attention, arXiv 2510.26692, section 3.1), with the errors y_t = v_t - (e^g_t k_t)^T S_{t-1} and
/// u_t = beta_t y_t: Y = V - (E o K) S_0 - &lt;k, k&gt; U below the diagonal, a unit triangular system as <see cref="DeltaRuleKernel"/>'s;
/// O = scale ((E o Q) S_0 + &lt;q, k&gt; U); S_c = diag(E_c) S_0 + (K o e^(G_c - G))^T U.
/// </para>
/// <para>
/// Vectors of their own (RWKV-7, arXiv 2503.14456), with what is recalled, p_t = a_t^T S_{t-1}, and &lt;a, .&gt;' the scores up to the
/// state before a token: P = (E' o A) S_0 + &lt;a, b&gt;' P + &lt;a, k&gt;' V, the system; O = scale ((E o Q) S_0 + &lt;q, b&gt; P + &lt;q, k&gt; V);
/// S_c = diag(E_c) S_0 + (B o e^(G_c - G))^T P + (K o e^(G_c - G))^T V.
/// </para>
/// </summary>
internal static unsafe partial class ChannelDeltaKernel
{
    /// <summary>The floats of scratch that <see cref="Chunk"/> needs for c tokens.</summary>
    public static long Scratch(int c, int dk, int dv) => WithinScratch(c, dk) + (2L * Rounded(c * dv));

    private static long WithinScratch(int c, int dk)
    {
        int ld = DecayedScores.Padded(dk);
        return Rounded(c) + ld + (7L * Rounded(c * ld)) + (4L * Rounded(c * c)) + DecayedScores.Scratch(c, ld);
    }

    private static int Rounded(int floats) => (floats + 15) / 16 * 16;

    private static float* Take(ref float* scratch, int floats)
    {
        float* taken = scratch;
        scratch += Rounded(floats);
        return taken;
    }

    /// <summary>A chunk's inputs in padded rows [c,ld], and what its tokens do to each other [c,c].</summary>
    private ref struct Within
    {
        public float* Q, K, A, B, G; // A, B: only of the low-rank form
        public float* Beta;          // [c]; null in the low-rank form
        public float* L;             // the system's matrix below the diagonal: -<k, k>, or <a, b>'
        public float* P;             // scale <q, k>
        public float* Ak, Qb;        // <a, k>', scale <q, b>: only of the low-rank form
        public float* F, X;          // [c,ld], scratch: factors, and rows scaled by them
        public float* Whole;         // [ld], the whole chunk's decay: written by DecayedScores.ToEnd
        public float* Scores;        // the scores' scratch
    }

    private static Within Relate<S, V>(in ChannelDeltaHead h, int c, ref float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, ld = DecayedScores.Padded(dk), rows = c * ld;
        var w = new Within
        {
            Q = Take(ref scratch, rows),
            K = Take(ref scratch, rows),
            G = Take(ref scratch, rows),
            F = Take(ref scratch, rows),
            X = Take(ref scratch, rows),
            L = Take(ref scratch, c * c),
            P = Take(ref scratch, c * c),
            Whole = Take(ref scratch, ld),
        };
        DecayedScores.Load(c, dk, h.Q, w.Q);
        DecayedScores.Load(c, dk, h.K, w.K);
        DecayedScores.Load(c, dk, h.Decay, w.G);
        if (h.LowRank)
        {
            w.A = Take(ref scratch, rows);
            w.B = Take(ref scratch, rows);
            w.Ak = Take(ref scratch, c * c);
            w.Qb = Take(ref scratch, c * c);
            DecayedScores.Load(c, dk, h.A, w.A);
            DecayedScores.Load(c, dk, h.B, w.B);
        }
        else
        {
            w.Beta = Take(ref scratch, c);
            for (int i = 0; i < c; i++)
            {
                w.Beta[i] = *h.Beta[i];
            }
        }

        w.Scores = scratch;
        scratch += DecayedScores.Scratch(c, ld);
        DecayedScores.Scores<S, V>(c, ld, 0, h.Scale, w.G, w.Q, w.K, w.P, c, w.Scores);
        if (h.LowRank)
        {
            DecayedScores.Scores<S, V>(c, ld, 0, h.Scale, w.G, w.Q, w.B, w.Qb, c, w.Scores);
            DecayedScores.Scores<S, V>(c, ld, 1, 1, w.G, w.A, w.B, w.L, c, w.Scores);
            DecayedScores.Scores<S, V>(c, ld, 1, 1, w.G, w.A, w.K, w.Ak, c, w.Scores);
        }
        else
        {
            DecayedScores.Scores<S, V>(c, ld, 0, -1, w.G, w.K, w.K, w.L, c, w.Scores);
            ClearDiagonal(c, w.L);
        }

        return w;
    }

    /// <summary>
    /// Runs a chunk of c tokens: <paramref name="s"/> [dk,dv] is updated in place, outputs go to the rows of <paramref name="o"/>, and what
    /// tokens recalled [c,dv] to <paramref name="y"/> unless null: errors, or a^T S.
    /// </summary>
    public static void Chunk<S, V>(in ChannelDeltaHead h, int c, float* s, Strided o, float* y, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth, ld = DecayedScores.Padded(dk);
        Within w = Relate<S, V>(h, c, ref scratch);
        float* u = Take(ref scratch, c * dv);
        y = y != null ? y : Take(ref scratch, c * dv);
        float* v = h.V.At;
        nint ldv = (nint)h.V.Stride;

        // The system, and what is written: U of k, or P of b and V of k.
        FromStart<S, V>(w, c, ld, h.LowRank ? 1 : 0, h.LowRank ? 1 : -1, h.LowRank ? w.A : w.K);
        if (h.LowRank)
        {
            SmallGemm.NN(c, dv, dk, w.X, ld, s, dv, y, dv, 0);
            DeltaRuleKernel.LowerTimes(c, dv, w.Ak, v, ldv, y, dv);
            DeltaRuleKernel.Solve<S, V>(c, dv, w.L, null, y, y);
        }
        else
        {
            Simd.Copy(c, dv, v, ldv, y, dv);
            SmallGemm.NN(c, dv, dk, w.X, ld, s, dv, y, dv, 1);
            DeltaRuleKernel.Solve<S, V>(c, dv, w.L, w.Beta, y, u);
        }

        FromStart<S, V>(w, c, ld, 0, h.Scale, w.Q);
        SmallGemm.NN(c, dv, dk, w.X, ld, s, dv, o.At, (nint)o.Stride, 0);
        if (h.LowRank)
        {
            DeltaRuleKernel.LowerTimes(c, dv, w.Qb, y, dv, o.At, (nint)o.Stride);
            DeltaRuleKernel.LowerTimes(c, dv, w.P, v, ldv, o.At, (nint)o.Stride);
        }
        else
        {
            DeltaRuleKernel.LowerTimes(c, dv, w.P, u, dv, o.At, (nint)o.Stride);
        }

        DecayedScores.ToEnd<S, V>(c, ld, w.G, w.F, w.Whole);
        ScaleRows<S, V>(dk, dv, w.Whole, s);
        Scaled<S, V>(w, c, ld, w.K);
        if (h.LowRank)
        {
            SmallGemm.TN(dk, dv, c, w.X, ld, v, ldv, s, dv, 1);
            Scaled<S, V>(w, c, ld, w.B);
            SmallGemm.TN(dk, dv, c, w.X, ld, y, dv, s, dv, 1);
        }
        else
        {
            SmallGemm.TN(dk, dv, c, w.X, ld, u, dv, s, dv, 1);
        }
    }

    /// <summary>
    /// Runs one token, the definition itself, on a and b that the delta rule proper makes of k: reads a^T S, then in one more pass, in
    /// cache, decays, writes and reads S^T q. <paramref name="scratch"/> holds 4 dk floats.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Step<S, V>(in ChannelDeltaHead h, float* s, float* o, float* y, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth;
        float* q = h.Q.At, k = h.K.At, v = h.V.At, e = scratch;
        float* a = h.LowRank ? h.A.At : e + dk, b = h.LowRank ? h.B.At : e + (2 * dk);
        for (int i = 0; i < dk; i++)
        {
            e[i] = Simd.Exp(h.Decay.At[i]);
            if (!h.LowRank)
            {
                float write = *h.Beta.At * k[i];
                (a[i], b[i], e[(3 * dk) + i]) = (e[i] * k[i], -write, write);
            }
        }

        k = h.LowRank ? k : e + (3 * dk);
        V scale = S.Create(h.Scale);
        int j = 0;
        for (; j <= dv - (2 * S.Count); j += 2 * S.Count)
        {
            V p0 = S.Zero, p1 = S.Zero, o0 = S.Zero, o1 = S.Zero, v0 = S.Load(v + j), v1 = S.Load(v + j + S.Count);
            float* row = s + j;
            for (int i = 0; i < dk; i++, row += dv)
            {
                V ai = S.Create(a[i]);
                p0 = S.Fma(ai, S.Load(row), p0);
                p1 = S.Fma(ai, S.Load(row + S.Count), p1);
            }

            row = s + j;
            for (int i = 0; i < dk; i++, row += dv)
            {
                V ei = S.Create(e[i]), bi = S.Create(b[i]), ki = S.Create(k[i]), qi = S.Create(q[i]);
                V s0 = S.Fma(ki, v0, S.Fma(bi, p0, S.Mul(ei, S.Load(row))));
                V s1 = S.Fma(ki, v1, S.Fma(bi, p1, S.Mul(ei, S.Load(row + S.Count))));
                S.Store(s0, row);
                S.Store(s1, row + S.Count);
                o0 = S.Fma(qi, s0, o0);
                o1 = S.Fma(qi, s1, o1);
            }

            S.Store(S.Mul(scale, o0), o + j);
            S.Store(S.Mul(scale, o1), o + j + S.Count);
            if (y != null)
            {
                S.Store(h.LowRank ? p0 : S.Sub(v0, p0), y + j);
                S.Store(h.LowRank ? p1 : S.Sub(v1, p1), y + j + S.Count);
            }
        }

        for (; j < dv; j += S.Count)
        {
            int n = Math.Min(S.Count, dv - j);
            V p = S.Zero, sum = S.Zero, value = S.LoadPartial(v + j, n);
            for (int i = 0; i < dk; i++)
            {
                p = S.Fma(S.Create(a[i]), S.LoadPartial(s + (i * dv) + j, n), p);
            }

            for (int i = 0; i < dk; i++)
            {
                float* row = s + (i * dv) + j;
                V x = S.Fma(S.Create(k[i]), value, S.Fma(S.Create(b[i]), p, S.Mul(S.Create(e[i]), S.LoadPartial(row, n))));
                S.StorePartial(x, row, n);
                sum = S.Fma(S.Create(q[i]), x, sum);
            }

            S.StorePartial(S.Mul(scale, sum), o + j, n);
            if (y != null)
            {
                S.StorePartial(h.LowRank ? p : S.Sub(value, p), y + j, n);
            }
        }
    }

    /// <summary>F = e^(G - lag's), X = alpha F o x: rows as they meet the state before the chunk.</summary>
    private static void FromStart<S, V>(in Within w, int c, int ld, int lag, float alpha, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        DecayedScores.FromStart<S, V>(c, ld, lag, w.G, w.F);
        DecayedScores.Multiply<S, V>((long)c * ld, alpha, w.F, x, w.X);
    }

    /// <summary>X = F o x.</summary>
    private static void Scaled<S, V>(in Within w, int c, int ld, float* x) where S : struct, ISimd<V> where V : unmanaged =>
        DecayedScores.Multiply<S, V>((long)c * ld, 1, w.F, x, w.X);

    /// <summary>x[i] *= factors_i for rows of n floats.</summary>
    private static void ScaleRows<S, V>(int rows, int n, float* factors, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++)
        {
            Simd.Scale(n, factors[i], x + ((long)i * n));
        }
    }

    private static void ClearDiagonal(int c, float* x)
    {
        for (int i = 0; i < c; i++)
        {
            x[(i * c) + i] = 0;
        }
    }
}
