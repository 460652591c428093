using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Products along <see cref="Diagonals"/> diagonals of the matrix of scores: query i meets on diagonal j the row rows[j] + i of b. Rows of b,
/// and all others, are whole vectors (dim a multiple of 16). No product is shared between queries here, so a pair takes as many loads as
/// multiply-adds; diagonals are taken by fours or eights, along which the queries run, so that b is read in streams.
/// </summary>
internal static unsafe class SlashKernel
{
    public const int Diagonals = 16;

    /// <summary>s[i, j] += a_i . b_(rows[j] + i).</summary>
    public static void Dots(int queries, int dim, float* a, float* b, int* rows, float* s, nint sStride)
    {
        if (Isa.Vector512) Dots<Simd512, Vector512<float>>(queries, dim, a, b, rows, s, sStride);
        else if (Isa.Vector256) Dots<Simd256, Vector256<float>>(queries, dim, a, b, rows, s, sStride);
        else Dots<Simd128, Vector128<float>>(queries, dim, a, b, rows, s, sStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dots<S, V>(int queries, int dim, float* a, float* b, int* rows, float* s, nint sStride) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < Diagonals; j += 4)
        {
            float* x = a, sj = s + j;
            float* b0 = b + ((nint)rows[j] * dim), b1 = b + ((nint)rows[j + 1] * dim), b2 = b + ((nint)rows[j + 2] * dim), b3 = b + ((nint)rows[j + 3] * dim);
            for (int i = 0; i < queries; i++)
            {
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
                for (nint p = 0; p < dim; p += S.Count)
                {
                    V xp = S.Load(x + p);
                    s0 = S.Fma(xp, S.Load(b0 + p), s0);
                    s1 = S.Fma(xp, S.Load(b1 + p), s1);
                    s2 = S.Fma(xp, S.Load(b2 + p), s2);
                    s3 = S.Fma(xp, S.Load(b3 + p), s3);
                }

                (S.Sums(s0, s1, s2, s3) + Vector128.Load(sj)).Store(sj);
                x += dim;
                sj += sStride;
                b0 += dim;
                b1 += dim;
                b2 += dim;
                b3 += dim;
            }
        }
    }

    /// <summary>y_i += sum over j of s[i, j] b_(rows[j] + i).</summary>
    public static void AddRows(int queries, int dim, float* s, nint sStride, float* b, int* rows, float* y)
    {
        if (Isa.Vector512) AddRows<Simd512, Vector512<float>>(queries, dim, s, sStride, b, rows, y);
        else if (Isa.Vector256) AddRows<Simd256, Vector256<float>>(queries, dim, s, sStride, b, rows, y);
        else AddRows<Simd128, Vector128<float>>(queries, dim, s, sStride, b, rows, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRows<S, V>(int queries, int dim, float* s, nint sStride, float* b, int* rows, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < Diagonals; j += 8)
        {
            float* to = y, sj = s + j;
            float* b0 = b + ((nint)rows[j] * dim), b1 = b + ((nint)rows[j + 1] * dim), b2 = b + ((nint)rows[j + 2] * dim), b3 = b + ((nint)rows[j + 3] * dim);
            float* b4 = b + ((nint)rows[j + 4] * dim), b5 = b + ((nint)rows[j + 5] * dim), b6 = b + ((nint)rows[j + 6] * dim), b7 = b + ((nint)rows[j + 7] * dim);
            for (int i = 0; i < queries; i++)
            {
                V w0 = S.Create(sj[0]), w1 = S.Create(sj[1]), w2 = S.Create(sj[2]), w3 = S.Create(sj[3]);
                V w4 = S.Create(sj[4]), w5 = S.Create(sj[5]), w6 = S.Create(sj[6]), w7 = S.Create(sj[7]);
                for (nint p = 0; p < dim; p += S.Count)
                {
                    V even = S.Fma(w0, S.Load(b0 + p), S.Load(to + p)), odd = S.Mul(w1, S.Load(b1 + p));
                    even = S.Fma(w2, S.Load(b2 + p), even);
                    odd = S.Fma(w3, S.Load(b3 + p), odd);
                    even = S.Fma(w4, S.Load(b4 + p), even);
                    odd = S.Fma(w5, S.Load(b5 + p), odd);
                    even = S.Fma(w6, S.Load(b6 + p), even);
                    odd = S.Fma(w7, S.Load(b7 + p), odd);
                    S.Store(S.Add(even, odd), to + p);
                }

                to += dim;
                sj += sStride;
                b0 += dim;
                b1 += dim;
                b2 += dim;
                b3 += dim;
                b4 += dim;
                b5 += dim;
                b6 += dim;
                b7 += dim;
            }
        }
    }

    /// <summary>b_(rows[j] + i) += s[i, j] x_i, in an order that does not depend on where rows coincide.</summary>
    public static void AddToRows(int queries, int dim, float* s, nint sStride, float* x, float* b, int* rows)
    {
        if (Isa.Vector512) AddToRows<Simd512, Vector512<float>>(queries, dim, s, sStride, x, b, rows);
        else if (Isa.Vector256) AddToRows<Simd256, Vector256<float>>(queries, dim, s, sStride, x, b, rows);
        else AddToRows<Simd128, Vector128<float>>(queries, dim, s, sStride, x, b, rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddToRows<S, V>(int queries, int dim, float* s, nint sStride, float* x, float* b, int* rows) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < Diagonals; j += 4)
        {
            float* from = x, sj = s + j;
            float* b0 = b + ((nint)rows[j] * dim), b1 = b + ((nint)rows[j + 1] * dim), b2 = b + ((nint)rows[j + 2] * dim), b3 = b + ((nint)rows[j + 3] * dim);
            for (int i = 0; i < queries; i++)
            {
                V w0 = S.Create(sj[0]), w1 = S.Create(sj[1]), w2 = S.Create(sj[2]), w3 = S.Create(sj[3]);
                for (nint p = 0; p < dim; p += S.Count)
                {
                    // One after the other: two of the rows may be the same.
                    V xp = S.Load(from + p);
                    S.Store(S.Fma(w0, xp, S.Load(b0 + p)), b0 + p);
                    S.Store(S.Fma(w1, xp, S.Load(b1 + p)), b1 + p);
                    S.Store(S.Fma(w2, xp, S.Load(b2 + p)), b2 + p);
                    S.Store(S.Fma(w3, xp, S.Load(b3 + p)), b3 + p);
                }

                from += dim;
                sj += sStride;
                b0 += dim;
                b1 += dim;
                b2 += dim;
                b3 += dim;
            }
        }
    }
}
