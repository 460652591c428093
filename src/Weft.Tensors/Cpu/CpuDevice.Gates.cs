using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int GateBlocks = 64; // parts of a gate's rows, whatever the thread count: so the bound's gradient has one rounding

    internal override void ForgetGate(Tensor z, Tensor? bound, float root, Tensor y)
    {
        using Timed timed = Measure([z, bound, y]);
        int columns = z.Shape.Columns;
        ForgetGateJob job = ForgetGateJob.Of(z, root, y);
        if (bound is not null)
        {
            job.LogBound = Shared(2L * columns);
            LogBounds(bound, job.LogBound, job.LogBound + columns);
        }

        Pool.RunWide(ref job, job.Blocks);
    }

    internal override void ForgetGateBackward(Tensor z, Tensor? bound, float root, Tensor y, Tensor dy, GradTarget dz, GradTarget dbound)
    {
        using Timed timed = Measure([z, bound, y, dy, dz, dbound]);
        int columns = z.Shape.Columns;
        ForgetGateBackwardJob job = new() { G = ForgetGateJob.Of(z, root, y), DY = new Strided(dy), DZ = new Strided(dz) };
        if (bound is not null)
        {
            job.G.LogBound = Shared(columns * (2L + job.G.Blocks));
            job.Open = job.G.LogBound + columns;
            LogBounds(bound, job.G.LogBound, job.Open);
            job.DBound = dbound.Tensor is null ? null : job.Open + columns;
        }

        Pool.RunWide(ref job, job.G.Blocks);
        if (dbound.Tensor is { } toBound)
        {
            ColumnSumJob sum = new() { X = job.DBound, Stride = columns, Rows = job.G.Blocks, Columns = columns, Y = toBound.Pointer, Accumulate = dbound.Accumulate };
            Pool.Run(ref sum, (columns + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
        }
    }

    internal override void Softmax(Tensor x, int group, Tensor y)
    {
        using Timed timed = Measure([x, y]);
        SoftmaxJob job = new() { X = new Strided(x), Y = new Strided(y), Rows = x.Shape.Rows, Columns = x.Shape.Columns, Group = group };
        Pool.RunWide(ref job, (job.Rows + SoftmaxJob.RowsEach - 1) / SoftmaxJob.RowsEach);
    }

    internal override void SoftmaxBackward(Tensor y, int group, Tensor dy, GradTarget dx)
    {
        using Timed timed = Measure([y, dy, dx]);
        SoftmaxBackwardJob job = new() { Y = new Strided(y), DY = new Strided(dy), DX = new Strided(dx), Rows = y.Shape.Rows, Columns = y.Shape.Columns, Group = group };
        Pool.RunWide(ref job, (job.Rows + SoftmaxJob.RowsEach - 1) / SoftmaxJob.RowsEach);
    }

    /// <summary>log b and 1 - b for b = sigmoid(bound).</summary>
    private static void LogBounds(Tensor bound, float* log, float* open)
    {
        for (int c = 0; c < bound.Shape.Count; c++)
        {
            float logit = bound.Pointer[c];
            (log[c], open[c]) = (-Simd.Softplus(-logit), Simd.Sigmoid(-logit));
        }
    }

    private struct ForgetGateJob : IWideJob
    {
        public Strided Z, Y;
        public float* LogBound;
        public int Rows, Columns, RowsEach, Blocks;
        public float Scale; // 1 / root
        public bool WithInput;

        public static ForgetGateJob Of(Tensor z, float root, Tensor y)
        {
            int rows = z.Shape.Rows, each = Math.Max(8, (rows + GateBlocks - 1) / GateBlocks);
            return new ForgetGateJob
            {
                Z = new Strided(z),
                Y = new Strided(y),
                Rows = rows,
                Columns = z.Shape.Columns,
                RowsEach = each,
                Blocks = (rows + each - 1) / each,
                Scale = 1 / root,
                WithInput = y.Shape.Columns > z.Shape.Columns,
            };
        }

        // log(b + (1 - b) sigmoid(z)) = log(1 + e^(log b - z)) - log(1 + e^-z)
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            V scale = S.Create(Scale), one = S.Create(1);
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                float* z = Z[row], y = Y[row];
                for (int c = 0; c < Columns; c += S.Count)
                {
                    int n = Math.Min(S.Count, Columns - c);
                    V minus = S.Sub(S.Zero, S.LoadPartial(z + c, n)), log = S.Sub(S.Zero, Simd.Softplus<S, V>(minus));
                    if (LogBound != null)
                    {
                        log = S.Add(log, Simd.Softplus<S, V>(S.Add(minus, S.LoadPartial(LogBound + c, n))));
                    }

                    log = S.Mul(log, scale);
                    S.StorePartial(log, y + c, n);
                    if (WithInput)
                    {
                        S.StorePartial(S.Sub(one, Simd.Exp<S, V>(log)), y + Columns + c, n);
                    }
                }
            }
        }
    }

    private struct ForgetGateBackwardJob : IWideJob
    {
        public ForgetGateJob G;
        public Strided DY, DZ;
        public float* Open, DBound; // 1 - b; the bound's gradients, a row [C] for each block

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            V scale = S.Create(G.Scale), one = S.Create(1);
            float* sums = DBound == null ? null : DBound + ((long)index * G.Columns);
            for (int row = index * G.RowsEach; row < Math.Min(G.Rows, (index + 1) * G.RowsEach); row++)
            {
                float* z = G.Z[row], y = G.Y[row], dy = DY[row], dz = DZ.IsNone ? null : DZ[row];
                for (int c = 0; c < G.Columns; c += S.Count)
                {
                    int n = Math.Min(S.Count, G.Columns - c);
                    V slope = S.LoadPartial(dy + c, n), minus = S.Sub(S.Zero, S.LoadPartial(z + c, n));
                    if (G.WithInput)
                    {
                        V forget = S.Sub(one, S.LoadPartial(y + G.Columns + c, n));
                        slope = S.Sub(slope, S.Mul(forget, S.LoadPartial(dy + G.Columns + c, n)));
                    }

                    slope = S.Mul(slope, scale);
                    V by = Simd.Sigmoid<S, V>(minus);
                    if (G.LogBound != null)
                    {
                        V share = Simd.Sigmoid<S, V>(S.Add(minus, S.LoadPartial(G.LogBound + c, n)));
                        by = S.Sub(by, share);
                        if (sums != null)
                        {
                            V sum = S.Mul(S.Mul(slope, share), S.LoadPartial(Open + c, n));
                            S.StorePartial(row == index * G.RowsEach ? sum : S.Add(sum, S.LoadPartial(sums + c, n)), sums + c, n);
                        }
                    }

                    if (dz != null)
                    {
                        V value = S.Mul(slope, by);
                        S.StorePartial(DZ.Add ? S.Add(value, S.LoadPartial(dz + c, n)) : value, dz + c, n);
                    }
                }
            }
        }
    }

    private struct SoftmaxJob : IWideJob
    {
        public const int RowsEach = 16;
        public Strided X, Y;
        public int Rows, Columns, Group;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                for (int start = 0; start < Columns; start += Group)
                {
                    float* x = X[row] + start, y = Y[row] + start;
                    V top = S.Create(Simd.Max(Group, x));
                    for (int c = 0; c < Group; c += S.Count)
                    {
                        int n = Math.Min(S.Count, Group - c);
                        S.StorePartial(Simd.Exp<S, V>(S.Sub(S.LoadPartial(x + c, n), top)), y + c, n);
                    }

                    Simd.Scale(Group, 1 / Simd.Sum(Group, y), y);
                }
            }
        }
    }

    private struct SoftmaxBackwardJob : IWideJob
    {
        public Strided Y, DY, DX;
        public int Rows, Columns, Group;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * SoftmaxJob.RowsEach; row < Math.Min(Rows, (index + 1) * SoftmaxJob.RowsEach); row++)
            {
                for (int start = 0; start < Columns; start += Group)
                {
                    float* y = Y[row] + start, dy = DY[row] + start, dx = DX[row] + start;
                    V mean = S.Create(Simd.Dot(Group, y, dy));
                    for (int c = 0; c < Group; c += S.Count)
                    {
                        int n = Math.Min(S.Count, Group - c);
                        V value = S.Mul(S.LoadPartial(y + c, n), S.Sub(S.LoadPartial(dy + c, n), mean));
                        S.StorePartial(DX.Add ? S.Add(value, S.LoadPartial(dx + c, n)) : value, dx + c, n);
                    }
                }
            }
        }
    }
}
