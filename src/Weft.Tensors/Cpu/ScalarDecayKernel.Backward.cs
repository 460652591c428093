using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

internal static unsafe partial class ScalarDecayKernel
{
    /// <summary>
    /// The gradients at the token pairs j &lt;= i &lt; n of one head (as in <see cref="Weights"/>), with e = scale exp(seg(i, j)), p = q_i k_j and r = do_i v_j:
    /// w = e gate_j p, the weights again; dp (+)= e gate_j r, their part in q k^T's gradient, added up over the heads of a key head;
    /// r becomes x = e gate_j p r, the pair's share in the loss, by which decays are judged; and, unless null,
    /// dgate_j = sum over i of e p r. Right of the diagonal, within its block of rows, w is zero and dp gets nothing.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightsBackward<S, V>(int n, int ld, float* p, float* r, float* a, float* gate, float scale, int rank, float* w, float* dp, bool add, float* dgate)
        where S : struct, ISimd<V> where V : unmanaged
    {
        V first = Lanes<S, V>();
        for (int jb = 0; jb < n; jb += S.Count)
        {
            V column = S.Add(first, S.Create(jb)), factor = S.Create(scale), open = S.Create(1), seg = S.Zero, sum = S.Zero;
            if (gate is not null)
            {
                open = S.Load(gate + jb);
            }

            int i = ClearAbove<S, V>(jb, ld, w), diagonal = Math.Min(n, jb + S.Count);
            if (!add)
            {
                ClearAbove<S, V>(jb, ld, dp);
            }

            for (; i < n; i++)
            {
                long at = ((long)i * ld) + jb;
                V e, pair = S.Load(p + at), slope = S.Load(r + at);
                if (i < diagonal)
                {
                    V last = S.Create(i | (rank - 1));
                    seg = S.SelectLess(column, S.Create(i), S.Add(seg, S.Create(a[i])), S.Zero);
                    e = S.SelectLess(last, column, S.Zero, S.Mul(factor, Decay<S, V>(seg)));
                    pair = S.SelectLess(last, column, S.Zero, pair);
                    slope = S.SelectLess(last, column, S.Zero, slope);
                }
                else
                {
                    seg = S.Add(seg, S.Create(a[i]));
                    e = S.Mul(factor, Decay<S, V>(seg));
                }

                V share = S.Mul(S.Mul(e, pair), slope), opened = S.Mul(e, open);
                sum = S.Add(sum, share);
                S.Store(S.Mul(opened, pair), w + at);
                S.Store(S.Mul(share, open), r + at);
                S.Store(add ? S.Fma(opened, slope, S.Load(dp + at)) : S.Mul(opened, slope), dp + at);
            }

            if (dgate is not null)
            {
                S.Store(sum, dgate + jb);
            }
        }
    }

    /// <summary>
    /// da_s = sum over i >= s > j of x[i,j]: what the pairs that reach across token s depend on its decay. From the last row up,
    /// <paramref name="below"/> holds the sums of each column so far.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void DecaySums<S, V>(int n, int ld, float* x, float* below, float* da) where S : struct, ISimd<V> where V : unmanaged
    {
        V first = Lanes<S, V>();
        for (int jb = 0; jb < n; jb += S.Count)
        {
            S.Store(S.Zero, below + jb);
        }

        for (int s = n - 1; s >= 0; s--)
        {
            V sum = S.Zero, row = S.Create(s);
            for (int jb = 0; jb <= s; jb += S.Count)
            {
                V column = S.Add(S.Load(below + jb), S.Load(x + ((long)s * ld) + jb));
                S.Store(column, below + jb);
                sum = S.Add(sum, jb + S.Count <= s ? column : S.SelectLess(S.Add(first, S.Create(jb)), row, column, S.Zero));
            }

            da[s] = S.Sum(sum);
        }
    }

    /// <summary>dots[i] = x_i t_i for each of n rows, and sums_i (+)= gate_i t_i; gate may be null.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void DotAndAdd<S, V>(int n, int columns, float* x, long xRow, float* t, float* gate, float* sums, bool add, float* dots) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < n; i++, x += xRow, t += columns, sums += columns)
        {
            V dot = S.Zero, factor = S.Create(gate is null ? 1 : gate[i]);
            nint c = 0;
            for (; c <= columns - S.Count; c += S.Count)
            {
                V value = S.Load(t + c);
                dot = S.Fma(value, S.Load(x + c), dot);
                S.Store(add ? S.Fma(factor, value, S.Load(sums + c)) : S.Mul(factor, value), sums + c);
            }

            int rest = columns - (int)c;
            if (rest > 0)
            {
                V value = S.LoadPartial(t + c, rest);
                dot = S.Fma(value, S.LoadPartial(x + c, rest), dot);
                S.StorePartial(add ? S.Fma(factor, value, S.LoadPartial(sums + c, rest)) : S.Mul(factor, value), sums + c, rest);
            }

            dots[i] = S.Sum(dot);
        }
    }
}
