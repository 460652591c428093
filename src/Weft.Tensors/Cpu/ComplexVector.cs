using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>A vector of complex numbers, real and imaginary parts apart.</summary>
internal readonly unsafe struct ComplexVector<S, V>(V re, V im) where S : struct, ISimd<V> where V : unmanaged
{
    public readonly V Re = re, Im = im;

    /// <summary>The first <paramref name="lanes"/> numbers (a whole vector where there are that many) of two arrays.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ComplexVector<S, V> Load(float* re, float* im, int lanes) => new(LoadReal(re, lanes), LoadReal(im, lanes));

    /// <summary>The first <paramref name="lanes"/> numbers of an array.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LoadReal(float* p, int lanes) => lanes >= S.Count ? S.Load(p) : S.LoadPartial(p, lanes);

    /// <summary>Stores, or adds, the first lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreReal(V x, float* p, int lanes, bool add = false)
    {
        if (add)
        {
            x = S.Add(x, LoadReal(p, lanes));
        }

        if (lanes >= S.Count)
        {
            S.Store(x, p);
        }
        else
        {
            S.StorePartial(x, p, lanes);
        }
    }

    /// <summary>Stores, or adds, the first lanes to two arrays.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* re, float* im, int lanes, bool add = false)
    {
        StoreReal(Re, re, lanes, add);
        StoreReal(Im, im, lanes, add);
    }

    /// <summary>The complex conjugate.</summary>
    public ComplexVector<S, V> Conjugate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Re, S.Sub(S.Zero, Im));
    }

    /// <summary>1 / x.</summary>
    public ComplexVector<S, V> Inverse
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Conjugate * S.Div(S.Create(1), S.Fma(Re, Re, S.Mul(Im, Im)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ComplexVector<S, V> operator +(ComplexVector<S, V> x, ComplexVector<S, V> y) => new(S.Add(x.Re, y.Re), S.Add(x.Im, y.Im));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ComplexVector<S, V> operator -(ComplexVector<S, V> x, ComplexVector<S, V> y) => new(S.Sub(x.Re, y.Re), S.Sub(x.Im, y.Im));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ComplexVector<S, V> operator *(ComplexVector<S, V> x, ComplexVector<S, V> y) =>
        new(S.Sub(S.Mul(x.Re, y.Re), S.Mul(x.Im, y.Im)), S.Fma(x.Re, y.Im, S.Mul(x.Im, y.Re)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ComplexVector<S, V> operator *(ComplexVector<S, V> x, V y) => new(S.Mul(x.Re, y), S.Mul(x.Im, y));
}
