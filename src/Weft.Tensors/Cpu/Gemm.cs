using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Matrix products on all workers of a pool, row-major float32: C[m, n] = op(A)[m, k] op(B)[k, n] + beta * C (+ bias).
/// op(B) is packed once into panels of two vectors' width, shared by the workers; each task packs its rows of op(A) and runs
/// <see cref="GemmKernel"/> over them. Each element of C is a sum over k in an order that depends on the shape only: the result is the same
/// for any number of workers, run after run.
/// </summary>
internal static unsafe class Gemm
{
    /// <summary>Depth of a packed block: a row panel of A (14 x depth) then stays in the first-level cache while panels of B stream past it.</summary>
    private const int MaxDepth = 512;

    /// <summary>Floats of a cache line.</summary>
    private const int Line = 16;

    /// <summary>Floats of op(B) packed at a time.</summary>
    private const int PackedB = 4 << 20;

    /// <summary>Row panels of op(A) a task packs at most (0.7 MB), and column panels of op(B) it takes past all of them at a time (0.25 MB).</summary>
    private const int MaxPanels = 24, BlockPanels = 4;

    /// <summary>Column panels one task packs, and rows of k it takes at a time from a matrix stored by rows of k: long runs of memory, few pages.</summary>
    private const int PackPanels = 8, PackRows = 32;

    /// <summary>A C of at most this many floats (2 MB) may have k split, into at most <see cref="MaxSplits"/> ranges.</summary>
    private const int SmallC = 512 << 10, MaxSplits = 16;

    /// <summary>Up to this many row panels, tasks own columns and each packs its part of op(B) just before it is used, once.</summary>
    private const int FewPanels = 8;

    /// <summary>Up to this many multiplications a product stays on the calling thread, unpacked.</summary>
    private const long SmallWork = 32 * 32 * 32;

    /// <summary>A B of more floats than this (256 KB) is not expected in a near cache.</summary>
    private const long NearB = 64 << 10;

    /// <summary>
    /// C = op(A) op(B) + beta * C. A is [m, k], or [k, m] if <paramref name="transA"/>; B is [k, n], or [n, k] if <paramref name="transB"/>;
    /// lda, ldb, ldc are the distances of their rows as stored, in floats. beta is 0 (C is not read) or 1; <paramref name="bias"/>
    /// ([n], or null) is added to every row and needs beta 0. C must not overlap the inputs. Any size may be 0. Few rows have sums of their
    /// own order, which reads B once; not where they are <paramref name="partOfMore"/>: then they have the bits that they have among many.
    /// </summary>
    public static void Run(WorkerPool pool, bool transA, bool transB, int m, int n, int k,
        float* a, nint lda, float* b, nint ldb, float beta, float* c, nint ldc, float* bias = null, bool partOfMore = false)
    {
        Debug.Assert(beta is 0 or 1 && (bias == null || beta == 0));
        if (m == 0 || n == 0)
            return;
        var args = new Args { TransA = transA, TransB = transB, M = m, N = n, K = k, A = a, Lda = lda, B = b, Ldb = ldb, C = c, Ldc = ldc, Bias = bias, Beta = beta };
        bool few = m <= SmallGemm.DotRows;
        bool narrow = (n <= SmallGemm.DotRows && transB) || (few ? !partOfMore : (long)m * n * k <= SmallWork);
        if (narrow && !(transA && transB))
            RunUnpacked(pool, ref args);
        else
            RunPacked(pool, ref args);
    }

    /// <summary>The same with A as it lies and an op(B) of bfloat16 numbers, in the panels of <see cref="Bf16Pack"/>; A is not rounded.</summary>
    public static void RunBf16(WorkerPool pool, int m, int n, int k, float* a, nint lda, float* panels, float beta, float* c, nint ldc, float* bias)
    {
        if (m == 0 || n == 0)
            return;
        var args = new Args { M = m, N = n, K = k, A = a, Lda = lda, B = panels, IsBf16B = true, C = c, Ldc = ldc, Bias = bias, Beta = beta };
        RunPacked(pool, ref args);
    }

    private static void RunPacked(WorkerPool pool, ref Args args)
    {
        if (Isa.Vector512)
            RunPacked<Simd512, Vector512<float>>(pool, ref args, GemmKernel.MaxRows);
        else if (Isa.Vector256)
            RunPacked<Simd256, Vector256<float>>(pool, ref args, 6);
        else
            RunPacked<Simd128, Vector128<float>>(pool, ref args, AdvSimd.IsSupported ? GemmKernel.MaxRows : 6);
    }

    private struct Args
    {
        public bool TransA, TransB, IsBf16B; // panels of Bf16Pack are neither B as it lies nor transposed
        public int M, N, K;
        public float* A, B, C, Bias;
        public nint Lda, Ldb, Ldc;
        public float Beta;

        /// <summary>Element (i, p) of op(A).</summary>
        public readonly float* AtA(int i, int p) => A + (TransA ? p * Lda + i : i * Lda + p);

        /// <summary>Element (p, j) of op(B).</summary>
        public readonly float* AtB(int p, int j) => B + (TransB ? j * Ldb + p : p * Ldb + j);
    }

    // ---- Few rows, few columns or little work: no packing.

    private static void RunUnpacked(WorkerPool pool, ref Args args)
    {
        // Tasks along the longer side, of at least 64 K multiplications (about 10 us).
        bool cutRows = args.M > args.N;
        int side = cutRows ? args.M : args.N;
        int tasks = (int)Math.Clamp((long)args.M * args.N * args.K >> 16, 1, pool.Workers * 4);
        int step = ((side + tasks - 1) / tasks + 63) & ~63;
        float* scratch = args.TransB && Math.Min(args.M, args.N) > SmallGemm.DotRows
            ? pool.Scratch(pool.CurrentWorker, (nint)args.N * args.K, WorkerPool.GemmSlotA) // little work, so one task
            : null;
        var job = new UnpackedJob { Args = args, CutRows = cutRows, Step = step, Scratch = scratch };
        pool.Run(ref job, (side + step - 1) / step);
    }

    private struct UnpackedJob : IJob
    {
        public Args Args;
        public bool CutRows;
        public int Step;
        public float* Scratch;

        public readonly void Run(int index, int worker)
        {
            int at = index * Step, i = CutRows ? at : 0, j = CutRows ? 0 : at;
            int m = CutRows ? Math.Min(Step, Args.M - i) : Args.M, n = CutRows ? Args.N : Math.Min(Step, Args.N - j);
            float* a = Args.AtA(i, 0);
            float* b = Args.AtB(0, j);
            float* c = Args.C + i * Args.Ldc + j;
            if (Args.TransB && Scratch != null)
                SmallGemm.NT(m, n, Args.K, a, Args.Lda, b, Args.Ldb, c, Args.Ldc, Args.Beta, Scratch);
            else if (Args.TransB)
                SmallGemm.Dots(m, n, Args.K, a, Args.Lda, b, Args.Ldb, c, Args.Ldc, Args.Beta);
            else
                StreamB(m, n, a, b, c);
            if (Args.Bias != null)
                for (int r = 0; r < m; r++)
                    Simd.Add(n, Args.Bias + j, c + r * Args.Ldc);
        }

        /// <summary>B by rows of k, a few at a time where it is large, so that memory is read in long runs.</summary>
        private readonly void StreamB(int m, int n, float* a, float* b, float* c)
        {
            int block = (long)Args.N * Args.K > NearB ? 16 : Math.Max(1, Args.K);
            for (int p = 0; p == 0 || p < Args.K; p += block)
            {
                int h = Math.Min(block, Args.K - p);
                float beta = p == 0 ? Args.Beta : 1;
                if (Args.TransA)
                    SmallGemm.TN(m, n, h, a + p * Args.Lda, Args.Lda, b + p * Args.Ldb, Args.Ldb, c, Args.Ldc, beta);
                else
                    SmallGemm.NN(m, n, h, a + p, Args.Lda, b + p * Args.Ldb, Args.Ldb, c, Args.Ldc, beta);
            }
        }
    }

    // ---- Packed.

    /// <summary>How a product is cut: k into chunks of Depth, rows and columns into panels, panels into tasks.</summary>
    private struct Plan
    {
        public Args Args;
        public int Depth, Chunks, Width, RowPanels, ColPanels, RowTasks, ColTasks;
        public float** ScratchA;

        public readonly int DepthOf(int chunk) => Math.Min(Depth, Args.K - chunk * Depth);

        /// <summary>First row of a panel. Panels differ by at most one row, so that none is short; the same cut makes tasks of panels.</summary>
        public readonly int RowOf(int panel) => Cut(Args.M, RowPanels, panel);

        public static int Cut(int total, int parts, int index) => (int)((long)total * index / parts);
    }

    private static void RunPacked<S, V>(WorkerPool pool, ref Args args, int maxRows) where S : struct, ISimd<V> where V : unmanaged
    {
        int chunks = Math.Max(1, (args.K + MaxDepth - 1) / MaxDepth), width = 2 * S.Count;
        var plan = new Plan
        {
            Args = args,
            Chunks = chunks,
            Depth = Math.Max(1, (args.K + chunks - 1) / chunks),
            Width = width,
            RowPanels = (args.M + maxRows - 1) / maxRows,
            ColPanels = (args.N + width - 1) / width,
        };
        int workers = pool.Workers, wanted = workers == 1 ? 1 : 4 * workers;

        // A long sum over k into a small C, a weight's gradient: tasks own ranges of k. How many follows from the shape alone. Products
        // with A as it lies are not split: a row of C then has the same bits whatever the number of rows beside it.
        int splits = args.TransA && (long)args.M * args.N <= SmallC ? Math.Clamp(chunks / 2, 1, MaxSplits) : 1;
        if (splits > 1 || plan.RowPanels <= FewPanels)
        {
            RunColumns<S, V>(pool, ref plan, splits, wanted);
            return;
        }

        // Enough tasks to balance the workers, as many for each, of at least 4 panels; columns are cut only when rows are few, since each cut
        // packs A again.
        int panelsPerTask = Math.Clamp(plan.RowPanels / wanted, 4, MaxPanels);
        plan.RowTasks = Math.Min(plan.RowPanels, (plan.RowPanels + (panelsPerTask * workers) - 1) / (panelsPerTask * workers) * workers);
        plan.ColTasks = Math.Clamp((wanted + plan.RowTasks - 1) / plan.RowTasks, 1, Math.Max(1, plan.ColPanels / 4));
        int taskRows = (plan.RowPanels + plan.RowTasks - 1) / plan.RowTasks * maxRows;
        plan.ScratchA = pool.ScratchTable((nint)taskRows * plan.Depth, WorkerPool.GemmSlotA);

        // op(B) is packed in groups: as many chunks of k as fit the buffer, and columns too if even one chunk does not.
        int groupPanels = Math.Min(plan.ColPanels, Math.Max(1, PackedB / (plan.Depth * width)));
        int groupChunks = Math.Clamp(PackedB / (plan.Depth * width * groupPanels), 1, chunks);
        float* packed = pool.Scratch(pool.CurrentWorker, (nint)groupChunks * plan.Depth * width * groupPanels, WorkerPool.GemmSlotB);
        for (int panel = 0; panel < plan.ColPanels; panel += groupPanels)
        {
            for (int chunk = 0; chunk < chunks; chunk += groupChunks)
            {
                var group = new Group
                {
                    Packed = packed,
                    FirstPanel = panel,
                    Panels = Math.Min(groupPanels, plan.ColPanels - panel),
                    FirstChunk = chunk,
                    Chunks = Math.Min(groupChunks, chunks - chunk),
                };
                var pack = new PackJob<S, V> { Plan = plan, Group = group, Tasks = (group.Panels + PackPanels - 1) / PackPanels };
                pool.Run(ref pack, group.Chunks * pack.Tasks);
                var product = new ProductJob<S, V> { Plan = plan, Group = group };
                pool.Run(ref product, plan.RowTasks * plan.ColTasks);
            }
        }
    }

    /// <summary>The part of op(B) that is packed at one time: [chunk][panel][depth][width].</summary>
    private struct Group
    {
        public float* Packed;
        public int FirstPanel, Panels, FirstChunk, Chunks;

        public readonly float* At(in Plan plan, int chunk, int panel) => Packed + ((nint)chunk * Panels + panel) * plan.Depth * plan.Width;
    }

    private struct PackJob<S, V> : IJob where S : struct, ISimd<V> where V : unmanaged
    {
        public Plan Plan;
        public Group Group;
        public int Tasks;

        public readonly void Run(int index, int worker)
        {
            int chunk = index / Tasks, task = index % Tasks;
            int j0 = Plan.Cut(Group.Panels, Tasks, task), j1 = Plan.Cut(Group.Panels, Tasks, task + 1);
            PackB<S, V>(Plan, Group.FirstChunk + chunk, Group.FirstPanel + j0, Group.FirstPanel + j1, Group.At(Plan, chunk, j0));
        }
    }

    private struct ProductJob<S, V> : IJob where S : struct, ISimd<V> where V : unmanaged
    {
        public Plan Plan;
        public Group Group;

        public readonly void Run(int index, int worker)
        {
            int rowTask = index / Plan.ColTasks, colTask = index % Plan.ColTasks;
            int i0 = Plan.Cut(Plan.RowPanels, Plan.RowTasks, rowTask), i1 = Plan.Cut(Plan.RowPanels, Plan.RowTasks, rowTask + 1);
            int j0 = Plan.Cut(Group.Panels, Plan.ColTasks, colTask), j1 = Plan.Cut(Group.Panels, Plan.ColTasks, colTask + 1);
            if (j0 == j1)
                return;
            float* packedA = Plan.ScratchA[worker];
            for (int chunk = 0; chunk < Group.Chunks; chunk++)
            {
                int at = Group.FirstChunk + chunk;
                PackA<S, V>(Plan, at, i0, i1, packedA);
                Multiply<S, V>(Plan, at, i0, i1, packedA, Group.FirstPanel + j0, Group.FirstPanel + j1, Group.At(Plan, chunk, j0),
                    Plan.Args.C, Plan.Args.Ldc, at == 0 && Plan.Args.Beta == 0, Plan.Args.Bias);
            }
        }
    }

    // ---- Packed, tasks own columns: few rows, or k split, where partial products of ranges of k are summed in order afterwards.

    private static void RunColumns<S, V>(WorkerPool pool, ref Plan plan, int splits, int wanted) where S : struct, ISimd<V> where V : unmanaged
    {
        int worth = (int)Math.Min(wanted, (long)plan.Args.M * plan.Args.N * plan.Args.K >> 16); // at least 64 K multiplications each, about 10 us
        plan.RowTasks = 1;
        plan.ColTasks = Math.Clamp(worth / splits, 1, plan.ColPanels);
        plan.ScratchA = pool.ScratchTable((nint)plan.Args.M * plan.Depth, WorkerPool.GemmSlotA);
        var job = new ColumnJob<S, V>
        {
            Plan = plan,
            Splits = splits,
            ScratchB = pool.ScratchTable((nint)BlockPanels * plan.Width * plan.Depth, WorkerPool.GemmSlotB),
            Partials = splits == 1 ? null : pool.Scratch(pool.CurrentWorker, (nint)splits * plan.Args.M * plan.Args.N, WorkerPool.GemmSlotC),
        };
        pool.Run(ref job, splits * plan.ColTasks);
        if (splits == 1)
            return;
        var sum = new SumJob { Args = plan.Args, Splits = splits, Partials = job.Partials, Rows = Math.Max(1, 32768 / (plan.Args.N * splits)) };
        pool.Run(ref sum, (plan.Args.M + sum.Rows - 1) / sum.Rows);
    }

    private struct ColumnJob<S, V> : IJob where S : struct, ISimd<V> where V : unmanaged
    {
        public Plan Plan;
        public int Splits;
        public float** ScratchB;
        public float* Partials;

        public readonly void Run(int index, int worker)
        {
            int split = index / Plan.ColTasks, colTask = index % Plan.ColTasks;
            int j0 = Plan.Cut(Plan.ColPanels, Plan.ColTasks, colTask), j1 = Plan.Cut(Plan.ColPanels, Plan.ColTasks, colTask + 1);
            int start = Plan.Cut(Plan.Chunks, Splits, split), end = Plan.Cut(Plan.Chunks, Splits, split + 1);
            bool whole = Partials == null;
            float* c = whole ? Plan.Args.C : Partials + (nint)split * Plan.Args.M * Plan.Args.N;
            nint ldc = whole ? Plan.Args.Ldc : Plan.Args.N;
            for (int chunk = start; chunk < end; chunk++)
            {
                bool first = chunk == start && (!whole || Plan.Args.Beta == 0);
                PackA<S, V>(Plan, chunk, 0, Plan.RowPanels, Plan.ScratchA[worker]);
                for (int block = j0; block < j1; block += BlockPanels)
                {
                    int last = Math.Min(j1, block + BlockPanels);
                    PackB<S, V>(Plan, chunk, block, last, ScratchB[worker]);
                    Multiply<S, V>(Plan, chunk, 0, Plan.RowPanels, Plan.ScratchA[worker], block, last, ScratchB[worker], c, ldc, first, whole ? Plan.Args.Bias : null);
                }
            }
        }
    }

    private struct SumJob : IJob
    {
        public Args Args;
        public int Splits, Rows;
        public float* Partials;

        public readonly void Run(int index, int worker)
        {
            int end = Math.Min(Args.M, (index + 1) * Rows);
            for (int i = index * Rows; i < end; i++)
            {
                float* c = Args.C + i * Args.Ldc;
                float* partial = Partials + (nint)i * Args.N;
                int first = 0;
                if (Args.Bias != null)
                    Simd.Copy(1, Args.N, Args.Bias, Args.N, c, Args.N);
                else if (Args.Beta == 0)
                    Simd.Copy(1, Args.N, partial + (nint)first++ * Args.M * Args.N, Args.N, c, Args.N);
                for (int split = first; split < Splits; split++)
                    Simd.Add(Args.N, partial + (nint)split * Args.M * Args.N, c);
            }
        }
    }

    // ---- Pieces of both.

    /// <summary>
    /// Packs column panels [j0, j1) of one chunk of op(B), each as [depth][width], plan.Depth * width apart; a narrow last panel keeps the width
    /// as its row distance.
    /// </summary>
    private static void PackB<S, V>(in Plan plan, int chunk, int j0, int j1, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        if (plan.Args.IsBf16B)
        {
            UnpackB<S, V>(plan, chunk, j0, j1, target);
            return;
        }

        int depth = plan.DepthOf(chunk), block = plan.Args.TransB ? depth : PackRows;
        for (int p = 0; p < depth; p += block)
        {
            int h = Math.Min(block, depth - p);
            for (int panel = j0; panel < j1; panel++)
            {
                int j = panel * plan.Width, cols = Math.Min(plan.Width, plan.Args.N - j);
                float* source = plan.Args.AtB(chunk * plan.Depth + p, j);
                float* to = target + ((nint)(panel - j0) * plan.Depth + p) * plan.Width;
                if (plan.Args.TransB)
                    Turn(cols, h, source, plan.Args.Ldb, to, plan.Width, panel + 1 < plan.ColPanels);
                else
                    CopyNarrow<S, V>(h, cols, source, plan.Args.Ldb, to, plan.Width);
            }
        }
    }

    private static void UnpackB<S, V>(in Plan plan, int chunk, int j0, int j1, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        nint panelLanes = (nint)Bf16Pack.LanesOf(plan.Args.K) * Bf16Pack.Width;
        for (int panel = j0; panel < j1; panel++, target += (nint)plan.Depth * plan.Width)
        {
            int j = panel * plan.Width;
            float* source = plan.Args.B + (j / Bf16Pack.Width * panelLanes) + (j % Bf16Pack.Width);
            Bf16Pack.Unpack<S, V>(chunk * plan.Depth, plan.DepthOf(chunk), plan.Width, source, target, plan.Width);
        }
    }

    /// <summary>Packs row panels [i0, i1) of one chunk of op(A), each as [depth][its rows].</summary>
    private static void PackA<S, V>(in Plan plan, int chunk, int i0, int i1, float* target) where S : struct, ISimd<V> where V : unmanaged
    {
        int depth = plan.DepthOf(chunk), block = plan.Args.TransA ? PackRows : depth, row0 = plan.RowOf(i0);
        for (int p = 0; p < depth; p += block)
        {
            int h = Math.Min(block, depth - p);
            for (int panel = i0; panel < i1; panel++)
            {
                int row = plan.RowOf(panel), rows = plan.RowOf(panel + 1) - row;
                float* source = plan.Args.AtA(row, chunk * plan.Depth + p);
                float* to = target + (nint)(row - row0) * depth + p * rows;
                if (plan.Args.TransA)
                    CopyNarrow<S, V>(h, rows, source, plan.Args.Lda, to, rows);
                else
                    Turn(rows, h, source, plan.Args.Lda, to, rows, panel + 1 < plan.RowPanels);
            }
        }
    }

    /// <summary>Transposes a panel; asks for the rows of the one after it meanwhile, since many short runs of memory defeat the machine's own prefetching.</summary>
    private static void Turn(int rows, int cols, float* source, nint lds, float* target, nint ldt, bool another)
    {
        for (int p = 0; p < cols; p += Line)
        {
            if (another && Sse.IsSupported)
            {
                for (int r = rows; r < 2 * rows; r++)
                    Sse.Prefetch1(source + r * lds + p);
            }
            SimdTranspose.Run(rows, Math.Min(Line, cols - p), source + p, lds, target + p * ldt, ldt);
        }
    }

    /// <summary>
    /// Runs the kernel over row panels [i0, i1) and column panels [j0, j1) of one chunk: C (+)= A B, starting from the bias or zeros if first.
    /// A row panel stays in the first-level cache while a block of column panels, which stays in the second-level cache, passes it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply<S, V>(in Plan plan, int chunk, int i0, int i1, float* packedA, int j0, int j1, float* packedB,
        float* c, nint ldc, bool first, float* bias) where S : struct, ISimd<V> where V : unmanaged
    {
        int depth = plan.DepthOf(chunk);
        for (int block = j0; block < j1; block += BlockPanels)
        {
            int end = Math.Min(j1, block + BlockPanels);
            float* a = packedA;
            for (int rowPanel = i0; rowPanel < i1; rowPanel++)
            {
                int i = plan.RowOf(rowPanel), rows = plan.RowOf(rowPanel + 1) - i;
                for (int panel = block; panel < end; panel++)
                {
                    int j = panel * plan.Width, cols = Math.Min(plan.Width, plan.Args.N - j);
                    float* ci = c + i * ldc + j;
                    Ask(rows, cols, ci, ldc);
                    float* b = packedB + (nint)(panel - j0) * plan.Depth * plan.Width;
                    float* init = !first ? ci : bias != null ? bias + j : SmallGemm.Zeros;
                    SmallGemm.Panel<S, V, ByColumns>(rows, cols, depth, a, rows, b, plan.Width, ci, ldc, init, first ? 0 : ldc, 1);
                }
                a += (nint)rows * depth;
            }
        }
    }

    /// <summary>
    /// Asks for a block of C, which is wanted after the whole of k. It goes to the second-level cache: rows that lie a multiple of 4 KB apart
    /// would push each other, and the panel of A, out of the first.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Ask(int rows, int cols, float* c, nint ldc)
    {
        if (!Sse.IsSupported)
            return;
        for (int r = 0; r < rows; r++)
            for (int l = 0; l < cols; l += Line)
                Sse.Prefetch1(c + r * ldc + l);
    }

    /// <summary>Copies rows of at most two vectors' width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyNarrow<S, V>(int rows, int cols, float* source, nint lds, float* target, nint ldt) where S : struct, ISimd<V> where V : unmanaged
    {
        int one = Math.Min(cols, S.Count), two = cols - one;
        for (int i = 0; i < rows; i++, source += lds, target += ldt)
        {
            if (one == S.Count)
                S.Store(S.Load(source), target);
            else
                S.StorePartial(S.LoadPartial(source, one), target, one);
            if (two == S.Count)
                S.Store(S.Load(source + S.Count), target + S.Count);
            else if (two > 0)
                S.StorePartial(S.LoadPartial(source + S.Count, two), target + S.Count, two);
        }
    }
}
