using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int NormBlocks = 64; // parts of a norm's rows, whatever the thread count: so the weight's gradient has one rounding

    internal override void Norm(Tensor x, Tensor? weight, Tensor? gate, in NormOptions options, Tensor y)
    {
        using Timed timed = Measure([x, weight, gate, y]);
        NormJob job = NormJob.Of(x, weight, gate, options);
        job.Y = y.Pointer;
        job.YStride = y.RowStride;
        Pool.RunWide(ref job, job.Blocks);
    }

    internal override void NormBackward(Tensor x, Tensor? weight, Tensor? gate, in NormOptions options, Tensor dy, GradTarget dx, GradTarget dweight, GradTarget dgate)
    {
        using Timed timed = Measure([x, weight, gate, dy, dx, dweight, dgate]);
        NormBackwardJob job = new() { N = NormJob.Of(x, weight, gate, options), Dy = dy.Pointer, DyStride = dy.RowStride };
        if (dx.Tensor is { } toX)
        {
            job.Dx = toX.Pointer;
            (job.DxStride, job.AddX) = (toX.RowStride, dx.Accumulate);
        }

        if (dgate.Tensor is { } toGate)
        {
            job.Dgate = toGate.Pointer;
            (job.DgateStride, job.AddGate) = (toGate.RowStride, dgate.Accumulate);
        }

        int length = dweight.Tensor is { } toWeight ? (int)toWeight.Shape.Count : 0;
        int columns = x.Shape.Columns;

        // Per block: the weight's partial gradient, then two rows to work on.
        float* scratch = Shared((long)job.N.Blocks * (length + (2 * columns)));
        job.PartialWeight = length > 0 ? scratch : null;
        job.Work = scratch + ((long)job.N.Blocks * length);
        job.WeightLength = length;
        Pool.RunWide(ref job, job.N.Blocks);
        if (length > 0)
        {
            ColumnSumJob sum = new() { X = scratch, Stride = length, Rows = job.N.Blocks, Columns = length, Y = dweight.Tensor!.Pointer, Accumulate = dweight.Accumulate };
            Pool.Run(ref sum, (length + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
        }
    }

    private struct NormJob : IWideJob
    {
        public float* X, Weight, Gate, Y;
        public long XStride, GateStride, YStride;
        public int Rows, Columns, Group, RowsEach, Blocks;
        public float Epsilon, Share; // Share: what a group's sum of squares is multiplied by, 1/group for a mean
        public bool GateFirst, Center, WeightPerGroup;

        public static NormJob Of(Tensor x, Tensor? weight, Tensor? gate, in NormOptions o)
        {
            int rows = x.Shape.Rows, each = Math.Max(8, (rows + NormBlocks - 1) / NormBlocks);
            return new NormJob
            {
                X = x.Pointer,
                XStride = x.RowStride,
                Rows = rows,
                Columns = x.Shape.Columns,
                Group = o.Group,
                Weight = weight is null ? null : weight.Pointer,
                WeightPerGroup = weight is not null && weight.Shape.Count == o.Group,
                Gate = gate is null ? null : gate.Pointer,
                GateStride = gate?.RowStride ?? 0,
                Epsilon = o.Epsilon,
                Share = o.Euclidean ? 1 : 1f / o.Group,
                GateFirst = o.GateFirst,
                Center = o.Center,
                RowsEach = each,
                Blocks = (rows + each - 1) / each,
            };
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                for (int start = 0; start < Columns; start += Group)
                {
                    float* x = X + (row * XStride) + start, y = Y + (row * YStride) + start;
                    float* z = Gate is null ? null : Gate + (row * GateStride) + start;
                    float* w = Weight is null ? null : WeightPerGroup ? Weight : Weight + start;
                    float inverse = Inverse<S, V>(x, GateFirst ? z : null, y);
                    float* u = Center || (GateFirst && z is not null) ? y : x;
                    V scale = S.Create(inverse);
                    for (int i = 0; i < Group; i += S.Count)
                    {
                        int n = Group - i;
                        V value = S.Mul(Load<S, V>(u + i, n), scale);
                        if (w is not null)
                        {
                            value = S.Mul(value, Load<S, V>(w + i, n));
                        }

                        if (z is not null && !GateFirst)
                        {
                            value = S.Mul(value, Simd.Silu<S, V>(Load<S, V>(z + i, n)));
                        }

                        Store<S, V>(value, y + i, n);
                    }
                }
            }
        }

        /// <summary>1 / sqrt(share sum u^2 + epsilon), u = x, or x silu(z) or x less its mean, which are then stored in <paramref name="u"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly float Inverse<S, V>(float* x, float* z, float* u) where S : struct, ISimd<V> where V : unmanaged
        {
            V sum = S.Zero, mean = S.Zero;
            if (Center)
            {
                mean = S.Create(Simd.Sum(Group, x) / Group);
            }

            for (int i = 0; i < Group; i += S.Count)
            {
                int n = Group - i;
                V value = Load<S, V>(x + i, n);
                if (Center)
                {
                    Store<S, V>(S.Sub(value, mean), u + i, n);
                    value = Load<S, V>(u + i, n);
                }
                else if (z is not null)
                {
                    value = S.Mul(value, Simd.Silu<S, V>(Load<S, V>(z + i, n)));
                    Store<S, V>(value, u + i, n);
                }

                sum = S.Fma(value, value, sum);
            }

            return 1 / MathF.Sqrt((S.Sum(sum) * Share) + Epsilon);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Load<S, V>(float* p, int n) where S : struct, ISimd<V> where V : unmanaged => n >= S.Count ? S.Load(p) : S.LoadPartial(p, n);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store<S, V>(V value, float* p, int n) where S : struct, ISimd<V> where V : unmanaged
        {
            if (n >= S.Count)
            {
                S.Store(value, p);
            }
            else
            {
                S.StorePartial(value, p, n);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Put<S, V>(V value, float* p, int n, bool add) where S : struct, ISimd<V> where V : unmanaged =>
            Store<S, V>(add ? S.Add(value, Load<S, V>(p, n)) : value, p, n);
    }

    /// <summary>
    /// With n = u inverse, y = n w s (s = silu(z) or 1): dn = dy w s, dw = dy n s, dz = dy n w silu'(z), and
    /// du = inverse (dn - n share sum(dn n)); with the gate first, dx = du silu(z) and dz = du x silu'(z); with the mean taken off,
    /// dx = du less its own mean.
    /// </summary>
    private struct NormBackwardJob : IWideJob
    {
        public NormJob N;
        public float* Dy, Dx, Dgate, PartialWeight, Work;
        public long DyStride, DxStride, DgateStride;
        public int WeightLength;
        public bool AddX, AddGate;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            float* partial = PartialWeight is null ? null : PartialWeight + ((long)index * WeightLength);
            if (partial is not null)
            {
                new Span<float>(partial, WeightLength).Clear();
            }

            float* gated = Work + ((long)index * 2 * N.Columns), dn = gated + N.Columns;
            for (int row = index * N.RowsEach; row < Math.Min(N.Rows, (index + 1) * N.RowsEach); row++)
            {
                for (int start = 0; start < N.Columns; start += N.Group)
                {
                    Group<S, V>(row, start, partial is null ? null : N.WeightPerGroup ? partial : partial + start, gated, dn);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Group<S, V>(int row, int start, float* dw, float* gated, float* dn) where S : struct, ISimd<V> where V : unmanaged
        {
            float* x = N.X + (row * N.XStride) + start, dy = Dy + (row * DyStride) + start;
            float* z = N.Gate is null ? null : N.Gate + (row * N.GateStride) + start;
            float* w = N.Weight is null ? null : N.WeightPerGroup ? N.Weight : N.Weight + start;
            float* dz = Dgate is null ? null : Dgate + (row * DgateStride) + start;
            bool first = N.GateFirst && z is not null, last = !N.GateFirst && z is not null;
            float inverse = N.Inverse<S, V>(x, first ? z : null, gated);
            float* u = first || N.Center ? gated : x;

            V scale = S.Create(inverse), sum = S.Zero, total = S.Zero;
            for (int i = 0; i < N.Group; i += S.Count)
            {
                int rest = N.Group - i;
                V n = S.Mul(NormJob.Load<S, V>(u + i, rest), scale);
                V d = NormJob.Load<S, V>(dy + i, rest);
                V weight = w is null ? S.Create(1) : NormJob.Load<S, V>(w + i, rest);
                if (last)
                {
                    V gate = NormJob.Load<S, V>(z + i, rest);
                    if (dz is not null)
                    {
                        NormJob.Put<S, V>(S.Mul(S.Mul(d, n), S.Mul(weight, SiluSlope<S, V>(gate))), dz + i, rest, AddGate);
                    }

                    d = S.Mul(d, Simd.Silu<S, V>(gate));
                }

                if (dw is not null)
                {
                    NormJob.Put<S, V>(S.Mul(d, n), dw + i, rest, true);
                }

                d = S.Mul(d, weight);
                NormJob.Store<S, V>(d, dn + i, rest);
                sum = S.Fma(d, n, sum);
                total = S.Add(total, d);
            }

            V share = S.Create(-S.Sum(sum) * N.Share * inverse), mean = S.Create(N.Center ? S.Sum(total) * N.Share : 0);
            for (int i = 0; i < N.Group; i += S.Count)
            {
                int rest = N.Group - i;
                V du = S.Mul(scale, S.Sub(S.Fma(NormJob.Load<S, V>(u + i, rest), share, NormJob.Load<S, V>(dn + i, rest)), mean));
                if (first)
                {
                    V gate = NormJob.Load<S, V>(z + i, rest);
                    if (dz is not null)
                    {
                        NormJob.Put<S, V>(S.Mul(S.Mul(du, NormJob.Load<S, V>(x + i, rest)), SiluSlope<S, V>(gate)), dz + i, rest, AddGate);
                    }

                    du = S.Mul(du, Simd.Silu<S, V>(gate));
                }

                if (Dx is not null)
                {
                    NormJob.Put<S, V>(du, Dx + (row * DxStride) + start + i, rest, AddX);
                }
            }
        }
    }
}
