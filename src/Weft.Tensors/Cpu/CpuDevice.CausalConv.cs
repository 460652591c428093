using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void CausalConv(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor y, Tensor? last)
    {
        using Timed timed = Measure([x, weight, bias, past, y, last]);
        var plan = new ConvPlan(x, weight, past, silu);
        plan.Place(Shared(plan.TableFloats + (plan.PointerFloats * Pool.Workers)), weight, bias);
        ConvJob job = new() { P = plan, Y = new Strided(y) };
        Pool.RunWide(ref job, plan.Items);
        if (last is not null)
        {
            KeepLast(x, past, last, plan.Kernel - 1);
        }

        CountFlops(2L * plan.Kernel * x.Shape.Count);
    }

    internal override void CausalConvBackward(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dweight, GradTarget dbias, GradTarget dpast)
    {
        using Timed timed = Measure([x, weight, bias, past, dy, dlast, dx, dweight, dbias, dpast]);
        var plan = new ConvPlan(x, weight, past, silu);
        long sums = (long)(plan.Kernel + 1) * plan.Padded, slopes = (long)(ConvPlan.Tile + plan.Kernel - 1) * ConvPlan.Strip;
        long tables = plan.TableFloats + (plan.PointerFloats * Pool.Workers);
        float* scratch = Shared(tables + (sums * plan.Items) + (slopes * Pool.Workers));
        plan.Place(scratch, weight, bias);
        ConvBackwardJob job = new()
        {
            P = plan,
            Sums = scratch + tables,
            SumsEach = sums,
            Slopes = scratch + tables + (sums * plan.Items),
            SlopesEach = slopes,
            Dy = new Strided(dy),
            Dlast = new Strided(dlast),
            Dx = new Strided(dx),
            Dpast = new Strided(dpast),
        };
        Pool.RunWide(ref job, plan.Items);

        // The parts of the tiles, added up in their order.
        for (int item = 1; item < plan.Items; item++)
        {
            Simd.Add((nint)sums, job.Sums + (item * sums), job.Sums);
        }

        if (dweight.Tensor is { } toWeight)
        {
            for (int c = 0; c < plan.Channels; c++)
            {
                Span<float> row = Row(toWeight, c);
                for (int j = 0; j < plan.Kernel; j++)
                {
                    row[j] = job.Sums[((long)j * plan.Padded) + c] + (dweight.Accumulate ? row[j] : 0);
                }
            }
        }

        if (dbias.Tensor is { } toBias)
        {
            float* from = job.Sums + ((long)plan.Kernel * plan.Padded);
            for (int c = 0; c < plan.Channels; c++)
            {
                toBias.Pointer[c] = from[c] + (dbias.Accumulate ? toBias.Pointer[c] : 0);
            }
        }

        CountFlops(4L * plan.Kernel * x.Shape.Count);
    }

    /// <summary>last = the final rows of past followed by x; rows move towards the front, so that last may be past.</summary>
    private static void KeepLast(Tensor x, Tensor? past, Tensor last, int rows)
    {
        int time = x.Shape[1];
        for (int b = 0; b < x.Shape[0]; b++)
        {
            for (int i = 0; i < rows; i++)
            {
                Span<float> to = Row(last, (b * rows) + i);
                int at = i + time - rows; // in x; before its start, in past
                if (at >= 0)
                {
                    Row(x, (b * time) + at).CopyTo(to);
                }
                else if (past is not null)
                {
                    Row(past, (b * rows) + rows + at).CopyTo(to);
                }
                else
                {
                    to.Clear();
                }
            }
        }
    }

    /// <summary>A causal convolution cut into items: a tile of tokens of one sequence, all channels.</summary>
    private struct ConvPlan
    {
        public const int Tile = 64;   // tokens
        public const int Ahead = 32;  // channels from those in hand to those asked for: two cache lines
        public const int Strip = 128; // channels whose gradients are held at a time: with a tile's tokens they fit L1

        public readonly Strided X, Past;
        public readonly int Time, Channels, Padded, Kernel, Tiles, Items;
        public readonly bool Silu;

        /// <summary>The weights by tap [K, padded channels], the bias, and a row of zeros.</summary>
        public float* Weights, Bias, Zeros;
        private float* pointers;

        public ConvPlan(Tensor x, Tensor weight, Tensor? past, bool silu)
        {
            (X, Past) = (new Strided(x), new Strided(past));
            (Time, Channels, Kernel, Silu) = (x.Shape[1], x.Shape.Columns, weight.Shape.Columns, silu);
            Padded = (Channels + 15) / 16 * 16;
            Tiles = (Time + Tile - 1) / Tile;
            Items = x.Shape[0] * Tiles;
        }

        public readonly long TableFloats => (Kernel + 2L) * Padded;

        /// <summary>Room for the addresses of a tile's rows, those before and after it that it sees included: in floats.</summary>
        public readonly long PointerFloats => (Tile + (2 * (Kernel - 1)) + 15) / 16 * 16 * (sizeof(nint) / sizeof(float));

        public void Place(float* memory, Tensor weight, Tensor? bias)
        {
            Weights = memory;
            Bias = memory + ((long)Kernel * Padded);
            Zeros = Bias + Padded;
            pointers = memory + TableFloats;
            SmallGemm.Transpose(Channels, Kernel, weight.Pointer, weight.RowStride, Weights, Padded);
            new Span<float>(Bias, 2 * Padded).Clear();
            if (bias is not null)
            {
                new ReadOnlySpan<float>(bias.Pointer, Channels).CopyTo(new Span<float>(Bias, Channels));
            }
        }

        /// <summary>The addresses of input rows start - (K-1) .. end - 1 of a sequence; those before it are the past's, or zeros.</summary>
        public readonly float** Rows(int worker, int batch, int start, int end)
        {
            float** rows = (float**)(pointers + (worker * PointerFloats));
            for (int t = start - Kernel + 1, i = 0; t < end; t++, i++)
            {
                rows[i] = t >= 0 ? X[((long)batch * Time) + t]
                    : Past.IsNone ? Zeros
                    : Past[((long)batch * (Kernel - 1)) + Kernel - 1 + t];
            }

            return rows;
        }

        /// <summary>bias + sum_j weight_j rows[j], at channels c .. (the last of them only <paramref name="rest"/>) of a token whose first row is rows[0].</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly V Sum<S, V, C>(float** rows, nint c, int rest) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V sum = S.Load(Bias + c);
            float* weight = Weights + c;
            for (int j = 0; j < Kernel; j++, weight += Padded)
            {
                sum = S.Fma(S.Load(weight), Simd.Load<S, V, C>(rows[j] + c, rest), sum);
            }

            return sum;
        }
    }

    private struct ConvJob : IWideJob
    {
        public ConvPlan P;
        public Strided Y;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Tiles, start = index % P.Tiles * ConvPlan.Tile, end = Math.Min(P.Time, start + ConvPlan.Tile);
            float** rows = P.Rows(worker, batch, start, end);
            Strided y = Y.From(((long)batch * P.Time) + start);
            switch (P.Kernel)
            {
                case 2: Windows<S, V, Rows2>(rows, end - start, y); break;
                case 3: Windows<S, V, Rows3>(rows, end - start, y); break;
                case 4: Windows<S, V, Rows4>(rows, end - start, y); break;
                default: Longer<S, V>(rows, end - start, y); break;
            }
        }

        /// <summary>Two to four taps: a vector of channels at a time, whose weights and last inputs stay in registers along the tokens.</summary>
        private readonly void Windows<S, V, K>(float** rows, int tokens, Strided y) where S : struct, ISimd<V> where V : unmanaged where K : struct, IRows
        {
            int c = 0;
            for (; c <= P.Channels - S.Count; c += S.Count)
            {
                Window<S, V, K, OneVector>(rows, tokens, c, 0, y.At + c, y.Stride);
            }

            if (c < P.Channels)
            {
                Window<S, V, K, PartVector>(rows, tokens, c, P.Channels - c, y.At + c, y.Stride);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Window<S, V, K, C>(float** rows, int tokens, nint c, int rest, float* y, long stride)
            where S : struct, ISimd<V> where V : unmanaged where K : struct, IRows where C : struct, IColumns
        {
            var taps = new Taps<S, V, K>(P, c);
            V x0 = Simd.Load<S, V, C>(rows[0] + c, rest);
            V x1 = K.Count > 2 ? Simd.Load<S, V, C>(rows[1] + c, rest) : S.Zero, x2 = K.Count > 3 ? Simd.Load<S, V, C>(rows[2] + c, rest) : S.Zero;
            bool silu = P.Silu;
            rows += K.Count - 1;
            for (int t = 0; t < tokens; t++, y += stride)
            {
                float* row = rows[t] + c;
                Simd.Prefetch(row + ConvPlan.Ahead);
                V x = Simd.Load<S, V, C>(row, rest), sum = taps.Sum(x0, x1, x2, x);
                Simd.Store<S, V, C>(silu ? Simd.Silu<S, V>(sum) : sum, y, rest);
                Taps<S, V, K>.Shift(ref x0, ref x1, ref x2, x);
            }
        }

        /// <summary>Any number of taps: token by token.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Longer<S, V>(float** rows, int tokens, Strided to) where S : struct, ISimd<V> where V : unmanaged
        {
            ConvPlan p = P;
            for (int t = 0; t < tokens; t++, rows++)
            {
                float* y = to[t];
                nint c = 0;
                for (; c <= p.Channels - S.Count; c += S.Count)
                {
                    Output<S, V, OneVector>(p, rows, c, 0, y);
                }

                if (c < p.Channels)
                {
                    Output<S, V, PartVector>(p, rows, c, p.Channels - (int)c, y);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Output<S, V, C>(in ConvPlan p, float** rows, nint c, int rest, float* y) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V value = p.Sum<S, V, C>(rows, c, rest);
            Simd.Store<S, V, C>(p.Silu ? Simd.Silu<S, V>(value) : value, y + c, rest);
        }
    }

    /// <summary>The bias and the K weights, 2 to 4, of one vector of channels: held in registers; missing ones are never read.</summary>
    private readonly struct Taps<S, V, K> where S : struct, ISimd<V> where V : unmanaged where K : struct, IRows
    {
        private readonly V bias, w0, w1, w2, w3;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Taps(in ConvPlan p, nint c)
        {
            float* weights = p.Weights + c;
            bias = S.Load(p.Bias + c);
            w0 = S.Load(weights);
            w1 = S.Load(weights + p.Padded);
            w2 = K.Count > 2 ? S.Load(weights + (2 * p.Padded)) : S.Zero;
            w3 = K.Count > 3 ? S.Load(weights + (3 * p.Padded)) : S.Zero;
        }

        /// <summary>bias + w_0 x_0 + .., the last weight's x being <paramref name="x"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Sum(V x0, V x1, V x2, V x) => S.Fma(Last, x, Before(x0, x1, x2, bias));

        /// <summary>w_0 du_t + w_1 du_{t-1} + ..: the gradient of input t - K + 1, added to <paramref name="sum"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Back(V d, V d1, V d2, V d3, V sum)
        {
            sum = S.Fma(w1, d1, S.Fma(w0, d, sum));
            sum = K.Count > 2 ? S.Fma(w2, d2, sum) : sum;
            return K.Count > 3 ? S.Fma(w3, d3, sum) : sum;
        }

        /// <summary>The window one token on.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Shift(ref V x0, ref V x1, ref V x2, V x)
        {
            x0 = K.Count == 2 ? x : x1;
            x1 = K.Count == 3 ? x : x2;
            x2 = x;
        }

        private V Last
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => K.Count == 2 ? w1 : K.Count == 3 ? w2 : w3;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private V Before(V x0, V x1, V x2, V sum)
        {
            sum = S.Fma(w0, x0, sum);
            sum = K.Count > 2 ? S.Fma(w1, x1, sum) : sum;
            return K.Count > 3 ? S.Fma(w2, x2, sum) : sum;
        }
    }

    /// <summary>
    /// With u = bias + sum_j w_j x_{t-K+1+j} and du = dy act'(u): dx_t = sum_j w_j du_{t+K-1-j}, dw_j = sum_t du_t x_{t-K+1+j}.
    /// A tile computes du of its own tokens and of the K-1 after it, so that each writes only its own rows.
    /// </summary>
    private struct ConvBackwardJob : IWideJob
    {
        public ConvPlan P;
        public Strided Dy, Dlast, Dx, Dpast;
        public float* Sums, Slopes;
        public long SumsEach, SlopesEach;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Tiles, start = index % P.Tiles * ConvPlan.Tile, end = Math.Min(P.Time, start + ConvPlan.Tile);
            int seen = Math.Min(P.Time, end + P.Kernel - 1);
            float** rows = P.Rows(worker, batch, start, seen);
            float* sums = Sums + (index * SumsEach);
            switch (P.Kernel)
            {
                case 2: Windows<S, V, Rows2>(rows, batch, start, end, sums); break;
                case 3: Windows<S, V, Rows3>(rows, batch, start, end, sums); break;
                case 4: Windows<S, V, Rows4>(rows, batch, start, end, sums); break;
                default: Longer<S, V>(rows, batch, start, end, seen, Slopes + (worker * SlopesEach), sums); break;
            }
        }

        /// <summary>Two to four taps: a vector of channels at a time, in one pass along the tokens.</summary>
        private readonly void Windows<S, V, K>(float** rows, int batch, int start, int end, float* sums) where S : struct, ISimd<V> where V : unmanaged where K : struct, IRows
        {
            int c = 0;
            for (; c <= P.Channels - S.Count; c += S.Count)
            {
                Window<S, V, K, OneVector>(rows, batch, start, end, c, 0, sums + c);
            }

            if (c < P.Channels)
            {
                Window<S, V, K, PartVector>(rows, batch, start, end, c, P.Channels - c, sums + c);
            }
        }

        /// <summary>At token t, du_t from its window; that makes dx_{t-K+1} whole, which is written.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Window<S, V, K, C>(float** rows, int batch, int start, int end, int c, int rest, float* sums)
            where S : struct, ISimd<V> where V : unmanaged where K : struct, IRows where C : struct, IColumns
        {
            int before = K.Count - 1, time = P.Time, slopes = Dy.IsNone ? 0 : time;
            long first = (long)batch * time;
            bool silu = P.Silu;
            Strided dy = Dy.From(first, c), dx = Dx.From(first, c), dpast = Dpast.From((long)batch * before, c), dlast = Dlast.From((long)batch * before, c);
            var taps = new Taps<S, V, K>(P, c);
            V x0 = Simd.Load<S, V, C>(rows[0] + c, rest);
            V x1 = K.Count > 2 ? Simd.Load<S, V, C>(rows[1] + c, rest) : S.Zero, x2 = K.Count > 3 ? Simd.Load<S, V, C>(rows[2] + c, rest) : S.Zero;
            V d1 = S.Zero, d2 = S.Zero, d3 = S.Zero, s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero, bias = S.Zero;
            rows += before - start;
            for (int t = start; t < end + before; t++)
            {
                V d = S.Zero;
                if (t < slopes)
                {
                    float* row = rows[t] + c, slope = dy[t];
                    Simd.Prefetch(row + ConvPlan.Ahead);
                    Simd.Prefetch(slope + ConvPlan.Ahead);
                    V x = Simd.Load<S, V, C>(row, rest);
                    d = Simd.Load<S, V, C>(slope, rest);
                    d = silu ? S.Mul(d, SiluSlope<S, V>(taps.Sum(x0, x1, x2, x))) : d;
                    if (t < end)
                    {
                        s0 = S.Fma(d, x0, s0);
                        s1 = S.Fma(d, K.Count == 2 ? x : x1, s1);
                        s2 = K.Count > 2 ? S.Fma(d, K.Count == 3 ? x : x2, s2) : s2;
                        s3 = K.Count > 3 ? S.Fma(d, x, s3) : s3;
                        bias = S.Add(bias, d);
                    }

                    Taps<S, V, K>.Shift(ref x0, ref x1, ref x2, x);
                }

                int done = t - before;
                if (done >= start && !dx.IsNone)
                {
                    float* to = dx[done];
                    Simd.Prefetch(to + ConvPlan.Ahead);
                    V sum = done < time - before || dlast.IsNone ? S.Zero : Simd.Load<S, V, C>(dlast[done - time + before], rest);
                    Simd.Store<S, V, C>(taps.Back(d, d1, d2, d3, sum), to, rest, dx.Add);
                }
                else if (done < 0 && !dpast.IsNone)
                {
                    V sum = done < time - before || dlast.IsNone ? S.Zero : Simd.Load<S, V, C>(dlast[done - time + before], rest);
                    Simd.Store<S, V, C>(taps.Back(d, d1, d2, d3, sum), dpast[before + done], rest, dpast.Add);
                }

                (d3, d2, d1) = (d2, d1, d);
            }

            S.Store(s0, sums);
            S.Store(s1, sums + P.Padded);
            if (K.Count > 2)
            {
                S.Store(s2, sums + (2L * P.Padded));
            }

            if (K.Count > 3)
            {
                S.Store(s3, sums + (3L * P.Padded));
            }

            S.Store(bias, sums + ((long)K.Count * P.Padded));
        }

        /// <summary>Any number of taps: a strip of channels at a time, its du first.</summary>
        private readonly void Longer<S, V>(float** rows, int batch, int start, int end, int seen, float* du, float* sums) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int c = 0; c < P.Channels; c += ConvPlan.Strip)
            {
                int width = Math.Min(ConvPlan.Strip, P.Channels - c);
                PreActivation<S, V>(rows, batch, start, end, seen, c, width, du);
                Inputs<S, V>(batch, start, end, c, width, du);
                Weights<S, V>(rows, end - start, c, width, du, sums);
            }
        }

        /// <summary>du of tokens start .. end + K - 2, zeros past the sequence's end: a row of <see cref="ConvPlan.Strip"/> each.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void PreActivation<S, V>(float** rows, int batch, int start, int end, int seen, int first, int width, float* du) where S : struct, ISimd<V> where V : unmanaged
        {
            ConvPlan p = P;
            for (int t = start; t < end + p.Kernel - 1; t++, rows++, du += ConvPlan.Strip)
            {
                if (t >= seen || Dy.IsNone)
                {
                    new Span<float>(du, ConvPlan.Strip).Clear();
                    continue;
                }

                float* dy = Dy[((long)batch * p.Time) + t] + first;
                nint c = 0;
                for (; c <= width - S.Count; c += S.Count)
                {
                    S.Store(Slope<S, V, OneVector>(p, rows, first + c, 0, dy + c), du + c);
                }

                if (c < width)
                {
                    S.Store(Slope<S, V, PartVector>(p, rows, first + c, width - (int)c, dy + c), du + c);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Slope<S, V, C>(in ConvPlan p, float** rows, nint c, int rest, float* dy) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V slope = Simd.Load<S, V, C>(dy, rest);
            return p.Silu ? S.Mul(slope, SiluSlope<S, V>(p.Sum<S, V, C>(rows, c, rest))) : slope;
        }

        /// <summary>The gradients of input rows start .. end - 1; the first tile's, of those before the sequence too.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Inputs<S, V>(int batch, int start, int end, int first, int width, float* du) where S : struct, ISimd<V> where V : unmanaged
        {
            ConvPlan p = P;
            int before = p.Kernel - 1;
            for (int t = start == 0 ? -before : start; t < end; t++)
            {
                Strided target = t >= 0 ? Dx : Dpast;
                if (target.IsNone)
                {
                    continue;
                }

                float* to = target[t >= 0 ? ((long)batch * p.Time) + t : ((long)batch * before) + before + t] + first;
                int kept = t - (p.Time - before); // the last K-1 of past and sequence joined go on to the next call
                float* dlast = Dlast.IsNone || kept < 0 ? null : Dlast[((long)batch * before) + kept] + first;
                float* slopes = du + ((long)(t + before - start) * ConvPlan.Strip), weights = p.Weights + first;
                int taps = Math.Min(p.Kernel, t + p.Kernel); // outputs before the sequence are none of ours
                nint c = 0;
                for (; c <= width - S.Count; c += S.Count)
                {
                    Input<S, V, OneVector>(weights + c, p.Padded, slopes + c, taps, dlast is null ? null : dlast + c, 0, to + c, target.Add);
                }

                if (c < width)
                {
                    Input<S, V, PartVector>(weights + c, p.Padded, slopes + c, taps, dlast is null ? null : dlast + c, width - (int)c, to + c, target.Add);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Input<S, V, C>(float* weight, int padded, float* slope, int taps, float* dlast, int rest, float* to, bool add)
            where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V sum = dlast is null ? S.Zero : Simd.Load<S, V, C>(dlast, rest);
            for (int j = 0; j < taps; j++, weight += padded, slope -= ConvPlan.Strip)
            {
                sum = S.Fma(S.Load(weight), S.Load(slope), sum);
            }

            Simd.Store<S, V, C>(add ? S.Add(sum, Simd.Load<S, V, C>(to, rest)) : sum, to, rest);
        }

        /// <summary>The tile's part of the gradients of the weights, and after them of the bias.</summary>
        private readonly void Weights<S, V>(float** rows, int tokens, int first, int width, float* du, float* sums) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int c = 0; c < width; c += S.Count)
            {
                float* to = sums + first + c;
                if (width - c >= S.Count)
                {
                    TapSums<S, V, OneVector>(rows, tokens, first + c, 0, du + c, to);
                }
                else
                {
                    TapSums<S, V, PartVector>(rows, tokens, first + c, width - c, du + c, to);
                }
            }
        }

        /// <summary>sums_j = sum_t du_t rows[t + j] at one vector of channels, four taps at a time; and the sum of du itself.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void TapSums<S, V, C>(float** rows, int tokens, nint c, int rest, float* du, float* sums) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            int kernel = P.Kernel, padded = P.Padded, j = 0;
            V bias = S.Zero;
            for (; j < kernel; j += 4)
            {
                // A group that is not full counts its last tap again, and drops it.
                int left = kernel - j, j1 = left > 1 ? 1 : 0, j2 = left > 2 ? 2 : j1, j3 = left > 3 ? 3 : j2;
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
                bias = S.Zero;
                float** row = rows + j;
                float* slope = du;
                for (int t = 0; t < tokens; t++, row++, slope += ConvPlan.Strip)
                {
                    V d = S.Load(slope);
                    s0 = S.Fma(d, Simd.Load<S, V, C>(row[0] + c, rest), s0);
                    s1 = S.Fma(d, Simd.Load<S, V, C>(row[j1] + c, rest), s1);
                    s2 = S.Fma(d, Simd.Load<S, V, C>(row[j2] + c, rest), s2);
                    s3 = S.Fma(d, Simd.Load<S, V, C>(row[j3] + c, rest), s3);
                    bias = S.Add(bias, d);
                }

                float* to = sums + ((long)j * padded);
                S.Store(s0, to);
                if (left > 1)
                {
                    S.Store(s1, to + padded);
                }

                if (left > 2)
                {
                    S.Store(s2, to + (2L * padded));
                }

                if (left > 3)
                {
                    S.Store(s3, to + (3L * padded));
                }
            }

            S.Store(bias, sums + ((long)kernel * padded));
        }
    }
}
