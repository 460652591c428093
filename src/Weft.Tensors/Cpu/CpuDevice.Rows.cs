namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void FindGiven(Tokens tokens, Tokens places, Tokens given)
    {
        using Timed timed = Measure([Operand.Floats(tokens.Count + places.Count + given.Count)]); // a token is as large
        new Span<int>(places.Pointer, places.Count).Fill(-1);
        new Span<int>(given.Pointer, given.Count).Fill(-1);
        int found = 0;
        for (int i = 0; i < tokens.Count; i++)
        {
            if (tokens.Pointer[i] >= 0)
            {
                (places.Pointer[found], given.Pointer[found]) = (i, tokens.Pointer[i]);
                found++;
            }
        }
    }

    internal override void TakeRows(Tensor x, Tokens places, Tensor y, bool accumulate)
    {
        using Timed timed = Measure([y, new(y, accumulate)]); // as much of x as of y
        RowsJob job = new() { Places = places.Pointer, Count = places.Count, Whole = x.Pointer, WholeStride = x.RowStride, Rows = y.Pointer, RowsStride = y.RowStride, Columns = x.Shape.Columns, Takes = true, Accumulate = accumulate };
        Pool.Run(ref job, job.Blocks);
    }

    internal override void PutRows(Tensor y, Tokens places, Tensor x)
    {
        using Timed timed = Measure([y, new(y, true)]); // as much of x as of y
        RowsJob job = new() { Places = places.Pointer, Count = places.Count, Whole = x.Pointer, WholeStride = x.RowStride, Rows = y.Pointer, RowsStride = y.RowStride, Columns = x.Shape.Columns };
        Pool.Run(ref job, job.Blocks);
    }

    private struct RowsJob : IJob
    {
        private const int Together = 64;

        public int* Places;
        public float* Whole, Rows;
        public long WholeStride, RowsStride;
        public int Count, Columns;
        public bool Takes, Accumulate;

        public readonly int Blocks => (Count + Together - 1) / Together;

        public readonly void Run(int index, int worker)
        {
            for (int i = index * Together; i < Math.Min(Count, (index + 1) * Together); i++)
            {
                float* row = Rows + (i * RowsStride), there = Whole + (Places[i] * WholeStride);
                if (Places[i] >= 0 && (!Takes || Accumulate))
                {
                    Simd.Add(Columns, Takes ? there : row, Takes ? row : there);
                }
                else if (Places[i] >= 0)
                {
                    new Span<float>(there, Columns).CopyTo(new Span<float>(row, Columns));
                }
                else if (Takes && !Accumulate)
                {
                    new Span<float>(row, Columns).Clear();
                }
            }
        }
    }
}
