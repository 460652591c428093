using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Scores between the tokens of a chunk under a decay per channel: with log decays g [c,n] and G_i = g_0 + .. + g_i,
/// <code>
/// A_ij = scale sum over n of x_i y_j e^(G_{i-lag} - G_j)     for j &lt;= i - lag
/// </code>
/// lag 0 reads the state that holds token i already, lag 1 the state before it. Everywhere that channels decay on a matrix state: gated
/// linear attention (arXiv 2312.06635, section 4.2), RWKV-6 and 7, Kimi delta attention.
/// <para>
/// No factor exceeds 1 where g is not positive: e^-G over a chunk would overflow. Tokens go in blocks of 16. Between blocks, x is scaled
/// by the decay from its block's start and y by the decay up to that start, and the scores are matrix products; within a block, y's
/// rows decay token by token. Values below 1e-30 become 0: they count for nothing, and denormal numbers are slow.
/// </para>
/// <para>
/// Rows of all arrays over channels are <see cref="Padded"/>(n) floats apart, zeros behind n: <see cref="Load"/> and <see cref="Store"/>
/// bring them here and back.
/// </para>
/// </summary>
internal static unsafe class DecayedScores
{
    /// <summary>The tokens of a block.</summary>
    public const int Block = 16;

    /// <summary>The distance of rows of n channels.</summary>
    public static int Padded(int n) => (n + 15) / 16 * 16;

    /// <summary>The scratch that <see cref="Scores"/> and <see cref="Gradients"/> share, for a chunk of c tokens and rows ld floats apart.</summary>
    public static long Scratch(int c, int ld) => (3L * Padded(c) * ld) + (2L * Block * ld);

    /// <summary>Copies c rows of n channels to padded rows.</summary>
    public static void Load(int c, int n, Strided from, float* to)
    {
        int ld = Padded(n);
        for (int i = 0; i < c; i++, to += ld)
        {
            Simd.Copy(1, n, from[i], n, to, n);
            Simd.Fill(to + n, ld - n, 0);
        }
    }

    /// <summary>Writes or adds padded rows to where a gradient goes; nothing where there is nowhere.</summary>
    public static void Store(int c, int n, float* from, Strided to)
    {
        for (int i = 0; i < c && !to.IsNone; i++, from += Padded(n))
        {
            if (to.Add)
            {
                Simd.Add(n, from, to[i]);
            }
            else
            {
                Simd.Copy(1, n, from, n, to[i], n);
            }
        }
    }

    /// <summary>factors_i = e^(G_{i-lag}): from the chunk's start to each token.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FromStart<S, V>(int c, int ld, int lag, float* g, float* factors) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < ld; n += S.Count)
        {
            V sum = S.Zero;
            for (int i = 0, at = n; i < c; i++, at += ld)
            {
                V next = S.Add(sum, S.Load(g + at));
                S.Store(ScalarDecayKernel.Decay<S, V>(lag == 0 ? next : sum), factors + at);
                sum = next;
            }
        }
    }

    /// <summary>factors_j = e^(G_{c-1} - G_j): from after each token to the chunk's end; and the whole chunk's, e^(G_{c-1}) [ld].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToEnd<S, V>(int c, int ld, float* g, float* factors, float* whole) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < ld; n += S.Count)
        {
            V sum = S.Zero;
            for (int j = c - 1, at = (j * ld) + n; j >= 0; j--, at -= ld)
            {
                S.Store(ScalarDecayKernel.Decay<S, V>(sum), factors + at);
                sum = S.Add(sum, S.Load(g + at));
            }

            S.Store(ScalarDecayKernel.Decay<S, V>(sum), whole + n);
        }
    }

    /// <summary>z = alpha x y over count floats, a multiple of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<S, V>(long count, float alpha, float* x, float* y, float* z) where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        for (long i = 0; i < count; i += S.Count)
        {
            S.Store(S.Mul(S.Mul(a, S.Load(x + i)), S.Load(y + i)), z + i);
        }
    }

    /// <summary>
    /// The gradients behind x_i scaled by alpha and <see cref="FromStart"/>, given that of the scaled x, t: dx += alpha factor t and
    /// dg_s += sum over i - lag &gt;= s of alpha factor_i t_i x_i; dg may be null.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FromStartGradients<S, V>(int c, int ld, int lag, float alpha, float* factors, float* t, float* x, float* dx, float* dg)
        where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        for (int n = 0; n < ld; n += S.Count)
        {
            V sum = S.Zero;
            for (int i = c - 1, at = (i * ld) + n; i >= 0; i--, at -= ld)
            {
                V slope = S.Mul(S.Mul(a, S.Load(factors + at)), S.Load(t + at));
                S.Store(S.Add(slope, S.Load(dx + at)), dx + at);
                if (dg != null)
                {
                    V next = S.Fma(slope, S.Load(x + at), sum);
                    S.Store(S.Add(lag == 0 ? next : sum, S.Load(dg + at)), dg + at);
                    sum = next;
                }
            }
        }
    }

    /// <summary>
    /// The gradients behind y_j scaled by <see cref="ToEnd"/>, given that of the scaled y, t: dy += factor t and
    /// dg_s += through + sum over j &lt; s of factor_j t_j y_j, with through [ld] (null: zeros) what the whole chunk's decay counts for.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToEndGradients<S, V>(int c, int ld, float* factors, float* t, float* y, float* through, float* dy, float* dg)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < ld; n += S.Count)
        {
            V sum = through == null ? S.Zero : S.Load(through + n);
            for (int j = 0, at = n; j < c; j++, at += ld)
            {
                V slope = S.Mul(S.Load(factors + at), S.Load(t + at));
                S.Store(S.Add(sum, S.Load(dg + at)), dg + at);
                S.Store(S.Add(slope, S.Load(dy + at)), dy + at);
                sum = S.Fma(slope, S.Load(y + at), sum);
            }
        }
    }

    /// <summary>A [c,c], rows lda apart: zeros right of the diagonal, up to the end of its block.</summary>
    public static void Scores<S, V>(int c, int ld, int lag, float scale, float* g, float* x, float* y, float* a, int lda, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int room = Padded(c);
        float* keys = scratch, factors = keys + ((long)room * ld), rows = factors + ((long)Block * ld), whole = rows + ((long)Block * ld);
        for (int r = 0; r < c; r += Block)
        {
            int count = Math.Min(Block, c - r);
            float* gr = g + ((long)r * ld), xr = x + ((long)r * ld), yr = y + ((long)r * ld), ar = a + ((long)r * lda);
            if (r > 0)
            {
                // keys [ld,r] holds the y before the block, decayed to its start.
                FromStart<S, V>(count, ld, lag, gr, factors);
                Multiply<S, V>((long)count * ld, scale, factors, xr, rows);
                SmallGemm.NN(count, r, ld, rows, ld, keys, room, ar, lda, 0);
            }

            Exponentials<S, V>(count * ld, gr, factors);
            Within<S, V>(count, ld, lag, scale, factors, xr, yr, ar + r, lda, rows);
            if (r + Block < c)
            {
                ToEnd<S, V>(Block, ld, gr, factors, whole);
                DecayColumns<S, V>(r, ld, room, whole, keys);
                Multiply<S, V>(Block * ld, 1, factors, yr, rows);
                SmallGemm.Transpose(Block, ld, rows, ld, keys + r, room);
            }
        }
    }

    /// <summary>
    /// The gradients of sum over i, j of da_ij A_ij, added to dx, dy and dg [c,ld]; dy and dg may be null, both. da is read up to the
    /// end of the diagonal's block; what it holds right of the diagonal (lag 1: and on it) does not count. dA_ij/dx_i does not read x: with da = P, dx is
    /// what P makes of decaying values, sum over j of P_ij e^(G_{i-lag} - G_j) y_j.
    /// </summary>
    public static void Gradients<S, V>(int c, int ld, int lag, float scale, float* g, float* x, float* y, float* da, int lda, float* dx, float* dy, float* dg, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        long size = (long)Padded(c) * ld;
        float* decays = scratch, keys = decays + size, t = keys + size, factors = t + size, scaled = factors + ((long)Block * ld);
        for (int r = 0; r < c; r += Block)
        {
            int count = Math.Min(Block, c - r);
            long at = (long)r * ld;
            float* gr = g + at, xr = x + at, ar = da + ((long)r * lda), dxr = dx + at;
            if (r > 0)
            {
                // decays [r,ld] lead from each token before the block to its start.
                FromStart<S, V>(count, ld, lag, gr, factors);
                Multiply<S, V>(at, 1, decays, y, keys);
                SmallGemm.NN(count, ld, r, ar, lda, keys, ld, t, ld, 0);
                FromStartGradients<S, V>(count, ld, lag, scale, factors, t, xr, dxr, dg == null ? null : dg + at);
                if (dy != null)
                {
                    Multiply<S, V>((long)count * ld, scale, factors, xr, scaled);
                    SmallGemm.TN(r, ld, count, ar, lda, scaled, ld, t, ld, 0);
                    ToEndGradients<S, V>(r, ld, decays, t, y, null, dy, dg);
                }
            }

            Exponentials<S, V>(count * ld, gr, factors);
            if (dy == null)
            {
                WithinApplied<S, V>(count, ld, lag, scale, factors, y + at, ar + r, lda, dxr);
            }
            else
            {
                WithinGradients<S, V>(count, ld, lag, scale, factors, xr, y + at, ar + r, lda, dxr, dy + at, dg + at);
            }

            if (r + Block < c)
            {
                ToEnd<S, V>(Block, ld, gr, decays + at, t);
                DecayRows<S, V>(r, ld, t, decays);
            }
        }
    }

    /// <summary>The scores of a block of c &lt;= 16 tokens whose decays are e = e^g; rows [c,ld] is scratch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Within<S, V>(int c, int ld, int lag, float scale, float* e, float* x, float* y, float* a, int lda, float* rows)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < c; i++)
        {
            Simd.Fill(a + ((long)i * lda), c, 0);
        }

        // rows_j = y_j e^(G_p - G_j) is what token i = p + lag reads of token j.
        for (int p = 0; p < c - lag; p++)
        {
            float* xi = x + ((p + lag) * ld), ep = e + (p * ld), ai = a + ((long)(p + lag) * lda);
            for (int j = 0; j < p; j++)
            {
                V sum = S.Zero;
                float* row = rows + (j * ld);
                for (int n = 0; n < ld; n += S.Count)
                {
                    V value = Flush<S, V>(S.Mul(S.Load(ep + n), S.Load(row + n)));
                    S.Store(value, row + n);
                    sum = S.Fma(value, S.Load(xi + n), sum);
                }

                ai[j] = scale * S.Sum(sum);
            }

            Simd.Copy(1, ld, y + (p * ld), ld, rows + (p * ld), ld);
            ai[p] = scale * Simd.Dot(ld, xi, y + (p * ld));
        }
    }

    /// <summary>dx_i += scale sum over j of da_ij e^(G_{i-lag} - G_j) y_j in a block: the recurrence itself, on a state of c values a channel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WithinApplied<S, V>(int c, int ld, int lag, float scale, float* e, float* y, float* da, int lda, float* dx)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < ld; n += S.Count)
        {
            for (int j = 0; j < c - lag; j++)
            {
                V z = S.Load(y + (j * ld) + n);
                for (int p = j; p < c - lag; p++)
                {
                    z = p == j ? z : Flush<S, V>(S.Mul(z, S.Load(e + (p * ld) + n)));
                    int i = p + lag;
                    float* to = dx + (i * ld) + n;
                    S.Store(S.Fma(S.Create(scale * da[((long)i * lda) + j]), z, S.Load(to)), to);
                }
            }
        }
    }

    /// <summary>
    /// A block's gradients, for each j by the recurrence z_p = e_p z_{p-1} from z_j = y_j, whose value token p + lag reads, and back
    /// by its adjoint: exact, where differences of x dx and y dy would cancel.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WithinGradients<S, V>(int c, int ld, int lag, float scale, float* e, float* x, float* y, float* da, int lda, float* dx, float* dy, float* dg)
        where S : struct, ISimd<V> where V : unmanaged
    {
        float* past = stackalloc float[Block * 16];
        for (int n = 0; n < ld; n += S.Count)
        {
            for (int j = 0; j < c - lag; j++)
            {
                V z = S.Load(y + (j * ld) + n);
                for (int p = j; p < c - lag; p++)
                {
                    z = p == j ? z : Flush<S, V>(S.Mul(z, S.Load(e + (p * ld) + n)));
                    S.Store(z, past + (p * 16));
                    int i = p + lag;
                    float* to = dx + (i * ld) + n;
                    S.Store(S.Fma(S.Create(scale * da[((long)i * lda) + j]), z, S.Load(to)), to);
                }

                V slope = S.Zero; // by z_p
                for (int p = c - lag - 1; p >= j; p--)
                {
                    int i = p + lag;
                    slope = S.Fma(S.Create(scale * da[((long)i * lda) + j]), S.Load(x + (i * ld) + n), slope);
                    if (p > j)
                    {
                        float* to = dg + (p * ld) + n;
                        S.Store(S.Fma(slope, S.Load(past + (p * 16)), S.Load(to)), to);
                        slope = Flush<S, V>(S.Mul(slope, S.Load(e + (p * ld) + n)));
                    }
                }

                S.Store(S.Add(slope, S.Load(dy + (j * ld) + n)), dy + (j * ld) + n);
            }
        }
    }

    /// <summary>e = e^g over count floats, a multiple of 16; e may be g.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Exponentials<S, V>(int count, float* g, float* e) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < count; i += S.Count)
        {
            S.Store(ScalarDecayKernel.Decay<S, V>(S.Load(g + i)), e + i);
        }
    }

    /// <summary>x[n,i] *= decay_n for i &lt; columns, a multiple of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DecayColumns<S, V>(int columns, int ld, int stride, float* decay, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < ld; n++, x += stride)
        {
            V factor = S.Create(decay[n]);
            for (int i = 0; i < columns; i += S.Count)
            {
                S.Store(Flush<S, V>(S.Mul(factor, S.Load(x + i))), x + i);
            }
        }
    }

    /// <summary>x[i,n] *= decay_n for i &lt; rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DecayRows<S, V>(int rows, int ld, float* decay, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++, x += ld)
        {
            for (int n = 0; n < ld; n += S.Count)
            {
                S.Store(Flush<S, V>(S.Mul(S.Load(decay + n), S.Load(x + n))), x + n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Flush<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.SelectLess(S.Abs(x), S.Create(1e-30f), S.Zero, x);
}
