using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void ComplexScan(in ComplexScanInputs inputs, Tensor? initial, Tensor h, Tensor final)
    {
        using Timed timed = Measure([inputs.U, inputs.Lambda, inputs.Gain, initial, h, final]);
        var job = new ComplexScanJob
        {
            P = new ComplexScanPlan(inputs, Pool.Workers),
            H = new Strided(h),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
        };
        Pool.RunWide(ref job, inputs.Batch * job.P.Strips);
        CountFlops(inputs.Batch * Ops.ComplexScanFlops(inputs.Time, inputs.States, inputs.Gain is not null));
    }

    internal override void ComplexScanBackward(in ComplexScanInputs inputs, Tensor? initial, Tensor h, Tensor? dh, Tensor? dfinal, in ComplexScanGrads grads)
    {
        using Timed timed = Measure([inputs.U, inputs.Lambda, inputs.Gain, initial, h, dh, dfinal, grads.U, grads.Lambda, grads.Gain, grads.Initial]);
        var job = new ComplexScanBackwardJob
        {
            P = new ComplexScanPlan(inputs, Pool.Workers),
            H = new Strided(h),
            DH = new Strided(dh),
            Initial = initial is null ? null : initial.Pointer,
            DFinal = dfinal is null ? null : dfinal.Pointer,
            DU = new Strided(grads.U),
            DLambda = new Strided(grads.Lambda),
            DGain = new Strided(grads.Gain),
            DInitial = new Strided(grads.Initial),
        };
        job.Scratch = Pool.ScratchTable(ComplexScanBackwardJob.ScratchFloats(job.P.Width));
        Pool.RunWide(ref job, job.P.Strips);
        CountFlops((inputs.Gain is null ? 16L : 32L) * inputs.Batch * inputs.Time * inputs.States);
    }

    /// <summary>What both passes know. An item is a strip of states: wide, since rows lie far apart, yet a few for each worker. Bits do not depend on it.</summary>
    private readonly struct ComplexScanPlan(in ComplexScanInputs x, int workers)
    {
        public readonly int Batch = x.Batch, Time = x.Time, States = x.States;
        public readonly int Width = Math.Max(64, ((x.States / (2 * workers)) + 15) / 16 * 16);
        public readonly Strided U = new(x.U);
        public readonly float* Lambda = x.Lambda.Pointer, Gain = x.Gain is null ? null : x.Gain.Pointer;

        public int Strips => (States + Width - 1) / Width;

        public int End(int first) => Math.Min(States, first + Width);

        /// <summary>Complex numbers from one on, of an array that holds P real parts, then P imaginary ones; 0 for no array.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public ComplexVector<S, V> At<S, V>(float* array, int first, int lanes) where S : struct, ISimd<V> where V : unmanaged =>
            array == null ? new(S.Zero, S.Zero) : ComplexVector<S, V>.Load(array + first, array + States + first, lanes);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Put<S, V>(ComplexVector<S, V> x, float* array, int first, int lanes, bool add = false) where S : struct, ISimd<V> where V : unmanaged =>
            x.Store(array + first, array + States + first, lanes, add);
    }

    /// <summary>The forward pass: a strip of states of a sequence an index. A token's state is read from where the last one's was written.</summary>
    private struct ComplexScanJob : IWideJob
    {
        public ComplexScanPlan P;
        public Strided H;
        public float* Initial, Final;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Strips, first = index % P.Strips * P.Width, end = P.End(first);
            long row = (long)batch * P.Time, state = 2L * batch * P.States;
            float* before = Initial == null ? null : Initial + state;
            for (int t = 0; t < P.Time; t++)
            {
                float* u = P.U[row + t], h = H[row + t];
                for (int p = first; p < end; p += S.Count)
                {
                    int lanes = end - p;
                    ComplexVector<S, V> input = P.At<S, V>(u, p, lanes);
                    if (P.Gain != null)
                    {
                        input = P.At<S, V>(P.Gain, p, lanes) * input;
                    }

                    P.Put((P.At<S, V>(P.Lambda, p, lanes) * P.At<S, V>(before, p, lanes)) + input, h, p, lanes);
                }

                before = h;
            }

            for (int p = first; p < end; p += S.Count)
            {
                P.Put(P.At<S, V>(before, p, end - p), Final + state, p, end - p);
            }
        }
    }

    /// <summary>
    /// The backward pass, g_t = dh_t + conj(lambda) g_{t+1}, du_t = conj(gain) g_t: a strip of states an index, all sequences one after the
    /// other. The parameters' gradients, sums of g_t conj(h_{t-1}) and g_t conj(u_t), are summed by runs of tokens first.
    /// </summary>
    private struct ComplexScanBackwardJob : IWideJob
    {
        private const int Run = 64;

        public ComplexScanPlan P;
        public Strided H, DH, DU, DLambda, DGain, DInitial;
        public float* Initial, DFinal;
        public float** Scratch;

        public static int ScratchFloats(int width) => 10 * width;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        readonly void IWideJob.Run<S, V>(int index, int worker)
        {
            int first = index * P.Width, end = P.End(first), width = P.Width;
            Sums g = new(Scratch[worker], width), lambda = g.Next, gain = lambda.Next, allLambda = gain.Next, allGain = allLambda.Next;
            new Span<float>(lambda.Re, 8 * width).Clear();
            for (int batch = 0; batch < P.Batch; batch++)
            {
                long row = (long)batch * P.Time, state = 2L * batch * P.States;
                for (int p = first; p < end; p += S.Count)
                {
                    P.At<S, V>(DFinal == null ? null : DFinal + state, p, end - p).Store(g.Re + p - first, g.Im + p - first, S.Count);
                }

                for (int t = P.Time - 1; t >= 0; t--)
                {
                    Token<S, V>(row, t, Initial == null ? null : Initial + state, first, end, g, lambda, gain);
                    if (t % Run == 0)
                    {
                        lambda.MoveTo(allLambda);
                        gain.MoveTo(allGain);
                    }
                }

                for (int p = first; p < end && !DInitial.IsNone; p += S.Count)
                {
                    P.Put(g.At<S, V>(p - first), DInitial.At + state, p, end - p, DInitial.Add);
                }
            }

            for (int p = first; p < end; p += S.Count)
            {
                if (!DLambda.IsNone)
                {
                    P.Put(allLambda.At<S, V>(p - first), DLambda.At, p, end - p, DLambda.Add);
                }

                if (!DGain.IsNone)
                {
                    P.Put(allGain.At<S, V>(p - first), DGain.At, p, end - p, DGain.Add);
                }
            }
        }

        /// <summary>One token: g comes as conj(lambda) g_{t+1} (or the final state's gradient) and goes as conj(lambda) g_t.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Token<S, V>(long row, int t, float* initial, int first, int end, Sums g, Sums lambda, Sums gain) where S : struct, ISimd<V> where V : unmanaged
        {
            float* before = t > 0 ? H[row + t - 1] : initial, dh = DH.IsNone ? null : DH[row + t], u = P.U[row + t], du = DU.IsNone ? null : DU[row + t];
            for (int p = first; p < end; p += S.Count)
            {
                int lanes = end - p, at = p - first;
                ComplexVector<S, V> gt = g.At<S, V>(at) + P.At<S, V>(dh, p, lanes);
                lambda.Add(at, gt * P.At<S, V>(before, p, lanes).Conjugate);
                g.Set(at, P.At<S, V>(P.Lambda, p, lanes).Conjugate * gt);
                if (P.Gain != null)
                {
                    gain.Add(at, gt * P.At<S, V>(u, p, lanes).Conjugate);
                    gt = P.At<S, V>(P.Gain, p, lanes).Conjugate * gt;
                }

                if (du != null)
                {
                    P.Put(gt, du, p, lanes, DU.Add);
                }
            }
        }

        /// <summary>Complex numbers of a strip in scratch.</summary>
        private readonly struct Sums(float* at, int width)
        {
            public readonly float* Re = at, Im = at + width;

            public Sums Next => new(Im + width, width);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public ComplexVector<S, V> At<S, V>(int i) where S : struct, ISimd<V> where V : unmanaged => new(S.Load(Re + i), S.Load(Im + i));

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Set<S, V>(int i, ComplexVector<S, V> x) where S : struct, ISimd<V> where V : unmanaged => x.Store(Re + i, Im + i, S.Count);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Add<S, V>(int i, ComplexVector<S, V> x) where S : struct, ISimd<V> where V : unmanaged => Set(i, At<S, V>(i) + x);

            /// <summary>Adds these to other sums and starts again from zero.</summary>
            public void MoveTo(Sums other)
            {
                Simd.Add(2 * width, Re, other.Re);
                new Span<float>(Re, 2 * width).Clear();
            }
        }
    }
}
