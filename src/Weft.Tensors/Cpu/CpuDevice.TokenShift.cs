using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>Tokens of a part of the token shift: results do not depend on which thread takes it.</summary>
    private const int ShiftTokens = 128;

    internal override void TokenShift(Tensor x, Tensor mix, Tensor? past, Tensor y, Tensor last)
    {
        using Timed timed = Measure([x, mix, past, y, last]);
        TokenShiftJob job = TokenShiftJob.Of(x, mix, past);
        job.Y = new Strided(y);
        job.Zeros = Pool.Scratch(0, job.Columns);
        Simd.Fill(job.Zeros, job.Columns, 0);
        Pool.RunWide(ref job, x.Shape[0] * job.Parts);
        for (int b = 0; b < x.Shape[0]; b++)
        {
            Simd.Copy(1, job.Columns, job.X[((long)b * job.Time) + job.Time - 1], job.Columns, last.Pointer + ((long)b * job.Columns), job.Columns);
        }
    }

    internal override void TokenShiftBackward(Tensor x, Tensor mix, Tensor? past, Tensor dy, Tensor? dlast, GradTarget dx, GradTarget dmix, GradTarget dpast)
    {
        using Timed timed = Measure([x, mix, past, dy, dlast, dx, dmix, dpast]);
        TokenShiftBackwardJob job = new()
        {
            N = TokenShiftJob.Of(x, mix, past),
            Dy = new Strided(dy),
            Dlast = dlast is null ? null : dlast.Pointer,
            Dx = new Strided(dx),
            Dpast = new Strided(dpast),
        };
        int columns = job.N.Columns, each = (job.N.Rows + 1) * columns, parts = x.Shape[0] * job.N.Parts;
        float* scratch = Pool.Scratch(0, ((nint)each * parts) + columns);
        Simd.Fill(scratch, ((nint)each * parts) + columns, 0);
        job.Sums = scratch;
        job.N.Zeros = scratch + ((long)each * parts);
        Pool.RunWide(ref job, parts);
        if (dmix.Tensor is { } target)
        {
            int size = job.N.Rows * columns;
            if (!dmix.Accumulate)
            {
                Simd.Fill(target.Pointer, size, 0);
            }

            for (int part = 0; part < parts; part++)
            {
                Simd.Add(size, scratch + ((long)part * each), target.Pointer);
            }
        }
    }

    /// <summary>The forward pass: some tokens of a sequence an index.</summary>
    private struct TokenShiftJob : IWideJob
    {
        public Strided X, Y;
        public float* Mix, Past, Zeros;
        public int Time, Columns, Rows, Parts; // Rows: of mix

        public static TokenShiftJob Of(Tensor x, Tensor mix, Tensor? past) => new()
        {
            X = new Strided(x),
            Mix = mix.Pointer,
            Past = past is null ? null : past.Pointer,
            Time = x.Shape[1],
            Columns = x.Shape.Columns,
            Rows = mix.Shape[0],
            Parts = (x.Shape[1] + ShiftTokens - 1) / ShiftTokens,
        };

        /// <summary>The token before token t of sequence b.</summary>
        public readonly float* Before(int b, int t) => t > 0 ? X[((long)b * Time) + t - 1] : Past == null ? Zeros : Past + ((long)b * Columns);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int b = index / Parts, start = index % Parts * ShiftTokens;
            for (int t = start; t < Math.Min(Time, start + ShiftTokens); t++)
            {
                long row = ((long)b * Time) + t;
                float* x = X[row], before = Before(b, t), y = Y[row];
                for (int i = 0; i < Rows; i++, y += Columns)
                {
                    float* mix = Mix + ((long)i * Columns);
                    for (int c = 0; c < Columns; c += S.Count)
                    {
                        int n = Columns - c;
                        V now = Simd.LoadUpTo<S, V>(x + c, n), step = S.Sub(Simd.LoadUpTo<S, V>(before + c, n), now);
                        Simd.StoreUpTo<S, V>(S.Fma(Simd.LoadUpTo<S, V>(mix + c, n), step, now), y + c, n);
                    }
                }
            }
        }
    }

    /// <summary>The backward pass: some tokens of a sequence an index, the last first, so that what a token passes to the one before is at hand.</summary>
    private struct TokenShiftBackwardJob : IWideJob
    {
        public TokenShiftJob N;
        public Strided Dy, Dx, Dpast;
        public float* Dlast;
        public float* Sums; // a part each: the gradient of mix [n,D], then what its first token passes back [D]

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int b = index / N.Parts, start = index % N.Parts * ShiftTokens, end = Math.Min(N.Time, start + ShiftTokens), size = N.Rows * N.Columns;
            float* sums = Sums + ((long)index * (size + N.Columns)), passed = sums + size;
            long first = (long)b * N.Time;
            if (end < N.Time)
            {
                for (int i = 0; i < N.Rows; i++)
                {
                    Passed<S, V>(Dy[first + end] + ((long)i * N.Columns), N.Mix + ((long)i * N.Columns), passed);
                }
            }
            else if (Dlast != null)
            {
                Simd.Add(N.Columns, Dlast + ((long)b * N.Columns), passed);
            }

            for (int t = end - 1; t >= start; t--)
            {
                Token<S, V>(N.X[first + t], N.Before(b, t), Dy[first + t], Dx.IsNone ? null : Dx[first + t], sums, passed);
            }

            if (start == 0 && !Dpast.IsNone)
            {
                if (!Dpast.Add)
                {
                    Simd.Fill(Dpast[b], N.Columns, 0);
                }

                Simd.Add(N.Columns, passed, Dpast[b]);
            }
        }

        /// <summary>passed += dy mix.</summary>
        private readonly void Passed<S, V>(float* dy, float* mix, float* passed) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int c = 0; c < N.Columns; c += S.Count)
            {
                int n = N.Columns - c;
                Simd.StoreUpTo<S, V>(S.Fma(Simd.LoadUpTo<S, V>(dy + c, n), Simd.LoadUpTo<S, V>(mix + c, n), Simd.LoadUpTo<S, V>(passed + c, n)), passed + c, n);
            }
        }

        /// <summary>A token's gradient, what it passes to the token before in the place of what was passed to it, and its share of mix's.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Token<S, V>(float* x, float* before, float* dy, float* dx, float* sums, float* passed) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int c = 0; c < N.Columns; c += S.Count)
            {
                int n = N.Columns - c;
                V step = S.Sub(Simd.LoadUpTo<S, V>(before + c, n), Simd.LoadUpTo<S, V>(x + c, n)), kept = Simd.LoadUpTo<S, V>(passed + c, n), next = S.Zero;
                for (int i = 0, at = c; i < N.Rows; i++, at += N.Columns)
                {
                    V d = Simd.LoadUpTo<S, V>(dy + at, n), back = S.Mul(d, Simd.LoadUpTo<S, V>(N.Mix + at, n));
                    next = S.Add(next, back);
                    kept = S.Add(kept, S.Sub(d, back));
                    Simd.StoreUpTo<S, V>(S.Fma(d, step, Simd.LoadUpTo<S, V>(sums + at, n)), sums + at, n);
                }

                Simd.StoreUpTo<S, V>(next, passed + c, n);
                if (dx != null)
                {
                    Simd.StoreUpTo<S, V>(Dx.Add ? S.Add(kept, Simd.LoadUpTo<S, V>(dx + c, n)) : kept, dx + c, n);
                }
            }
        }
    }
}
