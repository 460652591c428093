using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void Lerp(Tensor a, Tensor b, Tensor w, Tensor y)
    {
        using Timed timed = Measure([a, b, w, y]);
        Map<LerpMap>(y, a, b, w);
    }

    internal override void LerpBackward(Tensor a, Tensor b, Tensor w, Tensor dy, GradTarget da, GradTarget db, GradTarget dw)
    {
        using Timed timed = Measure([a, b, w, dy, da, db, dw]);
        if (da.Tensor is { } toA)
        {
            Map<LerpFromGrad>(toA, dy, w, accumulate: da.Accumulate);
        }

        if (db.Tensor is { } toB)
        {
            Map<MultiplyMap>(toB, dy, w, accumulate: db.Accumulate);
        }

        if (dw.Tensor is { } toW)
        {
            Map<LerpWeightGrad>(toW, a, b, dy, accumulate: dw.Accumulate);
        }
    }

    private readonly struct LerpMap : IMap
    {
        public static int Arity => 3;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Fma(x3, S.Sub(x2, x1), x1);
    }

    private readonly struct LerpFromGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Sub(x1, S.Mul(x1, x2));
    }

    private readonly struct LerpWeightGrad : IMap
    {
        public static int Arity => 3;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x3, S.Sub(x2, x1));
    }
}
