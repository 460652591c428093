using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>The elementwise parts of attention on one tile, compiled for each vector width.</summary>
internal static unsafe class AttentionKernel
{
    private const int Tile = AttentionView.Tile;

    /// <summary>
    /// One step of the online softmax on scores s [rows of keys, columns of queries], rows <see cref="Tile"/> apart, columns a multiple
    /// of 16. Per query: max becomes the larger of max and the scores', rescale = e^(old max - new), s becomes e^(s - max), and
    /// sum = sum rescale + its sum. A score of -infinity changes nothing, to the bit; max is finite from the start.
    /// </summary>
    public static void SoftmaxColumns(float* s, int rows, int columns, float* max, float* sum, float* rescale)
    {
        if (Vector512.IsHardwareAccelerated) SoftmaxColumns<Simd512, Vector512<float>>(s, rows, columns, max, sum, rescale);
        else if (Vector256.IsHardwareAccelerated) SoftmaxColumns<Simd256, Vector256<float>>(s, rows, columns, max, sum, rescale);
        else SoftmaxColumns<Simd128, Vector128<float>>(s, rows, columns, max, sum, rescale);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SoftmaxColumns<S, V>(float* s, int rows, int columns, float* max, float* sum, float* rescale) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int c = 0; c < columns; c += S.Count)
        {
            float* column = s + c;
            V old = S.Load(max + c), largest = old;
            for (int i = 0; i < rows; i++)
            {
                largest = S.Max(largest, S.Load(column + (i * Tile)));
            }

            V total = S.Zero;
            for (int i = 0; i < rows; i++)
            {
                V p = Simd.Exp<S, V>(S.Sub(S.Load(column + (i * Tile)), largest));
                S.Store(p, column + (i * Tile));
                total = S.Add(total, p);
            }

            V factor = Simd.Exp<S, V>(S.Sub(old, largest));
            S.Store(largest, max + c);
            S.Store(factor, rescale + c);
            S.Store(S.Fma(S.Load(sum + c), factor, total), sum + c);
        }
    }

    /// <summary>s[i] = e^(s[i] - max); returns the sum.</summary>
    public static float ExpSum(float* s, int n, float max) =>
        Vector512.IsHardwareAccelerated ? ExpSum<Simd512, Vector512<float>>(s, n, max) :
        Vector256.IsHardwareAccelerated ? ExpSum<Simd256, Vector256<float>>(s, n, max) : ExpSum<Simd128, Vector128<float>>(s, n, max);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float ExpSum<S, V>(float* s, int n, float max) where S : struct, ISimd<V> where V : unmanaged
    {
        V shift = S.Create(max), total = S.Zero;
        int i = 0;
        for (; i <= n - S.Count; i += S.Count)
        {
            V p = Simd.Exp<S, V>(S.Sub(S.Load(s + i), shift));
            S.Store(p, s + i);
            total = S.Add(total, p);
        }

        float sum = S.Sum(total);
        for (; i < n; i++)
        {
            s[i] = Simd.Exp(s[i] - max);
            sum += s[i];
        }

        return sum;
    }

    /// <summary>
    /// One query's probabilities and the gradients of its scores, over columns of keys (a multiple of 16):
    /// s becomes p = e^(s - logSum), d becomes ds = p (d - delta) scale, where d holds dp and delta = sum(p dp) = sum(dy y).
    /// </summary>
    public static void ScoreGradients(float* s, float* d, int columns, float logSum, float delta, float scale)
    {
        if (Vector512.IsHardwareAccelerated) ScoreGradients<Simd512, Vector512<float>>(s, d, columns, logSum, delta, scale);
        else if (Vector256.IsHardwareAccelerated) ScoreGradients<Simd256, Vector256<float>>(s, d, columns, logSum, delta, scale);
        else ScoreGradients<Simd128, Vector128<float>>(s, d, columns, logSum, delta, scale);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScoreGradients<S, V>(float* s, float* d, int columns, float logSum, float delta, float scale) where S : struct, ISimd<V> where V : unmanaged
    {
        V shift = S.Create(logSum), mean = S.Create(delta), factor = S.Create(scale);
        for (int i = 0; i < columns; i += S.Count)
        {
            V p = Simd.Exp<S, V>(S.Sub(S.Load(s + i), shift));
            S.Store(p, s + i);
            S.Store(S.Mul(S.Mul(p, factor), S.Sub(S.Load(d + i), mean)), d + i);
        }
    }

    /// <summary>y[i] (+)= x[i], row by row.</summary>
    public static void Put(int rows, int columns, float* x, nint xStride, float* y, nint yStride, bool accumulate)
    {
        for (int i = 0; i < rows; i++)
        {
            if (accumulate)
            {
                Simd.Add(columns, x + (i * xStride), y + (i * yStride));
            }
            else
            {
                new ReadOnlySpan<float>(x + (i * xStride), columns).CopyTo(new Span<float>(y + (i * yStride), columns));
            }
        }
    }
}
