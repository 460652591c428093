using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

// The functions of elementwise operations and of their gradients, a vector at a time.
public sealed unsafe partial class CpuDevice
{
    private readonly struct AddMap : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Add(x1, x2);
    }

    private readonly struct SubtractMap : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Sub(x1, x2);
    }

    private readonly struct MultiplyMap : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x1, x2);
    }

    private readonly struct ExpMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.Exp<S, V>(x1);
    }

    private readonly struct SigmoidMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.Sigmoid<S, V>(x1);
    }

    // From y = sigmoid(x): dy y (1 - y).
    private readonly struct SigmoidGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.Mul(x2, S.Mul(x1, S.Sub(S.Create(1), x1)));
    }

    private readonly struct SiluMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x1, Simd.Sigmoid<S, V>(x1));
    }

    private readonly struct SiluGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x2, SiluSlope<S, V>(x1));
    }

    private readonly struct SiluMulMap : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.Mul(x2, S.Mul(x1, Simd.Sigmoid<S, V>(x1)));
    }

    private readonly struct SoftplusMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.Softplus<S, V>(x1);
    }

    private readonly struct SoftplusGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x2, Simd.Sigmoid<S, V>(x1));
    }

    private readonly struct TanhMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.Tanh<S, V>(x1);
    }

    // From y = tanh(x): dy (1 - y^2).
    private readonly struct TanhGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.Mul(x2, S.Sub(S.Create(1), S.Mul(x1, x1)));
    }

    private readonly struct ReluMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Max(S.Zero, x1);
    }

    private readonly struct ReluGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.SelectLess(S.Zero, x1, x2, S.Zero);
    }

    private readonly struct ReluSquaredMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V positive = S.Max(S.Zero, x1);
            return S.Mul(positive, positive);
        }
    }

    private readonly struct ReluSquaredGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V positive = S.Max(S.Zero, x1);
            return S.Mul(x2, S.Add(positive, positive));
        }
    }

    private readonly struct SinMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.SinCos<S, V>(x1).Sin;
    }

    private readonly struct SinGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(Simd.SinCos<S, V>(x1).Cos, x2);
    }

    // x sigmoid(2 u) with u = sqrt(2/pi) (x + 0.044715 x^3): the tanh form of Gelu, as (1 + tanh u) / 2 = sigmoid(2 u).
    private readonly struct GeluMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V squared = S.Mul(x1, x1);
            V u2 = S.Mul(x1, S.Fma(squared, S.Create(2 * 0.7978845608f * 0.044715f), S.Create(2 * 0.7978845608f)));
            return S.Mul(x1, Simd.Sigmoid<S, V>(u2));
        }
    }

    private readonly struct GeluGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V squared = S.Mul(x1, x1);
            V u2 = S.Mul(x1, S.Fma(squared, S.Create(2 * 0.7978845608f * 0.044715f), S.Create(2 * 0.7978845608f)));
            V slope = S.Fma(squared, S.Create(6 * 0.7978845608f * 0.044715f), S.Create(2 * 0.7978845608f));
            V s = Simd.Sigmoid<S, V>(u2);
            return S.Mul(x2, S.Mul(s, S.Fma(S.Mul(x1, slope), S.Sub(S.Create(1), s), S.Create(1))));
        }
    }

    private readonly struct GeluExactMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V tail = Simd.GaussianTail<S, V>(x1, out _);
            return S.Mul(x1, S.SelectLess(x1, S.Zero, tail, S.Sub(S.Create(1), tail)));
        }
    }

    // P(X < x) + x e^(-x^2 / 2) / sqrt(2 pi).
    private readonly struct GeluExactGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V tail = Simd.GaussianTail<S, V>(x1, out V bell), below = S.SelectLess(x1, S.Zero, tail, S.Sub(S.Create(1), tail));
            return S.Mul(x2, S.Fma(S.Mul(x1, bell), S.Create(0.398942280f), below));
        }
    }

    private readonly struct Expm1Map : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => Simd.Expm1<S, V>(x1, out _);
    }

    // From y = e^x - 1: dy (y + 1).
    private readonly struct Expm1Grad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Fma(x1, x2, x2);
    }

    private readonly struct ShiftedPositiveMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.SelectLess(x1, S.Zero, Simd.Sigmoid<S, V>(x1), S.Add(x1, S.Create(0.5f)));
    }

    // From y: dy y (1 - y) below 1/2, dy above.
    private readonly struct ShiftedPositiveGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.SelectLess(x1, S.Create(0.5f), S.Mul(x2, S.Mul(x1, S.Sub(S.Create(1), x1))), x2);
    }

    private readonly struct EluPlusOneMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.Add(S.Max(S.Zero, x1), Simd.Exp<S, V>(S.Min(S.Zero, x1)));
    }

    // From y: the slope is e^x = y up to 1, and 1 from there.
    private readonly struct EluPlusOneGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x2, S.Min(S.Create(1), x1));
    }

    private readonly struct ReciprocalMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Div(S.Create(1), x1);
    }

    // From y = 1 / x: -dy y^2.
    private readonly struct ReciprocalGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Sub(S.Zero, S.Mul(x2, S.Mul(x1, x1)));
    }

    private readonly struct LogGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Div(x2, x1);
    }

    // From y = sqrt(x): dy / (2 y).
    private readonly struct SqrtGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Div(S.Mul(S.Create(0.5f), x2), x1);
    }

    // silu'(x) = s + x s (1 - s), s = sigmoid(x).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V SiluSlope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => SiluSlope<S, V>(x, Simd.Sigmoid<S, V>(x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V SiluSlope<S, V>(V x, V sigmoid) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(sigmoid, S.Fma(x, S.Sub(S.Create(1), sigmoid), S.Create(1)));
}
