using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Vector loops over float arrays. Pointers need no alignment; results do not depend on it: sums are taken in a fixed order that is a
/// function of the length and of the machine's vector width only. n may be 0.
/// </summary>
internal static unsafe partial class Simd
{
    /// <summary>x[i] = value.</summary>
    public static void Fill(float* x, nint n, float value)
    {
        for (; n > int.MaxValue; n -= int.MaxValue, x += int.MaxValue)
            new Span<float>(x, int.MaxValue).Fill(value);
        new Span<float>(x, (int)n).Fill(value);
    }

    /// <summary>Copies rows of cols floats; source rows lie lds floats apart, target rows ldt. The ranges do not overlap.</summary>
    public static void Copy(int rows, int cols, float* source, nint lds, float* target, nint ldt)
    {
        if (lds == cols && ldt == cols)
        {
            long bytes = (long)rows * cols * sizeof(float);
            Buffer.MemoryCopy(source, target, bytes, bytes);
            return;
        }
        for (int i = 0; i < rows; i++)
            new ReadOnlySpan<float>(source + i * lds, cols).CopyTo(new Span<float>(target + i * ldt, cols));
    }

    /// <summary>y[i] += alpha * x[i].</summary>
    public static void Axpy(nint n, float alpha, float* x, float* y)
    {
        if (Isa.Vector512) Axpy<Simd512, Vector512<float>>(n, alpha, x, y);
        else if (Isa.Vector256) Axpy<Simd256, Vector256<float>>(n, alpha, x, y);
        else Axpy<Simd128, Vector128<float>>(n, alpha, x, y);
    }

    /// <summary>y[i] += x[i].</summary>
    public static void Add(nint n, float* x, float* y)
    {
        if (Isa.Vector512) Add<Simd512, Vector512<float>>(n, x, y);
        else if (Isa.Vector256) Add<Simd256, Vector256<float>>(n, x, y);
        else Add<Simd128, Vector128<float>>(n, x, y);
    }

    /// <summary>x[i] *= alpha.</summary>
    public static void Scale(nint n, float alpha, float* x)
    {
        if (Isa.Vector512) Scale<Simd512, Vector512<float>>(n, alpha, x);
        else if (Isa.Vector256) Scale<Simd256, Vector256<float>>(n, alpha, x);
        else Scale<Simd128, Vector128<float>>(n, alpha, x);
    }

    /// <summary>Sum of x[i] * y[i].</summary>
    public static float Dot(nint n, float* x, float* y)
    {
        if (Isa.Vector512) return Reduce<Simd512, Vector512<float>, ProductTerm<Simd512, Vector512<float>>>(n, x, y);
        if (Isa.Vector256) return Reduce<Simd256, Vector256<float>, ProductTerm<Simd256, Vector256<float>>>(n, x, y);
        return Reduce<Simd128, Vector128<float>, ProductTerm<Simd128, Vector128<float>>>(n, x, y);
    }

    /// <summary>Sum of x[i].</summary>
    public static float Sum(nint n, float* x)
    {
        if (Isa.Vector512) return Reduce<Simd512, Vector512<float>, ValueTerm<Simd512, Vector512<float>>>(n, x, x);
        if (Isa.Vector256) return Reduce<Simd256, Vector256<float>, ValueTerm<Simd256, Vector256<float>>>(n, x, x);
        return Reduce<Simd128, Vector128<float>, ValueTerm<Simd128, Vector128<float>>>(n, x, x);
    }

    /// <summary>Sum of x[i]^2.</summary>
    public static float SumSquares(nint n, float* x) => Dot(n, x, x);

    /// <summary>Largest x[i]; -infinity for n = 0. Unspecified if a value is NaN.</summary>
    public static float Max(nint n, float* x)
    {
        if (Isa.Vector512) return Max<Simd512, Vector512<float>>(n, x);
        if (Isa.Vector256) return Max<Simd256, Vector256<float>>(n, x);
        return Max<Simd128, Vector128<float>>(n, x);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Axpy<S, V>(nint n, float alpha, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        nint i = 0;
        for (; i <= n - S.Count; i += S.Count)
            S.Store(S.Fma(a, S.Load(x + i), S.Load(y + i)), y + i);
        int tail = (int)(n - i);
        if (tail > 0)
            S.StorePartial(S.Fma(a, S.LoadPartial(x + i, tail), S.LoadPartial(y + i, tail)), y + i, tail);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add<S, V>(nint n, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        nint i = 0;
        for (; i <= n - S.Count; i += S.Count)
            S.Store(S.Add(S.Load(x + i), S.Load(y + i)), y + i);
        int tail = (int)(n - i);
        if (tail > 0)
            S.StorePartial(S.Add(S.LoadPartial(x + i, tail), S.LoadPartial(y + i, tail)), y + i, tail);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale<S, V>(nint n, float alpha, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        V a = S.Create(alpha);
        nint i = 0;
        for (; i <= n - S.Count; i += S.Count)
            S.Store(S.Mul(a, S.Load(x + i)), x + i);
        int tail = (int)(n - i);
        if (tail > 0)
            S.StorePartial(S.Mul(a, S.LoadPartial(x + i, tail)), x + i, tail);
    }

    /// <summary>What a sum adds up: sum + f(x, y), where f(0, 0) = 0 so that zero lanes of a tail count for nothing.</summary>
    private interface ITerm<V>
    {
        static abstract V Accumulate(V x, V y, V sum);
    }

    private readonly struct ProductTerm<S, V> : ITerm<V> where S : struct, ISimd<V> where V : unmanaged
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Accumulate(V x, V y, V sum) => S.Fma(x, y, sum);
    }

    private readonly struct ValueTerm<S, V> : ITerm<V> where S : struct, ISimd<V> where V : unmanaged
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)] public static V Accumulate(V x, V y, V sum) => S.Add(x, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Reduce<S, V, T>(nint n, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged where T : struct, ITerm<V>
    {
        // Four sums hide the latency of the addition.
        V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
        nint i = 0;
        for (; i <= n - 4 * S.Count; i += 4 * S.Count)
        {
            s0 = T.Accumulate(S.Load(x + i), S.Load(y + i), s0);
            s1 = T.Accumulate(S.Load(x + i + S.Count), S.Load(y + i + S.Count), s1);
            s2 = T.Accumulate(S.Load(x + i + 2 * S.Count), S.Load(y + i + 2 * S.Count), s2);
            s3 = T.Accumulate(S.Load(x + i + 3 * S.Count), S.Load(y + i + 3 * S.Count), s3);
        }
        for (; i <= n - S.Count; i += S.Count)
            s0 = T.Accumulate(S.Load(x + i), S.Load(y + i), s0);
        int tail = (int)(n - i);
        if (tail > 0)
            s1 = T.Accumulate(S.LoadPartial(x + i, tail), S.LoadPartial(y + i, tail), s1);
        return S.Sum(S.Add(S.Add(s0, s1), S.Add(s2, s3)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Max<S, V>(nint n, float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        float best = float.NegativeInfinity;
        nint i = 0;
        if (n >= S.Count)
        {
            V m = S.Load(x);
            for (i = S.Count; i <= n - S.Count; i += S.Count)
                m = S.Max(m, S.Load(x + i));
            best = S.MaxAcross(S.Max(m, S.Load(x + n - S.Count))); // the last vector may overlap: a maximum counts twice at no harm
            i = n;
        }
        for (; i < n; i++)
            best = MathF.Max(best, x[i]);
        return best;
    }
}
