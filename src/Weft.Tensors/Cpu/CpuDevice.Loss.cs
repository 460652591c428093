using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void Embed(Tensor table, Tokens tokens, Tensor y)
    {
        using Timed timed = Measure([y, y]); // as much of the table as of y
        int vocabulary = table.Shape.Rows;
        int* ids = tokens.Pointer;
        for (int i = 0; i < tokens.Count; i++)
        {
            if ((uint)ids[i] >= (uint)vocabulary)
            {
                throw new InputException($"token {ids[i]} is outside the vocabulary of {vocabulary}");
            }

            CopyRow(table, ids[i], Row(y, i));
        }
    }

    internal override void EmbedBackward(Tokens tokens, Tensor dy, Tensor dtable)
    {
        using Timed timed = Measure([dy, new(dy, true)]); // rows of the table, as many as of dy
        EmbedBackwardJob job = new() { Tokens = tokens.Pointer, Count = tokens.Count, Dy = dy.Pointer, Stride = dy.RowStride, Table = dtable.Pointer, Width = dtable.Shape.Columns };
        Pool.Run(ref job, (job.Width + EmbedBackwardJob.Strip - 1) / EmbedBackwardJob.Strip);
    }

    /// <summary>A strip of columns an item, tokens in order: no two items share a sum.</summary>
    private struct EmbedBackwardJob : IJob
    {
        public const int Strip = 64;

        public int* Tokens;
        public float* Dy, Table;
        public int Count, Width;
        public long Stride;

        public readonly void Run(int index, int worker)
        {
            int first = index * Strip, count = Math.Min(Strip, Width - first);
            for (int i = 0; i < Count; i++)
            {
                Simd.Add(count, Dy + (i * Stride) + first, Table + ((long)Tokens[i] * Width) + first);
            }
        }
    }

    internal override void CrossEntropy(Tensor logits, Tokens targets, Tensor losses)
    {
        using Timed timed = Measure([logits, losses]);
        CrossEntropyJob job = CrossEntropyJob.Of(logits, targets);
        job.Losses = losses.Pointer;
        Pool.RunWide(ref job, job.Blocks);
    }

    internal override void CrossEntropyBackward(Tensor logits, Tokens targets, Tensor dlosses, GradTarget dlogits)
    {
        using Timed timed = Measure([logits, dlosses, dlogits]);
        CrossEntropyJob job = CrossEntropyJob.Of(logits, targets);
        job.Dlosses = dlosses.Pointer;
        job.Dlogits = dlogits.Tensor!.Pointer;
        (job.DlogitsStride, job.Accumulate) = (dlogits.Tensor.RowStride, dlogits.Accumulate);
        Pool.RunWide(ref job, job.Blocks);
    }

    private static void CheckTargets(Tokens targets, int vocabulary)
    {
        for (int i = 0; i < targets.Count; i++)
        {
            if (targets.Pointer[i] >= vocabulary)
            {
                throw new InputException($"target {targets.Pointer[i]} is outside the vocabulary of {vocabulary}");
            }
        }
    }

    private struct CrossEntropyJob : IWideJob
    {
        private const int RowsEach = 16;

        public float* Logits, Losses, Dlosses, Dlogits;
        public int* Targets;
        public long Stride, DlogitsStride;
        public int Rows, Columns;
        public bool Accumulate;

        public readonly int Blocks => (Rows + RowsEach - 1) / RowsEach;

        public static CrossEntropyJob Of(Tensor logits, Tokens targets)
        {
            int columns = logits.Shape.Columns;
            CheckTargets(targets, columns);
            return new CrossEntropyJob { Logits = logits.Pointer, Stride = logits.RowStride, Rows = logits.Shape.Rows, Columns = columns, Targets = targets.Pointer };
        }

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                One<S, V>(row);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void One<S, V>(int row) where S : struct, ISimd<V> where V : unmanaged
        {
            float* x = Logits + (row * Stride);
            float* dx = Dlogits is null ? null : Dlogits + (row * DlogitsStride);
            int target = Targets[row];
            if (target < 0)
            {
                if (Losses is not null)
                {
                    Losses[row] = 0;
                }

                if (dx is not null && !Accumulate)
                {
                    new Span<float>(dx, Columns).Clear();
                }

                return;
            }

            float max = Simd.Max(Columns, x);
            V shift = S.Create(-max), sum = S.Zero;
            int whole = Columns - (Columns % S.Count), rest = Columns - whole;
            for (int i = 0; i < whole; i += S.Count)
            {
                sum = S.Add(sum, Simd.Exp<S, V>(S.Add(S.Load(x + i), shift)));
            }

            float total = S.Sum(sum);
            for (int i = whole; i < Columns; i++)
            {
                total += Simd.Exp(x[i] - max);
            }

            if (Losses is not null)
            {
                Losses[row] = MathF.Log(total) + max - x[target];
            }

            if (dx is not null)
            {
                float up = Dlosses[row];
                V scale = S.Create(up / total);
                for (int i = 0; i < Columns; i += S.Count)
                {
                    int n = Columns - i;
                    V p = S.Mul(scale, Simd.Exp<S, V>(S.Add(Simd.LoadUpTo<S, V>(x + i, n), shift)));
                    Simd.StoreUpTo<S, V>(p, dx + i, n, Accumulate);
                }

                dx[target] -= up;
            }
        }
    }
}
