using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <inheritdoc/>
    public override double SumOfSquares(Tensor x)
    {
        using Timed timed = Measure([x]);
        var tiles = new Tiles(x.Shape, x.IsContiguous);
        SquaresJob job = new() { Tiles = tiles, X = x.Pointer, Stride = tiles.Stride(x), Sums = (double*)Shared(2L * tiles.Count) };
        Pool.Run(ref job, tiles.Count);
        double total = 0;
        for (int i = 0; i < tiles.Count; i++)
        {
            total += job.Sums[i];
        }

        return total;
    }

    private struct SquaresJob : IJob
    {
        public Tiles Tiles;
        public float* X;
        public long Stride;
        public double* Sums;

        public readonly void Run(int index, int worker)
        {
            (int from, int to) = Tiles.Part(index);
            double sum = 0;
            for (int row = from; row < to; row++)
            {
                // Short runs in float32, their sums in double.
                for (int i = 0; i < Tiles.Length(row); i += 1024)
                {
                    sum += Simd.SumSquares(Math.Min(1024, Tiles.Length(row) - i), X + (row * Stride) + i);
                }
            }

            Sums[index] = sum;
        }
    }

    /// <inheritdoc/>
    public override void AdamW(Tensor weight, Tensor gradient, Tensor mean, Tensor variance, in AdamWStep step)
    {
        using Timed timed = Measure([new(weight, true), new(gradient, true), new(mean, true), new(variance, true)]);
        var tiles = new Tiles(weight.Shape, true);
        AdamWJob job = new()
        {
            Tiles = tiles,
            W = weight.Pointer,
            G = gradient.Pointer,
            M = mean.Pointer,
            V = variance.Pointer,
            Step = step,
            Correct1 = (float)(1 / (1 - Math.Pow(step.Beta1, step.Step))),
            Correct2 = (float)(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step))),
        };
        Pool.RunWide(ref job, tiles.Count);
        weight.Changed();
    }

    private struct AdamWJob : IWideJob
    {
        public Tiles Tiles;
        public float* W, G, M, V;
        public AdamWStep Step;
        public float Correct1, Correct2;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, T>(int index, int worker) where S : struct, ISimd<T> where T : unmanaged
        {
            long at = (long)index * Tiles.Columns;
            int length = Tiles.Length(index);
            float* w = W + at, g = G + at, m = M + at, v = V + at;
            T b1 = S.Create(Step.Beta1), a1 = S.Create(1 - Step.Beta1), b2 = S.Create(Step.Beta2), a2 = S.Create(1 - Step.Beta2);
            T scale = S.Create(Step.GradScale), keep = S.Create(1 - (Step.Rate * Step.Decay)), rate = S.Create(-Step.Rate * Correct1);
            T c2 = S.Create(Correct2), epsilon = S.Create(Step.Epsilon);
            for (int i = 0; i < length; i += S.Count)
            {
                int n = length - i;
                T gradient = S.Mul(scale, Simd.LoadUpTo<S, T>(g + i, n));
                T first = S.Fma(b1, Simd.LoadUpTo<S, T>(m + i, n), S.Mul(a1, gradient));
                T second = S.Fma(b2, Simd.LoadUpTo<S, T>(v + i, n), S.Mul(a2, S.Mul(gradient, gradient)));
                T change = S.Div(S.Mul(rate, first), S.Fma(c2, S.Sqrt(second), epsilon));
                Simd.StoreUpTo<S, T>(S.Fma(keep, Simd.LoadUpTo<S, T>(w + i, n), change), w + i, n);
                Simd.StoreUpTo<S, T>(first, m + i, n);
                Simd.StoreUpTo<S, T>(second, v + i, n);
                Simd.StoreUpTo<S, T>(S.Zero, g + i, n);
            }
        }
    }
}
