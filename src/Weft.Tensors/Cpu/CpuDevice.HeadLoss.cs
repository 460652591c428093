using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    // The parts of operands that the products of one piece see.
    private readonly Tensor headRows = new(), headX = new(), headLogits = new(), headDx = new(), headDweight = new();

    internal override void HeadLoss(Tensor x, Tensor head, Tokens targets, Tensor logits, Tensor sums, Tensor losses)
    {
        using Timed timed = Measure([x, head, sums, losses]);
        int rows = x.Shape.Rows, vocabulary = head.Shape[0];
        CheckTargets(targets, vocabulary);
        for (int row = 0; row < rows; row += logits.Shape[0])
        {
            for (int column = 0; column < vocabulary; column += logits.Shape[1])
            {
                HeadLossJob job = Piece(x, head, targets, logits, sums, row, column);
                HeadLogits(head, column);
                job.Losses = losses.Pointer + row;
                Pool.RunWide(ref job, job.Blocks);
            }
        }
    }

    internal override void HeadLossBackward(Tensor x, Tensor head, Tokens targets, Tensor logits, Tensor sums, Tensor dlosses, GradTarget dx, GradTarget dhead)
    {
        using Timed timed = Measure([x, head, sums, dlosses, dx, dhead]);
        int rows = x.Shape.Rows, vocabulary = head.Shape[0];
        bool kept = logits.Shape == new Shape(rows, vocabulary);
        for (int row = 0; row < rows; row += logits.Shape[0])
        {
            for (int column = 0; column < vocabulary; column += logits.Shape[1])
            {
                HeadLossJob job = Piece(x, head, targets, logits, sums, row, column);
                if (!kept)
                {
                    HeadLogits(head, column);
                }

                job.Dlosses = dlosses.Pointer + row;
                Pool.RunWide(ref job, job.Blocks);
                if (dx.Tensor is { } intoX)
                {
                    Part(headRows, head, column, job.Columns);
                    Part(headDx, intoX, row, job.Rows);
                    MatMul(headLogits, false, headRows, false, null, headDx, dx.Accumulate || column > 0);
                }

                if (dhead.Tensor is { } intoHead)
                {
                    Part(headDweight, intoHead, column, job.Columns);
                    MatMul(headLogits, true, headX, false, null, headDweight, dhead.Accumulate || row > 0);
                }
            }
        }
    }

    // The logits of the piece whose views have been made.
    private void HeadLogits(Tensor head, int column)
    {
        if (head.Format == WeightFormat.Float32)
        {
            Part(headRows, head, column, headLogits.Shape.Columns);
            MatMul(headX, false, headRows, true, null, headLogits, false);
        }
        else
        {
            CountFlops(2 * headLogits.Shape.Count * head.Shape.Columns);
            HeldProduct(headX, HeldOf(head), column, headLogits.Shape.Columns, null, headLogits, false); // pieces begin at multiples of 64
        }
    }

    // Points the views at the piece of rows and columns that begins there.
    private HeadLossJob Piece(Tensor x, Tensor head, Tokens targets, Tensor logits, Tensor sums, int row, int column)
    {
        int rows = Math.Min(logits.Shape[0], x.Shape.Rows - row), columns = Math.Min(logits.Shape[1], head.Shape[0] - column);
        Part(headX, x, row, rows);
        headLogits.Bind(this, null, new Shape(rows, columns), columns, logits.Address, null);
        float* max = sums.Pointer + row;
        return new HeadLossJob
        {
            Logits = logits.Pointer,
            Max = max,
            Sum = max + x.Shape.Rows,
            Targets = targets.Pointer + row,
            Rows = rows,
            Columns = columns,
            First = column,
            IsLast = column + columns == head.Shape[0],
        };
    }

    private void Part(Tensor view, Tensor whole, int row, int rows) =>
        view.Bind(this, null, new Shape(rows, whole.Shape.Columns), whole.RowStride, (nint)(whole.Pointer + ((long)row * whole.RowStride)), null);

    /// <summary>
    /// One run of columns of the logits, for some rows. Forward: the largest logit and the sum of e^(logit - largest) of the columns so far,
    /// and after the last of them the loss. Backward: the logits become their gradients.
    /// </summary>
    private struct HeadLossJob : IWideJob
    {
        private const int RowsEach = 16;

        public float* Logits, Max, Sum, Losses, Dlosses;
        public int* Targets;
        public int Rows, Columns, First;
        public bool IsLast;

        public readonly int Blocks => (Rows + RowsEach - 1) / RowsEach;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                float* x = Logits + ((long)row * Columns);
                if (Losses is not null)
                {
                    Loss<S, V>(row, x);
                }
                else
                {
                    Gradient<S, V>(row, x);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Loss<S, V>(int row, float* x) where S : struct, ISimd<V> where V : unmanaged
        {
            int target = Targets[row] - First;
            if (Targets[row] < 0)
            {
                Losses[row] = 0;
                return;
            }

            (float before, float total) = First == 0 ? (float.NegativeInfinity, 0) : (Max[row], Sum[row]);
            float max = MathF.Max(before, Simd.Max(Columns, x));
            V shift = S.Create(-max), sum = S.Zero;
            int whole = Columns - (Columns % S.Count);
            for (int i = 0; i < whole; i += S.Count)
            {
                sum = S.Add(sum, Simd.Exp<S, V>(S.Add(S.Load(x + i), shift)));
            }

            total = (total * Simd.Exp(before - max)) + S.Sum(sum);
            for (int i = whole; i < Columns; i++)
            {
                total += Simd.Exp(x[i] - max);
            }

            (Max[row], Sum[row]) = (max, total);
            if ((uint)target < (uint)Columns)
            {
                Losses[row] = -x[target];
            }

            if (IsLast)
            {
                Losses[row] += MathF.Log(total) + max;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Gradient<S, V>(int row, float* x) where S : struct, ISimd<V> where V : unmanaged
        {
            int target = Targets[row] - First;
            if (Targets[row] < 0)
            {
                new Span<float>(x, Columns).Clear();
                return;
            }

            float up = Dlosses[row];
            V scale = S.Create(up / Sum[row]), shift = S.Create(-Max[row]);
            for (int i = 0; i < Columns; i += S.Count)
            {
                int n = Columns - i;
                V p = S.Mul(scale, Simd.Exp<S, V>(S.Add(Simd.LoadUpTo<S, V>(x + i, n), shift)));
                Simd.StoreUpTo<S, V>(p, x + i, n);
            }

            if ((uint)target < (uint)Columns)
            {
                x[target] -= up;
            }
        }
    }
}
