namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor? bias, Tensor c, bool accumulate)
    {
        using Timed timed = Measure([a, b, bias, new(c, accumulate)]);
        int m = c.Shape.Rows, n = c.Shape.Columns, k = transposeA ? a.Shape.Rows : a.Shape.Columns;
        CountFlops(2L * m * n * k);
        if (b.Format != WeightFormat.Float32 && transposeB && !transposeA)
        {
            HeldProduct(a, HeldOf(b), 0, n, bias, c, accumulate);
            return;
        }

        if (kernels != null && Bf16Gemm.Takes(m, n, k, b.IsWeight))
        {
            Bf16Product(a, transposeA, Packed(b, transposeB, n, k), true, n, k, bias, c, accumulate);
            return;
        }

        Gemm.Run(Pool, transposeA, transposeB, m, n, k, a.Pointer, a.RowStride, b.Pointer, b.RowStride, accumulate ? 1 : 0, c.Pointer, c.RowStride, bias is null ? null : bias.Pointer);
    }

    // op(b) in bfloat16: a weight's is kept until it changes.
    private float* Packed(Tensor b, bool transposed, int n, int k)
    {
        float* target;
        if (b.IsWeight)
        {
            PackedWeight weight = (PackedWeight)(b.DeviceCopy ??= new PackedWeight(this));
            if (!weight.Wanted(transposed, Bf16Gemm.PackedLanes(n, k), b.Version, out target))
            {
                return target;
            }
        }
        else
        {
            target = Pool.Scratch(Pool.CurrentWorker, (nint)Bf16Gemm.PackedLanes(n, k), WorkerPool.GemmSlotB);
        }

        Bf16Gemm.Pack(Pool, transposed, n, k, b.Pointer, b.RowStride, target);
        return target;
    }

    internal override void BatchedMatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        using Timed timed = Measure([a, b, new(c, accumulate)]);
        int m = c.Shape[^2], n = c.Shape[^1], k = a.Shape[transposeA ? ^2 : ^1];
        int batch = (int)(c.Shape.Count / Math.Max(1, (long)m * n));
        BatchedJob job = new()
        {
            A = a.Pointer,
            B = b.Pointer,
            C = c.Pointer,
            M = m,
            N = n,
            K = k,
            TransposeA = transposeA,
            TransposeB = transposeB,
            Accumulate = accumulate,
            Scratch = transposeB ? Shared((long)Pool.Workers * n * k) : null,
        };
        Pool.Run(ref job, batch);
        CountFlops(2L * batch * m * n * k);
    }

    private struct BatchedJob : IJob
    {
        public float* A, B, C, Scratch;
        public int M, N, K;
        public bool TransposeA, TransposeB, Accumulate;

        public readonly void Run(int index, int worker)
        {
            float* a = A + ((long)index * M * K), b = B + ((long)index * K * N), c = C + ((long)index * M * N);
            int lda = TransposeA ? M : K, ldb = TransposeB ? K : N;
            if (TransposeA && TransposeB)
            {
                // (B A)^T, element by element: no model needs this product to be fast.
                for (int i = 0; i < M; i++)
                {
                    for (int j = 0; j < N; j++)
                    {
                        float sum = Accumulate ? c[((long)i * N) + j] : 0;
                        for (int l = 0; l < K; l++)
                        {
                            sum += a[((long)l * M) + i] * b[((long)j * K) + l];
                        }

                        c[((long)i * N) + j] = sum;
                    }
                }
            }
            else if (TransposeA)
            {
                SmallGemm.TN(M, N, K, a, lda, b, ldb, c, N, Accumulate ? 1 : 0);
            }
            else if (TransposeB)
            {
                SmallGemm.NT(M, N, K, a, lda, b, ldb, c, N, Accumulate ? 1 : 0, Scratch + ((long)worker * N * K));
            }
            else
            {
                SmallGemm.NN(M, N, K, a, lda, b, ldb, c, N, Accumulate ? 1 : 0);
            }
        }
    }
}
