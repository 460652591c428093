using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void SoftCap(Tensor x, float cap, Tensor y)
    {
        using Timed timed = Measure([x, y]);
        Map<SoftCapMap>(y, x, p: cap, q: 1 / cap);
    }

    internal override void SoftCapBackward(Tensor y, float cap, Tensor dy, GradTarget dx)
    {
        using Timed timed = Measure([y, dy, dx]);
        Map<SoftCapGrad>(dx.Tensor!, y, dy, q: 1 / cap, accumulate: dx.Accumulate);
    }

    private readonly struct SoftCapMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(p, Simd.Tanh<S, V>(S.Mul(x1, q)));
    }

    // From y: dy (1 - (y / cap)^2).
    private readonly struct SoftCapGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged
        {
            V tanh = S.Mul(x1, q);
            return S.Mul(x2, S.Sub(S.Create(1), S.Mul(tanh, tanh)));
        }
    }
}
