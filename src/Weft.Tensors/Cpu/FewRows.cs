namespace Weft.Tensors.Cpu;

/// <summary>A packed matrix in panels of <see cref="FewRows.Width"/> columns that multiplies up to <see cref="FewRows.MaxRows"/> rows, a panel at a time.</summary>
internal unsafe interface IPanelRows
{
    /// <summary>The products of R rows with a panel, into <paramref name="sums"/> [R, Width].</summary>
    void Multiply<S, V, R>(int panel, float* sums) where S : struct, ISimd<V> where V : unmanaged where R : struct, IRows;
}

/// <summary>
/// Products of up to four rows with a packed matrix, C[m, n] = A[m, k] B[k, n] (+ C) (+ bias): decoding, which is bound by reading B. Panels are
/// read in memory order; how one is multiplied is the format's.
/// </summary>
internal static unsafe class FewRows
{
    public const int MaxRows = 4, Width = 32;

    /// <summary>Bytes between what is read and what memory is asked for: a page, at whose end the processor's own prefetching stops.</summary>
    public const int Ahead = 4096;

    private const int ItemBytes = 128 << 10;

    /// <summary>Runs all panels, of <paramref name="panelBytes"/> each, in items of long runs of memory, but some for each worker.</summary>
    public static void Run<P>(WorkerPool pool, P matrix, int m, int n, nint panelBytes, bool accumulate, float* c, nint ldc, float* bias) where P : unmanaged, IPanelRows
    {
        var job = new Job<P> { Matrix = matrix, M = m, N = n, Accumulate = accumulate, C = c, Ldc = ldc, Bias = bias };
        job.Panels = (n + Width - 1) / Width;
        job.PanelsEach = Math.Clamp(job.Panels / (4 * pool.Workers), 1, (int)Math.Max(1, ItemBytes / panelBytes));
        pool.RunWide(ref job, (job.Panels + job.PanelsEach - 1) / job.PanelsEach);
    }

    private struct Job<P> : IWideJob where P : unmanaged, IPanelRows
    {
        public P Matrix;
        public int M, N, Panels, PanelsEach;
        public float* C, Bias;
        public nint Ldc;
        public bool Accumulate;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            float* sums = stackalloc float[MaxRows * Width];
            for (int panel = index * PanelsEach; panel < Math.Min(Panels, (index + 1) * PanelsEach); panel++)
            {
                switch (M)
                {
                    case 1: Matrix.Multiply<S, V, Rows1>(panel, sums); break;
                    case 2: Matrix.Multiply<S, V, Rows2>(panel, sums); break;
                    case 3: Matrix.Multiply<S, V, Rows3>(panel, sums); break;
                    default: Matrix.Multiply<S, V, Rows4>(panel, sums); break;
                }

                Put(panel, sums);
            }
        }

        private readonly void Put(int panel, float* sums)
        {
            int column = panel * Width, columns = Math.Min(Width, N - column);
            for (int i = 0; i < M; i++)
            {
                float* to = C + (i * Ldc) + column, from = sums + (i * Width);
                if (Bias != null)
                    Simd.Add(columns, Bias + column, from);
                if (Accumulate)
                    Simd.Add(columns, from, to);
                else
                    new ReadOnlySpan<float>(from, columns).CopyTo(new Span<float>(to, columns));
            }
        }
    }
}
