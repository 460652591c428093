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

        // Per block the weight's partial gradient, then per worker rows to work on.
        float* scratch = Shared(((long)job.N.Blocks * length) + (Pool.Workers * NormBackwardJob.WorkRows * (long)columns));
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

        /// <summary>A row of x.</summary>
        public readonly float* Row(int row, int start) => X + (row * XStride) + start;

        /// <summary>A row of the gate; null where there is none.</summary>
        public readonly float* GateRow(int row, int start) => Gate is null ? null : Gate + (row * GateStride) + start;

        /// <summary>The weight of a group that begins at a column; null where there is none.</summary>
        public readonly float* WeightAt(int start) => Weight is null ? null : WeightPerGroup ? Weight : Weight + start;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                for (int start = 0; start < Columns; start += Group)
                {
                    Output<S, V>(Row(row, start), GateRow(row, start), WeightAt(start), Y + (row * YStride) + start);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Output<S, V>(float* x, float* z, float* w, float* y) where S : struct, ISimd<V> where V : unmanaged
        {
            V scale = S.Create(Inverse<S, V>(x, GateFirst ? z : null, y, null));
            float* u = Center || (GateFirst && z is not null) ? y : x;
            z = GateFirst ? null : z;
            int i = 0;
            for (; i <= Group - S.Count; i += S.Count)
            {
                Output<S, V, OneVector>(scale, u, w, z, y, i, 0);
            }

            if (i < Group)
            {
                Output<S, V, PartVector>(scale, u, w, z, y, i, Group - i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Output<S, V, C>(V scale, float* u, float* w, float* z, float* y, int i, int rest) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V value = S.Mul(Simd.Load<S, V, C>(u + i, rest), scale);
            if (w is not null)
            {
                value = S.Mul(value, Simd.Load<S, V, C>(w + i, rest));
            }

            if (z is not null)
            {
                value = S.Mul(value, Simd.Silu<S, V>(Simd.Load<S, V, C>(z + i, rest)));
            }

            Simd.Store<S, V, C>(value, y + i, rest);
        }

        /// <summary>
        /// 1 / sqrt(share sum u^2 + epsilon), u = x, or x silu(z) or x less its mean, which are then stored in <paramref name="u"/>;
        /// and sigmoid(z) in <paramref name="opens"/>, unless null.
        /// </summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly float Inverse<S, V>(float* x, float* z, float* u, float* opens) where S : struct, ISimd<V> where V : unmanaged
        {
            float centre = Center ? Simd.Sum(Group, x) / Group : 0;
            V mean = S.Create(centre), sum = S.Zero; // after the call: a vector that lives across one goes to memory, and stays there
            int i = 0;
            for (; i <= Group - S.Count; i += S.Count)
            {
                V value = Centred<S, V, OneVector>(x, z, u, opens, mean, i, 0);
                sum = S.Fma(value, value, sum);
            }

            if (i < Group)
            {
                V value = Centred<S, V, PartVector>(x, z, u, opens, mean, i, Group - i);
                sum = S.Fma(value, value, sum);
            }

            return 1 / MathF.Sqrt((S.Sum(sum) * Share) + Epsilon);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly V Centred<S, V, C>(float* x, float* z, float* u, float* opens, V mean, int i, int rest) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V value = Simd.Load<S, V, C>(x + i, rest);
            if (Center)
            {
                Simd.Store<S, V, C>(S.Sub(value, mean), u + i, rest);
                return Simd.Load<S, V, C>(u + i, rest); // zeros beyond the end
            }

            if (z is null)
            {
                return value;
            }

            // The next row: a gate's rows are parts of wider ones, too far apart for the processor to foresee.
            Simd.Prefetch(z + GateStride + i);
            Simd.Prefetch(x + XStride + i);
            V gate = Simd.Load<S, V, C>(z + i, rest), open = Simd.Sigmoid<S, V>(gate);
            if (opens is not null)
            {
                Simd.Store<S, V, C>(open, opens + i, rest);
            }

            value = S.Mul(value, S.Mul(gate, open));
            Simd.Store<S, V, C>(value, u + i, rest);
            return value;
        }
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

        /// <summary>Rows of scratch a worker: u, dn and sigmoid(z).</summary>
        public const int WorkRows = 3;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            float* partial = PartialWeight is null ? null : PartialWeight + ((long)index * WeightLength);
            if (partial is not null)
            {
                new Span<float>(partial, WeightLength).Clear();
            }

            float* work = Work + ((long)worker * WorkRows * N.Columns);
            for (int row = index * N.RowsEach; row < Math.Min(N.Rows, (index + 1) * N.RowsEach); row++)
            {
                for (int start = 0; start < N.Columns; start += N.Group)
                {
                    Group<S, V>(row, start, partial is null ? null : N.WeightPerGroup ? partial : partial + start, work, work + N.Columns, work + (2 * N.Columns));
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Group<S, V>(int row, int start, float* dw, float* gated, float* dn, float* opens) where S : struct, ISimd<V> where V : unmanaged
        {
            float* x = N.Row(row, start), z = N.GateRow(row, start), w = N.WeightAt(start), dy = Dy + (row * DyStride) + start;
            float* dx = Dx is null ? null : Dx + (row * DxStride) + start, dz = Dgate is null ? null : Dgate + (row * DgateStride) + start;
            float* first = N.GateFirst ? z : null, last = N.GateFirst ? null : z;
            float inverse = N.Inverse<S, V>(x, first, gated, opens);
            float* u = first is not null || N.Center ? gated : x;

            V scale = S.Create(inverse), sum = S.Zero, total = S.Zero;
            int i = 0;
            for (; i <= N.Group - S.Count; i += S.Count)
            {
                Slopes<S, V, OneVector>(scale, u, dy, w, last, dz, dw, dn, i, 0, ref sum, ref total);
            }

            if (i < N.Group)
            {
                Slopes<S, V, PartVector>(scale, u, dy, w, last, dz, dw, dn, i, N.Group - i, ref sum, ref total);
            }

            if (dx is null && first is null)
            {
                return;
            }

            V share = S.Create(-S.Sum(sum) * N.Share * inverse), mean = S.Create(N.Center ? S.Sum(total) * N.Share : 0);
            for (i = 0; i <= N.Group - S.Count; i += S.Count)
            {
                Inputs<S, V, OneVector>(scale, share, mean, u, dn, x, first, opens, dx, dz, i, 0);
            }

            if (i < N.Group)
            {
                Inputs<S, V, PartVector>(scale, share, mean, u, dn, x, first, opens, dx, dz, i, N.Group - i);
            }
        }

        /// <summary>dn, dw and a last gate's dz; adds to the sums of dn n and of dn.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Slopes<S, V, C>(V scale, float* u, float* dy, float* w, float* z, float* dz, float* dw, float* dn, int i, int rest, ref V sum, ref V total)
            where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V n = S.Mul(Simd.Load<S, V, C>(u + i, rest), scale), d = Simd.Load<S, V, C>(dy + i, rest), weight = w is null ? S.Create(1) : Simd.Load<S, V, C>(w + i, rest);
            if (z is not null)
            {
                V gate = Simd.Load<S, V, C>(z + i, rest), open = Simd.Sigmoid<S, V>(gate);
                if (dz is not null)
                {
                    Simd.Store<S, V, C>(S.Mul(S.Mul(d, n), S.Mul(weight, SiluSlope<S, V>(gate, open))), dz + i, rest, AddGate);
                }

                d = S.Mul(d, S.Mul(gate, open));
            }

            if (dw is not null)
            {
                Simd.Store<S, V, C>(S.Mul(d, n), dw + i, rest, add: true);
            }

            d = S.Mul(d, weight);
            Simd.Store<S, V, C>(d, dn + i, rest);
            sum = S.Fma(d, n, sum);
            total = S.Add(total, d);
        }

        /// <summary>dx, and a first gate's dz.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Inputs<S, V, C>(V scale, V share, V mean, float* u, float* dn, float* x, float* z, float* opens, float* dx, float* dz, int i, int rest)
            where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V du = S.Mul(scale, S.Sub(S.Fma(Simd.Load<S, V, C>(u + i, rest), share, Simd.Load<S, V, C>(dn + i, rest)), mean));
            if (z is not null)
            {
                V gate = Simd.Load<S, V, C>(z + i, rest), open = Simd.Load<S, V, C>(opens + i, rest);
                if (dz is not null)
                {
                    Simd.Prefetch(dz + DgateStride + i);
                    Simd.Store<S, V, C>(S.Mul(S.Mul(du, Simd.Load<S, V, C>(x + i, rest)), SiluSlope<S, V>(gate, open)), dz + i, rest, AddGate);
                }

                du = S.Mul(du, S.Mul(gate, open));
            }

            if (dx is not null)
            {
                Simd.Store<S, V, C>(du, dx + i, rest, AddX);
            }
        }
    }
}
