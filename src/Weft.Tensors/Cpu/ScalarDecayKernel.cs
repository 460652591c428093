using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// The loops of the scalar-decay recurrence between its matrix products. a is a chunk's log decays, one head's, and
/// seg(i, j) = a_{j+1} + .. + a_i: always a sum that runs along the tokens, never a difference of two sums, which would cancel.
/// Arrays over a chunk's tokens have room for a multiple of 16, and so have the rows of its token-by-token matrices (ld).
/// </summary>
internal static unsafe partial class ScalarDecayKernel
{
    /// <summary>w[i,i] += x: what of the values goes straight to the outputs.</summary>
    public static void AddToDiagonal(int n, int ld, float x, float* w)
    {
        for (int i = 0; i < n; i++, w += ld + 1)
        {
            *w += x;
        }
    }

    /// <summary>e^x, but 0 below e^-64: what has decayed that far counts for nothing, and denormal numbers, slow on many processors, stay out of the products.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Decay<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.SelectLess(x, S.Create(-64), S.Zero, Simd.Exp<S, V>(x));

    /// <summary>x[i] = scale e^x[i]; the lanes from n to the next multiple of a vector are written too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Decays<S, V>(float* x, int n, float scale) where S : struct, ISimd<V> where V : unmanaged
    {
        V factor = S.Create(scale);
        for (int i = 0; i < n; i += S.Count)
        {
            S.Store(S.Mul(factor, Decay<S, V>(S.Load(x + i))), x + i);
        }
    }

    /// <summary>decays[i] = scale exp(a_0 + .. + a_i): from the chunk's start, its first token's decay included. Returns the whole chunk's decay.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float FromStart<S, V>(float* a, int n, float scale, float* decays) where S : struct, ISimd<V> where V : unmanaged
    {
        float sum = 0;
        for (int i = 0; i < n; i++)
        {
            decays[i] = sum += a[i];
        }

        Decays<S, V>(decays, n, scale);
        return sum < -64 ? 0 : Simd.Exp(sum);
    }

    /// <summary>decays[j] = exp(seg(n-1, j)): from token j, its own decay not included, to the chunk's end. Returns the whole chunk's decay.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float ToEnd<S, V>(float* a, int n, float* decays) where S : struct, ISimd<V> where V : unmanaged
    {
        float sum = 0;
        for (int j = n - 1; j >= 0; j--)
        {
            decays[j] = sum;
            sum += a[j];
        }

        Decays<S, V>(decays, n, 1);
        return sum < -64 ? 0 : Simd.Exp(sum);
    }

    /// <summary>to[i] = factors[i] (gate[i]) from[i] for each of n rows, or added to what is there; gate may be null, from may be to.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScaleRows<S, V>(int n, int columns, float* factors, float* gate, float* from, long fromRow, float* to, long toRow, bool add = false)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < n; i++, from += fromRow, to += toRow)
        {
            V factor = S.Create(gate is null ? factors[i] : factors[i] * gate[i]);
            nint c = 0;
            for (; c <= columns - S.Count; c += S.Count)
            {
                V value = S.Mul(factor, S.Load(from + c));
                S.Store(add ? S.Add(value, S.Load(to + c)) : value, to + c);
            }

            int rest = columns - (int)c;
            if (rest > 0)
            {
                V value = S.Mul(factor, S.LoadPartial(from + c, rest));
                S.StorePartial(add ? S.Add(value, S.LoadPartial(to + c, rest)) : value, to + c, rest);
            }
        }
    }

    /// <summary>
    /// w[i,j] = scale exp(seg(i, j)) gate_j p[i,j] for j &lt;= i &lt; n, or up to the last of i's token where a token has
    /// <paramref name="rank"/> rows, at most 4; zeros right of that, up to the end of its block of
    /// <see cref="Ops.ScalarDecayBlock"/> rows. Columns are taken a vector at a time, so that seg stays in a register.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Weights<S, V>(int n, int ld, float* p, float* a, float* gate, float scale, int rank, float* w) where S : struct, ISimd<V> where V : unmanaged
    {
        V first = Lanes<S, V>();
        for (int jb = 0; jb < n; jb += S.Count)
        {
            V column = S.Add(first, S.Create(jb)), factor = S.Create(scale), seg = S.Zero;
            if (gate is not null)
            {
                factor = S.Mul(factor, S.Load(gate + jb));
            }

            int i = ClearAbove<S, V>(jb, ld, w), diagonal = Math.Min(n, jb + S.Count);
            for (; i < diagonal; i++)
            {
                V row = S.Create(i);
                seg = S.SelectLess(column, row, S.Add(seg, S.Create(a[i])), S.Zero);
                V value = S.Mul(S.Mul(Decay<S, V>(seg), factor), S.Load(p + ((long)i * ld) + jb));
                S.Store(S.SelectLess(S.Create(i | (rank - 1)), column, S.Zero, value), w + ((long)i * ld) + jb);
            }

            for (; i < n; i++)
            {
                seg = S.Add(seg, S.Create(a[i]));
                S.Store(S.Mul(S.Mul(Decay<S, V>(seg), factor), S.Load(p + ((long)i * ld) + jb)), w + ((long)i * ld) + jb);
            }
        }
    }

    /// <summary>
    /// The recurrence itself on one token: state = decay state + (gate v) k^T and o = scale state^T q + skip v; the state is read and
    /// written once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Step<S, V>(int dk, int dv, float* q, float* k, float* v, float decay, float gate, float scale, float skip, float* state, float* o)
        where S : struct, ISimd<V> where V : unmanaged
    {
        V keep = S.Create(decay), factor = S.Create(scale), share = S.Create(skip), write = S.Create(gate);
        int c = 0;
        for (; c <= dv - (4 * S.Count); c += 4 * S.Count)
        {
            float* s = state + c;
            V v0 = S.Load(v + c), v1 = S.Load(v + c + S.Count), v2 = S.Load(v + c + (2 * S.Count)), v3 = S.Load(v + c + (3 * S.Count));
            V w0 = S.Mul(write, v0), w1 = S.Mul(write, v1), w2 = S.Mul(write, v2), w3 = S.Mul(write, v3);
            V o0 = S.Zero, o1 = S.Zero, o2 = S.Zero, o3 = S.Zero;
            for (int r = 0; r < dk; r++, s += dv)
            {
                V key = S.Create(k[r]), query = S.Create(q[r]);
                V s0 = S.Fma(key, w0, S.Mul(keep, S.Load(s)));
                V s1 = S.Fma(key, w1, S.Mul(keep, S.Load(s + S.Count)));
                V s2 = S.Fma(key, w2, S.Mul(keep, S.Load(s + (2 * S.Count))));
                V s3 = S.Fma(key, w3, S.Mul(keep, S.Load(s + (3 * S.Count))));
                o0 = S.Fma(query, s0, o0);
                o1 = S.Fma(query, s1, o1);
                o2 = S.Fma(query, s2, o2);
                o3 = S.Fma(query, s3, o3);
                S.Store(s0, s);
                S.Store(s1, s + S.Count);
                S.Store(s2, s + (2 * S.Count));
                S.Store(s3, s + (3 * S.Count));
            }

            S.Store(S.Fma(factor, o0, S.Mul(share, v0)), o + c);
            S.Store(S.Fma(factor, o1, S.Mul(share, v1)), o + c + S.Count);
            S.Store(S.Fma(factor, o2, S.Mul(share, v2)), o + c + (2 * S.Count));
            S.Store(S.Fma(factor, o3, S.Mul(share, v3)), o + c + (3 * S.Count));
        }

        for (; c < dv; c += S.Count)
        {
            int rest = Math.Min(S.Count, dv - c);
            float* s = state + c;
            V value = S.LoadPartial(v + c, rest), added = S.Mul(write, value), sum = S.Zero;
            for (int r = 0; r < dk; r++, s += dv)
            {
                V entry = S.Fma(S.Create(k[r]), added, S.Mul(keep, S.LoadPartial(s, rest)));
                sum = S.Fma(S.Create(q[r]), entry, sum);
                S.StorePartial(entry, s, rest);
            }

            S.StorePartial(S.Fma(factor, sum, S.Mul(share, value)), o + c, rest);
        }
    }

    /// <summary>Zeros in columns jb.. of the rows above jb that are in its block of rows; returns jb, the first row that is not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int ClearAbove<S, V>(int jb, int ld, float* w) where S : struct, ISimd<V> where V : unmanaged
    {
        int i = jb / Ops.ScalarDecayBlock * Ops.ScalarDecayBlock;
        for (; i < jb; i++)
        {
            S.Store(S.Zero, w + ((long)i * ld) + jb);
        }

        return i;
    }

    /// <summary>0, 1, 2, ..: the lanes' numbers.</summary>
    private static V Lanes<S, V>() where S : struct, ISimd<V> where V : unmanaged
    {
        float* lanes = stackalloc float[16];
        for (int i = 0; i < 16; i++)
        {
            lanes[i] = i;
        }

        return S.Load(lanes);
    }
}
