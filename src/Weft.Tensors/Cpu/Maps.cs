using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>A function of up to four vectors, applied lane by lane: x1 is the first array's, and so on; unused ones are anything.</summary>
internal interface IMap
{
    /// <summary>The number of arrays read.</summary>
    static abstract int Arity { get; }

    /// <summary>The function; <paramref name="p"/> and <paramref name="q"/> are its constants.</summary>
    static abstract V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Where a map reads and writes: up to three sources and a destination, each with its distance between rows.</summary>
internal unsafe struct MapJob<TMap> : IWideJob where TMap : IMap
{
    public Tiles Tiles;
    public float* X1, X2, X3, Y;
    public long Stride1, Stride2, Stride3, StrideY;
    public float P, Q;
    public bool Accumulate;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        (int from, int to) = Tiles.Part(index);
        for (int row = from; row < to; row++)
        {
            float* x1 = X1 + (row * Stride1), x2 = X2 + (row * Stride2), x3 = X3 + (row * Stride3), y = Y + (row * StrideY);
            int length = Tiles.Length(row);
            Apply<S, V>(x1, x2, x3, y, length, P, Q, Accumulate);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Apply<S, V>(float* x1, float* x2, float* x3, float* y, int length, float pp, float qq, bool accumulate)
        where S : struct, ISimd<V> where V : unmanaged
    {
        V p = S.Create(pp), q = S.Create(qq);
        int i = 0;
        for (; i <= length - S.Count; i += S.Count)
        {
            V value = TMap.Of<S, V>(
                TMap.Arity > 0 ? S.Load(x1 + i) : p,
                TMap.Arity > 1 ? S.Load(x2 + i) : p,
                TMap.Arity > 2 ? S.Load(x3 + i) : p, p, q);
            S.Store(accumulate ? S.Add(S.Load(y + i), value) : value, y + i);
        }

        int rest = length - i;
        if (rest > 0)
        {
            V value = TMap.Of<S, V>(
                TMap.Arity > 0 ? S.LoadPartial(x1 + i, rest) : p,
                TMap.Arity > 1 ? S.LoadPartial(x2 + i, rest) : p,
                TMap.Arity > 2 ? S.LoadPartial(x3 + i, rest) : p, p, q);
            S.StorePartial(accumulate ? S.Add(S.LoadPartial(y + i, rest), value) : value, y + i, rest);
        }
    }
}
