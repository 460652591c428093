using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private static readonly int Lanes = Isa.Vector512 ? 16 : Isa.Vector256 ? 8 : 4;

    private DeviceMemory? twiddles; // LaneFft's table, for transforms up to its number of nodes
    private int twiddleNodes;

    internal override void LongConv(in LongConvInputs inputs, Tensor y)
    {
        using Timed timed = Measure([inputs.X, inputs.Kernel, inputs.Skip, Operand.Tokens(inputs.Past.Values, inputs.Past.Length), y]);
        var frame = new LongConvFrame(inputs, Twiddles(inputs.Plan.Block));
        LongConvPlan plan = frame.Plan;
        (int from, int to) = plan.Transformed;
        if (from < to)
        {
            LongConvJob job = new() { F = frame, Y = new Strided(y), From = from, To = to, FirstIn = plan.FirstIn, Partitions = plan.Terms(to - 1) };
            job.F.Scratch = Pool.ScratchTable((nint)(frame.Size * (job.Partitions + to - plan.FirstIn)));
            Pool.RunWide(ref job, (inputs.Channels + Lanes - 1) / Lanes);
        }

        if (from > plan.FirstOut || to < plan.Blocks)
        {
            LongConvTapsJob job = new() { F = frame, Y = new Strided(y), From = from, To = to };
            Pool.RunWide(ref job, inputs.Batch * job.Groups(Lanes));
        }

        CountFlops(inputs.Batch * inputs.Channels * frame.Plan.Flops());
    }

    internal override void LongConvBackward(in LongConvInputs inputs, Tensor dy, GradTarget dx, GradTarget dkernel, GradTarget dskip, GradTarget dpast)
    {
        using Timed timed = Measure([inputs.X, inputs.Kernel, inputs.Skip, Operand.Tokens(inputs.Past.Values, inputs.Past.Length), dy, dx, dkernel, dskip, dpast]);
        if (dpast is { Tensor: { } past, Accumulate: false })
        {
            Fill(past, 0); // rows that are none of the past's
        }

        LongConvBackwardJob job = new()
        {
            F = new LongConvFrame(inputs, Twiddles(inputs.Plan.Block)),
            Dy = new Strided(dy),
            Dx = new Strided(dx),
            Dkernel = new Strided(dkernel),
            Dskip = new Strided(dskip),
            Dpast = new Strided(dpast.Tensor, add: true),
        };
        LongConvPlan plan = job.F.Plan;
        job.Partitions = plan.Terms(plan.Blocks - 1);
        job.F.Scratch = Pool.ScratchTable((nint)(job.F.Size * ((2 * job.Partitions) + (2 * plan.Blocks) - plan.FirstOut)));
        Pool.RunWide(ref job, (inputs.Channels + Lanes - 1) / Lanes);
        CountFlops(inputs.Batch * inputs.Channels * plan.BackwardFlops());
    }

    private float* Twiddles(int nodes)
    {
        if (twiddles is null || twiddleNodes < nodes)
        {
            twiddles?.Dispose();
            (twiddles, twiddleNodes) = (new DeviceMemory(this, 2L * nodes), nodes);
            LaneFft.Fill((float*)twiddles.Address, nodes);
        }

        return (float*)twiddles.Address;
    }

    /// <summary>What the jobs of a long convolution know: the inputs' places, and how blocks of them become transforms of a vector of channels.</summary>
    private struct LongConvFrame
    {
        public readonly LongConvPlan Plan;
        public readonly int Batch, Channels, Time;
        public float** Scratch;
        private readonly Strided x, kernel, skip, past;
        private readonly int pastStart, pastRows;
        private readonly float* twiddles;

        public LongConvFrame(in LongConvInputs inputs, float* twiddles)
        {
            (Plan, Batch, Channels, Time) = (inputs.Plan, inputs.Batch, inputs.Channels, inputs.X.Shape[1]);
            (x, kernel, skip, past) = (new(inputs.X), new(inputs.Kernel), new(inputs.Skip), new(inputs.Past.Values));
            pastRows = inputs.Past.Values?.Shape[1] ?? 1;
            pastStart = (int)(((long)inputs.Past.Start + inputs.Past.Length - Plan.Past) % pastRows);
            this.twiddles = twiddles;
        }

        /// <summary>The floats of a transform; a little more than a power of two, so that equal elements of several lie in different sets of a cache.</summary>
        public readonly long Size => 2L * Lanes * (Plan.Block + 1);

        /// <summary>Where an input lies: its row of x, or before the start of the past.</summary>
        public readonly long Row(int batch, int position) => position >= Plan.Start
            ? ((long)batch * Time) + position - Plan.Start
            : ((long)batch * pastRows) + PastRow(position - Plan.Oldest);

        private readonly long PastRow(long i) => pastStart + i < pastRows ? pastStart + i : pastStart + i - pastRows;

        public readonly float* Input(int batch, int position) => position >= Plan.Start ? x[Row(batch, position)] : past[Row(batch, position)];

        public readonly float* Tap(int row) => kernel[row];

        public readonly bool HasSkip => !skip.IsNone;

        public readonly float* Skip => skip.At;

        /// <summary>The transform of an input block, at channels from <paramref name="c"/>: inputs as real parts.</summary>
        public readonly void LoadInput<S, V>(int batch, int block, int c, float* z) where S : struct, ISimd<V> where V : unmanaged
        {
            int n = Plan.Block, first = block * n, width = Math.Min(S.Count, Channels - c);
            for (int i = 0; i < n; i++, z += 2 * S.Count)
            {
                int position = first + i;
                S.Store(position < Plan.Oldest || position >= Plan.End ? S.Zero : Load<S, V>(Input(batch, position) + c, width), z);
                S.Store(S.Zero, z + S.Count);
            }

            LaneFft.Forward<S, V>(z - (2L * S.Count * n), n, 1, twiddles);
        }

        /// <summary>The transform of a block of output gradients, as imaginary parts.</summary>
        public readonly void LoadOutput<S, V>(Strided dy, int batch, int block, int c, float* z) where S : struct, ISimd<V> where V : unmanaged
        {
            int n = Plan.Block, first = block * n, width = Math.Min(S.Count, Channels - c);
            for (int i = 0; i < n; i++, z += 2 * S.Count)
            {
                int position = first + i;
                S.Store(S.Zero, z);
                S.Store(position < Plan.Start || position >= Plan.End ? S.Zero : Load<S, V>(dy[Row(batch, position)] + c, width), z + S.Count);
            }

            LaneFft.Forward<S, V>(z - (2L * S.Count * n), n, 1, twiddles);
        }

        /// <summary>The transform of partition d of the kernel: rows (d - 1) N .. as real, d N .. as imaginary parts.</summary>
        public readonly void LoadKernel<S, V>(int d, int c, float* z) where S : struct, ISimd<V> where V : unmanaged
        {
            int n = Plan.Block, width = Math.Min(S.Count, Channels - c);
            for (int i = 0; i < n; i++, z += 2 * S.Count)
            {
                S.Store(At<S, V>(((d - 1) * n) + i, c, width), z);
                S.Store(At<S, V>((d * n) + i, c, width), z + S.Count);
            }

            LaneFft.Forward<S, V>(z - (2L * S.Count * n), n, 1, twiddles);
        }

        public readonly void Inverse<S, V>(float* z) where S : struct, ISimd<V> where V : unmanaged => LaneFft.Inverse<S, V>(z, Plan.Block, 1, twiddles);

        private readonly V At<S, V>(int row, int c, int width) where S : struct, ISimd<V> where V : unmanaged
        {
            if (row < 0 || row >= Plan.Length)
            {
                return S.Zero;
            }

            V tap = Load<S, V>(kernel[row] + c, width);
            return row == 0 && HasSkip ? S.Add(tap, Load<S, V>(skip.At + c, width)) : tap;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Load<S, V>(float* p, int width) where S : struct, ISimd<V> where V : unmanaged => width == S.Count ? S.Load(p) : S.LoadPartial(p, width);

        /// <summary>Stores, or adds, the first lanes.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store<S, V>(V value, float* p, int width, bool add) where S : struct, ISimd<V> where V : unmanaged
        {
            if (add)
            {
                value = S.Add(value, Load<S, V>(p, width));
            }

            if (width == S.Count)
            {
                S.Store(value, p);
            }
            else
            {
                S.StorePartial(value, p, width);
            }
        }
    }

    /// <summary>The blocks that go by transforms: a vector of channels of all sequences an index. Output spectra replace input spectra in place, from the last on.</summary>
    private struct LongConvJob : IWideJob
    {
        public LongConvFrame F;
        public Strided Y;
        public int Partitions, FirstIn, From, To;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int c = index * S.Count;
            float* kernel = F.Scratch[worker], blocks = kernel + (F.Size * Partitions);
            for (int d = 0; d < Partitions; d++)
            {
                F.LoadKernel<S, V>(d, c, kernel + (F.Size * d));
            }

            for (int batch = 0; batch < F.Batch; batch++)
            {
                for (int j = FirstIn; j < To; j++)
                {
                    F.LoadInput<S, V>(batch, j, c, blocks + (F.Size * (j - FirstIn)));
                }

                Products<S, V>(kernel, blocks);
                for (int j = From; j < To; j++)
                {
                    float* z = blocks + (F.Size * (j - FirstIn));
                    F.Inverse<S, V>(z);
                    Output<S, V>(batch, j, c, z);
                }
            }
        }

        /// <summary>Y_j = sum_d K_d X_{j-d}, element by element.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Products<S, V>(float* kernel, float* blocks) where S : struct, ISimd<V> where V : unmanaged
        {
            LongConvPlan plan = F.Plan;
            long size = F.Size;
            for (int f = 0; f < plan.Block; f++, kernel += 2 * S.Count, blocks += 2 * S.Count)
            {
                for (int j = To - 1; j >= From; j--)
                {
                    float* k = kernel, to = blocks + (size * (j - FirstIn)), x = to;
                    V re = S.Zero, im = S.Zero;
                    for (int terms = plan.Terms(j); terms > 0; terms--, k += size, x -= size)
                    {
                        V kr = S.Load(k), ki = S.Load(k + S.Count), xr = S.Load(x), xi = S.Load(x + S.Count);
                        re = S.Fma(kr, xr, re);
                        im = S.Fma(kr, xi, im);
                        re = S.Fma(S.Sub(S.Zero, ki), xi, re);
                        im = S.Fma(ki, xr, im);
                    }

                    S.Store(re, to);
                    S.Store(im, to + S.Count);
                }
            }
        }

        /// <summary>A block's outputs: the imaginary parts, over N.</summary>
        private readonly void Output<S, V>(int batch, int block, int c, float* z) where S : struct, ISimd<V> where V : unmanaged
        {
            int width = Math.Min(S.Count, F.Channels - c);
            V scale = S.Create(1f / F.Plan.Block);
            (int from, int to) = F.Plan.Outputs(block);
            z += (2L * S.Count * (from - (block * F.Plan.Block))) + S.Count;
            for (int t = from; t < to; t++, z += 2 * S.Count)
            {
                LongConvFrame.Store<S, V>(S.Mul(S.Load(z), scale), Y[F.Row(batch, t)] + c, width, Y.Add);
            }
        }
    }

    /// <summary>The blocks that go tap by tap: four vectors of channels of a sequence an index.</summary>
    private struct LongConvTapsJob : IWideJob
    {
        private const int Piece = 128; // taps summed before they join the total: a long sum stays exact

        public LongConvFrame F;
        public Strided Y;
        public int From, To; // the blocks that do not

        public readonly int Groups(int lanes) => (F.Channels + (4 * lanes) - 1) / (4 * lanes);

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int groups = Groups(S.Count), batch = index / groups, c = index % groups * 4 * S.Count, width = Math.Min(4 * S.Count, F.Channels - c);
            for (int j = F.Plan.FirstOut; j < F.Plan.Blocks; j++)
            {
                if (j >= From && j < To)
                {
                    continue;
                }

                (int from, int to) = F.Plan.Outputs(j);
                for (int t = from; t < to; t++)
                {
                    if (width == 4 * S.Count)
                    {
                        Token<S, V>(batch, t, c);
                    }
                    else
                    {
                        for (int part = c; part < F.Channels; part += S.Count)
                        {
                            Narrow<S, V>(batch, t, part, Math.Min(S.Count, F.Channels - part));
                        }
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Token<S, V>(int batch, int t, int c) where S : struct, ISimd<V> where V : unmanaged
        {
            int taps = Math.Min(t - F.Plan.Oldest + 1, F.Plan.Length);
            V y0 = S.Zero, y1 = S.Zero, y2 = S.Zero, y3 = S.Zero;
            for (int first = 0; first < taps; first += Piece)
            {
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
                int end = Math.Min(taps, first + Piece);
                for (int j = first; j < end; j++)
                {
                    float* k = F.Tap(j) + c, x = F.Input(batch, t - j) + c;
                    s0 = S.Fma(S.Load(k), S.Load(x), s0);
                    s1 = S.Fma(S.Load(k + S.Count), S.Load(x + S.Count), s1);
                    s2 = S.Fma(S.Load(k + (2 * S.Count)), S.Load(x + (2 * S.Count)), s2);
                    s3 = S.Fma(S.Load(k + (3 * S.Count)), S.Load(x + (3 * S.Count)), s3);
                }

                y0 = S.Add(y0, s0);
                y1 = S.Add(y1, s1);
                y2 = S.Add(y2, s2);
                y3 = S.Add(y3, s3);
            }

            Finish<S, V>(batch, t, c, S.Count, y0);
            Finish<S, V>(batch, t, c + S.Count, S.Count, y1);
            Finish<S, V>(batch, t, c + (2 * S.Count), S.Count, y2);
            Finish<S, V>(batch, t, c + (3 * S.Count), S.Count, y3);
        }

        /// <summary>The same sums at one vector of channels.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Narrow<S, V>(int batch, int t, int c, int width) where S : struct, ISimd<V> where V : unmanaged
        {
            int taps = Math.Min(t - F.Plan.Oldest + 1, F.Plan.Length);
            V y = S.Zero;
            for (int first = 0; first < taps; first += Piece)
            {
                V s = S.Zero;
                int end = Math.Min(taps, first + Piece);
                for (int j = first; j < end; j++)
                {
                    s = S.Fma(LongConvFrame.Load<S, V>(F.Tap(j) + c, width), LongConvFrame.Load<S, V>(F.Input(batch, t - j) + c, width), s);
                }

                y = S.Add(y, s);
            }

            Finish<S, V>(batch, t, c, width, y);
        }

        private readonly void Finish<S, V>(int batch, int t, int c, int width, V sum) where S : struct, ISimd<V> where V : unmanaged
        {
            if (F.HasSkip)
            {
                sum = S.Fma(LongConvFrame.Load<S, V>(F.Skip + c, width), LongConvFrame.Load<S, V>(F.Input(batch, t) + c, width), sum);
            }

            LongConvFrame.Store<S, V>(sum, Y[F.Row(batch, t)] + c, width, Y.Add);
        }
    }

    /// <summary>
    /// A vector of channels of all sequences an index, by the transposes of the forward pass's maps: with DY_j the transform of block j's output
    /// gradients, dX_i = sum_d conj(K_d) DY_{i+d} and, over all sequences in their order, dK_d = sum_j conj(X_{j-d}) DY_j.
    /// </summary>
    private struct LongConvBackwardJob : IWideJob
    {
        public LongConvFrame F;
        public Strided Dy, Dx, Dkernel, Dskip, Dpast;
        public int Partitions;

        private readonly bool WantsKernel => !Dkernel.IsNone || !Dskip.IsNone;

        private readonly bool WantsInput => !Dx.IsNone || !Dpast.IsNone;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int c = index * S.Count;
            float* kernel = F.Scratch[worker], dkernel = kernel + (F.Size * Partitions);
            float* inputs = dkernel + (F.Size * Partitions), outputs = inputs + (F.Size * F.Plan.Blocks);
            for (int d = 0; d < Partitions && WantsInput; d++)
            {
                F.LoadKernel<S, V>(d, c, kernel + (F.Size * d));
            }

            Simd.Fill(dkernel, (nint)(F.Size * Partitions), 0);
            for (int batch = 0; batch < F.Batch; batch++)
            {
                for (int j = 0; j < F.Plan.Blocks && WantsKernel; j++)
                {
                    F.LoadInput<S, V>(batch, j, c, inputs + (F.Size * j));
                }

                for (int j = F.Plan.FirstOut; j < F.Plan.Blocks; j++)
                {
                    F.LoadOutput<S, V>(Dy, batch, j, c, outputs + (F.Size * (j - F.Plan.FirstOut)));
                }

                if (WantsKernel)
                {
                    KernelProducts<S, V>(inputs, outputs, dkernel);
                }

                if (WantsInput)
                {
                    InputProducts<S, V>(kernel, outputs, inputs);
                    for (int j = 0; j < F.Plan.Blocks; j++)
                    {
                        float* z = inputs + (F.Size * j);
                        F.Inverse<S, V>(z);
                        InputGradients<S, V>(batch, j, c, z);
                    }
                }
            }

            if (WantsKernel)
            {
                KernelGradients<S, V>(c, dkernel);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void KernelProducts<S, V>(float* inputs, float* outputs, float* dkernel) where S : struct, ISimd<V> where V : unmanaged
        {
            LongConvPlan plan = F.Plan;
            long size = F.Size;
            for (int f = 0; f < plan.Block; f++, inputs += 2 * S.Count, outputs += 2 * S.Count, dkernel += 2 * S.Count)
            {
                for (int d = 0; d < Partitions; d++)
                {
                    float* to = dkernel + (size * d);
                    V re = S.Load(to), im = S.Load(to + S.Count);
                    for (int j = Math.Max(d, plan.FirstOut); j < plan.Blocks; j++)
                    {
                        float* x = inputs + (size * (j - d)), y = outputs + (size * (j - plan.FirstOut));
                        ConjugateProduct<S, V>(x, y, ref re, ref im);
                    }

                    S.Store(re, to);
                    S.Store(im, to + S.Count);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void InputProducts<S, V>(float* kernel, float* outputs, float* inputs) where S : struct, ISimd<V> where V : unmanaged
        {
            LongConvPlan plan = F.Plan;
            long size = F.Size;
            for (int f = 0; f < plan.Block; f++, inputs += 2 * S.Count, outputs += 2 * S.Count, kernel += 2 * S.Count)
            {
                for (int i = 0; i < plan.Blocks; i++)
                {
                    V re = S.Zero, im = S.Zero;
                    int end = Math.Min(plan.Blocks, i + Partitions);
                    for (int j = Math.Max(i, plan.FirstOut); j < end; j++)
                    {
                        ConjugateProduct<S, V>(kernel + (size * (j - i)), outputs + (size * (j - plan.FirstOut)), ref re, ref im);
                    }

                    S.Store(re, inputs + (size * i));
                    S.Store(im, inputs + (size * i) + S.Count);
                }
            }
        }

        /// <summary>(re, im) += conj(a) b.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void ConjugateProduct<S, V>(float* a, float* b, ref V re, ref V im) where S : struct, ISimd<V> where V : unmanaged
        {
            V ar = S.Load(a), ai = S.Load(a + S.Count), br = S.Load(b), bi = S.Load(b + S.Count);
            re = S.Fma(ar, br, re);
            im = S.Fma(ar, bi, im);
            re = S.Fma(ai, bi, re);
            im = S.Fma(S.Sub(S.Zero, ai), br, im);
        }

        /// <summary>The gradients of a block's inputs: the real parts, over N.</summary>
        private readonly void InputGradients<S, V>(int batch, int block, int c, float* z) where S : struct, ISimd<V> where V : unmanaged
        {
            int n = F.Plan.Block, width = Math.Min(S.Count, F.Channels - c);
            V scale = S.Create(1f / n);
            for (int i = 0; i < n; i++, z += 2 * S.Count)
            {
                int position = (block * n) + i;
                Strided to = position >= F.Plan.Start ? Dx : Dpast;
                if (position >= F.Plan.Oldest && position < F.Plan.End && !to.IsNone)
                {
                    LongConvFrame.Store<S, V>(S.Mul(S.Load(z), scale), to[F.Row(batch, position)] + c, width, to.Add);
                }
            }
        }

        /// <summary>Kernel row d N + i: the imaginary part of element i of partition d, and the real part of that of partition d + 1.</summary>
        private readonly void KernelGradients<S, V>(int c, float* dkernel) where S : struct, ISimd<V> where V : unmanaged
        {
            int n = F.Plan.Block, width = Math.Min(S.Count, F.Channels - c);
            V scale = S.Create(1f / n);
            for (int d = 0; d < Partitions; d++)
            {
                F.Inverse<S, V>(dkernel + (F.Size * d));
            }

            for (int row = 0; row < F.Plan.Length; row++)
            {
                int d = row / n;
                float* z = dkernel + (F.Size * d) + (2L * S.Count * (row % n));
                V sum = d < Partitions ? S.Load(z + S.Count) : S.Zero;
                if (d + 1 < Partitions)
                {
                    sum = S.Add(sum, S.Load(z + F.Size));
                }

                sum = S.Mul(sum, scale);
                if (row == 0 && !Dskip.IsNone)
                {
                    LongConvFrame.Store<S, V>(sum, Dskip.At + c, width, Dskip.Add);
                }

                if (!Dkernel.IsNone)
                {
                    LongConvFrame.Store<S, V>(sum, Dkernel[row] + c, width, Dkernel.Add);
                }
            }
        }
    }
}
