using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>Four vectors: a cell's gates, or its states h, c, n, m.</summary>
internal struct Four<V>(V a, V b, V c, V d) where V : unmanaged
{
    public V A = a, B = b, C = c, D = d;
}

/// <summary>
/// The arithmetic of a gated recurrence at one token, lane by lane. Equations: <see cref="Ops.Lstm"/>, <see cref="Ops.Gru"/>, <see cref="Ops.Slstm"/>.
/// </summary>
internal interface IGatedCell
{
    /// <summary>The gates that h feeds.</summary>
    static abstract int Gates { get; }

    /// <summary>The states, h included.</summary>
    static abstract int States { get; }

    /// <summary>
    /// Advances <paramref name="state"/> by a token, given what it gives to the gates and what h gives, bias included; returns what <see cref="Backward"/> wants to know of the gates.
    /// </summary>
    static abstract Four<V> Forward<S, V>(Four<V> token, Four<V> recurrent, ref Four<V> state) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>
    /// <paramref name="grad"/> holds the gradients of the states after the token and becomes those of the states before it, less what h gave to the gates.
    /// Returns the gradients of what h gave to the gates, in order. Those of what the token gave are the same but for a GRU's n, whose is the fourth.
    /// </summary>
    static abstract Four<V> Backward<S, V>(Four<V> gates, Four<V> before, Four<V> after, ref Four<V> grad) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Keeps i, f, g, o.</summary>
internal readonly struct LstmCell : IGatedCell
{
    public static int Gates => 4;

    public static int States => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Forward<S, V>(Four<V> token, Four<V> recurrent, ref Four<V> state) where S : struct, ISimd<V> where V : unmanaged
    {
        V i = Simd.Sigmoid<S, V>(S.Add(token.A, recurrent.A)), f = Simd.Sigmoid<S, V>(S.Add(token.B, recurrent.B));
        V g = Simd.Tanh<S, V>(S.Add(token.C, recurrent.C)), o = Simd.Sigmoid<S, V>(S.Add(token.D, recurrent.D));
        state.B = S.Fma(f, state.B, S.Mul(i, g));
        state.A = S.Mul(o, Simd.Tanh<S, V>(state.B));
        return new Four<V>(i, f, g, o);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Backward<S, V>(Four<V> gates, Four<V> before, Four<V> after, ref Four<V> grad) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1), squashed = Simd.Tanh<S, V>(after.B);
        V dc = S.Fma(S.Mul(grad.A, gates.D), S.Sub(one, S.Mul(squashed, squashed)), grad.B);
        V di = S.Mul(S.Mul(dc, gates.C), SigmoidSlope<S, V>(gates.A)), df = S.Mul(S.Mul(dc, before.B), SigmoidSlope<S, V>(gates.B));
        V dg = S.Mul(S.Mul(dc, gates.A), S.Sub(one, S.Mul(gates.C, gates.C))), go = S.Mul(S.Mul(grad.A, squashed), SigmoidSlope<S, V>(gates.D));
        grad.A = S.Zero;
        grad.B = S.Mul(dc, gates.B);
        return new Four<V>(di, df, dg, go);
    }

    /// <summary>From y = sigmoid(x): y (1 - y).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V SigmoidSlope<S, V>(V y) where S : struct, ISimd<V> where V : unmanaged => S.Mul(y, S.Sub(S.Create(1), y));
}

/// <summary>Keeps r, z, n and what h gave to n.</summary>
internal readonly struct GruCell : IGatedCell
{
    public static int Gates => 3;

    public static int States => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Forward<S, V>(Four<V> token, Four<V> recurrent, ref Four<V> state) where S : struct, ISimd<V> where V : unmanaged
    {
        V r = Simd.Sigmoid<S, V>(S.Add(token.A, recurrent.A)), z = Simd.Sigmoid<S, V>(S.Add(token.B, recurrent.B));
        V n = Simd.Tanh<S, V>(S.Fma(r, recurrent.C, token.C));
        state.A = S.Fma(z, S.Sub(state.A, n), n);
        return new Four<V>(r, z, n, recurrent.C);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Backward<S, V>(Four<V> gates, Four<V> before, Four<V> after, ref Four<V> grad) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1), dh = grad.A;
        V dn = S.Mul(S.Mul(dh, S.Sub(one, gates.B)), S.Sub(one, S.Mul(gates.C, gates.C)));
        V dz = S.Mul(S.Mul(dh, S.Sub(before.A, gates.C)), LstmCell.SigmoidSlope<S, V>(gates.B));
        V dr = S.Mul(S.Mul(dn, gates.D), LstmCell.SigmoidSlope<S, V>(gates.A));
        grad.A = S.Mul(dh, gates.B);
        return new Four<V>(dr, dz, S.Mul(dn, gates.A), dn);
    }
}

/// <summary>Keeps i' (the gate after its exponential), f (before it), tanh(z) and sigmoid(o).</summary>
internal readonly struct SlstmCell : IGatedCell
{
    public static int Gates => 4;

    public static int States => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Forward<S, V>(Four<V> token, Four<V> recurrent, ref Four<V> state) where S : struct, ISimd<V> where V : unmanaged
    {
        V input = S.Add(token.A, recurrent.A), f = S.Add(token.B, recurrent.B);
        V z = Simd.Tanh<S, V>(S.Add(token.C, recurrent.C)), o = Simd.Sigmoid<S, V>(S.Add(token.D, recurrent.D));
        V kept = S.Add(LogSigmoid<S, V>(f), state.D); // the logarithm of what is left of n
        V m = S.SelectLess(S.Zero, state.C, LogSum<S, V>(kept, input), input);
        V i = Simd.Exp<S, V>(S.Sub(input, m)), forget = Forget<S, V>(kept, m, state.C);
        state.B = S.Fma(forget, state.B, S.Mul(i, z));
        state.C = S.Fma(forget, state.C, i);
        state.D = m;
        state.A = S.Mul(o, S.Div(state.B, state.C));
        return new Four<V>(i, f, z, o);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Four<V> Backward<S, V>(Four<V> gates, Four<V> before, Four<V> after, ref Four<V> grad) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1), i = gates.A, f = gates.B, z = gates.C, o = gates.D;
        V forget = Forget<S, V>(S.Add(LogSigmoid<S, V>(f), before.D), after.D, before.C);
        V ratio = S.Div(after.B, after.C), each = S.Div(S.Mul(grad.A, o), after.C); // h = o c / n
        V dc = S.Add(grad.B, each), dn = S.Sub(grad.C, S.Mul(each, ratio));
        V dkept = S.Mul(forget, S.Fma(dc, before.B, S.Mul(dn, before.C)));          // through f' = exp(kept - m)
        V dinput = S.Mul(i, S.Fma(dc, z, dn));                                      // through i' = exp(i - m)
        V dm = S.Sub(grad.D, S.Add(dkept, dinput));                                 // m's slopes are f' and i'
        dkept = S.Fma(dm, forget, dkept);
        dinput = S.Fma(dm, i, dinput);
        V dz = S.Mul(S.Mul(dc, i), S.Sub(one, S.Mul(z, z))), go = S.Mul(S.Mul(grad.A, ratio), LstmCell.SigmoidSlope<S, V>(o));
        grad = new Four<V>(S.Zero, S.Mul(dc, forget), S.Mul(dn, forget), dkept);
        return new Four<V>(dinput, S.Mul(dkept, Simd.Sigmoid<S, V>(S.Sub(S.Zero, f))), dz, go);
    }

    /// <summary>log(e^x + e^y).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LogSum<S, V>(V x, V y) where S : struct, ISimd<V> where V : unmanaged =>
        S.Add(S.Max(x, y), Simd.Log1p<S, V>(Simd.Exp<S, V>(S.Sub(S.Zero, S.Abs(S.Sub(x, y))))));

    /// <summary>e^(kept - m); 0 where n was 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Forget<S, V>(V kept, V m, V n) where S : struct, ISimd<V> where V : unmanaged =>
        S.SelectLess(S.Zero, n, Simd.Exp<S, V>(S.Sub(kept, m)), S.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LogSigmoid<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Sub(S.Zero, Simd.Softplus<S, V>(S.Sub(S.Zero, x)));
}
