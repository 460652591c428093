using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void AccumulateTurns(Tensor rate, Tensor step, Tensor? initial, Tensor turns, Tensor final)
    {
        using Timed timed = Measure([rate, step, initial, turns, final]);
        Start(initial, final.Pointer, final.Shape.Count);
        AccumulateTurnsJob job = new()
        {
            Rate = new Strided(rate),
            Step = new Strided(step),
            Turns = new Strided(turns),
            State = final.Pointer,
            Time = rate.Shape[1],
            Heads = step.Shape.Columns,
            Pairs = rate.Shape.Columns,
        };
        Pool.RunWide(ref job, rate.Shape[0] * job.Heads);
        CountFlops(2L * step.Shape.Count * job.Pairs);
    }

    internal override void AccumulateTurnsBackward(Tensor rate, Tensor step, Tensor turns, Tensor? dturns, Tensor? dfinal,
        GradTarget drate, GradTarget dstep, GradTarget dinitial)
    {
        using Timed timed = Measure([rate, step, turns, dturns, dfinal, drate, dstep, dinitial]);
        int heads = step.Shape.Columns, pairs = rate.Shape.Columns;
        AngleGradsJob angles = new()
        {
            Turns = new Strided(turns),
            Dturns = new Strided(dturns),
            Dfinal = dfinal is null ? null : dfinal.Pointer,
            Dinitial = dinitial.Tensor is null ? null : dinitial.Tensor.Pointer,
            AddInitial = dinitial.Accumulate,
            Angles = Shared(step.Shape.Count * pairs),
            Time = rate.Shape[1],
            Heads = heads,
            Pairs = pairs,
        };
        Pool.RunWide(ref angles, rate.Shape[0] * heads);
        RateGradsJob rates = new()
        {
            Rate = new Strided(rate),
            Step = new Strided(step),
            Drate = new Strided(drate),
            Dstep = new Strided(dstep),
            Angles = angles.Angles,
            Rows = rate.Shape.Rows,
            Heads = heads,
            Pairs = pairs,
        };
        Pool.RunWide(ref rates, (rates.Rows + RateGradsJob.RowsEach - 1) / RateGradsJob.RowsEach);
        CountFlops(6L * step.Shape.Count * pairs);
    }

    /// <summary>The angles of one sequence and head along time.</summary>
    private struct AccumulateTurnsJob : IWideJob
    {
        private const float Coarse = 1 << 20, Fine = 1L << 40; // the angle is a multiple of 1 / Coarse plus one of 1 / Fine

        public Strided Rate, Step, Turns;
        public float* State; // [B,2,H,S]: coarse parts, fine parts
        public int Time, Heads, Pairs;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / Heads, head = index % Heads;
            float* coarse = State + (((2L * batch * Heads) + head) * Pairs), fine = coarse + ((long)Heads * Pairs);
            for (int i = 0; i < Pairs; i += S.Count)
            {
                int n = Math.Min(S.Count, Pairs - i);
                V high = S.LoadPartial(coarse + i, n), low = S.LoadPartial(fine + i, n), whole = Grid<S, V>(high, Coarse);
                (high, low) = Sum<S, V>(whole, S.Sub(high, whole), low); // any initial angle, brought to the two grids
                S.StorePartial(high, coarse + i, n);
                S.StorePartial(low, fine + i, n);
            }

            long row = (long)batch * Time;
            for (int t = 0; t < Time; t++, row++)
            {
                float* cosines = Turns[row] + (2L * head * Pairs);
                V step = S.Create(Step[row][head]);
                for (int i = 0; i < Pairs; i += S.Count)
                {
                    int n = Math.Min(S.Count, Pairs - i);
                    V increment = S.Mul(step, S.LoadPartial(Rate[row] + i, n));
                    increment = S.Sub(increment, Round<S, V>(increment));
                    V whole = Grid<S, V>(increment, Coarse);
                    (V high, V low) = Sum<S, V>(S.Add(S.LoadPartial(coarse + i, n), whole), S.LoadPartial(fine + i, n), Grid<S, V>(S.Sub(increment, whole), Fine));
                    S.StorePartial(high, coarse + i, n);
                    S.StorePartial(low, fine + i, n);
                    (V cos, V sin) = CosSin<S, V>(high, low);
                    S.StorePartial(cos, cosines + i, n);
                    S.StorePartial(sin, cosines + Pairs + i, n);
                }
            }
        }

        /// <summary>A multiple of 1 / Coarse plus two small numbers as a multiple of 1 / Coarse in [-1/2, 1/2] and one of 1 / Fine: all exact but for the latter's grid.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static (V High, V Low) Sum<S, V>(V high, V a, V b) where S : struct, ISimd<V> where V : unmanaged
        {
            V small = S.Add(a, b), carried = Grid<S, V>(small, Coarse);
            high = S.Add(high, carried);
            return (S.Sub(high, Round<S, V>(high)), Grid<S, V>(S.Sub(small, carried), Fine));
        }

        /// <summary>x to the nearest multiple of 1 / grid, for |x| up to 2^21 / grid.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Grid<S, V>(V x, float grid) where S : struct, ISimd<V> where V : unmanaged =>
            S.Mul(Round<S, V>(S.Mul(x, S.Create(grid))), S.Create(1 / grid));

        /// <summary>x to the nearest whole number, for |x| up to 2^22.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Round<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
        {
            V magic = S.Create(12582912f); // 1.5 2^23
            return S.Sub(S.Add(x, magic), magic);
        }

        /// <summary>Cosine and sine of high + low turns, |high + low| at most 1/2: by the nearest quarter turn q and what is left of it.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static (V Cos, V Sin) CosSin<S, V>(V high, V low) where S : struct, ISimd<V> where V : unmanaged
        {
            V q = Round<S, V>(S.Mul(high, S.Create(4)));
            V x = S.Mul(S.Add(S.Fma(q, S.Create(-0.25f), high), low), S.Create(2 * MathF.PI)), z = S.Mul(x, x);

            // Taylor's series on |x| <= pi/4: 2e-9 and 3e-10 of truncation.
            V s = S.Fma(z, S.Create(1f / 362880), S.Create(-1f / 5040));
            s = S.Fma(z, s, S.Create(1f / 120));
            s = S.Fma(z, s, S.Create(-1f / 6));
            s = S.Fma(S.Mul(x, z), s, x);
            V c = S.Fma(z, S.Create(-1f / 3628800), S.Create(1f / 40320));
            c = S.Fma(z, c, S.Create(-1f / 720));
            c = S.Fma(z, c, S.Create(1f / 24));
            c = S.Fma(z, c, S.Create(-0.5f));
            c = S.Fma(z, c, S.Create(1));

            // q = 0, +-1, +-2 quarters on.
            V size = S.Abs(q), half = S.Create(0.5f), most = S.Create(1.5f);
            V cos = S.SelectLess(size, half, c, S.SelectLess(size, most, S.Sub(S.Zero, S.Mul(q, s)), S.Sub(S.Zero, c)));
            V sin = S.SelectLess(size, half, s, S.SelectLess(size, most, S.Mul(q, c), S.Sub(S.Zero, s)));
            return (cos, sin);
        }
    }

    /// <summary>The gradients of one sequence and head's angles, back along time: each counts in all later ones.</summary>
    private struct AngleGradsJob : IWideJob
    {
        public Strided Turns, Dturns;
        public float* Dfinal, Dinitial; // [B,2,H,S]
        public bool AddInitial;
        public float* Angles; // [B T,H,S]: the gradients by the increments
        public int Time, Heads, Pairs;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / Heads, head = index % Heads;
            long state = ((2L * batch * Heads) + head) * Pairs, plane = (long)Heads * Pairs;
            V turn = S.Create(2 * MathF.PI);
            for (int i = 0; i < Pairs; i += S.Count)
            {
                int n = Math.Min(S.Count, Pairs - i);
                V sum = Dfinal is null ? S.Zero : S.LoadPartial(Dfinal + state + i, n);
                for (int t = Time - 1; t >= 0; t--)
                {
                    long row = ((long)batch * Time) + t;
                    if (!Dturns.IsNone)
                    {
                        float* cosines = Turns[row] + (2L * head * Pairs) + i, d = Dturns[row] + (2L * head * Pairs) + i;
                        V slope = S.Sub(S.Mul(S.LoadPartial(cosines, n), S.LoadPartial(d + Pairs, n)), S.Mul(S.LoadPartial(cosines + Pairs, n), S.LoadPartial(d, n)));
                        sum = S.Fma(turn, slope, sum);
                    }

                    S.StorePartial(sum, Angles + (((row * Heads) + head) * Pairs) + i, n);
                }

                for (long at = state + i; Dinitial is not null && at <= state + i + plane; at += plane)
                {
                    S.StorePartial(AddInitial ? S.Add(sum, S.LoadPartial(Dinitial + at, n)) : sum, Dinitial + at, n);
                }
            }
        }
    }

    /// <summary>From increments' gradients to those of rates (over heads) and steps (over pairs), token by token.</summary>
    private struct RateGradsJob : IWideJob
    {
        public const int RowsEach = 16;

        public Strided Rate, Step, Drate, Dstep;
        public float* Angles;
        public int Rows, Heads, Pairs;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int row = index * RowsEach; row < Math.Min(Rows, (index + 1) * RowsEach); row++)
            {
                float* angles = Angles + ((long)row * Heads * Pairs);
                for (int head = 0; head < Heads && !Dstep.IsNone; head++)
                {
                    float* to = Dstep[row] + head;
                    *to = Simd.Dot(Pairs, angles + ((long)head * Pairs), Rate[row]) + (Dstep.Add ? *to : 0);
                }

                for (int i = 0; i < Pairs && !Drate.IsNone; i += S.Count)
                {
                    int n = Math.Min(S.Count, Pairs - i);
                    V sum = Drate.Add ? S.LoadPartial(Drate[row] + i, n) : S.Zero;
                    for (int head = 0; head < Heads; head++)
                    {
                        sum = S.Fma(S.Create(Step[row][head]), S.LoadPartial(angles + ((long)head * Pairs) + i, n), sum);
                    }

                    S.StorePartial(sum, Drate[row] + i, n);
                }
            }
        }
    }
}
