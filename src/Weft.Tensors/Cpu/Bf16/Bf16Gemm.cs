using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Matrix products in bfloat16 with float32 sums, on all workers of a pool: C[m, n] = op(A)[m, k] op(B)[k, n] (+ C) (+ bias), float32 in
/// memory, row-major. B is packed once, for this product or beforehand (a weight, once for each of its values); a task packs its rows of A
/// and runs <see cref="Bf16Kernels"/> over them. An element is a sum over k in an order that depends on k only: the same for any number of
/// workers and of rows beside it.
/// </summary>
internal static unsafe class Bf16Gemm
{
    /// <summary>Bytes of packed A that a task holds at most: less than half of a second-level cache.</summary>
    private const int PackedA = 384 << 10;

    /// <summary>Columns that a task takes at least when rows are few, in panels: each cut packs A again.</summary>
    private const int FewPanels = 4;

    /// <summary>
    /// Whether a product is in bfloat16. With a weight that does not depend on the number of rows: a row has the same bits in a long
    /// sequence and in a short one. Others are converted where there is enough work for each number.
    /// </summary>
    public static bool Takes(int m, int n, int k, bool isWeight) =>
        n >= 16 && k >= 16 && (isWeight || (m >= 16 && k >= Bf16Pack.Block && (long)m * n * k >= 64 * 64 * 64));

    /// <summary>Float-sized lanes of op(B), packed whole.</summary>
    public static long PackedLanes(int n, int k) => (long)((n + Bf16Pack.Width - 1) / Bf16Pack.Width) * Bf16Pack.LanesOf(k) * Bf16Pack.Width;

    /// <summary>Packs op(B)[k, n] whole: panel after panel.</summary>
    public static void Pack(WorkerPool pool, bool transB, int n, int k, float* b, nint ldb, float* target)
    {
        var job = new PackJob { TransB = transB, N = n, K = k, B = b, Ldb = ldb, Target = target };
        pool.RunWide(ref job, (n + PackJob.Columns - 1) / PackJob.Columns);
    }

    private struct PackJob : IWideJob
    {
        public bool TransB;
        public int N, K;
        public float* B, Target;
        public nint Ldb;

        /// <summary>Columns of an item: long runs of a row.</summary>
        public const int Columns = 4 * Bf16Pack.Width;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int end = Math.Min(N, (index + 1) * Columns), j = index * Columns, lanes = Bf16Pack.LanesOf(K);
            if (!TransB)
                Bf16Pack.Panels<S, V>(end - j, K, B + j, Ldb, Target + ((nint)j * lanes));
            else
                for (; j < end; j += Bf16Pack.Width)
                    Bf16Pack.PanelTransposed<S, V>(Math.Min(Bf16Pack.Width, end - j), K, B + (j * Ldb), Ldb, Target + ((nint)j * lanes));
        }
    }

    /// <summary>The product, op(B) packed by <see cref="Pack"/>. beta is 0 (C is not read) or 1; a bias [n] is added to every row and needs beta 0.</summary>
    public static void Run(WorkerPool pool, Bf16Kernels* kernels, bool transA, int m, int n, int k,
        float* a, nint lda, float* packedB, float beta, float* c, nint ldc, float* bias = null)
    {
        int blocks = Bf16Pack.LanesOf(k) / Bf16Pack.Lanes, height = kernels->MaxRows;
        int chunks = ((blocks * Bf16Pack.Lanes) + kernels->MaxLanes - 1) / kernels->MaxLanes;
        var job = new ProductJob
        {
            Kernels = kernels,
            TransA = transA,
            M = m,
            N = n,
            K = k,
            A = a,
            Lda = lda,
            B = packedB,
            C = c,
            Ldc = ldc,
            Bias = bias,
            Accumulate = beta != 0,
            Lanes = blocks * Bf16Pack.Lanes,
            Depth = (blocks + chunks - 1) / chunks * Bf16Pack.Lanes,
            RowPanels = (m + height - 1) / height,
            ColPanels = (n + Bf16Pack.Width - 1) / Bf16Pack.Width,
        };
        int wanted = pool.Workers == 1 ? 1 : 4 * pool.Workers, most = Math.Max(2, PackedA / (height * job.Depth * sizeof(float)));
        int panels = Math.Clamp(job.RowPanels / wanted, 2, most);
        job.RowTasks = (job.RowPanels + panels - 1) / panels;
        job.ColTasks = Math.Clamp((wanted + job.RowTasks - 1) / job.RowTasks, 1, Math.Max(1, job.ColPanels / FewPanels));
        int taskPanels = (job.RowPanels + job.RowTasks - 1) / job.RowTasks;
        job.ScratchA = pool.ScratchTable((((nint)taskPanels * height) + 31) * job.Depth, WorkerPool.GemmSlotA);
        pool.RunWide(ref job, job.RowTasks * job.ColTasks);
    }

    private struct ProductJob : IWideJob
    {
        public Bf16Kernels* Kernels;
        public bool TransA, Accumulate;
        public int M, N, K, Lanes, Depth, RowPanels, ColPanels, RowTasks, ColTasks;
        public float* A, B, C, Bias;
        public nint Lda, Ldc;
        public float** ScratchA;

        // Panels of nearly equal height, unless the kernel pads short ones anyway.
        private readonly int RowOf(int panel) => Kernels->PadsRows ? Math.Min(M, panel * Kernels->MaxRows) : Cut(M, RowPanels, panel);

        private static int Cut(int total, int parts, int index) => (int)((long)total * index / parts);

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int rowTask = index / ColTasks, colTask = index % ColTasks;
            int i0 = Cut(RowPanels, RowTasks, rowTask), i1 = Cut(RowPanels, RowTasks, rowTask + 1);
            int j0 = Cut(ColPanels, ColTasks, colTask), j1 = Cut(ColPanels, ColTasks, colTask + 1);
            int column0 = j0 * Bf16Pack.Width, columns = Math.Min(N, j1 * Bf16Pack.Width) - column0;
            if (Bias != null)
            {
                for (int i = RowOf(i0); i < RowOf(i1); i++)
                    new ReadOnlySpan<float>(Bias + column0, columns).CopyTo(new Span<float>(C + (i * Ldc) + column0, columns));
            }

            for (int q = 0; q < Lanes; q += Depth)
            {
                Pack<S, V>(q, i0, i1, ScratchA[worker]);
                Multiply(q, ScratchA[worker], i0, i1, j0, j1);
            }
        }

        private readonly bool ByLanes => TransA && Kernels->TakesLanes;

        // Lanes of A by columns: an odd number of cache lines apart, lest they share few cache sets.
        private readonly nint StrideOf(int i0, int i1) => ((((RowOf(i1) - RowOf(i0)) + 15) / 16) | 1) * 16;

        private readonly float* PanelAt(float* packedA, int i0, int i1, int panel) =>
            packedA + (ByLanes ? RowOf(panel) - RowOf(i0) : (nint)(panel - i0) * Kernels->MaxRows * Depth);

        // Row panels of A, lanes from q on.
        private readonly void Pack<S, V>(int q, int i0, int i1, float* packedA) where S : struct, ISimd<V> where V : unmanaged
        {
            int k = Math.Min(2 * Depth, K - (2 * q)), row0 = RowOf(i0);
            if (ByLanes)
            {
                Bf16Pack.RowLanes<S, V>(RowOf(i1) - row0, k, A + row0 + (2 * q * Lda), Lda, packedA, StrideOf(i0, i1));
                return;
            }

            int block = TransA ? Bf16Pack.Block : k;
            for (int p = 0; p < k; p += block) // blocks of k outside where A lies by columns: long runs of a row
            {
                for (int panel = i0; panel < i1; panel++)
                {
                    int row = RowOf(panel), rows = RowOf(panel + 1) - row, height = Kernels->PadsRows ? Kernels->MaxRows : rows;
                    float* to = PanelAt(packedA, i0, i1, panel);
                    if (TransA)
                        Bf16Pack.RowBlockTransposed<S, V>(rows, Math.Min(block, k - p), A + row + (((2 * q) + p) * Lda), Lda, to + ((nint)(p / 2) * height));
                    else
                        Bf16Pack.RowPanel<S, V>(rows, height, k, A + (row * Lda) + (2 * q), Lda, to);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Multiply(int q, float* packedA, int i0, int i1, int j0, int j1)
        {
            const int side = Bf16Pack.Width;
            float* edge = stackalloc float[side * side];
            nint strideA = StrideOf(i0, i1) * sizeof(float);
            bool add = q > 0 || Accumulate || Bias != null;
            Kernels->Begin();
            for (int panel = j0; panel < j1; panel++)
            {
                int j = panel * side, columns = Math.Min(side, N - j);
                for (int rowPanel = i0; rowPanel < i1; rowPanel++)
                {
                    int i = RowOf(rowPanel), rows = RowOf(rowPanel + 1) - i;
                    float* c = C + (i * Ldc) + j;
                    bool whole = columns == side && (rows == Kernels->MaxRows || !Kernels->PadsRows);
                    Bf16Tile tile = new()
                    {
                        A = PanelAt(packedA, i0, i1, rowPanel),
                        StrideA = strideA,
                        B = B + (((nint)panel * Lanes) + q) * side,
                        C = whole ? c : edge,
                        StrideC = (whole ? Ldc : side) * sizeof(float),
                        Lanes = Math.Min(Depth, Lanes - q),
                        Accumulate = add ? 1 : 0,
                    };
                    if (!whole && add)
                        Simd.Copy(rows, columns, c, Ldc, edge, side);
                    Kernels->Run(rows, TransA, &tile);
                    if (!whole)
                        Simd.Copy(rows, columns, edge, side, c, Ldc);
                }
            }

            Kernels->End();
        }
    }
}
