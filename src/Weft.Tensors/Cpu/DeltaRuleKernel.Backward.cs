namespace Weft.Tensors.Cpu;

/// <summary>Where one head's gradients go from a chunk's first token on; none where nobody wants one.</summary>
internal struct DeltaRuleHeadGrads
{
    public Strided Q, K, V, Beta, Decay;

    public readonly DeltaRuleHeadGrads From(long t) =>
        new() { Q = Q.From(t), K = K.From(t), V = V.From(t), Beta = Beta.From(t), Decay = Decay.From(t) };
}

internal static unsafe partial class DeltaRuleKernel
{
    /// <summary>The floats of scratch that <see cref="ChunkBackward"/> needs for c tokens.</summary>
    public static long BackwardScratch(int c, int dk, int dv) =>
        WithinScratch(c) + Rounded(c) + (2 * Rounded(c * c)) + (3 * Rounded(c * dv)) + (4 * Rounded(c * dk)) + Rounded(Math.Max(dk, c) * Math.Max(dv, dk));

    /// <summary>
    /// Gradients of <see cref="Chunk"/> for the same inputs, given the state <paramref name="s"/> before the chunk, its errors
    /// <paramref name="y"/> and the outputs' gradients <paramref name="o"/>. <paramref name="ds"/> [dk,dv] is the gradient of the state after
    /// the chunk on entry, and of the one before it on return.
    /// </summary>
    public static void ChunkBackward<S, V>(in DeltaRuleHead h, int c, float* s, float* y, Strided o, float* ds, in DeltaRuleHeadGrads to, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth;
        Within w = Relate<S, V>(h, c, ref scratch);
        float* sums = Take(ref scratch, c);
        float* dp = Take(ref scratch, c * c), dl = Take(ref scratch, c * c);
        float* u = Take(ref scratch, c * dv), du = Take(ref scratch, c * dv), dy = Take(ref scratch, c * dv);
        float* x = Take(ref scratch, c * dk), dq = Take(ref scratch, c * dk), dk1 = Take(ref scratch, c * dk), dk2 = Take(ref scratch, c * dk);
        float* transposed = scratch;

        // dU = P^T dO + diag(D_c) K dS + L^T dY, where dY = diag(beta) dU: rows from the last to the first. Then dV = dY.
        for (int i = 0; i < c; i++)
        {
            Scale<S, V>(dv, w.Beta[i], y + (i * dv), u + (i * dv));
            Scale<S, V>(dk, w.Last(c)[i], h.K[i], x + (i * dk));
        }

        SmallGemm.NN(c, dv, dk, x, dk, ds, dv, du, dv, 0);
        LowerTransposedTimes(c, dv, w.P, o.At, (nint)o.Stride, du);
        SolveTransposed<S, V>(c, dv, w.L, w.Beta, du, dy);
        Put(c, dv, dy, to.V);

        // dP = dO U^T and dL = dY U^T, below the diagonal.
        SmallGemm.Transpose(c, dv, u, dv, transposed, c);
        for (int i = 0; i < c; i += Block)
        {
            int rows = Math.Min(Block, c - i);
            SmallGemm.NN(rows, i + rows, dv, o[i], (nint)o.Stride, transposed, c, dp + (i * c), c, 0);
            SmallGemm.NN(rows, i + rows, dv, dy + (i * dv), dv, transposed, c, dl + (i * c), c, 0);
        }

        // What goes through the states: dO S_0^T, dY S_0^T and U dS^T.
        SmallGemm.Transpose(dk, dv, s, dv, transposed, dk);
        SmallGemm.NN(c, dk, dv, o.At, (nint)o.Stride, transposed, dk, dq, dk, 0);
        SmallGemm.NN(c, dk, dv, dy, dv, transposed, dk, dk1, dk, 0);
        SmallGemm.Transpose(dk, dv, ds, dv, transposed, dk);
        SmallGemm.NN(c, dk, dv, u, dv, transposed, dk, dk2, dk, 0);

        float through = h.Decay.IsNone ? 0 : w.G[c - 1] * Simd.Dot((nint)dk * dv, s, ds); // d log g_c, of S_c = g_c S_0 + ..
        GateGradients<S, V>(h, c, w, dp, dl, dq, dk1, dk2, du, y, through, sums, to);

        // dQ = diag(scale g) dO S_0^T + (scale D o dP) K, dK = diag(D_c) U dS^T - diag(g) dY S_0^T + (scale D o dP)^T Q + (F + F^T) K, F = -D o dL.
        for (int i = 0; i < c; i++)
        {
            float* d = w.D + (i * c);
            int computed = Math.Min(c, (i / Block * Block) + Block);
            Multiply<S, V>(computed, h.Scale, d, dp + (i * c));
            Multiply<S, V>(computed, -1, d, dl + (i * c));
            dl[(i * c) + i] = 0;
            Scale<S, V>(dk, h.Scale * w.G[i], dq + (i * dk), dq + (i * dk));
            Scale<S, V>(dk, w.Last(c)[i], dk2 + (i * dk), dk2 + (i * dk));
            Simd.Axpy(dk, -w.G[i], dk1 + (i * dk), dk2 + (i * dk));
        }

        LowerTimes(c, dk, dp, h.K.At, (nint)h.K.Stride, dq, dk);
        LowerTransposedTimes(c, dk, dp, h.Q.At, (nint)h.Q.Stride, dk2);
        LowerTimes(c, dk, dl, h.K.At, (nint)h.K.Stride, dk2, dk);
        LowerTransposedTimes(c, dk, dl, h.K.At, (nint)h.K.Stride, dk2);
        Put(c, dk, dq, to.Q);
        Put(c, dk, dk2, to.K);

        // dS_0 = g_c dS + (diag(scale g) Q)^T dO - (diag(g) K)^T dY.
        if (!h.Decay.IsNone)
        {
            Scale<S, V>(dk * dv, w.G[c - 1], ds, ds);
        }

        for (int i = 0; i < c; i++)
        {
            Scale<S, V>(dk, h.Scale * w.G[i], h.Q[i], x + (i * dk));
            Scale<S, V>(dk, -w.G[i], h.K[i], dk1 + (i * dk));
        }

        SmallGemm.TN(dk, dv, c, x, dk, o.At, (nint)o.Stride, ds, dv, 1);
        SmallGemm.TN(dk, dv, c, dk1, dk, dy, dv, ds, dv, 1);
    }

    /// <summary>
    /// Gradients of beta, dbeta_t = dU_t . y_t, and of the log decays. log D_ij is a sum of a_l over j &lt; l &lt;= i, so a_l gets the sum of
    /// E_ij = dP_ij P_ij + dL_ij L_ij over j &lt; l &lt;= i; <paramref name="sums"/> holds those over i &gt;= l for each j. Likewise with
    /// log g_i (l &lt;= i) and log D_cj (j &lt; l).
    /// </summary>
    private static void GateGradients<S, V>(in DeltaRuleHead h, int c, in Within w, float* dp, float* dl, float* dq, float* dk1, float* dk2,
        float* du, float* y, float through, float* sums, in DeltaRuleHeadGrads to)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = h.KeyWidth, dv = h.ValueWidth;
        for (int i = 0; i < c && !to.Beta.IsNone; i++)
        {
            Put(Simd.Dot(dv, du + (i * dv), y + (i * dv)), to.Beta, i);
        }

        if (to.Decay.IsNone)
        {
            return;
        }

        Simd.Fill(sums, c, 0);
        float states = through;
        for (int l = c - 1; l >= 0; l--)
        {
            AddProducts<S, V>(l, dp + (l * c), w.P + (l * c), sums);
            AddProducts<S, V>(l, dl + (l * c), w.L + (l * c), sums);
            states += w.G[l] * ((h.Scale * Simd.Dot(dk, h.Q[l], dq + (l * dk))) - Simd.Dot(dk, h.K[l], dk1 + (l * dk)));
            Put(states + Simd.Sum(l, sums), to.Decay, l);
        }

        float writes = 0;
        for (int l = 1; l < c; l++)
        {
            writes += w.Last(c)[l - 1] * Simd.Dot(dk, h.K[l - 1], dk2 + ((l - 1) * dk));
            *to.Decay[l] += writes;
        }
    }

    /// <summary>dU += L^T dY with dY = diag(beta) dU, from the last row to the first; dU holds the right side on entry. Without beta (null) dy is du.</summary>
    public static void SolveTransposed<S, V>(int c, int n, float* lower, float* beta, float* du, float* dy) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = (c - 1) / SolveBlock * SolveBlock; i >= 0; i -= SolveBlock)
        {
            int end = Math.Min(c, i + SolveBlock);
            if (end < c)
            {
                SmallGemm.TN(end - i, n, c - end, lower + (end * c) + i, c, dy + (end * n), n, du + (i * n), n, 1);
            }

            for (int r = end - 1; r >= i; r--)
            {
                for (int j = r + 1; j < end; j++)
                {
                    Simd.Axpy(n, lower[(j * c) + r], dy + (j * n), du + (r * n));
                }

                if (beta != null)
                {
                    Scale<S, V>(n, beta[r], du + (r * n), dy + (r * n));
                }
            }
        }
    }

    /// <summary>y [c,n] += X^T x with X [c,c] zero above the diagonal.</summary>
    public static void LowerTransposedTimes(int c, int n, float* lower, float* x, nint ldx, float* y)
    {
        for (int i = 0; i < c; i += Block)
        {
            SmallGemm.TN(Math.Min(Block, c - i), n, c - i, lower + (i * c) + i, c, x + (i * ldx), ldx, y + (i * n), n, 1);
        }
    }

    public static void Put(int rows, int n, float* from, Strided to)
    {
        for (int i = 0; i < rows && !to.IsNone; i++)
        {
            if (to.Add)
            {
                Simd.Add(n, from + (i * n), to[i]);
            }
            else
            {
                Simd.Copy(1, n, from + (i * n), n, to[i], n);
            }
        }
    }

    private static void Put(float value, Strided to, int row) => *to[row] = to.Add ? *to[row] + value : value;

    /// <summary>sums += x y.</summary>
    private static void AddProducts<S, V>(int n, float* x, float* y, float* sums) where S : struct, ISimd<V> where V : unmanaged
    {
        int i = 0;
        for (; i <= n - S.Count; i += S.Count)
        {
            S.Store(S.Fma(S.Load(x + i), S.Load(y + i), S.Load(sums + i)), sums + i);
        }

        if (i < n)
        {
            S.StorePartial(S.Fma(S.LoadPartial(x + i, n - i), S.LoadPartial(y + i, n - i), S.LoadPartial(sums + i, n - i)), sums + i, n - i);
        }
    }
}
