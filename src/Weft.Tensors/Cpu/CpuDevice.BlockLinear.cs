using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int NarrowBlock = 8; // blocks up to this many columns have their own loops: too narrow for a product's tiles

    internal override void BlockLinear(Tensor x, Tensor weight, Tensor y)
    {
        using Timed timed = Measure([x, weight, y]);
        Multiply(new Strided(x), weight.Pointer, new Strided(y), x.Shape.Rows, weight.Shape[0], weight.Shape[1], weight.Shape[2]);
        CountFlops(2L * x.Shape.Rows * weight.Shape.Count);
    }

    internal override void BlockLinearBackward(Tensor x, Tensor weight, Tensor dy, GradTarget dx, GradTarget dweight)
    {
        using Timed timed = Measure([x, weight, dy, dx, dweight]);
        int rows = x.Shape.Rows, blocks = weight.Shape[0], ins = weight.Shape[1], outs = weight.Shape[2];
        if (dx.Tensor is not null)
        {
            float* transposed = Shared(weight.Shape.Count);
            for (int block = 0; block < blocks; block++)
            {
                SmallGemm.Transpose(ins, outs, weight.Pointer + ((long)block * ins * outs), outs, transposed + ((long)block * ins * outs), ins);
            }

            Multiply(new Strided(dy), transposed, new Strided(dx), rows, blocks, outs, ins);
            CountFlops(2L * rows * weight.Shape.Count);
        }

        if (dweight.Tensor is { } toWeight)
        {
            BlockWeightsJob job = new() { X = new Strided(x), Dy = new Strided(dy), Dw = toWeight.Pointer, Add = dweight.Accumulate, Rows = rows, Blocks = blocks, In = ins, Out = outs };
            Pool.Run(ref job, (blocks + job.Each - 1) / job.Each);
            CountFlops(2L * rows * weight.Shape.Count);
        }
    }

    private void Multiply(Strided x, float* weight, Strided y, int rows, int blocks, int ins, int outs)
    {
        BlockProductJob job = new() { X = x, W = weight, Y = y, Rows = rows, Blocks = blocks, In = ins, Out = outs };
        Pool.Run(ref job, (rows + BlockProductJob.RowsEach - 1) / BlockProductJob.RowsEach);
    }

    /// <summary>A tile of rows, all blocks.</summary>
    private struct BlockProductJob : IJob
    {
        public const int RowsEach = 64;

        public Strided X, Y;
        public float* W;
        public int Rows, Blocks, In, Out;

        public readonly void Run(int index, int worker)
        {
            int from = index * RowsEach, rows = Math.Min(RowsEach, Rows - from);
            if (Out <= NarrowBlock)
            {
                Narrow(from, rows);
                return;
            }

            for (int block = 0; block < Blocks; block++)
            {
                SmallGemm.NN(rows, Out, In, X[from] + ((long)block * In), (nint)X.Stride, W + ((long)block * In * Out), Out,
                    Y[from] + ((long)block * Out), (nint)Y.Stride, Y.Add ? 1 : 0);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Narrow(int from, int rows)
        {
            for (int row = from; row < from + rows; row++)
            {
                float* x = X[row], y = Y[row], w = W;
                if (In == 4 && Out == 4)
                {
                    for (int block = 0; block < Blocks; block++, x += 4, y += 4, w += 16)
                    {
                        Vector128<float> even = Vector128.Create(x[0]) * Vector128.Load(w), odd = Vector128.Create(x[1]) * Vector128.Load(w + 4);
                        even = Simd128.Fma(Vector128.Create(x[2]), Vector128.Load(w + 8), even);
                        odd = Simd128.Fma(Vector128.Create(x[3]), Vector128.Load(w + 12), odd);
                        Vector128<float> sum = even + odd;
                        (Y.Add ? Vector128.Load(y) + sum : sum).Store(y);
                    }

                    continue;
                }

                for (int block = 0; block < Blocks; block++, x += In, y += Out, w += In * Out)
                {
                    for (int o = 0; o < Out; o += 4)
                    {
                        int n = Math.Min(4, Out - o);
                        Vector128<float> sum = Y.Add ? Simd128.LoadPartial(y + o, n) : Vector128<float>.Zero;
                        for (int i = 0; i < In; i++)
                        {
                            sum = Simd128.Fma(Vector128.Create(x[i]), Simd128.LoadPartial(w + (i * Out) + o, n), sum);
                        }

                        Simd128.StorePartial(sum, y + o, n);
                    }
                }
            }
        }
    }

    /// <summary>The weights' gradient of a few blocks, over all rows in order: dW = x^T dy.</summary>
    private struct BlockWeightsJob : IJob
    {
        public Strided X, Dy;
        public float* Dw;
        public bool Add;
        public int Rows, Blocks, In, Out;

        /// <summary>Blocks an item: one, or as many narrow ones as read whole cache lines.</summary>
        public readonly int Each => Out <= NarrowBlock ? 64 / Math.Min(64, In) : 1;

        public readonly void Run(int index, int worker)
        {
            int first = index * Each, count = Math.Min(Each, Blocks - first);
            float* dw = Dw + ((long)first * In * Out);
            if (Out > NarrowBlock)
            {
                SmallGemm.TN(In, Out, Rows, X.At + ((long)first * In), (nint)X.Stride, Dy.At + ((long)first * Out), (nint)Dy.Stride, dw, Out, Add ? 1 : 0);
                return;
            }

            if (!Add)
            {
                Simd.Fill(dw, count * In * Out, 0);
            }

            Narrow(first, count, dw);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Narrow(int first, int count, float* to)
        {
            if (In == 4 && Out == 4)
            {
                for (int block = 0; block < count; block++, to += 16)
                {
                    Fours(first + block, to);
                }

                return;
            }

            for (int row = 0; row < Rows; row++)
            {
                float* x = X[row] + ((long)first * In), dy = Dy[row] + ((long)first * Out), dw = to;
                for (int block = 0; block < count; block++, dy += Out)
                {
                    for (int i = 0; i < In; i++, x++, dw += Out)
                    {
                        Vector128<float> value = Vector128.Create(*x);
                        for (int o = 0; o < Out; o += 4)
                        {
                            int n = Math.Min(4, Out - o);
                            Simd128.StorePartial(Simd128.Fma(value, Simd128.LoadPartial(dy + o, n), Simd128.LoadPartial(dw + o, n)), dw + o, n);
                        }
                    }
                }
            }
        }

        /// <summary>A block of 4 by 4: its gradient stays in registers.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Fours(int block, float* to)
        {
            float* x = X.At + (4L * block), dy = Dy.At + (4L * block);
            Vector128<float> a = Vector128.Load(to), b = Vector128.Load(to + 4), c = Vector128.Load(to + 8), d = Vector128.Load(to + 12);
            for (int row = 0; row < Rows; row++, x += X.Stride, dy += Dy.Stride)
            {
                Vector128<float> slope = Vector128.Load(dy);
                a = Simd128.Fma(Vector128.Create(x[0]), slope, a);
                b = Simd128.Fma(Vector128.Create(x[1]), slope, b);
                c = Simd128.Fma(Vector128.Create(x[2]), slope, c);
                d = Simd128.Fma(Vector128.Create(x[3]), slope, d);
            }

            a.Store(to);
            b.Store(to + 4);
            c.Store(to + 8);
            d.Store(to + 12);
        }
    }
}
