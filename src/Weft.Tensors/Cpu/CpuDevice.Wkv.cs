using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int WkvParts = 2; // of a state: the average, and the log of its weight
    private const float WkvNothing = -1e30f; // the log weight where nothing has been seen: finite, so that differences are

    internal override void Wkv(in WkvInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states)
    {
        using Timed timed = Measure([inputs.K, inputs.V, inputs.Decay, inputs.First, initial, o, final, states]);
        Start(initial, final.Pointer, final.Shape.Count);
        WkvJob job = new()
        {
            Cut = new ChannelBlocks(o.Shape, Pool.Workers),
            K = new Strided(inputs.K),
            V = new Strided(inputs.V),
            O = new Strided(o),
            States = new Strided(states),
            State = new Strided(final),
            Decay = inputs.Decay.Pointer,
            First = inputs.First.Pointer,
            Channels = o.Shape.Columns,
            Fresh = initial is null,
        };
        Pool.RunWide(ref job, job.Cut.Count);
        CountFlops(o.Shape[0] * Ops.WkvFlops(o.Shape[1], o.Shape.Columns));
    }

    internal override void WkvBackward(in WkvInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in WkvGrads grads)
    {
        using Timed timed = Measure([inputs.K, inputs.V, inputs.Decay, inputs.First, states, @do, dfinal, grads.K, grads.V, grads.Decay, grads.First, grads.Initial]);
        Shape shape = inputs.K.Shape;
        int batch = shape[0], channels = shape.Columns;
        float* work = Shared((long)batch * WkvBackwardJob.Rows * channels);
        WkvBackwardJob job = new()
        {
            Cut = new ChannelBlocks(shape, Pool.Workers),
            K = new Strided(inputs.K),
            V = new Strided(inputs.V),
            States = new Strided(states),
            Do = new Strided(@do),
            DFinal = new Strided(dfinal),
            ToK = new Strided(grads.K),
            ToV = new Strided(grads.V),
            ToInitial = new Strided(grads.Initial),
            Work = new Strided(work, channels),
            Decay = inputs.Decay.Pointer,
            First = inputs.First.Pointer,
            Channels = channels,
        };
        Pool.RunWide(ref job, job.Cut.Count);
        SumOverBatch(WkvBackwardJob.DecaySum, grads.Decay);
        SumOverBatch(WkvBackwardJob.FirstSum, grads.First);
        CountFlops(batch * 2 * Ops.WkvFlops(shape[1], channels));

        void SumOverBatch(int row, GradTarget target)
        {
            if (target.Tensor is { } to)
            {
                ColumnSumJob sum = new() { X = work + ((long)row * channels), Stride = (long)WkvBackwardJob.Rows * channels, Rows = batch, Columns = channels, Y = to.Pointer, Accumulate = target.Accumulate };
                Pool.Run(ref sum, (channels + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
            }
        }
    }

    /// <summary>sigmoid(x), sigmoid(-x), and the e^-|x| that both are made from.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (V Yes, V No, V E) Shares<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        V one = S.Create(1), e = Simd.Exp<S, V>(S.Sub(S.Zero, S.Abs(x))), larger = S.Div(one, S.Add(one, e)), smaller = S.Mul(e, larger);
        return (S.SelectLess(x, S.Zero, smaller, larger), S.SelectLess(x, S.Zero, larger, smaller), e);
    }

    private struct WkvJob : IWideJob
    {
        public ChannelBlocks Cut;
        public Strided K, V, O, States, State;
        public float* Decay, First;
        public int Channels;
        public bool Fresh;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, VV>(int index, int worker) where S : struct, ISimd<VV> where VV : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided ks = K.From(row, from), vs = V.From(row, from), os = O.From(row, from), states = States.From(row, from);
            float* average = State[batch * WkvParts] + from, weight = average + Channels;
            if (Fresh)
            {
                Simd.Fill(weight, length, WkvNothing);
            }

            for (int t = 0; t < Cut.Time; t++)
            {
                float* kt = ks[t], vt = vs[t], o = os[t], saved = states.IsNone ? null : states[t];
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    VV a = Simd.LoadUpTo<S, VV>(average + c, n), w = Simd.LoadUpTo<S, VV>(weight + c, n);
                    VV k = Simd.LoadUpTo<S, VV>(kt + c, n), away = S.Sub(Simd.LoadUpTo<S, VV>(vt + c, n), a);
                    if (saved != null)
                    {
                        Simd.StoreUpTo<S, VV>(a, saved + c, n);
                        Simd.StoreUpTo<S, VV>(w, saved + Channels + c, n);
                    }

                    (VV read, _, _) = Shares<S, VV>(S.Sub(S.Add(k, Simd.LoadUpTo<S, VV>(First + from + c, n)), w));
                    Simd.StoreUpTo<S, VV>(S.Fma(read, away, a), o + c, n);

                    // A slow decay by itself would be rounded the same way at every token: it is added together with what the key adds.
                    VV decay = Simd.LoadUpTo<S, VV>(Decay + from + c, n), over = S.Sub(S.Sub(k, w), decay);
                    (VV write, _, VV e) = Shares<S, VV>(over);
                    VV more = Simd.Log1p<S, VV>(e);
                    Simd.StoreUpTo<S, VV>(S.Fma(write, away, a), average + c, n);
                    Simd.StoreUpTo<S, VV>(S.SelectLess(S.Zero, over, S.Add(k, more), S.Add(w, S.Add(decay, more))), weight + c, n);
                }
            }
        }
    }

    /// <summary>
    /// From the last token to the first, with ga, gL the gradients of the state after the token: both averages are
    /// a + sigmoid(x) (v - a), and L' = L + w, L_t = log(e^L' + e^k) has slopes sigmoid(L' - k) and sigmoid(k - L').
    /// </summary>
    private struct WkvBackwardJob : IWideJob
    {
        /// <summary>Rows of work a sequence: ga, gL, then the gradients of w and u, of the last tokens and of all.</summary>
        public const int Rows = 6, DecaySum = 4, FirstSum = 5;

        private const int DecayBlock = 2, FirstBlock = 3;
        private const int Block = 64; // tokens that are summed by themselves first: the rounding error stays that of T / 64 sums

        public ChannelBlocks Cut;
        public Strided K, V, States, Do, DFinal, ToK, ToV, ToInitial, Work;
        public float* Decay, First;
        public int Channels;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, VV>(int index, int worker) where S : struct, ISimd<VV> where VV : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided ks = K.From(row, from), vs = V.From(row, from), states = States.From(row, from), dos = Do.From(row, from);
            Strided toK = ToK.From(row, from), toV = ToV.From(row, from), work = Work.From((long)batch * Rows, from);
            for (int part = 0; part < Rows; part++)
            {
                EndState(part >= WkvParts || DFinal.IsNone ? null : DFinal[(batch * WkvParts) + part] + from, work[part], length, 0);
            }

            float* averages = work[0], weights = work[1], dw = work[DecayBlock], du = work[FirstBlock];
            for (int t = Cut.Time - 1; t >= 0; t--)
            {
                float* kt = ks[t], vt = vs[t], saved = states[t], dot = dos.IsNone ? null : dos[t];
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    VV a = Simd.LoadUpTo<S, VV>(saved + c, n), w = Simd.LoadUpTo<S, VV>(saved + Channels + c, n);
                    VV k = Simd.LoadUpTo<S, VV>(kt + c, n), away = S.Sub(Simd.LoadUpTo<S, VV>(vt + c, n), a);
                    VV go = dot == null ? S.Zero : Simd.LoadUpTo<S, VV>(dot + c, n), ga = Simd.LoadUpTo<S, VV>(averages + c, n), gw = Simd.LoadUpTo<S, VV>(weights + c, n);

                    (VV read, VV unread, _) = Shares<S, VV>(S.Sub(S.Add(k, Simd.LoadUpTo<S, VV>(First + from + c, n)), w));
                    (VV write, VV keep, _) = Shares<S, VV>(S.Sub(S.Sub(k, w), Simd.LoadUpTo<S, VV>(Decay + from + c, n)));
                    VV dread = S.Mul(S.Mul(go, away), S.Mul(read, unread));                   // by u + k - L
                    VV dwrite = S.Mul(S.Mul(ga, away), S.Mul(write, keep));                   // by k - L'
                    VV dleft = S.Sub(S.Mul(gw, keep), dwrite);                                // by L' = L + w

                    Simd.StoreUpTo<S, VV>(S.Fma(go, unread, S.Mul(ga, keep)), averages + c, n);
                    Simd.StoreUpTo<S, VV>(S.Sub(dleft, dread), weights + c, n);
                    Simd.StoreUpTo<S, VV>(dleft, dw + c, n, true);
                    Simd.StoreUpTo<S, VV>(dread, du + c, n, true);
                    if (!toK.IsNone)
                    {
                        Simd.StoreUpTo<S, VV>(S.Add(S.Add(dread, dwrite), S.Mul(gw, write)), toK[t] + c, n, toK.Add);
                    }

                    if (!toV.IsNone)
                    {
                        Simd.StoreUpTo<S, VV>(S.Fma(go, read, S.Mul(ga, write)), toV[t] + c, n, toV.Add);
                    }
                }

                if (t % Block == 0)
                {
                    Simd.Add(length, dw, work[DecaySum]);
                    Simd.Add(length, du, work[FirstSum]);
                    Simd.Fill(dw, length, 0);
                    Simd.Fill(du, length, 0);
                }
            }

            for (int part = 0; part < WkvParts; part++)
            {
                PutState(work[part], ToInitial, (batch * WkvParts) + part, from, length);
            }
        }
    }
}
