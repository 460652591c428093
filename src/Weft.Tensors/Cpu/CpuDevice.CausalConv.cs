using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void CausalConv(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor y, Tensor? last)
    {
        var plan = new ConvPlan(x, weight, past, silu);
        plan.Place(Shared(plan.TableFloats + (plan.PointerFloats * Pool.Workers)), weight, bias);
        ConvJob job = new() { P = plan, Y = new Strided(y) };
        Pool.Run(ref job, plan.Items);
        if (last is not null)
        {
            KeepLast(x, past, last, plan.Kernel - 1);
        }

        CountFlops(2L * plan.Kernel * x.Shape.Count);
    }

    internal override void CausalConvBackward(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dweight, GradTarget dbias, GradTarget dpast)
    {
        var plan = new ConvPlan(x, weight, past, silu);
        long sums = (long)(plan.Kernel + 1) * plan.Padded, slopes = (long)(ConvPlan.Tile + plan.Kernel - 1) * ConvPlan.Strip;
        long tables = plan.TableFloats + (plan.PointerFloats * Pool.Workers);
        float* scratch = Shared(tables + (sums * plan.Items) + (slopes * Pool.Workers));
        plan.Place(scratch, weight, bias);
        ConvBackwardJob job = new()
        {
            P = plan, Sums = scratch + tables, SumsEach = sums, Slopes = scratch + tables + (sums * plan.Items), SlopesEach = slopes,
            Dy = new Strided(dy), Dlast = new Strided(dlast), Dx = new Strided(dx), Dpast = new Strided(dpast),
        };
        Pool.Run(ref job, plan.Items);

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

        /// <summary>bias + sum_j weight_j rows[j], at channels c .. of a token whose first row is rows[0].</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly V Sum<S, V>(float** rows, int c, int rest) where S : struct, ISimd<V> where V : unmanaged
        {
            V sum = S.Load(Bias + c);
            float* weight = Weights + c;
            for (int j = 0; j < Kernel; j++, weight += Padded)
            {
                sum = S.Fma(S.Load(weight), NormJob.Load<S, V>(rows[j] + c, rest), sum);
            }

            return sum;
        }
    }

    private struct ConvJob : IJob
    {
        public ConvPlan P;
        public Strided Y;

        public readonly void Run(int index, int worker)
        {
            if (Vector512.IsHardwareAccelerated)
            {
                Item<Simd512, Vector512<float>>(index, worker);
            }
            else if (Vector256.IsHardwareAccelerated)
            {
                Item<Simd256, Vector256<float>>(index, worker);
            }
            else
            {
                Item<Simd128, Vector128<float>>(index, worker);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Item<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            ConvPlan p = P;
            int batch = index / p.Tiles, start = index % p.Tiles * ConvPlan.Tile, end = Math.Min(p.Time, start + ConvPlan.Tile);
            float** rows = p.Rows(worker, batch, start, end);
            for (int t = start; t < end; t++, rows++)
            {
                float* y = Y[((long)batch * p.Time) + t];
                for (int c = 0; c < p.Channels; c += S.Count)
                {
                    int rest = p.Channels - c;
                    V value = p.Sum<S, V>(rows, c, rest);
                    NormJob.Store<S, V>(p.Silu ? Simd.Silu<S, V>(value) : value, y + c, rest);
                }
            }
        }
    }

    /// <summary>
    /// With u = bias + sum_j w_j x_{t-K+1+j} and du = dy act'(u): dx_t = sum_j w_j du_{t+K-1-j}, dw_j = sum_t du_t x_{t-K+1+j}.
    /// A tile computes du of its own tokens and of the K-1 after it, so that each writes only its own rows.
    /// </summary>
    private struct ConvBackwardJob : IJob
    {
        public ConvPlan P;
        public Strided Dy, Dlast, Dx, Dpast;
        public float* Sums, Slopes;
        public long SumsEach, SlopesEach;

        public readonly void Run(int index, int worker)
        {
            if (Vector512.IsHardwareAccelerated)
            {
                Item<Simd512, Vector512<float>>(index, worker);
            }
            else if (Vector256.IsHardwareAccelerated)
            {
                Item<Simd256, Vector256<float>>(index, worker);
            }
            else
            {
                Item<Simd128, Vector128<float>>(index, worker);
            }
        }

        private readonly void Item<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Tiles, start = index % P.Tiles * ConvPlan.Tile, end = Math.Min(P.Time, start + ConvPlan.Tile);
            int seen = Math.Min(P.Time, end + P.Kernel - 1);
            float** rows = P.Rows(worker, batch, start, seen);
            float* du = Slopes + (worker * SlopesEach), sums = Sums + (index * SumsEach);
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
                for (int c = 0; c < width; c += S.Count)
                {
                    int rest = width - c;
                    V slope = NormJob.Load<S, V>(dy + c, rest);
                    if (p.Silu)
                    {
                        slope = S.Mul(slope, SiluSlope<S, V>(p.Sum<S, V>(rows, first + c, rest)));
                    }

                    S.Store(slope, du + c);
                }
            }
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
                int taps = Math.Min(p.Kernel, t + p.Kernel); // outputs before the sequence are none of ours
                for (int c = 0; c < width; c += S.Count)
                {
                    int rest = width - c;
                    V sum = dlast is null ? S.Zero : NormJob.Load<S, V>(dlast + c, rest);
                    float* weight = p.Weights + first + c, slope = du + ((long)(t + before - start) * ConvPlan.Strip) + c;
                    for (int j = 0; j < taps; j++, weight += p.Padded, slope -= ConvPlan.Strip)
                    {
                        sum = S.Fma(S.Load(weight), S.Load(slope), sum);
                    }

                    NormJob.Put<S, V>(sum, to + c, rest, target.Add);
                }
            }
        }

        /// <summary>The tile's part of the gradients of the weights, and after them of the bias.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Weights<S, V>(float** rows, int tokens, int first, int width, float* du, float* sums) where S : struct, ISimd<V> where V : unmanaged
        {
            ConvPlan p = P;
            for (int c = 0; c < width; c += S.Count)
            {
                int rest = width - c;
                for (int j = 0; j <= p.Kernel; j++)
                {
                    V even = S.Zero, odd = S.Zero;
                    float* slope = du + c;
                    int t = 0;
                    for (; t < tokens - 1; t += 2, slope += 2 * ConvPlan.Strip)
                    {
                        V x0 = j == p.Kernel ? S.Create(1) : NormJob.Load<S, V>(rows[t + j] + first + c, rest);
                        V x1 = j == p.Kernel ? S.Create(1) : NormJob.Load<S, V>(rows[t + j + 1] + first + c, rest);
                        even = S.Fma(S.Load(slope), x0, even);
                        odd = S.Fma(S.Load(slope + ConvPlan.Strip), x1, odd);
                    }

                    if (t < tokens)
                    {
                        even = S.Fma(S.Load(slope), j == p.Kernel ? S.Create(1) : NormJob.Load<S, V>(rows[t + j] + first + c, rest), even);
                    }

                    S.Store(S.Add(even, odd), sums + ((long)j * p.Padded) + first + c);
                }
            }
        }
    }
}
