using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void TurnHeads(Tensor x, Tensor bias, Tensor turns, in TurnShape shape, Tensor? before, Tensor y, Tensor? last)
    {
        using Timed timed = Measure([x, bias, turns, before, y, last]);
        TurnHeadsJob job = new() { X = new Strided(x), Bias = bias.Pointer, Turns = new Strided(turns), Y = new Strided(y), Last = last is null ? null : last.Pointer, Size = shape };
        for (int batch = 0; batch < shape.Batch && last is not null; batch++)
        {
            float* first = y.Pointer + ((long)batch * shape.Time * job.Token);
            if (before is null)
            {
                Simd.Fill(first, job.Token, 0);
            }
            else
            {
                Simd.Copy(1, job.Token, before.Pointer + ((long)batch * job.Token), 0, first, 0);
            }
        }

        Pool.RunWide(ref job, job.Blocks);
    }

    internal override void TurnHeadsBackward(Tensor x, Tensor bias, Tensor turns, in TurnShape shape, bool later, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dbias, GradTarget dturns, GradTarget dbefore)
    {
        using Timed timed = Measure([x, bias, turns, dy, dlast, dx, dbias, dturns, dbefore]);
        TurnHeadsJob forward = new() { X = new Strided(x), Bias = bias.Pointer, Turns = new Strided(turns), Size = shape };
        int each = (int)bias.Shape.Count, shared = shape.Rank * shape.Width;

        // Per block: the bias's partial gradient, then a token's gradients of x and of the turns; a token of zeros.
        float* scratch = Shared(((long)forward.Blocks * (each + shared + (2L * shape.Heads * shape.Pairs))) + forward.Token);
        float* zeros = scratch + ((long)forward.Blocks * (each + shared + (2L * shape.Heads * shape.Pairs)));
        Simd.Fill(zeros, forward.Token, 0);
        TurnHeadsBackwardJob job = new()
        {
            F = forward,
            Dy = dy is null ? null : dy.Pointer,
            Dlast = dlast is null ? null : dlast.Pointer,
            Zeros = zeros,
            Later = later,
            Dx = new Strided(dx),
            Dturns = new Strided(dturns),
            PartialBias = scratch,
            Work = scratch + ((long)forward.Blocks * each),
        };
        Pool.RunWide(ref job, forward.Blocks);
        if (dbias.Tensor is { } toBias)
        {
            ColumnSumJob sum = new() { X = scratch, Stride = each, Rows = forward.Blocks, Columns = each, Y = toBias.Pointer, Accumulate = dbias.Accumulate };
            Pool.Run(ref sum, (each + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
        }

        for (int batch = 0; batch < shape.Batch && dbefore.Tensor is not null; batch++)
        {
            float* from = dy is null ? zeros : dy.Pointer + ((long)batch * shape.Time * forward.Token), to = dbefore.Tensor.Pointer + ((long)batch * forward.Token);
            if (dbefore.Accumulate)
            {
                Simd.Add(forward.Token, from, to);
            }
            else
            {
                Simd.Copy(1, forward.Token, from, 0, to, 0);
            }
        }
    }

    private struct TurnHeadsJob : IWideJob
    {
        public Strided X, Turns, Y;
        public float* Bias, Last; // Last: where the last token's rows go when all move on by one; null when none moves
        public TurnShape Size;

        /// <summary>The floats of a token's rows.</summary>
        public readonly int Token => Size.Rank * Size.Heads * Size.Width;

        public readonly int Rows => Size.Batch * Size.Time;

        public readonly int RowsEach => Math.Max(8, (Rows + NormBlocks - 1) / NormBlocks);

        public readonly int Blocks => (Rows + RowsEach - 1) / RowsEach;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                bool end = (row + 1) % Size.Time == 0;
                float* y = Last is null ? Y.At + ((long)row * Token) : end ? Last + ((long)(row / Size.Time) * Token) : Y.At + ((row + 1L) * Token);
                for (int r = 0; r < Size.Rank; r++)
                {
                    float* x = X[row] + ((long)r * Size.Width), bias = Bias + ((long)r * Size.Width), turns = Turns[row];
                    for (int head = 0; head < Size.Heads; head++, y += Size.Width, bias += Size.Rank * Size.Width, turns += 2 * Size.Pairs)
                    {
                        Turn<S, V>(x, bias, turns, y);
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Turn<S, V>(float* x, float* bias, float* turns, float* y) where S : struct, ISimd<V> where V : unmanaged
        {
            int pairs = Size.Pairs;
            for (int i = 0; i < pairs; i += S.Count)
            {
                int n = Math.Min(S.Count, pairs - i);
                V cos = S.LoadPartial(turns + i, n), sin = S.LoadPartial(turns + pairs + i, n);
                V a = S.Add(S.LoadPartial(x + i, n), S.LoadPartial(bias + i, n));
                V b = S.Add(S.LoadPartial(x + pairs + i, n), S.LoadPartial(bias + pairs + i, n));
                S.StorePartial(S.Sub(S.Mul(a, cos), S.Mul(b, sin)), y + i, n);
                S.StorePartial(S.Fma(a, sin, S.Mul(b, cos)), y + pairs + i, n);
            }

            for (int i = 2 * pairs; i < Size.Width; i += S.Count)
            {
                int n = Math.Min(S.Count, Size.Width - i);
                S.StorePartial(S.Add(S.LoadPartial(x + i, n), S.LoadPartial(bias + i, n)), y + i, n);
            }
        }
    }

    private struct TurnHeadsBackwardJob : IWideJob
    {
        public TurnHeadsJob F;
        public float* Dy, Dlast, Zeros, PartialBias, Work;
        public bool Later;
        public Strided Dx, Dturns;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            TurnShape size = F.Size;
            int shared = size.Rank * size.Width, turned = 2 * size.Heads * size.Pairs;
            float* dbias = PartialBias + ((long)index * size.Heads * shared), dx = Work + ((long)index * (shared + turned)), dturns = dx + shared;
            Simd.Fill(dbias, size.Heads * shared, 0);
            for (int row = index * F.RowsEach; row < Math.Min(F.Rows, (index + 1) * F.RowsEach); row++)
            {
                Simd.Fill(dx, shared + turned, 0);
                float* dy = Gradient(row);
                for (int r = 0; r < size.Rank; r++)
                {
                    for (int head = 0; head < size.Heads; head++, dy += size.Width)
                    {
                        long at = ((long)head * shared) + ((long)r * size.Width);
                        Turn<S, V>(F.X[row] + ((long)r * size.Width), F.Bias + at, F.Turns[row] + (2L * head * size.Pairs), dy,
                            dx + ((long)r * size.Width), dbias + at, dturns + (2L * head * size.Pairs));
                    }
                }

                Put(dx, shared, Dx, row);
                Put(dturns, turned, Dturns, row);
            }
        }

        /// <summary>The gradient of what a token's rows became.</summary>
        private readonly float* Gradient(int row)
        {
            bool end = (row + 1) % F.Size.Time == 0;
            return !Later ? Dy is null ? Zeros : Dy + ((long)row * F.Token)
                : !end ? Dy is null ? Zeros : Dy + ((row + 1L) * F.Token)
                : Dlast is null ? Zeros : Dlast + ((long)(row / F.Size.Time) * F.Token);
        }

        private static void Put(float* from, int count, Strided to, int row)
        {
            if (to.IsNone)
            {
                return;
            }

            if (to.Add)
            {
                Simd.Add(count, from, to[row]);
            }
            else
            {
                Simd.Copy(1, count, from, 0, to[row], 0);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Turn<S, V>(float* x, float* bias, float* turns, float* dy, float* dx, float* dbias, float* dturns)
            where S : struct, ISimd<V> where V : unmanaged
        {
            int pairs = F.Size.Pairs;
            for (int i = 0; i < pairs; i += S.Count)
            {
                int n = Math.Min(S.Count, pairs - i), j = pairs + i;
                V cos = S.LoadPartial(turns + i, n), sin = S.LoadPartial(turns + j, n);
                V a = S.Add(S.LoadPartial(x + i, n), S.LoadPartial(bias + i, n)), b = S.Add(S.LoadPartial(x + j, n), S.LoadPartial(bias + j, n));
                V da = S.LoadPartial(dy + i, n), db = S.LoadPartial(dy + j, n);
                Add<S, V>(S.Fma(da, a, S.Mul(db, b)), dturns + i, n);
                Add<S, V>(S.Sub(S.Mul(db, a), S.Mul(da, b)), dturns + j, n);
                V first = S.Fma(da, cos, S.Mul(db, sin)), second = S.Sub(S.Mul(db, cos), S.Mul(da, sin));
                Add<S, V>(first, dx + i, n);
                Add<S, V>(second, dx + j, n);
                Add<S, V>(first, dbias + i, n);
                Add<S, V>(second, dbias + j, n);
            }

            for (int i = 2 * pairs; i < F.Size.Width; i += S.Count)
            {
                int n = Math.Min(S.Count, F.Size.Width - i);
                V d = S.LoadPartial(dy + i, n);
                Add<S, V>(d, dx + i, n);
                Add<S, V>(d, dbias + i, n);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Add<S, V>(V value, float* to, int n) where S : struct, ISimd<V> where V : unmanaged =>
            S.StorePartial(S.Add(value, S.LoadPartial(to, n)), to, n);
    }
}
