using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void AddHeads(Tensor y, Tensor x, Tensor factor, Tensor z)
    {
        using Timed timed = Measure([y, x, factor, z]);
        Run(new HeadFactorsJob { Base = new Strided(y), X = new Strided(x), Factor = new Strided(factor), To = new Strided(z) }, x, factor);
    }

    internal override void AddHeadsBackward(Tensor x, Tensor factor, Tensor dz, GradTarget dx, GradTarget dfactor)
    {
        using Timed timed = Measure([x, factor, dz, dx, dfactor]);
        if (dx.Tensor is { } toX)
        {
            // factor dz, on top of what is there.
            Run(new HeadFactorsJob { Base = dx.Accumulate ? new Strided(toX) : default, X = new Strided(dz), Factor = new Strided(factor), To = new Strided(toX) }, x, factor);
        }

        if (dfactor.Tensor is not null)
        {
            Run(new HeadFactorsJob { Other = new Strided(dz), X = new Strided(x), Sums = new Strided(dfactor) }, x, factor);
        }
    }

    private void Run(HeadFactorsJob job, Tensor x, Tensor factor)
    {
        (job.Rows, job.Heads, job.Width) = (x.Shape.Rows, factor.Shape.Columns, x.Shape.Columns / factor.Shape.Columns);
        Pool.RunWide(ref job, (job.Rows + HeadFactorsJob.RowsEach - 1) / HeadFactorsJob.RowsEach);
    }

    /// <summary>To = Base + Factor X, or Sums = the heads' sums of Other X, a few rows an item.</summary>
    private struct HeadFactorsJob : IWideJob
    {
        public const int RowsEach = 16;

        public Strided Base, X, Factor, To, Other, Sums;
        public int Rows, Heads, Width;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                for (int head = 0; head < Heads; head++)
                {
                    int at = head * Width;
                    if (!Sums.IsNone)
                    {
                        float* sum = Sums[row] + head;
                        *sum = Simd.Dot(Width, Other[row] + at, X[row] + at) + (Sums.Add ? *sum : 0);
                        continue;
                    }

                    V factor = S.Create(Factor[row][head]);
                    for (int i = 0; i < Width; i += S.Count)
                    {
                        int n = Math.Min(S.Count, Width - i);
                        V start = Base.IsNone ? S.Zero : S.LoadPartial(Base[row] + at + i, n);
                        S.StorePartial(S.Fma(factor, S.LoadPartial(X[row] + at + i, n), start), To[row] + at + i, n);
                    }
                }
            }
        }
    }
}
