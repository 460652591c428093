using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Recurrences in which every channel goes by itself. They are bound by memory: about three streams forward and five backward, read and
/// written once, row by row. An item is a block of channels of one sequence; no result depends on the cut.
/// </summary>
public sealed unsafe partial class CpuDevice
{
    internal override void DiagonalRecurrence(Tensor x, Tensor logDecay, Tensor? initial, Tensor h, Tensor final)
    {
        DiagonalJob job = new()
        {
            Cut = new ChannelBlocks(h.Shape, Pool.Workers),
            X = new Strided(x),
            A = new Strided(logDecay),
            H = new Strided(h),
            Initial = new Strided(initial),
            Final = new Strided(final),
        };
        Pool.RunWide(ref job, job.Cut.Count);
        CountFlops(h.Shape[0] * Ops.DiagonalRecurrenceFlops(h.Shape[1], h.Shape.Columns));
    }

    internal override void DiagonalRecurrenceBackward(Tensor logDecay, Tensor? initial, Tensor h, Tensor? dh, Tensor? dfinal,
        GradTarget dx, GradTarget dlogDecay, GradTarget dinitial)
    {
        var cut = new ChannelBlocks(h.Shape, Pool.Workers);
        DiagonalBackwardJob job = new()
        {
            Cut = cut,
            A = new Strided(logDecay),
            H = new Strided(h),
            Initial = new Strided(initial),
            Dh = new Strided(dh),
            DFinal = new Strided(dfinal),
            ToX = new Strided(dx),
            ToA = new Strided(dlogDecay),
            ToInitial = new Strided(dinitial),
            Carried = new Strided(Shared((long)h.Shape[0] * h.Shape.Columns), h.Shape.Columns),
        };
        Pool.RunWide(ref job, cut.Count);
        CountFlops(h.Shape[0] * 2 * Ops.DiagonalRecurrenceFlops(h.Shape[1], h.Shape.Columns));
    }

    internal override void MaxPlus(Tensor f, Tensor i, Tensor? initial, Tensor m, Tensor final)
    {
        MaxPlusJob job = new()
        {
            Cut = new ChannelBlocks(m.Shape, Pool.Workers),
            F = new Strided(f),
            I = new Strided(i),
            M = new Strided(m),
            Initial = new Strided(initial),
            Final = new Strided(final),
        };
        Pool.RunWide(ref job, job.Cut.Count);
    }

    internal override void MaxPlusBackward(Tensor f, Tensor i, Tensor? initial, Tensor m, Tensor? dm, Tensor? dfinal,
        GradTarget df, GradTarget di, GradTarget dinitial)
    {
        MaxPlusBackwardJob job = new()
        {
            Cut = new ChannelBlocks(m.Shape, Pool.Workers),
            F = new Strided(f),
            I = new Strided(i),
            M = new Strided(m),
            Initial = new Strided(initial),
            Dm = new Strided(dm),
            DFinal = new Strided(dfinal),
            ToF = new Strided(df),
            ToI = new Strided(di),
            ToInitial = new Strided(dinitial),
            Carried = new Strided(Shared((long)m.Shape[0] * m.Shape.Columns), m.Shape.Columns),
        };
        Pool.RunWide(ref job, job.Cut.Count);
    }

    /// <summary>How [B,T,C] is cut into items: blocks of channels of one sequence.</summary>
    private readonly struct ChannelBlocks
    {
        private const int Least = 32, Most = 256; // channels: whole cache lines, and rows of a block that stay in the first-level cache
        private const long Small = 1 << 14; // elements that one worker is done with before another wakes

        private readonly int channels, width, blocks;

        public ChannelBlocks(Shape shape, int workers)
        {
            Time = shape[1];
            channels = shape.Columns;
            long share = shape.Count < Small ? channels : (long)shape[0] * channels / (2 * workers) / Least * Least;
            width = (int)Math.Clamp(share, Least, shape.Count < Small ? Math.Max(channels, Least) : Most);
            blocks = (channels + width - 1) / width;
            Count = shape[0] * blocks;
        }

        public int Time { get; }

        /// <summary>The number of items.</summary>
        public int Count { get; }

        /// <summary>An item's sequence, and its channels.</summary>
        public (int Batch, int From, int Length) this[int index]
        {
            get
            {
                int from = index % blocks * width;
                return (index / blocks, from, Math.Min(width, channels - from));
            }
        }
    }

    private struct DiagonalJob : IWideJob
    {
        public ChannelBlocks Cut;
        public Strided X, A, H, Initial, Final;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided xs = X.From(row, from), decays = A.From(row, from), hs = H.From(row, from);
            float* before = Initial.IsNone ? null : Initial[batch] + from, final = Final[batch] + from;
            for (int t = 0; t < Cut.Time; t++)
            {
                float* x = xs[t], a = decays[t], h = hs[t];
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V value = NormJob.Load<S, V>(x + c, n);
                    if (before != null)
                    {
                        value = S.Fma(Simd.Exp<S, V>(NormJob.Load<S, V>(a + c, n)), NormJob.Load<S, V>(before + c, n), value);
                    }

                    NormJob.Store<S, V>(value, h + c, n);
                }

                before = h;
            }

            EndState(before, final, length, 0);
        }
    }

    /// <summary>
    /// With g_t the gradient of h_t, what comes from t + 1 included: dx_t = g_t, da_t = g_t exp(a_t) h_{t-1}, and exp(a_t) g_t goes on to t - 1.
    /// </summary>
    private struct DiagonalBackwardJob : IWideJob
    {
        public ChannelBlocks Cut;
        public Strided A, H, Initial, Dh, DFinal, ToX, ToA, ToInitial, Carried;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided decays = A.From(row, from), hs = H.From(row, from), dhs = Dh.From(row, from), toX = ToX.From(row, from), toA = ToA.From(row, from);
            float* carried = Carried[batch] + from, initial = Initial.IsNone ? null : Initial[batch] + from;
            EndState(DFinal.IsNone ? null : DFinal[batch] + from, carried, length, 0);
            for (int t = Cut.Time - 1; t >= 0; t--)
            {
                float* a = decays[t], before = t > 0 ? hs[t - 1] : initial;
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V g = NormJob.Load<S, V>(carried + c, n);
                    if (!dhs.IsNone)
                    {
                        g = S.Add(g, NormJob.Load<S, V>(dhs[t] + c, n));
                    }

                    V back = S.Mul(Simd.Exp<S, V>(NormJob.Load<S, V>(a + c, n)), g);
                    NormJob.Store<S, V>(back, carried + c, n);
                    if (!toX.IsNone)
                    {
                        NormJob.Put<S, V>(g, toX[t] + c, n, toX.Add);
                    }

                    if (!toA.IsNone)
                    {
                        NormJob.Put<S, V>(before == null ? S.Zero : S.Mul(back, NormJob.Load<S, V>(before + c, n)), toA[t] + c, n, toA.Add);
                    }
                }
            }

            PutState(carried, ToInitial, batch, from, length);
        }
    }

    private struct MaxPlusJob : IWideJob
    {
        public ChannelBlocks Cut;
        public Strided F, I, M, Initial, Final;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided fs = F.From(row, from), inputs = I.From(row, from), ms = M.From(row, from);
            float* before = Initial.IsNone ? null : Initial[batch] + from, final = Final[batch] + from;
            for (int t = 0; t < Cut.Time; t++)
            {
                float* f = fs[t], i = inputs[t], m = ms[t];
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V value = NormJob.Load<S, V>(i + c, n);
                    if (before != null)
                    {
                        value = S.Max(S.Add(NormJob.Load<S, V>(before + c, n), NormJob.Load<S, V>(f + c, n)), value);
                    }

                    NormJob.Store<S, V>(value, m + c, n);
                }

                before = m;
            }

            EndState(before, final, length, float.NegativeInfinity);
        }
    }

    /// <summary>With g_t the gradient of m_t, what comes from t + 1 included: all of it to i_t, or to f_t and m_{t-1}.</summary>
    private struct MaxPlusBackwardJob : IWideJob
    {
        public ChannelBlocks Cut;
        public Strided F, I, M, Initial, Dm, DFinal, ToF, ToI, ToInitial, Carried;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided fs = F.From(row, from), inputs = I.From(row, from), ms = M.From(row, from), dms = Dm.From(row, from);
            Strided toF = ToF.From(row, from), toI = ToI.From(row, from);
            float* carried = Carried[batch] + from, initial = Initial.IsNone ? null : Initial[batch] + from;
            EndState(DFinal.IsNone ? null : DFinal[batch] + from, carried, length, 0);
            for (int t = Cut.Time - 1; t >= 0; t--)
            {
                float* f = fs[t], i = inputs[t], before = t > 0 ? ms[t - 1] : initial;
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V g = NormJob.Load<S, V>(carried + c, n);
                    if (!dms.IsNone)
                    {
                        g = S.Add(g, NormJob.Load<S, V>(dms[t] + c, n));
                    }

                    V kept = before == null ? S.Zero
                        : S.SelectLess(NormJob.Load<S, V>(i + c, n), S.Add(NormJob.Load<S, V>(before + c, n), NormJob.Load<S, V>(f + c, n)), g, S.Zero);
                    NormJob.Store<S, V>(kept, carried + c, n);
                    if (!toF.IsNone)
                    {
                        NormJob.Put<S, V>(kept, toF[t] + c, n, toF.Add);
                    }

                    if (!toI.IsNone)
                    {
                        NormJob.Put<S, V>(S.Sub(g, kept), toI[t] + c, n, toI.Add); // g or 0, exactly
                    }
                }
            }

            PutState(carried, ToInitial, batch, from, length);
        }
    }

    /// <summary>Writes the state that a sequence ends with, or that it starts with: a copy, or a constant where there is none.</summary>
    private static void EndState(float* from, float* to, int length, float otherwise)
    {
        if (from == null)
        {
            Simd.Fill(to, length, otherwise);
        }
        else if (from != to)
        {
            Simd.Copy(1, length, from, length, to, length);
        }
    }

    private static void PutState(float* from, Strided target, int batch, int column, int length)
    {
        if (target.IsNone)
        {
            return;
        }

        float* to = target[batch] + column;
        if (target.Add)
        {
            Simd.Add(length, from, to);
        }
        else
        {
            Simd.Copy(1, length, from, length, to, length);
        }
    }
}
