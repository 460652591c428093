using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Elementary functions on vectors of float. Each is written once, generic in the width; a scalar is one lane of a 128-bit vector, so that
/// every width gives the same bits on one machine. Error bounds (against the exact value, in units of the last place) are what SimdTests checks.
/// </summary>
internal static unsafe partial class Simd
{
    /// <summary>
    /// e^x within 2 ulp (1.05 seen, with fused multiply-add); underflow is gradual (below 2^-126 within one unit of 2^-149),
    /// -infinity gives 0, above 88.7228 infinity, NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        (V small, V n) = ExpReduced<S, V>(x);
        return S.Scale(S.Add(small, S.Create(1f)), n);
    }

    /// <summary>e^x = 2^n (1 + p): p and n.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (V P, V N) ExpReduced<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        // e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2)/2. Adding 1.5 * 2^23 rounds to an integer; ln 2 is split so that n * high is exact.
        V magic = S.Create(12582912f);
        x = S.Max(S.Create(-104f), S.Min(S.Create(89f), x)); // x second: NaN passes
        V n = S.Sub(S.Fma(x, S.Create(1.44269502f), magic), magic);
        V r = S.Fma(n, S.Create(-0.693359375f), x);
        r = S.Fma(n, S.Create(0.000212194442f), r);
        // (e^r - 1 - r) / r^2, interpolated at Chebyshev nodes: relative error of e^r 9.3e-9.
        V q = S.Fma(S.Create(0.00139261817f), r, S.Create(0.008363178f));
        q = S.Fma(q, r, S.Create(0.0416665561f));
        q = S.Fma(q, r, S.Create(0.166665763f));
        q = S.Fma(q, r, S.Create(0.5f));
        return (S.Fma(S.Mul(r, r), q, r), n);
    }

    /// <summary>
    /// e^x - 1 within 3 ulp for x up to 0 (6e-8 of it, not of 1, where it is small), and e^x as <see cref="Exp{S, V}"/> gives it: both at
    /// the price of one. Made for decays: x is not above 88.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Expm1<S, V>(V x, out V exp) where S : struct, ISimd<V> where V : unmanaged
    {
        (V small, V n) = ExpReduced<S, V>(x);
        V one = S.Create(1f);
        exp = S.Scale(S.Add(small, one), n);
        return S.SelectLess(S.Abs(x), S.Create(0.34657359f), small, S.Sub(exp, one)); // below ln(2)/2, n is 0
    }

    /// <summary>1 / (1 + e^-x) within 3 ulp above -87; 0 below -88.73 (the exact value is subnormal there).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1f);
        return S.Div(one, S.Add(one, Exp<S, V>(S.Sub(S.Zero, x))));
    }

    /// <summary>x / (1 + e^-x) within 3 ulp above -87; NaN at -infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Silu<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Div(x, S.Add(S.Create(1f), Exp<S, V>(S.Sub(S.Zero, x))));

    /// <summary>ln(1 + u) for u in [0, 1] within 2 ulp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Log1p<S, V>(V u) where S : struct, ISimd<V> where V : unmanaged
    {
        // ln(1 + u) = 2 artanh(s), s = u / (2 + u) in [0, 1/3]; (artanh(s)/s - 1)/s^2 by a polynomial in s^2, relative error 1e-9.
        V s = S.Div(u, S.Add(u, S.Create(2f)));
        V z = S.Mul(s, s);
        V p = S.Fma(S.Create(0.11612165f), z, S.Create(0.108532876f));
        p = S.Fma(p, z, S.Create(0.142961785f));
        p = S.Fma(p, z, S.Create(0.199998528f));
        p = S.Fma(p, z, S.Create(0.333333343f));
        V twice = S.Add(s, s);
        return S.Fma(twice, S.Mul(z, p), twice);
    }

    /// <summary>ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|) within 3 ulp (gradual underflow below -87).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Softplus<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Add(S.Max(S.Zero, x), Log1p<S, V>(Exp<S, V>(S.Sub(S.Zero, S.Abs(x)))));

    /// <summary>tanh(x) within 3 ulp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Tanh<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        V size = S.Abs(x), z = S.Mul(x, x), one = S.Create(1f), two = S.Create(2f);
        // Below 0.625: x + x z P(z), interpolated, relative error 6.3e-9. Above: 1 - 2 / (e^2|x| + 1), which no longer cancels.
        V p = S.Fma(S.Create(0.0022695018f), z, S.Create(-0.00832318701f));
        p = S.Fma(p, z, S.Create(0.0217625033f));
        p = S.Fma(p, z, S.Create(-0.0539584607f));
        p = S.Fma(p, z, S.Create(0.133332998f));
        p = S.Fma(p, z, S.Create(-0.333333343f));
        V near = S.Fma(S.Mul(x, z), p, x);
        V far = S.Sub(one, S.Div(two, S.Add(Exp<S, V>(S.Mul(size, two)), one)));
        return S.SelectLess(size, S.Create(0.625f), near, S.CopySign(far, x));
    }

    /// <summary>
    /// The Gaussian distribution's tail P(X &lt; -|x|) = erfc(|x| / sqrt(2)) / 2 and <paramref name="bell"/> = e^(-x^2 / 2), each within 8 ulp
    /// up to |x| = 13; then underflow, to 0 from 20 on.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V GaussianTail<S, V>(V x, out V bell) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1f), size = S.Min(S.Create(20f), S.Abs(x)), square = S.Mul(size, size);
        // The exponential would magnify what rounding the square loses: it is multiplied in.
        V lost = S.Fma(size, size, S.Sub(S.Zero, square));
        bell = Exp<S, V>(S.Mul(square, S.Create(-0.5f)));
        bell = S.Fma(S.Mul(lost, S.Create(-0.5f)), bell, bell);
        // tail / bell = t P(t), t = 1 / (1 + 0.24 |x|), interpolated at Chebyshev nodes: relative error 4e-9.
        V t = S.Div(one, S.Fma(size, S.Create(0.24f), one));
        V p = S.Fma(S.Create(0.0257705636f), t, S.Create(-0.126026273f));
        p = S.Fma(p, t, S.Create(0.208899155f));
        p = S.Fma(p, t, S.Create(-0.149046481f));
        p = S.Fma(p, t, S.Create(0.145612389f));
        p = S.Fma(p, t, S.Create(0.0258149393f));
        p = S.Fma(p, t, S.Create(0.0886095464f));
        p = S.Fma(p, t, S.Create(0.0887441263f));
        p = S.Fma(p, t, S.Create(0.0958812684f));
        p = S.Fma(p, t, S.Create(0.0957407802f));
        return S.Mul(S.Mul(bell, t), p);
    }

    /// <summary>Sine and cosine, each within 1.5e-7 (absolute) for |x| up to 1e4; beyond, the error grows with |x|.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (V Sin, V Cos) SinCos<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        // x = n pi + r, |r| <= pi/2; pi is split in three so that the subtraction is exact. Both functions change sign where n is odd.
        V magic = S.Create(12582912f), one = S.Create(1f);
        V n = S.Sub(S.Fma(x, S.Create(0.318309886f), magic), magic);
        V r = S.Fma(n, S.Create(-3.140625f), x);
        r = S.Fma(n, S.Create(-0.000967502594f), r);
        r = S.Fma(n, S.Create(-1.50995799e-07f), r);
        V half = S.Sub(S.Fma(n, S.Create(0.5f), magic), magic);
        V odd = S.Abs(S.Fma(half, S.Create(-2f), n));
        V sign = S.Fma(odd, S.Create(-2f), one);
        // Taylor's series to r^13 and r^12: 7e-10 and 7e-9 of truncation at pi/2.
        V z = S.Mul(r, r);
        V p = S.Fma(S.Create(1f / 6227020800f), z, S.Create(-1f / 39916800f));
        p = S.Fma(p, z, S.Create(1f / 362880f));
        p = S.Fma(p, z, S.Create(-1f / 5040f));
        p = S.Fma(p, z, S.Create(1f / 120f));
        p = S.Fma(p, z, S.Create(-1f / 6f));
        V q = S.Fma(S.Create(1f / 479001600f), z, S.Create(-1f / 3628800f));
        q = S.Fma(q, z, S.Create(1f / 40320f));
        q = S.Fma(q, z, S.Create(-1f / 720f));
        q = S.Fma(q, z, S.Create(1f / 24f));
        q = S.Fma(q, z, S.Create(-0.5f));
        return (S.Mul(sign, S.Fma(S.Mul(r, z), p, r)), S.Mul(sign, S.Fma(q, z, one)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Exp(Vector512<float> x) => Exp<Simd512, Vector512<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Exp(Vector256<float> x) => Exp<Simd256, Vector256<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Exp(Vector128<float> x) => Exp<Simd128, Vector128<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Exp(float x) => Exp<Simd128, Vector128<float>>(Vector128.CreateScalar(x)).ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Sigmoid(Vector512<float> x) => Sigmoid<Simd512, Vector512<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Sigmoid(Vector256<float> x) => Sigmoid<Simd256, Vector256<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Sigmoid(Vector128<float> x) => Sigmoid<Simd128, Vector128<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sigmoid(float x) => Sigmoid<Simd128, Vector128<float>>(Vector128.CreateScalar(x)).ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Silu(Vector512<float> x) => Silu<Simd512, Vector512<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Silu(Vector256<float> x) => Silu<Simd256, Vector256<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Silu(Vector128<float> x) => Silu<Simd128, Vector128<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Silu(float x) => Silu<Simd128, Vector128<float>>(Vector128.CreateScalar(x)).ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Softplus(Vector512<float> x) => Softplus<Simd512, Vector512<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Softplus(Vector256<float> x) => Softplus<Simd256, Vector256<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Softplus(Vector128<float> x) => Softplus<Simd128, Vector128<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Softplus(float x) => Softplus<Simd128, Vector128<float>>(Vector128.CreateScalar(x)).ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Tanh(Vector512<float> x) => Tanh<Simd512, Vector512<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Tanh(Vector256<float> x) => Tanh<Simd256, Vector256<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Tanh(Vector128<float> x) => Tanh<Simd128, Vector128<float>>(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Tanh(float x) => Tanh<Simd128, Vector128<float>>(Vector128.CreateScalar(x)).ToScalar();

    /// <summary>ln(1 + u) for u in [0, 1].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Log1p(float u) => Log1p<Simd128, Vector128<float>>(Vector128.CreateScalar(u)).ToScalar();
}
