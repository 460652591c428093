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
        if (Isa.Vector512) SoftmaxColumns<Simd512, Vector512<float>>(s, rows, columns, max, sum, rescale);
        else if (Isa.Vector256) SoftmaxColumns<Simd256, Vector256<float>>(s, rows, columns, max, sum, rescale);
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

    /// <summary>
    /// The scores of one query a head, q [key heads, group, d], with <paramref name="rows"/> keys [key heads, d]: head h's go to
    /// s[h * sStride]. All heads of a row are read before the next row: memory is walked in order, which is what decoding waits for.
    /// </summary>
    public static void Scores(int keyHeads, int group, int headDim, float scale, float* q, float* keys, nint stride, int rows, float* s, int sStride)
    {
        if (Isa.Vector512) Scores<Simd512, Vector512<float>>(keyHeads, group, headDim, scale, q, keys, stride, rows, s, sStride);
        else if (Isa.Vector256) Scores<Simd256, Vector256<float>>(keyHeads, group, headDim, scale, q, keys, stride, rows, s, sStride);
        else Scores<Simd128, Vector128<float>>(keyHeads, group, headDim, scale, q, keys, stride, rows, s, sStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scores<S, V>(int keyHeads, int group, int headDim, float scale, float* q, float* keys, nint stride, int rows, float* s, int sStride)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int whole = headDim / S.Count * S.Count, rest = headDim - whole;
        for (int row = 0; row < rows; row++, keys += stride)
        {
            float* key = keys, query = q, score = s + row;
            for (int keyHead = 0; keyHead < keyHeads; keyHead++, key += headDim)
            {
                for (int g = 0; g < group; g++, query += headDim, score += sStride)
                {
                    V sum = S.Zero;
                    for (int i = 0; i < whole; i += S.Count)
                    {
                        sum = S.Fma(S.Load(query + i), S.Load(key + i), sum);
                    }

                    if (rest > 0)
                    {
                        sum = S.Fma(S.LoadPartial(query + whole, rest), S.LoadPartial(key + whole, rest), sum);
                    }

                    *score = scale * S.Sum(sum);
                }
            }
        }
    }

    /// <summary>Adds p v of each head: y[h * yStride] += sum over rows of s[h * sStride + row] times the row's values; in the order of <see cref="Scores"/>.</summary>
    public static void AddValues(int keyHeads, int group, int headDim, float* s, int sStride, float* values, nint stride, int rows, float* y, int yStride)
    {
        if (Isa.Vector512) AddValues<Simd512, Vector512<float>>(keyHeads, group, headDim, s, sStride, values, stride, rows, y, yStride);
        else if (Isa.Vector256) AddValues<Simd256, Vector256<float>>(keyHeads, group, headDim, s, sStride, values, stride, rows, y, yStride);
        else AddValues<Simd128, Vector128<float>>(keyHeads, group, headDim, s, sStride, values, stride, rows, y, yStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddValues<S, V>(int keyHeads, int group, int headDim, float* s, int sStride, float* values, nint stride, int rows, float* y, int yStride)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int whole = headDim / S.Count * S.Count, rest = headDim - whole;
        for (int row = 0; row < rows; row++, values += stride)
        {
            float* value = values, score = s + row, sum = y;
            for (int keyHead = 0; keyHead < keyHeads; keyHead++, value += headDim)
            {
                for (int g = 0; g < group; g++, score += sStride, sum += yStride)
                {
                    V p = S.Create(*score);
                    for (int i = 0; i < whole; i += S.Count)
                    {
                        S.Store(S.Fma(p, S.Load(value + i), S.Load(sum + i)), sum + i);
                    }

                    if (rest > 0)
                    {
                        S.StorePartial(S.Fma(p, S.LoadPartial(value + whole, rest), S.LoadPartial(sum + whole, rest)), sum + whole, rest);
                    }
                }
            }
        }
    }

    /// <summary>s[i] = e^(s[i] - max); returns the sum.</summary>
    public static float ExpSum(float* s, int n, float max) =>
        Isa.Vector512 ? ExpSum<Simd512, Vector512<float>>(s, n, max) :
        Isa.Vector256 ? ExpSum<Simd256, Vector256<float>>(s, n, max) : ExpSum<Simd128, Vector128<float>>(s, n, max);

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
    /// One step of the online softmax on scores s [rows of queries, columns of keys], columns a multiple of 16. Row i is of the query
    /// queries[i], or of i where they are null; of it, max and sum become those over the keys so far, s becomes e^(s - max), and rescale[i] = e^(old max - new).
    /// </summary>
    public static void SoftmaxRows(float* s, nint stride, int rows, int columns, int* queries, float* max, float* sum, float* rescale)
    {
        if (Isa.Vector512) SoftmaxRows<Simd512, Vector512<float>>(s, stride, rows, columns, queries, max, sum, rescale);
        else if (Isa.Vector256) SoftmaxRows<Simd256, Vector256<float>>(s, stride, rows, columns, queries, max, sum, rescale);
        else SoftmaxRows<Simd128, Vector128<float>>(s, stride, rows, columns, queries, max, sum, rescale);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SoftmaxRows<S, V>(float* s, nint stride, int rows, int columns, int* queries, float* max, float* sum, float* rescale)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++)
        {
            float* si = s + (i * stride);
            int query = queries is null ? i : queries[i];
            V top = S.Create(max[query]);
            for (int j = 0; j < columns; j += S.Count)
            {
                top = S.Max(top, S.Load(si + j));
            }

            float largest = S.MaxAcross(top);
            rescale[i] = max[query] - largest;
            max[query] = largest;
        }

        int whole = rows / S.Count * S.Count;
        for (int i = 0; i < whole; i += S.Count)
        {
            S.Store(Simd.Exp<S, V>(S.Load(rescale + i)), rescale + i);
        }

        for (int i = whole; i < rows; i++)
        {
            rescale[i] = Simd.Exp(rescale[i]); // the same bits as in a vector
        }

        for (int i = 0; i < rows; i++)
        {
            float* si = s + (i * stride);
            int query = queries is null ? i : queries[i];
            V shift = S.Create(max[query]), total = S.Zero;
            for (int j = 0; j < columns; j += S.Count)
            {
                V p = Simd.Exp<S, V>(S.Sub(S.Load(si + j), shift));
                S.Store(p, si + j);
                total = S.Add(total, p);
            }

            sum[query] = (sum[query] * rescale[i]) + S.Sum(total);
        }
    }

    /// <summary>y[queries[i]] = y[queries[i]] rescale[i] + x[i], rows of <paramref name="columns"/> floats one after the other.</summary>
    public static void AddRescaled(int rows, int columns, float* x, int* queries, float* rescale, float* y)
    {
        if (Isa.Vector512) AddRescaled<Simd512, Vector512<float>>(rows, columns, x, queries, rescale, y);
        else if (Isa.Vector256) AddRescaled<Simd256, Vector256<float>>(rows, columns, x, queries, rescale, y);
        else AddRescaled<Simd128, Vector128<float>>(rows, columns, x, queries, rescale, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRescaled<S, V>(int rows, int columns, float* x, int* queries, float* rescale, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++, x += columns)
        {
            V factor = S.Create(rescale[i]);
            float* to = y + (queries[i] * (nint)columns);
            for (int j = 0; j < columns; j += S.Count)
            {
                V sum = S.Fma(Simd.LoadUpTo<S, V>(to + j, columns - j), factor, Simd.LoadUpTo<S, V>(x + j, columns - j));
                Simd.StoreUpTo<S, V>(sum, to + j, columns - j);
            }
        }
    }

    /// <summary>
    /// Probabilities and the gradients of biased scores, [rows of queries, columns of keys], columns a multiple of 16:
    /// s becomes p = e^(s - logSum), d becomes p (d - delta), where d holds dp and delta = sum(p dp) = sum(dy y). Row i is of the query
    /// queries[i], or of i where they are null.
    /// </summary>
    public static void ScoreGradients(float* s, nint sStride, float* d, nint dStride, int rows, int columns, int* queries, float* logSums, float* deltas)
    {
        if (Isa.Vector512) ScoreGradients<Simd512, Vector512<float>>(s, sStride, d, dStride, rows, columns, queries, logSums, deltas);
        else if (Isa.Vector256) ScoreGradients<Simd256, Vector256<float>>(s, sStride, d, dStride, rows, columns, queries, logSums, deltas);
        else ScoreGradients<Simd128, Vector128<float>>(s, sStride, d, dStride, rows, columns, queries, logSums, deltas);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScoreGradients<S, V>(float* s, nint sStride, float* d, nint dStride, int rows, int columns, int* queries, float* logSums, float* deltas)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++, s += sStride, d += dStride)
        {
            int query = queries is null ? i : queries[i];
            V shift = S.Create(logSums[query]), mean = S.Create(deltas[query]);
            for (int j = 0; j < columns; j += S.Count)
            {
                V p = Simd.Exp<S, V>(S.Sub(S.Load(s + j), shift));
                S.Store(p, s + j);
                S.Store(S.Mul(p, S.Sub(S.Load(d + j), mean)), d + j);
            }
        }
    }

    /// <summary>
    /// Adds a bias to a tile of scores, columns a multiple of 16, rows <see cref="Tile"/> apart: s[i, j] += row[i] + column[j]. Each of
    /// these is a coarse value, of which the sum is exact, and - <see cref="Tile"/> floats behind it - a fine one.
    /// </summary>
    public static void AddBias(float* s, int rows, int columns, float* row, float* column)
    {
        if (Isa.Vector512) AddBias<Simd512, Vector512<float>>(s, rows, columns, row, column);
        else if (Isa.Vector256) AddBias<Simd256, Vector256<float>>(s, rows, columns, row, column);
        else AddBias<Simd128, Vector128<float>>(s, rows, columns, row, column);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddBias<S, V>(float* s, int rows, int columns, float* row, float* column) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < rows; i++, s += Tile)
        {
            V coarse = S.Create(row[i]), fine = S.Create(row[Tile + i]);
            for (int j = 0; j < columns; j += S.Count)
            {
                V bias = S.Add(S.Add(coarse, S.Load(column + j)), S.Add(fine, S.Load(column + Tile + j)));
                S.Store(S.Add(S.Load(s + j), bias), s + j);
            }
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
