using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>Where a decay applies in a state [dk,dv], and which state a token reads.</summary>
internal unsafe interface IChannels
{
    /// <summary>Whether a token reads the state before it.</summary>
    static abstract bool Before { get; }

    /// <summary>The decays of a row's columns c.. .</summary>
    static abstract V Keep<S, V>(float* decay, int row, int c) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Key channels decay: a row's own decay.</summary>
internal readonly unsafe struct KeyChannels : IChannels
{
    public static bool Before => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Keep<S, V>(float* decay, int row, int c) where S : struct, ISimd<V> where V : unmanaged => S.Create(decay[row]);
}

/// <summary>Key channels decay, after they are read.</summary>
internal readonly unsafe struct KeyChannelsBefore : IChannels
{
    public static bool Before => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Keep<S, V>(float* decay, int row, int c) where S : struct, ISimd<V> where V : unmanaged => S.Create(decay[row]);
}

/// <summary>Value channels decay: each column's decay.</summary>
internal readonly unsafe struct ValueChannels : IChannels
{
    public static bool Before => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Keep<S, V>(float* decay, int row, int c) where S : struct, ISimd<V> where V : unmanaged => S.Load(decay + c);
}

/// <summary>The loops of the channel-decay recurrence over a state [dk,dv]; decays are padded as <see cref="DecayedScores"/> wants them.</summary>
internal static unsafe class ChannelDecayKernel
{
    /// <summary>
    /// The recurrence itself on one token: state = decay state + k v^T, and o = scale (state^T q + direct v) with the state after the
    /// token or before it; the state is read and written once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Step<S, V, C>(int dk, int dv, float* q, float* k, float* v, float* decay, float scale, float direct, float* state, float* o)
        where S : struct, ISimd<V> where V : unmanaged where C : struct, IChannels
    {
        V factor = S.Create(scale), self = S.Create(direct);
        int c = 0;
        for (; c <= dv - (4 * S.Count); c += 4 * S.Count)
        {
            int c1 = c + S.Count, c2 = c1 + S.Count, c3 = c2 + S.Count;
            V v0 = S.Load(v + c), v1 = S.Load(v + c1), v2 = S.Load(v + c2), v3 = S.Load(v + c3);
            V o0 = S.Mul(self, v0), o1 = S.Mul(self, v1), o2 = S.Mul(self, v2), o3 = S.Mul(self, v3);
            float* s = state;
            for (int r = 0; r < dk; r++, s += dv)
            {
                V key = S.Create(k[r]), query = S.Create(q[r]);
                V p0 = S.Load(s + c), p1 = S.Load(s + c1), p2 = S.Load(s + c2), p3 = S.Load(s + c3);
                V s0 = S.Fma(key, v0, S.Mul(C.Keep<S, V>(decay, r, c), p0));
                V s1 = S.Fma(key, v1, S.Mul(C.Keep<S, V>(decay, r, c1), p1));
                V s2 = S.Fma(key, v2, S.Mul(C.Keep<S, V>(decay, r, c2), p2));
                V s3 = S.Fma(key, v3, S.Mul(C.Keep<S, V>(decay, r, c3), p3));
                o0 = S.Fma(query, C.Before ? p0 : s0, o0);
                o1 = S.Fma(query, C.Before ? p1 : s1, o1);
                o2 = S.Fma(query, C.Before ? p2 : s2, o2);
                o3 = S.Fma(query, C.Before ? p3 : s3, o3);
                S.Store(s0, s + c);
                S.Store(s1, s + c1);
                S.Store(s2, s + c2);
                S.Store(s3, s + c3);
            }

            S.Store(S.Mul(factor, o0), o + c);
            S.Store(S.Mul(factor, o1), o + c1);
            S.Store(S.Mul(factor, o2), o + c2);
            S.Store(S.Mul(factor, o3), o + c3);
        }

        for (; c < dv; c += S.Count)
        {
            int rest = Math.Min(S.Count, dv - c);
            V value = S.LoadPartial(v + c, rest), sum = S.Mul(self, value);
            float* s = state + c;
            for (int r = 0; r < dk; r++, s += dv)
            {
                V past = S.LoadPartial(s, rest), next = S.Fma(S.Create(k[r]), value, S.Mul(C.Keep<S, V>(decay, r, c), past));
                sum = S.Fma(S.Create(q[r]), C.Before ? past : next, sum);
                S.StorePartial(next, s, rest);
            }

            S.StorePartial(S.Mul(factor, sum), o + c, rest);
        }
    }

    /// <summary>to += decay from, a state each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddDecayed<S, V, C>(int dk, int dv, float* decay, float* from, float* to)
        where S : struct, ISimd<V> where V : unmanaged where C : struct, IChannels
    {
        for (int r = 0; r < dk; r++, from += dv, to += dv)
        {
            int c = 0;
            for (; c <= dv - S.Count; c += S.Count)
            {
                S.Store(S.Fma(C.Keep<S, V>(decay, r, c), S.Load(from + c), S.Load(to + c)), to + c);
            }

            if (c < dv)
            {
                S.StorePartial(S.Fma(C.Keep<S, V>(decay, r, c), S.LoadPartial(from + c, dv - c), S.LoadPartial(to + c, dv - c)), to + c, dv - c);
            }
        }
    }

    /// <summary>through_r = decay_r sum over c of x[r,c] y[r,c]: what a key channel's decay between two states counts for.</summary>
    public static void RowDots(int dk, int dv, float* decay, float* x, float* y, float* through)
    {
        for (int r = 0; r < dk; r++)
        {
            through[r] = decay[r] * Simd.Dot(dv, x + (r * dv), y + (r * dv));
        }
    }

    /// <summary>through_c = decay_c sum over r of x[r,c] y[r,c]: the same for value channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ColumnDots<S, V>(int dk, int dv, float* decay, float* x, float* y, float* through) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int c = 0; c < dv; c += S.Count)
        {
            int rest = Math.Min(S.Count, dv - c);
            V sum = S.Zero;
            for (int r = 0; r < dk; r++)
            {
                sum = S.Fma(S.LoadPartial(x + (r * dv) + c, rest), S.LoadPartial(y + (r * dv) + c, rest), sum);
            }

            S.Store(S.Mul(S.Load(decay + c), sum), through + c);
        }
    }

    /// <summary>z_i += alpha w_i u y_i for each of n rows, ld floats apart; the values w are wStep floats apart, and u is a row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddScaledRows<S, V>(int n, int ld, float alpha, float* w, int wStep, float* u, float* y, float* z) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < n; i++, y += ld, z += ld)
        {
            V factor = S.Create(alpha * w[i * wStep]);
            for (int c = 0; c < ld; c += S.Count)
            {
                S.Store(S.Fma(S.Mul(factor, S.Load(u + c)), S.Load(y + c), S.Load(z + c)), z + c);
            }
        }
    }

    /// <summary>z = sum over i of alpha w_i x_i y_i, elementwise over n rows, ld floats apart; the values w are wStep floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SumScaledRows<S, V>(int n, int ld, float alpha, float* w, int wStep, float* x, float* y, float* z) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int c = 0; c < ld; c += S.Count)
        {
            V sum = S.Zero;
            for (int i = 0; i < n; i++)
            {
                sum = S.Fma(S.Mul(S.Create(alpha * w[i * wStep]), S.Load(x + (i * ld) + c)), S.Load(y + (i * ld) + c), sum);
            }

            S.Store(sum, z + c);
        }
    }

    /// <summary>sum over n channels of u x y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot<S, V>(int n, float* u, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        V sum = S.Zero;
        for (int c = 0; c < n; c += S.Count)
        {
            int rest = Math.Min(S.Count, n - c);
            sum = S.Fma(S.Mul(S.LoadPartial(u + c, rest), S.LoadPartial(x + c, rest)), S.LoadPartial(y + c, rest), sum);
        }

        return S.Sum(sum);
    }
}
