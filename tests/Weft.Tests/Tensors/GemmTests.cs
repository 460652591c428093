using System.Runtime.InteropServices;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>A row-major matrix in native memory, with poison before, after and between its rows.</summary>
internal sealed unsafe class Guarded : IDisposable
{
    private const int Margin = 64;
    private const float Poison = float.NaN;
    private readonly float* _memory;
    private readonly int _length;

    public Guarded(int rows, int cols, int gap, int seed)
    {
        (Rows, Cols, Ld) = (rows, cols, cols + gap);
        // The last row has no gap: memory ends with its last element, then the margin.
        _length = Math.Max(0, rows * Ld - gap) + 2 * Margin + 3;
        _memory = (float*)NativeMemory.Alloc((nuint)_length, sizeof(float));
        new Span<float>(_memory, _length).Fill(Poison);
        var random = new Random(seed);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++)
                this[i, j] = random.NextSingle() * 2 - 1;
    }

    public int Rows { get; }
    public int Cols { get; }
    public int Ld { get; }
    public float* Data => _memory + Margin + 3; // not even 16-byte aligned

    public ref float this[int i, int j] => ref Data[i * Ld + j];

    public void CheckPoison()
    {
        for (int at = 0; at < _length; at++)
        {
            int inside = at - Margin - 3;
            bool value = inside >= 0 && Ld > 0 && inside / Ld < Rows && inside % Ld < Cols;
            if (!value && BitConverter.SingleToInt32Bits(_memory[at]) != BitConverter.SingleToInt32Bits(Poison))
                Assert.Fail($"wrote outside [{Rows}, {Cols}] (ld {Ld}), at float {inside}");
        }
    }

    public byte[] Bytes()
    {
        var bytes = new byte[Rows * Cols * sizeof(float)];
        for (int i = 0; i < Rows; i++)
            MemoryMarshal.AsBytes(new ReadOnlySpan<float>(Data + i * Ld, Cols)).CopyTo(bytes.AsSpan(i * Cols * sizeof(float)));
        return bytes;
    }

    public void Dispose() => NativeMemory.Free(_memory);
}

public unsafe class GemmTests
{
    private delegate void Product(int m, int n, int k, Guarded a, Guarded b, Guarded c, float beta, float[]? bias, float alpha);

    /// <summary>The definition: C = alpha op(A) op(B) + beta C + bias in double; |error| of each element is bounded by k rounding steps.</summary>
    private static void Check(bool transA, bool transB, int m, int n, int k, int gap, float beta, bool withBias, float alpha, Product product)
    {
        string what = $"{(transA ? 'T' : 'N')}{(transB ? 'T' : 'N')} m={m} n={n} k={k} gap={gap} beta={beta} bias={withBias} alpha={alpha}";
        using var a = transA ? new Guarded(k, m, gap, 1) : new Guarded(m, k, gap, 1);
        using var b = transB ? new Guarded(n, k, gap, 2) : new Guarded(k, n, gap, 2);
        using var c = new Guarded(m, n, gap, 3);
        float[]? bias = withBias ? [.. Enumerable.Range(0, n).Select(j => j * 0.25f - 1)] : null;
        var expected = new double[m, n];
        var size = new double[m, n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0, abs = 0;
                for (int p = 0; p < k; p++)
                {
                    double term = (double)(transA ? a[p, i] : a[i, p]) * (transB ? b[j, p] : b[p, j]);
                    sum += term;
                    abs += Math.Abs(term);
                }
                double start = beta == 0 ? 0 : c[i, j];
                expected[i, j] = alpha * sum + start + (bias?[j] ?? 0);
                size[i, j] = Math.Abs(alpha) * abs + Math.Abs(start) + Math.Abs(bias?[j] ?? 0);
                if (beta == 0)
                    c[i, j] = float.NaN; // must not be read
            }
        }
        product(m, n, k, a, b, c, beta, bias, alpha);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                if (!(Math.Abs(c[i, j] - expected[i, j]) <= (4 + Math.Sqrt(k)) * 6e-8 * size[i, j]))
                    Assert.Fail($"{what}: C[{i},{j}] = {c[i, j]:R}, expected {expected[i, j]:R}");
        c.CheckPoison();
    }

    public static TheoryData<bool, bool> Transposes => new() { { false, false }, { false, true }, { true, false }, { true, true } };

    // One, odd, just below, at and above the panel sizes (6, 14 rows; 8, 16, 32 columns) and the depth of a chunk (512); few rows, small and packed paths.
    private static readonly (int M, int N, int K)[] s_shapes =
    [
        (0, 5, 5), (5, 0, 5), (5, 5, 0), (1, 1, 1), (1, 300, 70), (2, 33, 129), (3, 65, 257), (4, 130, 40), (300, 1, 3), (70, 3, 300), (7, 96, 33), (96, 33, 7),
        (5, 40, 0), (13, 31, 100), (14, 32, 256), (15, 33, 257), (29, 63, 513), (47, 17, 64), (64, 64, 64), (100, 100, 100), (127, 129, 65), (85, 250, 300), (61, 1500, 40),
        (33, 40, 1500), (16, 48, 2600), (9, 70, 530), (31, 37, 512), (32, 33, 48), (34, 140, 513), (400, 70, 511), (45, 300, 1025),
    ];

    [Theory]
    [MemberData(nameof(Transposes))]
    public void AgreesWithTheDefinition(bool transA, bool transB)
    {
        using var pool = new WorkerPool(3);
        foreach (var (m, n, k) in s_shapes)
        {
            foreach (var (gap, beta, bias) in new[] { (0, 0f, false), (5, 1f, false), (1, 0f, true) })
            {
                Check(transA, transB, m, n, k, gap, beta, bias, 1, (m, n, k, a, b, c, beta, bias, _) =>
                {
                    fixed (float* pb = bias)
                        Gemm.Run(pool, transA, transB, m, n, k, a.Data, a.Ld, b.Data, b.Ld, beta, c.Data, c.Ld, pb);
                });
            }
        }
    }

    /// <summary>Rows up to 32 of a product with B's columns as stored, and up to 16 with its rows, take one route; more rows take another.</summary>
    [Theory]
    [InlineData(true, new[] { 1, 4, 5, 13, 32 })]
    [InlineData(true, new[] { 33, 64, 150 })]
    [InlineData(false, new[] { 1, 5, 8, 9, 16 })]
    [InlineData(false, new[] { 17, 64, 150 })]
    public void ARowHasTheSameBitsWhateverTheNumberOfRowsBesideIt(bool transB, int[] rows)
    {
        const int N = 203, K = 701;
        using var pool = new WorkerPool(2);
        using var a = new Guarded(rows[^1], K, 0, 1);
        using var b = transB ? new Guarded(N, K, 0, 2) : new Guarded(K, N, 0, 2);
        byte[][] results = [.. rows.Select(m =>
        {
            using var c = new Guarded(m, N, 0, 3);
            Gemm.Run(pool, false, transB, m, N, K, a.Data, a.Ld, b.Data, b.Ld, 0, c.Data, c.Ld);
            return c.Bytes();
        })];
        foreach (byte[] some in results)
            Assert.True(results[^1].AsSpan(0, some.Length).SequenceEqual(some), $"{some.Length / (N * sizeof(float))} rows gave other bits");
    }

    private static readonly int[] s_rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 29, 64];
    private static readonly int[] s_cols = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64];

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void SmallProductsAgreeWithTheDefinition(bool transA, bool transB)
    {
        var scratch = new float[64 * 64];
        foreach (int m in s_rows)
        {
            foreach (int n in s_cols)
            {
                int k = (m * 7 + n * 3) % 41 + (m == n ? 0 : 1);
                foreach (var (gap, beta, alpha) in new[] { (0, 0f, 1f), (3, 1f, 1f), (1, 1f, -0.5f), (2, 0f, 3f) })
                {
                    Check(transA, transB, m, n, k, gap, beta, false, alpha, (m, n, k, a, b, c, beta, _, alpha) =>
                    {
                        fixed (float* s = scratch)
                        {
                            if (transA) SmallGemm.TN(m, n, k, a.Data, a.Ld, b.Data, b.Ld, c.Data, c.Ld, beta, alpha);
                            else if (transB) SmallGemm.NT(m, n, k, a.Data, a.Ld, b.Data, b.Ld, c.Data, c.Ld, beta, s, alpha);
                            else SmallGemm.NN(m, n, k, a.Data, a.Ld, b.Data, b.Ld, c.Data, c.Ld, beta, alpha);
                        }
                    });
                }
            }
        }
    }

    [Fact]
    public void TransposeAgreesWithTheDefinition()
    {
        foreach (int rows in s_cols)
        {
            foreach (int cols in s_cols)
            {
                using var source = new Guarded(rows, cols, 3, 1);
                using var target = new Guarded(cols, rows, 2, 2);
                SmallGemm.Transpose(rows, cols, source.Data, source.Ld, target.Data, target.Ld);
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < cols; j++)
                        Assert.Equal(source[i, j], target[j, i]);
                target.CheckPoison();
            }
        }
    }

    [Theory]
    [InlineData(false, true, 300, 200, 300)]
    [InlineData(false, false, 40, 900, 600)]
    [InlineData(true, false, 96, 130, 5000)]
    [InlineData(true, false, 700, 800, 1100)]
    [InlineData(false, true, 2, 900, 700)]
    [InlineData(false, true, 900, 2, 700)]
    [InlineData(false, false, 3, 900, 700)]
    [InlineData(false, true, 30, 900, 1100)]
    [InlineData(false, false, 16, 900, 1100)]
    [InlineData(false, false, 500, 300, 1100)]
    public void TheResultIsTheSameForAnyNumberOfWorkers(bool transA, bool transB, int m, int n, int k)
    {
        using var a = transA ? new Guarded(k, m, 0, 1) : new Guarded(m, k, 0, 1);
        using var b = transB ? new Guarded(n, k, 0, 2) : new Guarded(k, n, 0, 2);
        byte[]? expected = null;
        foreach (int workers in new[] { 1, 2, 2, 3, 8 })
        {
            using var pool = new WorkerPool(workers);
            using var c = new Guarded(m, n, 0, 3);
            Gemm.Run(pool, transA, transB, m, n, k, a.Data, a.Ld, b.Data, b.Ld, 1, c.Data, c.Ld);
            expected ??= c.Bytes();
            Assert.True(c.Bytes().AsSpan().SequenceEqual(expected), $"{workers} workers gave other bits");
        }
    }

    [Fact]
    public void ARunAllocatesNothing()
    {
        using var pool = new WorkerPool(2);
        using var a = new Guarded(200, 100, 0, 1);
        using var b = new Guarded(150, 100, 0, 2);
        using var c = new Guarded(200, 150, 0, 3);
        Assert.Equal(0, Allocations.Least(() => Gemm.Run(pool, false, true, 200, 150, 100, a.Data, a.Ld, b.Data, b.Ld, 0, c.Data, c.Ld)));
    }
}
