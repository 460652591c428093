using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Bench;

/// <summary>Matrix products against the best native libraries, if they are here, and two threads against one.</summary>
internal static unsafe class ProductBench
{
    private static readonly (int M, int N, int K)[] Shapes = [(1024, 1024, 1024), (4096, 768, 768), (4096, 3072, 768), (4096, 3072, 1024)];

    // What a linear layer computes: y = x W^T, dx = dy W, dW = dy^T x.
    private static readonly (string Name, bool TransA, bool TransB)[] Forms = [("A B^T", false, true), ("A B", false, false), ("A^T B", true, false)];

    // Rows of a batch while it decodes, against a weight of this many outputs and inputs.
    private static readonly int[] FewRows = [1, 2, 4, 5, 8, 12, 16, 32];
    private const int Outputs = 3072, Inputs = 768;

    public static void Run(int rounds, Results results)
    {
        using CpuDevice one = new(1), two = new(2);
        List<OpenBlas> blas = OpenBlas.Load();
        OneDnn? dnn = OneDnn.Load();
        Console.WriteLine($"OpenBLAS's kernels: {(blas.Count == 0 ? "none" : string.Join(", ", blas.Select(b => b.Core)))}; GFLOP/s on one thread, medians of {rounds} interleaved rounds");
        Float32(one, two, blas, rounds, results);
        Bf16(dnn, rounds, results);
        Few(one, two, blas, rounds, results);
    }

    private static void Float32(CpuDevice one, CpuDevice two, List<OpenBlas> blas, int rounds, Results results)
    {
        Console.WriteLine($"{"float32 M,N,K",-18}{"form",-8}{"in L1",8}{"Weft",8}{string.Concat(blas.Select(b => $"{b.Core,12}"))}{"over best",11}{"2 threads",11}");
        foreach ((int m, int n, int k) in Shapes)
        {
            foreach ((string form, bool transA, bool transB) in Forms)
            {
                using Tensor a = Random(one, transA ? k : m, transA ? m : k, 1), b = Random(one, transB ? n : k, transB ? k : n, 2);
                using Tensor c = one.Zeros(new Shape(m, n)), other = one.Zeros(new Shape(m, n));
                double flops = 2.0 * m * n * k / 1e6;
                double[] times = Medians(rounds,
                [
                    () => InCache(flops),
                    () => one.MatMul(a, transA, b, transB, null, c, false),
                    () => two.MatMul(a, transA, b, transB, null, c, false),
                    .. blas.Select(p => (Action)(() => p.Product(transA, transB, m, n, k, a.Pointer, b.Pointer, other.Pointer))),
                ]);
                double? best = blas.Count == 0 ? null : times[3..].Min();
                Console.WriteLine($"{$"{m},{n},{k}",-18}{form,-8}{flops / times[0],8:0}{flops / times[1],8:0}{string.Concat(times[3..].Select(t => $"{flops / t,12:0}"))}{best / times[1],11:0.00}{times[1] / times[2],10:0.00}x");
                if (best is { } peer)
                {
                    Agree(c, other, 1e-4);
                    string core = blas[Array.IndexOf(times, peer, 3) - 3].Core;
                    results.Add($"float32 product {form} {m},{n},{k} over OpenBLAS ({core}), one thread", peer / times[1], "x", 0.95);
                }

                results.Add($"float32 product {form} {m},{n},{k}, two threads over one", times[1] / times[2], "x", 1.8);
            }
        }
    }

    /// <summary>A linear layer's product, its weight packed before: by oneDNN, and here on the first call for a weight.</summary>
    private static void Bf16(OneDnn? dnn, int rounds, Results results)
    {
        using CpuDevice one = new(1, Precision.BFloat16), two = new(2, Precision.BFloat16);
        Console.WriteLine($"bf16 on {one.Unit}{(dnn is null ? "" : $", oneDNN prepacked on {dnn.Kernels}")}");
        Console.WriteLine($"{"bf16 M,N,K",-18}{"Weft",8}{"oneDNN",8}{"over it",9}{"2 threads",11}");
        foreach ((int m, int n, int k) in Shapes)
        {
            using Tensor a = Random(one, m, k, 1), b = Random(one, n, k, 2).WithGrad(), pairB = Random(two, n, k, 2).WithGrad();
            using Tensor c = one.Zeros(new Shape(m, n)), other = one.Zeros(new Shape(m, n));
            double flops = 2.0 * m * n * k / 1e6;
            List<Action> contestants =
            [
                () => one.MatMul(a, false, b, true, null, c, false),
                () => two.MatMul(a, false, pairB, true, null, c, false),
            ];
            if (dnn is not null)
            {
                contestants.Add(dnn.Prepacked(OneDnn.Type.BFloat16, m, n, k, a.Pointer, b.Pointer, other.Pointer));
            }

            double[] times = Medians(rounds, contestants);
            double? peer = dnn is null ? null : times[2];
            Console.WriteLine($"{$"{m},{n},{k}",-18}{flops / times[0],8:0}{flops / peer,8:0}{peer / times[0],9:0.00}{times[0] / times[1],10:0.00}x");
            if (peer is { } theirs)
            {
                Agree(c, other, 2e-2);
                results.Add($"bf16 product {m},{n},{k} over oneDNN prepacked, one thread", theirs / times[0], "x", 1.2);
            }

            results.Add($"bf16 product {m},{n},{k}, two threads over one", times[0] / times[1], "x", 1.8);
        }
    }

    private static void Few(CpuDevice one, CpuDevice two, List<OpenBlas> blas, int rounds, Results results)
    {
        Console.WriteLine($"few rows, x[rows, {Inputs}] W[{Outputs}, {Inputs}]^T: us, and GB/s of the weight's bytes");
        Console.WriteLine($"{"rows",6}{"Weft",10}{"GB/s",7}{"OpenBLAS",10}{"over it",9}{"2 threads",11}");
        using Tensor b = Random(one, Outputs, Inputs, 2);
        foreach (int m in FewRows)
        {
            using Tensor a = Random(one, m, Inputs, 1), c = one.Zeros(new Shape(m, Outputs)), other = one.Zeros(new Shape(m, Outputs));
            double[] times = Medians(rounds * 5,
            [
                () => one.MatMul(a, false, b, true, null, c, false),
                () => two.MatMul(a, false, b, true, null, c, false),
                .. blas.Select(p => (Action)(() => p.Product(false, true, m, Outputs, Inputs, a.Pointer, b.Pointer, other.Pointer))),
            ]);
            double? best = blas.Count == 0 ? null : times[2..].Min();
            Console.WriteLine($"{m,6}{times[0] * 1e3,10:0}{4e-6 * Outputs * Inputs / times[0],7:0}{best * 1e3,10:0}{best / times[0],9:0.00}{times[0] / times[1],10:0.00}x");
            if (best is { } peer)
            {
                Agree(c, other, 1e-4);
                results.Add($"float32 product of {m} rows with a weight of {Outputs},{Inputs} over OpenBLAS, one thread", peer / times[0], "x", 0.95);
            }
        }
    }

    /// <summary>The machine's limit in the same round: as many FLOPs by a kernel whose operands are a few lines of the first-level cache.</summary>
    private static void InCache(double megaflops)
    {
        const int Rows = 2 * GemmKernel.MaxRows, Columns = 32, Depth = 1024;
        float* a = stackalloc float[Rows], b = stackalloc float[Columns], c = stackalloc float[Rows * Columns];
        new Span<float>(a, Rows).Fill(1);
        new Span<float>(b, Columns).Fill(1);
        for (double done = 0; done < megaflops; done += 2e-6 * Rows * Columns * Depth)
        {
            SmallGemm.TN(Rows, Columns, Depth, a, 0, b, 0, c, Columns, 0);
        }
    }

    /// <summary>
    /// Each contestant's median time in milliseconds over rounds in which they take turns, after one round that is not counted. Every other
    /// round goes backwards: each finds in the caches what its neighbour left, and so has a different one.
    /// </summary>
    private static double[] Medians(int rounds, List<Action> contestants)
    {
        var times = contestants.ConvertAll(_ => new List<double>());
        for (int round = -1; round < rounds; round++)
        {
            for (int turn = 0; turn < contestants.Count; turn++)
            {
                int contestant = round % 2 == 0 ? turn : contestants.Count - 1 - turn;
                double time = Results.Time(contestants[contestant]);
                if (round >= 0)
                {
                    times[contestant].Add(time);
                }
            }
        }

        return [.. times.Select(Results.Median)];
    }

    private static void Agree(Tensor ours, Tensor theirs, double tolerance)
    {
        float[] x = ours.ToArray(), y = theirs.ToArray();
        double scale = Math.Sqrt(y.Average(v => (double)v * v));
        int at = Array.FindIndex(x.Zip(y, (p, q) => Math.Abs(p - q)).ToArray(), d => !(d <= tolerance * 6 * scale));
        if (at >= 0)
        {
            throw new InvalidOperationException($"Element {at} of a product: {x[at]} here and {y[at]} from the library.");
        }
    }

    private static Tensor Random(Device device, int rows, int columns, ulong seed)
    {
        var values = new float[rows * columns];
        new RandomSource(seed).FillGaussian(values);
        return device.Of(values, new Shape(rows, columns));
    }
}
