using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void Clamp(Tensor x, float low, float high, Tensor y)
    {
        using Timed timed = Measure([x, y]);
        Map<ClampMap>(y, x, p: low, q: high);
    }

    internal override void ClampBackward(Tensor x, float low, float high, Tensor dy, GradTarget dx)
    {
        using Timed timed = Measure([x, dy, dx]);
        Map<ClampGrad>(dx.Tensor!, x, dy, p: low, q: high, accumulate: dx.Accumulate);
    }

    private readonly struct ClampMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Min(q, S.Max(p, x1));
    }

    private readonly struct ClampGrad : IMap
    {
        public static int Arity => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged =>
            S.SelectLess(x1, p, S.Zero, S.SelectLess(q, x1, S.Zero, x2));
    }
}
