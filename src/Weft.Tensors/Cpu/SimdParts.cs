using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>Vectors at the end of an array: whole ones, or what is left.</summary>
internal static unsafe partial class Simd
{
    /// <summary>The next vector of an array of which n floats are left; lanes beyond them are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LoadUpTo<S, V>(float* p, int n) where S : struct, ISimd<V> where V : unmanaged => n >= S.Count ? S.Load(p) : S.LoadPartial(p, n);

    /// <summary>Stores a vector, or adds it, where n floats of the array are left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreUpTo<S, V>(V x, float* p, int n, bool add = false) where S : struct, ISimd<V> where V : unmanaged
    {
        x = add ? S.Add(x, LoadUpTo<S, V>(p, n)) : x;
        if (n >= S.Count)
            S.Store(x, p);
        else
            S.StorePartial(x, p, n);
    }

    /// <summary>A whole vector, or one of <paramref name="rest"/> floats: known when the loop is compiled, so that whole ones cost no test.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V, C>(float* p, int rest) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns =>
        C.Partial ? S.LoadPartial(p, rest) : S.Load(p);

    /// <summary>Stores, or adds, what <see cref="Load{S, V, C}"/> would load.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V, C>(V x, float* p, int rest, bool add = false) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
    {
        x = add ? S.Add(x, Load<S, V, C>(p, rest)) : x;
        if (C.Partial)
            S.StorePartial(x, p, rest);
        else
            S.Store(x, p);
    }

    /// <summary>Asks for a cache line that will be wanted soon; any address will do.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(float* p)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(p);
    }
}
