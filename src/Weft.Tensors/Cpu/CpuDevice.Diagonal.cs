using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Recurrences in which every channel goes by itself. They are bound by memory: about three streams forward and five backward, read and
/// written once, row by row. An item is a block of channels of one sequence; no result depends on the cut.
/// </summary>
public sealed unsafe partial class CpuDevice
{
    internal override void DiagonalRecurrence(in DiagonalInputs inputs, Tensor h, Tensor final)
    {
        using Timed timed = Measure([inputs.X, inputs.LogDecay, inputs.Initial, h, final]);
        switch (inputs.Input)
        {
            case DiagonalInput.Complement: Diagonal<ComplementWeight>(inputs, h, final); break;
            case DiagonalInput.UnitVariance: Diagonal<UnitVarianceWeight>(inputs, h, final); break;
            default: Diagonal<WholeWeight>(inputs, h, final); break;
        }

        CountFlops(h.Shape[0] * Ops.DiagonalRecurrenceFlops(h.Shape[1], h.Shape.Columns));
    }

    internal override void DiagonalRecurrenceBackward(in DiagonalInputs inputs, Tensor h, Tensor? dh, Tensor? dfinal,
        GradTarget dx, GradTarget dlogDecay, GradTarget dinitial)
    {
        using Timed timed = Measure([inputs.X, inputs.LogDecay, inputs.Initial, h, dh, dfinal, dx, dlogDecay, dinitial]);
        switch (inputs.Input)
        {
            case DiagonalInput.Complement: DiagonalBackward<ComplementWeight>(inputs, h, dh, dfinal, dx, dlogDecay, dinitial); break;
            case DiagonalInput.UnitVariance: DiagonalBackward<UnitVarianceWeight>(inputs, h, dh, dfinal, dx, dlogDecay, dinitial); break;
            default: DiagonalBackward<WholeWeight>(inputs, h, dh, dfinal, dx, dlogDecay, dinitial); break;
        }

        CountFlops(h.Shape[0] * 2 * Ops.DiagonalRecurrenceFlops(h.Shape[1], h.Shape.Columns));
    }

    private void Diagonal<W>(in DiagonalInputs inputs, Tensor h, Tensor final) where W : struct, IDecayWeight
    {
        DiagonalJob<W> job = new()
        {
            Cut = new ChannelBlocks(h.Shape, Pool.Workers),
            X = new Strided(inputs.X),
            A = new Strided(inputs.LogDecay),
            H = new Strided(h),
            Initial = new Strided(inputs.Initial),
            Final = new Strided(final),
            Restart = inputs.Restart,
        };
        Pool.RunWide(ref job, job.Cut.Count);
    }

    private void DiagonalBackward<W>(in DiagonalInputs inputs, Tensor h, Tensor? dh, Tensor? dfinal,
        GradTarget dx, GradTarget dlogDecay, GradTarget dinitial) where W : struct, IDecayWeight
    {
        DiagonalBackwardJob<W> job = new()
        {
            Cut = new ChannelBlocks(h.Shape, Pool.Workers),
            X = new Strided(inputs.X),
            A = new Strided(inputs.LogDecay),
            H = new Strided(h),
            Initial = new Strided(inputs.Initial),
            Dh = new Strided(dh),
            DFinal = new Strided(dfinal),
            ToX = new Strided(dx),
            ToA = new Strided(dlogDecay),
            ToInitial = new Strided(dinitial),
            Carried = new Strided(Shared((long)h.Shape[0] * h.Shape.Columns), h.Shape.Columns),
            Restart = inputs.Restart,
        };
        Pool.RunWide(ref job, job.Cut.Count);
    }

    internal override void MaxPlus(Tensor f, Tensor i, Tensor? initial, Tensor m, Tensor final)
    {
        using Timed timed = Measure([f, i, initial, m, final]);
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
        using Timed timed = Measure([f, i, initial, m, dm, dfinal, df, di, dinitial]);
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

    /// <summary>What an input is multiplied by, as a function of the log decay a; with a decay at hand.</summary>
    private interface IDecayWeight
    {
        /// <summary>e^a, and the weight w.</summary>
        static abstract (V Decay, V Weight) Of<S, V>(V a) where S : struct, ISimd<V> where V : unmanaged;

        /// <summary>dw / da.</summary>
        static abstract V Slope<S, V>(V decay, V weight) where S : struct, ISimd<V> where V : unmanaged;
    }

    private readonly struct WholeWeight : IDecayWeight
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (V Decay, V Weight) Of<S, V>(V a) where S : struct, ISimd<V> where V : unmanaged => (Simd.Exp<S, V>(a), S.Create(1));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Slope<S, V>(V decay, V weight) where S : struct, ISimd<V> where V : unmanaged => S.Zero;
    }

    private readonly struct ComplementWeight : IDecayWeight
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (V Decay, V Weight) Of<S, V>(V a) where S : struct, ISimd<V> where V : unmanaged
        {
            V weight = S.Sub(S.Zero, Simd.Expm1<S, V>(a, out V decay));
            return (decay, weight);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Slope<S, V>(V decay, V weight) where S : struct, ISimd<V> where V : unmanaged => S.Sub(S.Zero, decay);
    }

    // w = sqrt(1 - e^2a) = sqrt((1 - e^a)(1 + e^a)); dw/da = -e^2a / w, w not below 0.0005: the root's slope 1 / (2 w) is at most 1000.
    private readonly struct UnitVarianceWeight : IDecayWeight
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (V Decay, V Weight) Of<S, V>(V a) where S : struct, ISimd<V> where V : unmanaged
        {
            V u = Simd.Expm1<S, V>(a, out V decay);
            return (decay, S.Sqrt(S.Mul(S.Sub(S.Zero, u), S.Add(decay, S.Create(1)))));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Slope<S, V>(V decay, V weight) where S : struct, ISimd<V> where V : unmanaged =>
            S.Div(S.Mul(S.Sub(S.Zero, decay), decay), S.Max(weight, S.Create(0.0005f)));
    }

    private struct DiagonalJob<W> : IWideJob where W : struct, IDecayWeight
    {
        public ChannelBlocks Cut;
        public Strided X, A, H, Initial, Final;
        public bool Restart;

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
                bool restart = Restart && t == 0;
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V value = Simd.LoadUpTo<S, V>(x + c, n);
                    if (!restart)
                    {
                        (V decay, V weight) = W.Of<S, V>(Simd.LoadUpTo<S, V>(a + c, n));
                        value = S.Mul(weight, value);
                        value = before == null ? value : S.Fma(decay, Simd.LoadUpTo<S, V>(before + c, n), value);
                    }

                    Simd.StoreUpTo<S, V>(value, h + c, n);
                }

                before = h;
            }

            EndState(before, final, length, 0);
        }
    }

    /// <summary>
    /// With g_t the gradient of h_t, what comes from t + 1 included: dx_t = w g_t, da_t = g_t (exp(a_t) h_{t-1} + w' x_t), and
    /// exp(a_t) g_t goes on to t - 1.
    /// </summary>
    private struct DiagonalBackwardJob<W> : IWideJob where W : struct, IDecayWeight
    {
        public ChannelBlocks Cut;
        public Strided X, A, H, Initial, Dh, DFinal, ToX, ToA, ToInitial, Carried;
        public bool Restart;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int batch, int from, int length) = Cut[index];
            long row = (long)batch * Cut.Time;
            Strided xs = X.From(row, from), decays = A.From(row, from), hs = H.From(row, from), dhs = Dh.From(row, from);
            Strided toX = ToX.From(row, from), toA = ToA.From(row, from);
            float* carried = Carried[batch] + from, initial = Initial.IsNone ? null : Initial[batch] + from;
            EndState(DFinal.IsNone ? null : DFinal[batch] + from, carried, length, 0);
            for (int t = Cut.Time - 1; t >= 0; t--)
            {
                float* x = xs[t], a = decays[t], before = t > 0 ? hs[t - 1] : initial, dh = dhs.IsNone ? null : dhs[t];
                bool restart = Restart && t == 0;
                for (int c = 0; c < length; c += S.Count)
                {
                    int n = length - c;
                    V g = Simd.LoadUpTo<S, V>(carried + c, n);
                    if (dh != null)
                    {
                        g = S.Add(g, Simd.LoadUpTo<S, V>(dh + c, n));
                    }

                    V dx = g, da = S.Zero, back = S.Zero;
                    if (!restart)
                    {
                        (V decay, V weight) = W.Of<S, V>(Simd.LoadUpTo<S, V>(a + c, n));
                        back = S.Mul(decay, g);
                        dx = S.Mul(weight, g);
                        da = S.Mul(S.Mul(W.Slope<S, V>(decay, weight), Simd.LoadUpTo<S, V>(x + c, n)), g);
                        da = before == null ? da : S.Fma(back, Simd.LoadUpTo<S, V>(before + c, n), da);
                    }

                    Simd.StoreUpTo<S, V>(back, carried + c, n);
                    if (!toX.IsNone)
                    {
                        Simd.StoreUpTo<S, V>(dx, toX[t] + c, n, toX.Add);
                    }

                    if (!toA.IsNone)
                    {
                        Simd.StoreUpTo<S, V>(da, toA[t] + c, n, toA.Add);
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
                    V value = Simd.LoadUpTo<S, V>(i + c, n);
                    if (before != null)
                    {
                        value = S.Max(S.Add(Simd.LoadUpTo<S, V>(before + c, n), Simd.LoadUpTo<S, V>(f + c, n)), value);
                    }

                    Simd.StoreUpTo<S, V>(value, m + c, n);
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
                    V g = Simd.LoadUpTo<S, V>(carried + c, n);
                    if (!dms.IsNone)
                    {
                        g = S.Add(g, Simd.LoadUpTo<S, V>(dms[t] + c, n));
                    }

                    V kept = before == null ? S.Zero
                        : S.SelectLess(Simd.LoadUpTo<S, V>(i + c, n), S.Add(Simd.LoadUpTo<S, V>(before + c, n), Simd.LoadUpTo<S, V>(f + c, n)), g, S.Zero);
                    Simd.StoreUpTo<S, V>(kept, carried + c, n);
                    if (!toF.IsNone)
                    {
                        Simd.StoreUpTo<S, V>(kept, toF[t] + c, n, toF.Add);
                    }

                    if (!toI.IsNone)
                    {
                        Simd.StoreUpTo<S, V>(S.Sub(g, kept), toI[t] + c, n, toI.Add); // g or 0, exactly
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
