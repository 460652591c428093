using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void Discretize(in DiscretizeInputs inputs, Tensor lambda, Tensor gain)
    {
        using Timed timed = Measure([inputs.Real, inputs.Imaginary, inputs.LogStep, inputs.C, lambda, gain]);
        var job = new DiscretizeJob { P = new DiscretizePlan(inputs), Lambda = lambda.Pointer, Gain = gain.Pointer };
        Pool.RunWide(ref job, job.P.Items);
    }

    internal override void DiscretizeBackward(in DiscretizeInputs inputs, Tensor? dlambda, Tensor? dgain, in DiscretizeGrads grads)
    {
        using Timed timed = Measure([inputs.Real, inputs.Imaginary, inputs.LogStep, inputs.C, dlambda, dgain, grads.Real, grads.Imaginary, grads.LogStep, grads.C]);
        var job = new DiscretizeBackwardJob
        {
            P = new DiscretizePlan(inputs),
            DLambda = dlambda is null ? null : dlambda.Pointer,
            DGain = dgain is null ? null : dgain.Pointer,
            DReal = new Strided(grads.Real),
            DImaginary = new Strided(grads.Imaginary),
            DLogStep = new Strided(grads.LogStep),
            DC = new Strided(grads.C),
        };
        Pool.RunWide(ref job, job.P.Items);
    }

    /// <summary>The sizes and places of a discretisation; an item is a strip of channels, with all their poles.</summary>
    private readonly struct DiscretizePlan(in DiscretizeInputs x)
    {
        public const int Strip = 64;

        public readonly int Channels = x.Real.Shape.Columns, Poles = x.Real.Shape.Rows;
        private readonly float* real = x.Real.Pointer, imaginary = x.Imaginary.Pointer;
        private readonly float* logStep = x.LogStep is null ? null : x.LogStep.Pointer, c = x.C is null ? null : x.C.Pointer;
        private readonly bool hold = x.Rule == Discretization.ZeroOrderHold;

        public int Items => (Channels + Strip - 1) / Strip;

        /// <summary>Where imaginary parts begin in a complex array.</summary>
        public long Half => (long)Poles * Channels;

        public bool Scaled => c != null;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Step<S, V>(int channel, int lanes) where S : struct, ISimd<V> where V : unmanaged =>
            logStep == null ? S.Create(1) : Simd.Exp<S, V>(ComplexVector<S, V>.LoadReal(logStep + channel, lanes));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public ComplexVector<S, V> Pole<S, V>(long at, int lanes) where S : struct, ISimd<V> where V : unmanaged =>
            ComplexVector<S, V>.Load(real + at, imaginary + at, lanes);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public ComplexVector<S, V> C<S, V>(long at, int lanes) where S : struct, ISimd<V> where V : unmanaged =>
            Scaled ? ComplexVector<S, V>.Load(c + at, c + Half + at, lanes) : new(S.Create(1), S.Zero);

        /// <summary>lambda and the gain without c.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public (ComplexVector<S, V> Lambda, ComplexVector<S, V> Gain) Of<S, V>(ComplexVector<S, V> a, V dt) where S : struct, ISimd<V> where V : unmanaged
        {
            ComplexVector<S, V> z = a * dt;
            V one = S.Create(1);
            if (!hold)
            {
                ComplexVector<S, V> half = z * S.Create(0.5f), r = new ComplexVector<S, V>(S.Sub(one, half.Re), S.Sub(S.Zero, half.Im)).Inverse;
                return (r * new ComplexVector<S, V>(S.Add(one, half.Re), half.Im), r * dt);
            }

            // e^z - 1 without cancellation near 0: (e^x - 1) cos y + (cos y - 1) and e^x sin y, with e^x - 1 = 2 t / (1 - t), t = tanh(x/2).
            V e = Simd.Exp<S, V>(z.Re), t = Simd.Tanh<S, V>(S.Mul(z.Re, S.Create(0.5f)));
            V e1 = S.SelectLess(z.Re, one, S.Div(S.Add(t, t), S.Sub(one, t)), S.Sub(e, one));
            (V sin, V cos) = Simd.SinCos<S, V>(z.Im);
            V cos1 = S.SelectLess(S.Zero, cos, S.Sub(S.Zero, S.Div(S.Mul(sin, sin), S.Add(one, cos))), S.Sub(cos, one));
            V im = S.Mul(e, sin);
            return (new(S.Mul(e, cos), im), new ComplexVector<S, V>(S.Fma(e1, cos, cos1), im) * a.Inverse);
        }

        /// <summary>The gradient by a, and dt times that by dt, from those by lambda and by the gain; c is what the gain was multiplied by.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public (ComplexVector<S, V> A, V LogStep) Backward<S, V>(ComplexVector<S, V> a, V dt, ComplexVector<S, V> lambda, ComplexVector<S, V> gain,
            ComplexVector<S, V> c, ComplexVector<S, V> dlambda, ComplexVector<S, V> dgain) where S : struct, ISimd<V> where V : unmanaged
        {
            if (!hold)
            {
                // With r = 1 / (1 - z/2): dlambda/dz = r^2; the gain is dt r, which varies by z as dt r^2 / 2.
                ComplexVector<S, V> r = gain * S.Div(S.Create(1), dt), rr = r * r;
                ComplexVector<S, V> dz = (rr.Conjugate * dlambda) + ((c * rr * S.Mul(dt, S.Create(0.5f))).Conjugate * dgain);
                return (dz * dt, S.Add((dz * (a * dt).Conjugate).Re, ((c * gain).Conjugate * dgain).Re));
            }

            // lambda varies by a as dt lambda, the gain as (dt lambda - gain) / a; by log dt as dt a lambda and dt lambda.
            ComplexVector<S, V> slope = lambda * dt, dscaled = c.Conjugate * dgain;
            ComplexVector<S, V> da = (slope.Conjugate * dlambda) + (((slope - gain) * a.Inverse).Conjugate * dscaled);
            return (da, S.Add(((slope * a).Conjugate * dlambda).Re, (slope.Conjugate * dscaled).Re));
        }
    }

    private struct DiscretizeJob : IWideJob
    {
        public DiscretizePlan P;
        public float* Lambda, Gain;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int end = Math.Min(P.Channels, (index + 1) * DiscretizePlan.Strip);
            for (int channel = index * DiscretizePlan.Strip; channel < end; channel += S.Count)
            {
                int lanes = end - channel;
                V dt = P.Step<S, V>(channel, lanes);
                for (long at = channel; at < P.Half; at += P.Channels)
                {
                    (ComplexVector<S, V> lambda, ComplexVector<S, V> gain) = P.Of(P.Pole<S, V>(at, lanes), dt);
                    lambda.Store(Lambda + at, Lambda + P.Half + at, lanes);
                    (P.Scaled ? P.C<S, V>(at, lanes) * gain : gain).Store(Gain + at, Gain + P.Half + at, lanes);
                }
            }
        }
    }

    private struct DiscretizeBackwardJob : IWideJob
    {
        public DiscretizePlan P;
        public float* DLambda, DGain;
        public Strided DReal, DImaginary, DLogStep, DC;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int end = Math.Min(P.Channels, (index + 1) * DiscretizePlan.Strip);
            for (int channel = index * DiscretizePlan.Strip; channel < end; channel += S.Count)
            {
                int lanes = end - channel;
                V dt = P.Step<S, V>(channel, lanes), dstep = S.Zero;
                for (long at = channel; at < P.Half; at += P.Channels)
                {
                    ComplexVector<S, V> a = P.Pole<S, V>(at, lanes), c = P.C<S, V>(at, lanes), zero = new(S.Zero, S.Zero);
                    ComplexVector<S, V> dlambda = DLambda == null ? zero : ComplexVector<S, V>.Load(DLambda + at, DLambda + P.Half + at, lanes);
                    ComplexVector<S, V> dgain = DGain == null ? zero : ComplexVector<S, V>.Load(DGain + at, DGain + P.Half + at, lanes);
                    (ComplexVector<S, V> lambda, ComplexVector<S, V> gain) = P.Of(a, dt);
                    (ComplexVector<S, V> da, V dlog) = P.Backward(a, dt, lambda, gain, c, dlambda, dgain);
                    dstep = S.Add(dstep, dlog);
                    if (!DReal.IsNone)
                    {
                        ComplexVector<S, V>.StoreReal(da.Re, DReal.At + at, lanes, DReal.Add);
                    }

                    if (!DImaginary.IsNone)
                    {
                        ComplexVector<S, V>.StoreReal(da.Im, DImaginary.At + at, lanes, DImaginary.Add);
                    }

                    if (!DC.IsNone)
                    {
                        (gain.Conjugate * dgain).Store(DC.At + at, DC.At + P.Half + at, lanes, DC.Add);
                    }
                }

                if (!DLogStep.IsNone)
                {
                    ComplexVector<S, V>.StoreReal(dstep, DLogStep.At + channel, lanes, DLogStep.Add);
                }
            }
        }
    }
}
