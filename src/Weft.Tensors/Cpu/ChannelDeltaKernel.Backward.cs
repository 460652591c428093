namespace Weft.Tensors.Cpu;

/// <summary>Where one head's gradients go from a chunk's first token on; none where nobody wants one.</summary>
internal struct ChannelDeltaHeadGrads
{
    public Strided Q, K, V, Decay, Beta, A, B;

    public readonly ChannelDeltaHeadGrads From(long t) => new()
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

internal static unsafe partial class ChannelDeltaKernel
{
    /// <summary>The floats of scratch that <see cref="ChunkBackward"/> needs for c tokens.</summary>
    public static long BackwardScratch(int c, int dk, int dv)
    {
        int ld = DecayedScores.Padded(dk);
        return WithinScratch(c, dk) + ld + (6L * Rounded(c * ld)) + (3L * Rounded(c * dv)) + Rounded(c * c) + Rounded(Math.Max(dk, c) * dv);
    }

    /// <summary>A chunk's gradients in the making: of its inputs, in padded rows [c,ld], and memory for the rest.</summary>
    private ref struct Slopes
    {
        public float* Q, K, A, B, G;
        public float* Scores;     // [c,c]: those of one matrix of scores after the other
        public float* T;          // [c,ld]: those of rows scaled by decays
        public float* Transposed; // the second factor of a product with a transpose
        public float* Through;    // [ld]: of the whole chunk's decay
    }

    /// <summary>
    /// Gradients of <see cref="Chunk"/> for the same inputs, given the state <paramref name="s"/> before the chunk, what its tokens
    /// recalled <paramref name="y"/> and the outputs' gradients <paramref name="o"/>. <paramref name="ds"/> [dk,dv] is the gradient of the
    /// state after the chunk on entry, and of the one before it on return.
    /// </summary>
    public static void ChunkBackward<S, V>(in ChannelDeltaHead h, int c, float* s, float* y, Strided o, float* ds, in ChannelDeltaHeadGrads to, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth, ld = DecayedScores.Padded(dk), rows = c * ld;
        Within w = Relate<S, V>(h, c, ref scratch);
        var d = new Slopes
        {
            Q = Take(ref scratch, rows),
            K = Take(ref scratch, rows),
            A = Take(ref scratch, rows),
            B = Take(ref scratch, rows),
            G = Take(ref scratch, rows),
            T = Take(ref scratch, rows),
            Through = Take(ref scratch, ld),
            Scores = Take(ref scratch, c * c),
        };
        float* du = Take(ref scratch, c * dv), dy = Take(ref scratch, c * dv), u = Take(ref scratch, c * dv);
        d.Transposed = scratch;
        Simd.Fill(d.Q, 6 * Rounded(rows), 0); // Q, K, A, B, G and T, one after the other

        DecayedScores.ToEnd<S, V>(c, ld, w.G, w.F, w.Whole);
        Simd.Fill(d.Through, ld, 0);
        for (int i = 0; i < dk; i++)
        {
            d.Through[i] = w.Whole[i] * Simd.Dot(dv, s + ((long)i * dv), ds + ((long)i * dv));
        }

        if (h.LowRank)
        {
            LowRankBackward<S, V>(h, c, w, d, s, y, o, ds, to.V, du, dy);
        }
        else
        {
            ProperBackward<S, V>(h, c, w, d, s, y, o, ds, to.V, to.Beta, du, dy, u);
        }

        DecayedScores.Store(c, dk, d.Q, to.Q);
        DecayedScores.Store(c, dk, d.K, to.K);
        DecayedScores.Store(c, dk, d.A, to.A);
        DecayedScores.Store(c, dk, d.B, to.B);
        DecayedScores.Store(c, dk, d.G, to.Decay);
    }

    /// <summary>The delta rule proper: <paramref name="y"/> are errors. On entry w.F leads to the chunk's end.</summary>
    private static void ProperBackward<S, V>(in ChannelDeltaHead h, int c, in Within w, in Slopes d, float* s, float* y, Strided o, float* ds,
        Strided toV, Strided toBeta, float* du, float* dy, float* u) where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth, ld = DecayedScores.Padded(dk);

        // dU = (K o e^(G_c - G)) dS + P^T dO + L^T dY, where dY = diag(beta) dU: rows from the last to the first. Then dV = dY.
        Scaled<S, V>(w, c, ld, w.K);
        SmallGemm.NN(c, dv, dk, w.X, ld, ds, dv, du, dv, 0);
        DeltaRuleKernel.LowerTransposedTimes(c, dv, w.P, o.At, (nint)o.Stride, du);
        DeltaRuleKernel.SolveTransposed<S, V>(c, dv, w.L, w.Beta, du, dy);
        DeltaRuleKernel.Put(c, dv, dy, toV);
        for (int i = 0; i < c; i++)
        {
            Simd.Copy(1, dv, y + (i * dv), dv, u + (i * dv), dv);
            Simd.Scale(dv, w.Beta[i], u + (i * dv));
            if (!toBeta.IsNone)
            {
                *toBeta[i] = Simd.Dot(dv, du + (i * dv), y + (i * dv)) + (toBeta.Add ? *toBeta[i] : 0);
            }
        }

        SmallGemm.Transpose(dk, dv, ds, dv, d.Transposed, dk);
        ToState<S, V>(h, c, w, d, u, dv, w.K, d.Through, d.K);
        SmallGemm.Transpose(c, dv, u, dv, d.Transposed, c);
        ScoreGradients<S, V>(h, c, 0, h.Scale, w, d, o, w.Q, w.K, d.Q, d.K, diagonal: true);
        ScoreGradients<S, V>(h, c, 0, -1, w, d, new Strided(dy, dv), w.K, w.K, d.K, d.K, diagonal: false);

        // dS_0 = diag(E_c) dS + scale (E o Q)^T dO - (E o K)^T dY.
        SmallGemm.Transpose(dk, dv, s, dv, d.Transposed, dk);
        ScaleRows<S, V>(dk, dv, w.Whole, ds);
        FromState<S, V>(h, c, 0, h.Scale, w, d, o, w.Q, d.Q, ds);
        FromState<S, V>(h, c, 0, -1, w, d, new Strided(dy, dv), w.K, d.K, ds);
    }

    /// <summary>Vectors of their own: <paramref name="p"/> is what A recalled. On entry w.F leads to the chunk's end.</summary>
    private static void LowRankBackward<S, V>(in ChannelDeltaHead h, int c, in Within w, in Slopes d, float* s, float* p, Strided o, float* ds,
        Strided toV, float* dp, float* dv1) where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth, ld = DecayedScores.Padded(dk);
        Strided recalled = new(dp, dv);

        // dP = (B o e^(G_c - G)) dS + <q, b>^T dO + L^T dP, from the last row to the first; dV likewise of k, without a system.
        Scaled<S, V>(w, c, ld, w.B);
        SmallGemm.NN(c, dv, dk, w.X, ld, ds, dv, dp, dv, 0);
        DeltaRuleKernel.LowerTransposedTimes(c, dv, w.Qb, o.At, (nint)o.Stride, dp);
        DeltaRuleKernel.SolveTransposed<S, V>(c, dv, w.L, null, dp, dp);
        Scaled<S, V>(w, c, ld, w.K);
        SmallGemm.NN(c, dv, dk, w.X, ld, ds, dv, dv1, dv, 0);
        DeltaRuleKernel.LowerTransposedTimes(c, dv, w.P, o.At, (nint)o.Stride, dv1);
        DeltaRuleKernel.LowerTransposedTimes(c, dv, w.Ak, dp, dv, dv1);
        DeltaRuleKernel.Put(c, dv, dv1, toV);

        SmallGemm.Transpose(dk, dv, ds, dv, d.Transposed, dk);
        ToState<S, V>(h, c, w, d, p, dv, w.B, d.Through, d.B);
        ToState<S, V>(h, c, w, d, h.V.At, (nint)h.V.Stride, w.K, null, d.K);
        SmallGemm.Transpose(c, dv, p, dv, d.Transposed, c);
        ScoreGradients<S, V>(h, c, 0, h.Scale, w, d, o, w.Q, w.B, d.Q, d.B, diagonal: true);
        ScoreGradients<S, V>(h, c, 1, 1, w, d, recalled, w.A, w.B, d.A, d.B, diagonal: false);
        SmallGemm.Transpose(c, dv, h.V.At, (nint)h.V.Stride, d.Transposed, c);
        ScoreGradients<S, V>(h, c, 0, h.Scale, w, d, o, w.Q, w.K, d.Q, d.K, diagonal: true);
        ScoreGradients<S, V>(h, c, 1, 1, w, d, recalled, w.A, w.K, d.A, d.K, diagonal: false);

        // dS_0 = diag(E_c) dS + scale (E o Q)^T dO + (E' o A)^T dP.
        SmallGemm.Transpose(dk, dv, s, dv, d.Transposed, dk);
        ScaleRows<S, V>(dk, dv, w.Whole, ds);
        FromState<S, V>(h, c, 0, h.Scale, w, d, o, w.Q, d.Q, ds);
        FromState<S, V>(h, c, 1, 1, w, d, recalled, w.A, d.A, ds);
    }

    /// <summary>Gradients of x and g where alpha (e^G o x) S_0 has the gradient dz, and of S_0 itself; S_0 is transposed in d.</summary>
    private static void FromState<S, V>(in ChannelDeltaHead h, int c, int lag, float alpha, in Within w, in Slopes d, Strided dz, float* x, float* dx, float* ds)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth, ld = DecayedScores.Padded(dk);
        SmallGemm.NN(c, dk, dv, dz.At, (nint)dz.Stride, d.Transposed, dk, d.T, ld, 0);
        FromStart<S, V>(w, c, ld, lag, alpha, x);
        SmallGemm.TN(dk, dv, c, w.X, ld, dz.At, (nint)dz.Stride, ds, dv, 1);
        DecayedScores.FromStartGradients<S, V>(c, ld, lag, alpha, w.F, d.T, x, dx, d.G);
    }

    /// <summary>Gradients of y and g where (y o e^(G_c - G))^T written has gone into the state, whose gradient is transposed in d.</summary>
    private static void ToState<S, V>(in ChannelDeltaHead h, int c, in Within w, in Slopes d, float* written, nint stride, float* y, float* through, float* dy)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, ld = DecayedScores.Padded(dk);
        SmallGemm.NN(c, dk, h.ValueWidth, written, stride, d.Transposed, dk, d.T, ld, 0);
        DecayedScores.ToEndGradients<S, V>(c, ld, w.F, d.T, y, through, dy, d.G);
    }

    /// <summary>Gradients of x, y and g where scores times what was written, transposed in d, have the gradient dz.</summary>
    private static void ScoreGradients<S, V>(in ChannelDeltaHead h, int c, int lag, float scale, in Within w, in Slopes d, Strided dz,
        float* x, float* y, float* dx, float* dy, bool diagonal) where S : struct, ISimd<V> where V : unmanaged
    {
        const int block = DecayedScores.Block;
        for (int i = 0; i < c; i += block)
        {
            int count = Math.Min(block, c - i);
            SmallGemm.NN(count, i + count, h.ValueWidth, dz[i], (nint)dz.Stride, d.Transposed, c, d.Scores + (i * c), c, 0);
            for (int r = i; r < i + count; r++)
            {
                int from = diagonal ? r + 1 : r;
                Simd.Fill(d.Scores + (r * c) + from, i + count - from, 0);
            }
        }

        DecayedScores.Gradients<S, V>(c, DecayedScores.Padded(h.KeyWidth), lag, scale, w.G, x, y, d.Scores, c, dx, dy, d.G, w.Scores);
    }
}
