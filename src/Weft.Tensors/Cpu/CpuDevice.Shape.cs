namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void CopyBox(Tensor source, in Box from, Tensor destination, in Box to, (int A, int B, int C, int D) lengths, bool accumulate)
    {
        using Timed timed = Measure([Operand.Floats((accumulate ? 3L : 2L) * lengths.A * lengths.B * lengths.C * lengths.D)]);
        CopyJob job = new() { From = from, To = to, X = source.Pointer + from.Offset, Y = destination.Pointer + to.Offset, Lengths = lengths, Accumulate = accumulate };
        if (lengths.A > 0 && lengths.B > 0 && lengths.C > 0 && lengths.D > 0)
        {
            Pool.Run(ref job, lengths.A * lengths.B);
        }
    }

    private struct CopyJob : IJob
    {
        public Box From, To;
        public float* X, Y;
        public (int A, int B, int C, int D) Lengths;
        public bool Accumulate;

        public readonly void Run(int index, int worker)
        {
            int i = index / Lengths.B, j = index % Lengths.B;
            for (int k = 0; k < Lengths.C; k++)
            {
                float* x = X + (i * From.A) + (j * From.B) + (k * From.C);
                float* y = Y + (i * To.A) + (j * To.B) + (k * To.C);
                if (!Accumulate && From.D == 1 && To.D == 1)
                {
                    new ReadOnlySpan<float>(x, Lengths.D).CopyTo(new Span<float>(y, Lengths.D));
                }
                else if (Accumulate)
                {
                    for (long l = 0; l < Lengths.D; l++)
                    {
                        y[l * To.D] += x[l * From.D];
                    }
                }
                else
                {
                    for (long l = 0; l < Lengths.D; l++)
                    {
                        y[l * To.D] = x[l * From.D];
                    }
                }
            }
        }
    }

    internal override void SumTo(Tensor source, Tensor destination, bool accumulate)
    {
        using Timed timed = Measure([source, new(destination, accumulate)]);
        (int A, int B, int C, int D) from = source.Shape.Four(), to = destination.Shape.Four();
        if (destination.Shape.Count == source.Shape.Columns && to.D == from.D)
        {
            ColumnSumJob columns = new() { X = source.Pointer, Stride = source.RowStride, Rows = source.Shape.Rows, Columns = source.Shape.Columns, Y = destination.Pointer, Accumulate = accumulate };
            Pool.Run(ref columns, (columns.Columns + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
            return;
        }

        SumJob job = new() { X = source.Pointer, Box = Boxes.Whole(source), From = from, To = to, Y = destination.Pointer, Accumulate = accumulate };
        Pool.Run(ref job, (int)destination.Shape.Count);
    }

    /// <summary>Sums of columns, a strip of columns an item, rows in order: the bias gradient.</summary>
    private struct ColumnSumJob : IJob
    {
        public const int Width = 64;

        public float* X, Y;
        public long Stride;
        public int Rows, Columns;
        public bool Accumulate;

        public readonly void Run(int index, int worker)
        {
            int first = index * Width, count = Math.Min(Width, Columns - first);
            float* sums = stackalloc float[Width];
            for (int i = 0; i < count; i++)
            {
                sums[i] = Accumulate ? Y[first + i] : 0;
            }

            // Blocks of rows are summed by themselves first: the rounding error grows with the square root of the rows, not with them.
            float* block = stackalloc float[Width];
            for (int row = 0; row < Rows; row += 64)
            {
                new Span<float>(block, count).Clear();
                for (int r = row; r < Math.Min(Rows, row + 64); r++)
                {
                    Simd.Add(count, X + (r * Stride) + first, block);
                }

                Simd.Add(count, block, sums);
            }

            new ReadOnlySpan<float>(sums, count).CopyTo(new Span<float>(Y + first, count));
        }
    }

    /// <summary>One element of the destination an item, summed in double precision in row-major order.</summary>
    private struct SumJob : IJob
    {
        public float* X, Y;
        public Box Box;
        public (int A, int B, int C, int D) From, To;
        public bool Accumulate;

        public readonly void Run(int index, int worker)
        {
            int d = index % To.D, c = index / To.D % To.C, b = index / To.D / To.C % To.B, a = index / To.D / To.C / To.B;
            double sum = 0;
            for (long i = Low(a, To.A, From.A); i < High(a, To.A, From.A); i++)
            {
                for (long j = Low(b, To.B, From.B); j < High(b, To.B, From.B); j++)
                {
                    for (long k = Low(c, To.C, From.C); k < High(c, To.C, From.C); k++)
                    {
                        float* x = X + (i * Box.A) + (j * Box.B) + (k * Box.C);
                        for (long l = Low(d, To.D, From.D); l < High(d, To.D, From.D); l++)
                        {
                            sum += x[l];
                        }
                    }
                }
            }

            Y[index] = (float)(Accumulate ? Y[index] + sum : sum);
        }

        private static int Low(int at, int to, int from) => to == from ? at : 0;

        private static int High(int at, int to, int from) => to == from ? at + 1 : from;
    }
}
