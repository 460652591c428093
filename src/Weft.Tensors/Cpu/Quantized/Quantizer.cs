using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Makes a <see cref="QuantizedWeight"/>. 8 bits: the scale gives the largest of a group level +-127. 4 bits: of scales that give the largest
/// one a level from 5 to 9 of either sign (beyond the range it is clipped), each moved to the least sum of squared errors for the levels that
/// it leads to, the best is taken. Columns are lanes.
/// </summary>
internal static unsafe class Quantizer
{
    /// <summary>Quantises op(b) = b^T of a weight b [n, k] with rows ldb apart.</summary>
    public static void Run(WorkerPool pool, float* b, nint ldb, QuantizedWeight target) => Run(pool, b, ldb, null, target);

    /// <summary>Quantises a weight held in bfloat16.</summary>
    public static void Run(WorkerPool pool, Bf16Weight b, QuantizedWeight target) => Run(pool, null, 0, b.Lanes, target);

    private static void Run(WorkerPool pool, float* b, nint ldb, float* lanes, QuantizedWeight target)
    {
        if (target.Format == WeightFormat.Int8)
            Run<Int8Format>(pool, b, ldb, lanes, target);
        else
            Run<Int4Format>(pool, b, ldb, lanes, target);
    }

    private static void Run<F>(WorkerPool pool, float* b, nint ldb, float* lanes, QuantizedWeight target) where F : unmanaged, IQuantizedFormat
    {
        var job = new Job<F> { N = target.N, K = target.K, B = b, Ldb = ldb, Lanes = lanes, Blocks = target.Blocks };
        pool.RunWide(ref job, target.Panels);
    }

    // An item a panel of columns.
    private struct Job<F> : IWideJob where F : unmanaged, IQuantizedFormat
    {
        public int N, K;
        public float* B, Lanes; // one of them: rows, or panels of bfloat16
        public nint Ldb;
        public byte* Blocks;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            const int width = QuantizedWeight.Width, group = QuantizedWeight.Group, half = QuantizedWeight.Half;
            float* values = stackalloc float[group * width], levels = stackalloc float[group * width], scales = stackalloc float[width]; // [k][column]
            int columns = Math.Min(width, N - (index * width)), groups = (K + group - 1) / group;
            byte* block = Blocks + ((nint)index * groups * F.BlockBytes);
            for (int i = 0; i < K; i += group, block += F.BlockBytes)
            {
                int rows = Math.Min(group, K - i);
                new Span<float>(values, group * width).Clear();
                if (Lanes != null)
                    Bf16Pack.Unpack<S, V>(i, rows, width, Lanes + ((nint)index * Bf16Pack.LanesOf(K) * width), values, width);
                else
                    SimdTranspose.Run(columns, rows, B + ((nint)index * width * Ldb) + i, Ldb, values, width);
                for (int j = 0; j < width; j += S.Count)
                    Choose<S, V>(values + j, levels + j, scales + j);

                new Span<byte>(block, F.BlockBytes).Clear();
                for (int j = 0; j < half; j += S.Count)
                    S.Store(S.PairBf16(S.Load(scales + j), S.Load(scales + half + j)), (float*)block + j);
                for (int k = 0; k < rows; k++)
                    for (int j = 0; j < columns; j++)
                        F.SetLevel(block, k, j, (int)levels[(k * width) + j]);
            }
        }

        // The scale of a vector of columns, rounded to bfloat16, and their levels.
        private static void Choose<S, V>(float* values, float* levels, float* scales) where S : struct, ISimd<V> where V : unmanaged
        {
            const int width = QuantizedWeight.Width, group = QuantizedWeight.Group;
            V largest = S.Zero;
            for (int k = 0; k < group; k++)
            {
                V x = S.Load(values + (k * width));
                largest = S.SelectLess(S.Abs(largest), S.Abs(x), x, largest);
            }

            V scale = F.Levels.High > 7 ? S.Mul(S.Abs(largest), S.Create(1f / F.Levels.High)) : LeastSquares<S, V>(values, largest);
            scale = S.LowBf16(S.PairBf16(scale, scale));
            S.Store(scale, scales);
            V inverse = Inverse<S, V>(scale);
            for (int k = 0; k < group; k++)
                S.Store(Level<S, V>(S.Load(values + (k * width)), inverse), levels + (k * width));
        }

        // For given levels q of x, sum (x - s q)^2 is least at s = (x.q) / (q.q), and less than x.x by (x.q)^2 / (q.q).
        private static V LeastSquares<S, V>(float* values, V largest) where S : struct, ISimd<V> where V : unmanaged
        {
            const int width = QuantizedWeight.Width, group = QuantizedWeight.Group;
            V best = S.Zero, bestGain = S.Zero, inverse = Inverse<S, V>(largest);
            for (float level = 5; level <= 9; level += 0.25f)
            {
                for (float signed = -level; signed <= level; signed += 2 * level)
                {
                    V xq = S.Zero, qq = S.Zero, times = S.Mul(inverse, S.Create(signed));
                    for (int k = 0; k < group; k++)
                    {
                        V x = S.Load(values + (k * width)), q = Level<S, V>(x, times);
                        xq = S.Fma(x, q, xq);
                        qq = S.Fma(q, q, qq);
                    }

                    V scale = S.Mul(xq, Inverse<S, V>(qq)), gain = S.Mul(xq, scale);
                    best = S.SelectLess(bestGain, gain, scale, best);
                    bestGain = S.Max(bestGain, gain);
                }
            }

            return best;
        }

        // x times an inverse scale, rounded to the nearest level: adding 1.5 * 2^23 leaves no bits of fraction.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Level<S, V>(V x, V inverse) where S : struct, ISimd<V> where V : unmanaged
        {
            V shift = S.Create(12582912f), level = S.Sub(S.Add(S.Mul(x, inverse), shift), shift);
            return S.Min(S.Max(level, S.Create(F.Levels.Low)), S.Create(F.Levels.High));
        }

        // 1 / x, or 0 where x is: a group of zeros.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Inverse<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
            S.SelectLess(S.Zero, S.Abs(x), S.Div(S.Create(1), x), S.Zero);
    }
}
