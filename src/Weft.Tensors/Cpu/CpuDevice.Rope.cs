using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private readonly List<RopeTable> ropeTables = [];

    internal override void Rope(Tensor x, in RopeOptions options, bool inverse, Tensor y, bool accumulate)
    {
        using Timed timed = Measure([x, new(y, accumulate)]);
        RopeTable table = RopeTableOf(options.Theta, options.Rotary, options.Scaling);
        int time = x.Shape[1];
        long firstTile = options.Position / RopeTable.Positions;
        RopeJob job = new()
        {
            X = new TokenRows(x),
            Y = new TokenRows(y),
            Options = options,
            Table = table.Turns,
            Frequencies = table.Frequencies,
            Scratch = Pool.Scratch(0, 3 * (nint)options.Rotary * Pool.Workers),
            Batch = x.Shape[0],
            Time = time,
            Heads = x.Shape.Columns / options.HeadDim,
            FirstTile = firstTile,
            Inverse = inverse,
            Accumulate = accumulate,
        };
        Pool.RunWide(ref job, time == 0 ? 0 : (int)(((options.Position + time - 1) / RopeTable.Positions) - firstTile + 1));
    }

    private RopeTable RopeTableOf(float theta, int rotary, in RopeScaling scaling)
    {
        foreach (RopeTable table in ropeTables)
        {
            if (table.Theta == theta && table.Rotary == rotary && table.Scaling == scaling)
            {
                return table;
            }
        }

        RopeTable made = new(theta, rotary, scaling);
        ropeTables.Add(made);
        return made;
    }

    /// <summary>
    /// Cosines and sines for the first positions only: the turn at any position is that at a multiple of <see cref="Positions"/> times one
    /// of these. So the table stays small however long a sequence grows, and every angle is as exact as double precision makes it.
    /// </summary>
    private sealed class RopeTable
    {
        public const int Positions = 64;

        public RopeTable(float theta, int rotary, in RopeScaling scaling)
        {
            (Theta, Rotary, Scaling) = (theta, rotary, scaling);
            double amplitude = scaling.Amplitude == 0 ? 1 : scaling.Amplitude;
            int pairs = rotary / 2;
            double[] memory = GC.AllocateArray<double>(pairs * (1 + (2 * Positions)), pinned: true);
            Frequencies = (double*)Unsafe.AsPointer(ref memory[0]);
            Turns = Frequencies + pairs;
            for (int i = 0; i < pairs; i++)
            {
                Frequencies[i] = scaling.Frequency(i, rotary, theta);
                for (int p = 0; p < Positions; p++)
                {
                    (double sine, double cosine) = Math.SinCos(p * Frequencies[i]);
                    (Turns[(2 * p * pairs) + i], Turns[(2 * p * pairs) + pairs + i]) = (amplitude * cosine, amplitude * sine);
                }
            }

            this.memory = memory;
        }

        private readonly double[] memory; // keeps what the pointers point to

        public float Theta { get; }

        public int Rotary { get; }

        public RopeScaling Scaling { get; }

        /// <summary>theta^(-2i/r) by pair, scaled.</summary>
        public double* Frequencies { get; }

        /// <summary>By position: the cosines of all pairs, then the sines, times the amplitude.</summary>
        public double* Turns { get; }
    }

    /// <summary>The tokens of one tile of positions, of all sequences.</summary>
    private struct RopeJob : IWideJob
    {
        public TokenRows X, Y;
        public RopeOptions Options;
        public double* Table, Frequencies;
        public float* Scratch;
        public int Batch, Time, Heads;
        public long FirstTile;
        public bool Inverse, Accumulate;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int pairs = Options.Rotary / 2;
            float* cosines = Scratch + (3 * (nint)worker * Options.Rotary), sines = cosines + pairs;
            double* tile = (double*)(sines + pairs); // the turn at the tile's first position: cosines, then sines
            long first = (FirstTile + index) * RopeTable.Positions, end = Math.Min(Options.Position + Time, first + RopeTable.Positions), origin = -1;
            for (long position = Math.Max(Options.Position, first); position < end; position++)
            {
                long turned = Options.Period == 0 ? position : position % Options.Period, rest = turned % RopeTable.Positions;
                if (turned - rest != origin)
                {
                    origin = turned - rest;
                    for (int i = 0; i < pairs; i++)
                    {
                        (tile[pairs + i], tile[i]) = Math.SinCos(origin * Frequencies[i]);
                    }
                }

                Compose(pairs, tile, Table + (2 * rest * pairs), Inverse, cosines, sines);
                int row = (int)(position - Options.Position);
                for (int batch = 0; batch < Batch; batch++)
                {
                    Turn<S, V>(pairs, X.At(batch, row, 0), cosines, sines, Y.At(batch, row, 0));
                }
            }
        }

        /// <summary>The turn by the sum of two angles, in double precision: c = c1 c2 - s1 s2 and s = s1 c2 + c1 s2, or -s. Cosines lie before sines.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Compose(int pairs, double* first, double* second, bool inverse, float* cosines, float* sines)
        {
            Vector256<double> sign = Vector256.Create(inverse ? -1.0 : 1.0);
            int i = 0;
            for (; i <= pairs - 8; i += 8)
            {
                (Vector256<double> c0, Vector256<double> s0) = Four(i);
                (Vector256<double> c1, Vector256<double> s1) = Four(i + 4);
                Vector256.Narrow(c0, c1).Store(cosines + i);
                Vector256.Narrow(s0 * sign, s1 * sign).Store(sines + i);
            }

            for (; i < pairs; i++)
            {
                double c = (first[i] * second[i]) - (first[pairs + i] * second[pairs + i]);
                double s = (first[pairs + i] * second[i]) + (first[i] * second[pairs + i]);
                (cosines[i], sines[i]) = ((float)c, (float)(inverse ? -s : s));
            }

            (Vector256<double> C, Vector256<double> S) Four(int at)
            {
                Vector256<double> c1 = Vector256.Load(first + at), s1 = Vector256.Load(first + pairs + at), c2 = Vector256.Load(second + at), s2 = Vector256.Load(second + pairs + at);
                return ((c1 * c2) - (s1 * s2), (s1 * c2) + (c1 * s2));
            }
        }

        /// <summary>All heads of a token.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Turn<S, V>(int pairs, float* x, float* cosines, float* sines, float* y) where S : struct, ISimd<V> where V : unmanaged
        {
            int rest = Options.HeadDim - Options.Rotary;
            for (int head = 0; head < Heads; head++, x += Options.HeadDim, y += Options.HeadDim)
            {
                int i = 0;
                for (; i <= pairs - S.Count; i += S.Count)
                {
                    Turn<S, V, OneVector>(pairs, x + i, cosines + i, sines + i, y + i, 0);
                }

                if (i < pairs)
                {
                    Turn<S, V, PartVector>(pairs, x + i, cosines + i, sines + i, y + i, pairs - i);
                }

                if (rest > 0)
                {
                    AttentionKernel.Put(1, rest, x + Options.Rotary, rest, y + Options.Rotary, rest, Accumulate);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Turn<S, V, C>(int pairs, float* x, float* cosines, float* sines, float* y, int n) where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V c = Simd.Load<S, V, C>(cosines, n), s = Simd.Load<S, V, C>(sines, n), a = Simd.Load<S, V, C>(x, n), b = Simd.Load<S, V, C>(x + pairs, n);
            Simd.Store<S, V, C>(S.Sub(S.Mul(a, c), S.Mul(b, s)), y, n, Accumulate);
            Simd.Store<S, V, C>(S.Fma(b, c, S.Mul(a, s)), y + pairs, n, Accumulate);
        }
    }
}
