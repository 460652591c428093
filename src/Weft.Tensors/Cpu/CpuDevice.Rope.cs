using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private readonly List<RopeTable> ropeTables = [];

    internal override void Rope(Tensor x, in RopeOptions options, bool inverse, Tensor y, bool accumulate)
    {
        using Timed timed = Measure([x, new(y, accumulate)]);
        RopeTable table = RopeTableOf(options.Theta, options.Rotary);
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
        Pool.Run(ref job, time == 0 ? 0 : (int)(((options.Position + time - 1) / RopeTable.Positions) - firstTile + 1));
    }

    private RopeTable RopeTableOf(float theta, int rotary)
    {
        foreach (RopeTable table in ropeTables)
        {
            if (table.Theta == theta && table.Rotary == rotary)
            {
                return table;
            }
        }

        RopeTable made = new(theta, rotary);
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

        public RopeTable(float theta, int rotary)
        {
            (Theta, Rotary) = (theta, rotary);
            int pairs = rotary / 2;
            double[] memory = GC.AllocateArray<double>(pairs * (1 + (2 * Positions)), pinned: true);
            Frequencies = (double*)Unsafe.AsPointer(ref memory[0]);
            Turns = Frequencies + pairs;
            for (int i = 0; i < pairs; i++)
            {
                Frequencies[i] = Math.Pow(theta, -2.0 * i / rotary);
                for (int p = 0; p < Positions; p++)
                {
                    (Turns[(2 * p * pairs) + pairs + i], Turns[(2 * p * pairs) + i]) = Math.SinCos(p * Frequencies[i]);
                }
            }

            this.memory = memory;
        }

        private readonly double[] memory; // keeps what the pointers point to

        public float Theta { get; }

        public int Rotary { get; }

        /// <summary>theta^(-2i/r) by pair.</summary>
        public double* Frequencies { get; }

        /// <summary>By position: the cosines of all pairs, then the sines.</summary>
        public double* Turns { get; }
    }

    /// <summary>The tokens of one tile of positions, of all sequences.</summary>
    private struct RopeJob : IJob
    {
        public TokenRows X, Y;
        public RopeOptions Options;
        public double* Table, Frequencies;
        public float* Scratch;
        public int Batch, Time, Heads;
        public long FirstTile;
        public bool Inverse, Accumulate;

        public readonly void Run(int index, int worker)
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

                double* within = Table + (2 * rest * pairs);
                for (int i = 0; i < pairs; i++)
                {
                    double c = (tile[i] * within[i]) - (tile[pairs + i] * within[pairs + i]);
                    double s = (tile[pairs + i] * within[i]) + (tile[i] * within[pairs + i]);
                    (cosines[i], sines[i]) = ((float)c, (float)(Inverse ? -s : s));
                }

                int row = (int)(position - Options.Position);
                for (int batch = 0; batch < Batch; batch++)
                {
                    for (int head = 0; head < Heads; head++)
                    {
                        Turn(pairs, X.At(batch, row, head * Options.HeadDim), cosines, sines, Y.At(batch, row, head * Options.HeadDim), Accumulate);
                    }
                }
            }
        }

        private readonly void Turn(int pairs, float* x, float* cosines, float* sines, float* y, bool accumulate)
        {
            if (Isa.Vector512) Turn<Simd512, Vector512<float>>(pairs, x, cosines, sines, y, accumulate);
            else if (Isa.Vector256) Turn<Simd256, Vector256<float>>(pairs, x, cosines, sines, y, accumulate);
            else Turn<Simd128, Vector128<float>>(pairs, x, cosines, sines, y, accumulate);
            int rest = Options.HeadDim - Options.Rotary;
            if (rest > 0)
            {
                AttentionKernel.Put(1, rest, x + Options.Rotary, rest, y + Options.Rotary, rest, accumulate);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Turn<S, V>(int pairs, float* x, float* cosines, float* sines, float* y, bool accumulate) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int i = 0; i < pairs; i += S.Count)
            {
                int n = Math.Min(S.Count, pairs - i);
                V c = S.LoadPartial(cosines + i, n), s = S.LoadPartial(sines + i, n);
                V a = S.LoadPartial(x + i, n), b = S.LoadPartial(x + pairs + i, n);
                V ya = S.Sub(S.Mul(a, c), S.Mul(b, s)), yb = S.Fma(b, c, S.Mul(a, s));
                if (accumulate)
                {
                    ya = S.Add(ya, S.LoadPartial(y + i, n));
                    yb = S.Add(yb, S.LoadPartial(y + pairs + i, n));
                }

                S.StorePartial(ya, y + i, n);
                S.StorePartial(yb, y + pairs + i, n);
            }
        }
    }
}
