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

    /// <summary>Whether a product is worth converting: enough work for each number, and enough of it.</summary>
    public static bool Pays(int m, int n, int k) => m > SmallGemm.DotRows && n >= 16 && k >= Bf16Pack.Block && (long)m * n * k >= 64 * 64 * 64;

    /// <summary>Float-sized lanes of op(B), packed whole.</summary>
    public static long PackedLanes(int n, int k) => (long)((n + Bf16Pack.Width - 1) / Bf16Pack.Width) * Bf16Pack.LanesOf(k) * Bf16Pack.Width;

    /// <summary>Packs op(B)[k, n] whole: panel after panel.</summary>
    public static void Pack(WorkerPool pool, bool transB, int n, int k, float* b, nint ldb, float* target)
    {
        var job = new PackJob { TransB = transB, N = n, K = k, B = b, Ldb = ldb, Target = target };
        pool.RunWide(ref job, (n + Bf16Pack.Width - 1) / Bf16Pack.Width);
    }

    private struct PackJob : IWideJob
    {
        public bool TransB;
        public int N, K;
        public float* B, Target;
        public nint Ldb;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int j = index * Bf16Pack.Width, columns = Math.Min(Bf16Pack.Width, N - j);
            float* to = Target + ((nint)j * Bf16Pack.LanesOf(K));
            if (TransB)
                Bf16Pack.PanelTransposed<S, V>(columns, K, B + (j * Ldb), Ldb, to);
            else
                Bf16Pack.Panel<S, V>(columns, K, B + j, Ldb, to);
        }
    }

    /// <summary>The product, op(B) packed by <see cref="Pack"/>. beta is 0 (C is not read) or 1; a bias [n] is added to every row and needs beta 0.</summary>
    public static void Run(WorkerPool pool, Bf16Kernels* kernels, bool transA, int m, int n, int k,
        float* a, nint lda, float* packedB, float beta, float* c, nint ldc, float* bias = null)
    {
        int stride = Bf16Pack.StrideOf(k), block = kernels->MaxRows;
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
            Stride = stride,
            RowPanels = (m + block - 1) / block,
            ColPanels = (n + Bf16Pack.Width - 1) / Bf16Pack.Width,
        };
        int wanted = pool.Workers == 1 ? 1 : 4 * pool.Workers, most = Math.Max(2, PackedA / (block * stride * sizeof(float)));
        int panels = Math.Clamp(job.RowPanels / wanted, 2, most);
        job.RowTasks = (job.RowPanels + panels - 1) / panels;
        job.ColTasks = Math.Clamp((wanted + job.RowTasks - 1) / job.RowTasks, 1, Math.Max(1, job.ColPanels / FewPanels));
        int taskRows = ((job.RowPanels + job.RowTasks - 1) / job.RowTasks) * block;
        job.ScratchA = pool.ScratchTable((nint)taskRows * stride, WorkerPool.GemmSlotA);
        pool.RunWide(ref job, job.RowTasks * job.ColTasks);
    }

    private struct ProductJob : IWideJob
    {
        public Bf16Kernels* Kernels;
        public bool TransA, Accumulate;
        public int M, N, K, Stride, RowPanels, ColPanels, RowTasks, ColTasks;
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
            int row0 = RowOf(i0), rows = RowOf(i1) - row0, column0 = j0 * Bf16Pack.Width, columns = Math.Min(N, j1 * Bf16Pack.Width) - column0;
            float* packedA = ScratchA[worker];
            if (TransA)
                Bf16Pack.RowsTransposed<S, V>(rows, K, A + row0, Lda, packedA, Stride);
            else
                Bf16Pack.Rows<S, V>(rows, K, A + (row0 * Lda), Lda, packedA, Stride);
            if (Bias != null)
            {
                for (int i = row0; i < row0 + rows; i++)
                    new ReadOnlySpan<float>(Bias + column0, columns).CopyTo(new Span<float>(C + (i * Ldc) + column0, columns));
            }

            Multiply(packedA, row0, i0, i1, j0, j1);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Multiply(float* packedA, int row0, int i0, int i1, int j0, int j1)
        {
            const int side = Bf16Pack.Width;
            float* edge = stackalloc float[side * side];
            int lanes = Bf16Pack.LanesOf(K), chunks = (lanes + Kernels->MaxLanes - 1) / Kernels->MaxLanes;
            int depth = (((lanes / Bf16Pack.Lanes) + chunks - 1) / chunks) * Bf16Pack.Lanes;
            Kernels->Begin();
            for (int q = 0; q < lanes; q += depth)
            {
                bool add = q > 0 || Accumulate || Bias != null;
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
                            A = packedA + ((nint)(i - row0) * Stride) + q,
                            StrideA = Stride * sizeof(float),
                            B = B + (((nint)panel * lanes) + q) * side,
                            C = whole ? c : edge,
                            StrideC = (whole ? Ldc : side) * sizeof(float),
                            Lanes = Math.Min(depth, lanes - q),
                            Accumulate = add && whole ? 1 : 0,
                        };
                        Kernels->Run(rows, &tile);
                        if (!whole)
                            PutEdge(edge, c, rows, columns, add);
                    }
                }
            }

            Kernels->End();
        }

        // What of a block of 32 columns belongs to C.
        private readonly void PutEdge(float* edge, float* c, int rows, int columns, bool add)
        {
            for (int r = 0; r < rows; r++, edge += Bf16Pack.Width, c += Ldc)
            {
                if (add)
                    Simd.Add(columns, edge, c);
                else
                    new ReadOnlySpan<float>(edge, columns).CopyTo(new Span<float>(c, columns));
            }
        }
    }
}
