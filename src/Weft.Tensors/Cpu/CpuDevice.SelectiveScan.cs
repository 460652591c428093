using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>Every block of channels by itself, along all tokens.</summary>
    internal override void SelectiveScan(in SelectiveScanInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? kept)
    {
        using Timed timed = Measure([inputs.X, inputs.Dt, inputs.A, inputs.B, inputs.C, inputs.Skip, initial, y, final, kept]);
        var plan = new SelectiveScanPlan(inputs);
        plan.WorkEach = (2 * plan.StateFloats) + (3 * plan.TileFloats);
        plan.Work = Shared(plan.WorkEach * Pool.Workers);
        SelectiveScanJob job = new()
        {
            P = plan,
            Y = new Strided(y),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            Kept = kept is null ? null : kept.Pointer,
        };
        Pool.RunWide(ref job, plan.Items);
        CountFlops(plan.Batch * Ops.SelectiveScanFlops(plan.Time, plan.Channels, plan.States));
    }

    /// <summary>
    /// From the last segment of chunks to the first: every block of channels goes back over its chunks and leaves its share of B's and
    /// C's gradients, which are then added up over the blocks in their order.
    /// </summary>
    internal override void SelectiveScanBackward(in SelectiveScanInputs inputs, Tensor kept, Tensor? dy, Tensor? dfinal, in SelectiveScanGrads grads)
    {
        using Timed timed = Measure([inputs.X, inputs.Dt, inputs.A, inputs.B, inputs.C, inputs.Skip, kept, dy, dfinal, grads.X, grads.Dt, grads.B, grads.C, grads.A, grads.Skip, grads.Initial]);
        const int segment = 8; // chunks: their shares are still in the caches when they are added up
        var plan = new SelectiveScanPlan(inputs);
        int blocks = plan.Blocks * plan.Groups, tokens = Math.Min(segment * SelectiveScanPlan.Chunk, plan.Time);
        long carried = (2 * plan.StateFloats) + plan.Width, shares = (long)plan.Items * tokens * 2 * plan.States;
        plan.WorkEach = plan.StateFloats + (5 * plan.TileFloats) + (4 * plan.PathFloats) + (2L * plan.States * SelectiveScanPlan.Lanes);
        plan.Work = Shared((plan.WorkEach * Pool.Workers) + (carried * plan.Items) + shares);
        SelectiveScanBackwardJob job = new()
        {
            P = plan,
            Carried = plan.Work + (plan.WorkEach * Pool.Workers),
            CarriedEach = carried,
            Shares = plan.Work + (plan.WorkEach * Pool.Workers) + (carried * plan.Items),
            SharesStride = blocks * 2L * plan.States,
            SegmentTokens = tokens,
            Kept = kept.Pointer,
            Dfinal = dfinal is null ? null : dfinal.Pointer,
            Dy = new Strided(dy),
            Dx = new Strided(grads.X),
            Ddt = new Strided(grads.Dt),
        };
        for (job.End = plan.Chunks; job.End > 0; job.End = job.First)
        {
            job.First = Math.Max(0, job.End - segment);
            Pool.RunWide(ref job, plan.Items);
            SelectiveScanShareJob sum = new() { Job = job, Db = new Strided(grads.B), Dc = new Strided(grads.C), From = job.First * SelectiveScanPlan.Chunk };
            sum.Count = Math.Min(plan.Time, job.End * SelectiveScanPlan.Chunk) - sum.From;
            Pool.Run(ref sum, plan.Batch * ((sum.Count + SelectiveScanShareJob.Rows - 1) / SelectiveScanShareJob.Rows));
        }

        SelectiveScanEndJob end = new() { Job = job, Da = new Strided(grads.A), Dskip = new Strided(grads.Skip), Dinitial = new Strided(grads.Initial) };
        Pool.RunWide(ref end, blocks);

        // For the states again; for C, h; B, u; A and dt.
        CountFlops(14L * plan.Batch * plan.Time * plan.Channels * plan.States);
    }

    private struct SelectiveScanJob : IWideJob
    {
        public SelectiveScanPlan P;
        public Strided Y;
        public float* Initial, Final, Kept;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            SelectiveScanBlock block = P.Block(index);
            long size = (long)P.States * P.Channels, row = (long)block.Batch * P.Time;
            float* a = P.WorkOf(worker), h = a + P.StateFloats, dt = h + P.StateFloats, u = dt + P.TileFloats, y = u + P.TileFloats;
            SelectiveScanKernel.PackRates<S, V>(P, block, a);
            SelectiveScanKernel.LoadStates<S, V>(P, block, Initial == null ? null : Initial + (block.Batch * size), h);
            for (int chunk = 0; chunk < P.Chunks; chunk++)
            {
                (int from, int count) = P.Tokens(chunk);
                if (Kept != null)
                {
                    SelectiveScanKernel.StoreStates<S, V>(P, block, h, Kept + ((((long)block.Batch * P.Chunks) + chunk) * size));
                }

                SelectiveScanKernel.Inputs<S, V>(P, block, from, count, dt, u, y);
                Strided b = P.B.From(row + from, block.Group * P.States), c = P.C.From(row + from, block.Group * P.States);
                for (int j = 0; j < block.Count; j += S.Count)
                {
                    SelectiveScanKernel.Scan<S, V>(count, P.States, P.Width, a + ((long)j * P.States), h + ((long)j * P.States), dt + j, u + j, b, c, y + j);
                }

                Simd.Copy(count, block.Count, y, P.Width, Y[row + from] + block.First, (nint)Y.Stride);
            }

            SelectiveScanKernel.StoreStates<S, V>(P, block, h, Final + (block.Batch * size));
        }
    }

    /// <summary>Chunks First .. End - 1 of a block of channels, from the last to the first.</summary>
    private struct SelectiveScanBackwardJob : IWideJob
    {
        public SelectiveScanPlan P;
        public int First, End, SegmentTokens;
        public Strided Dy, Dx, Ddt;
        public float* Kept, Dfinal;

        /// <summary>Of each item: the gradient of the states before the segment in hand, and the sums for A (both [vectors,N,lanes]) and for the skip.</summary>
        public float* Carried;
        public long CarriedEach;

        /// <summary>What each token's B and C get from each block [B,segment tokens,blocks,2,N].</summary>
        public float* Shares;
        public long SharesStride;

        public readonly float* CarriedOf(int item) => Carried + (item * CarriedEach);

        public readonly float* SharesAt(int batch, int token) => Shares + ((((long)batch * SegmentTokens) + token - (First * SelectiveScanPlan.Chunk)) * SharesStride);

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            SelectiveScanBlock block = P.Block(index);
            long size = (long)P.States * P.Channels, row = (long)block.Batch * P.Time;
            float* dh = CarriedOf(index), dsums = dh + P.StateFloats, dskip = dsums + P.StateFloats;
            float* a = P.WorkOf(worker), dt = a + P.StateFloats, u = dt + P.TileFloats, g = u + P.TileFloats, du = g + P.TileFloats, ddt = du + P.TileFloats;
            float* decays = ddt + P.TileFloats, decayed = decays + P.PathFloats, db = decayed + P.PathFloats, dc = db + P.PathFloats, h = dc + P.PathFloats;
            float* da = h + ((long)P.States * SelectiveScanPlan.Lanes);
            SelectiveScanKernel.PackRates<S, V>(P, block, a);
            if (End == P.Chunks)
            {
                SelectiveScanKernel.LoadStates<S, V>(P, block, Dfinal == null ? null : Dfinal + (block.Batch * size), dh);
                Simd.Fill(dsums, (nint)(P.StateFloats + P.Width), 0);
            }

            for (int chunk = End - 1; chunk >= First; chunk--)
            {
                (int from, int count) = P.Tokens(chunk);
                SelectiveScanKernel.Inputs<S, V>(P, block, from, count, dt, u, null);
                OutputGradients<S, V>(block, row + from, count, g);
                Strided b = P.B.From(row + from, block.Group * P.States), c = P.C.From(row + from, block.Group * P.States);
                for (int j = 0; j < block.Count; j += S.Count)
                {
                    long at = (long)j * P.States;
                    SelectiveScanKernel.LoadVector<S, V>(P, block, j, Kept + ((((long)block.Batch * P.Chunks) + chunk) * size), h);
                    SelectiveScanKernel.Retrace<S, V>(count, P.States, P.Width, a + at, h, dt + j, u + j, b, decays, decayed);

                    // A's gradient is summed by chunks first: less rounding than one sum along all tokens.
                    Simd.Fill(da, P.States * S.Count, 0);
                    SelectiveScanKernel.Backward<S, V>(count, P.States, P.Width, a + at, dt + j, u + j, g + j, b, c, decays, decayed, dh + at, da, db, dc, j == 0, du + j, ddt + j);
                    Simd.Add(P.States * S.Count, da, dsums + at);
                }

                float* share = SharesAt(block.Batch, from) + (((block.Group * P.Blocks) + (index % P.Blocks)) * 2L * P.States);
                SelectiveScanKernel.SumLanes<S, V>(count, P.States, db, share, SharesStride);
                SelectiveScanKernel.SumLanes<S, V>(count, P.States, dc, share + P.States, SharesStride);
                InputGradients<S, V>(block, row + from, count, dt, g, du, ddt, dskip);
            }
        }

        private readonly void OutputGradients<S, V>(in SelectiveScanBlock block, long row, int count, float* g) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int t = 0; t < count; t++)
            {
                for (int j = 0; j < block.Count; j += S.Count)
                {
                    S.Store(Dy.IsNone ? S.Zero : Simd.LoadUpTo<S, V>(Dy[row + t] + block.First + j, block.Count - j), g + ((long)t * P.Width) + j);
                }
            }
        }

        /// <summary>From u = dt x: dx = dt du + skip g, and the step's gradient gets x du, then softplus's slope; the skip's is the sum of g x.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void InputGradients<S, V>(in SelectiveScanBlock block, long row, int count, float* dt, float* g, float* du, float* ddt, float* dskip)
            where S : struct, ISimd<V> where V : unmanaged
        {
            for (int j = 0; j < block.Count; j += S.Count)
            {
                int rest = block.Count - j, channel = block.First + j;
                V skip = P.Skip == null ? S.Zero : Simd.LoadUpTo<S, V>(P.Skip + channel, rest), sum = S.Zero;
                for (int t = 0; t < count; t++)
                {
                    long at = ((long)t * P.Width) + j;
                    V x = Simd.LoadUpTo<S, V>(P.X[row + t] + channel, rest), dy = S.Load(g + at), dinput = S.Load(du + at);
                    sum = S.Fma(dy, x, sum);
                    if (!Dx.IsNone)
                    {
                        Simd.StoreUpTo<S, V>(S.Fma(S.Load(dt + at), dinput, S.Mul(skip, dy)), Dx[row + t] + channel, rest, Dx.Add);
                    }

                    if (!Ddt.IsNone)
                    {
                        V step = S.Fma(dinput, x, S.Load(ddt + at));
                        step = P.Softplus ? S.Mul(step, Simd.Sigmoid<S, V>(Simd.LoadUpTo<S, V>(P.Dt[row + t] + channel, rest))) : step;
                        Simd.StoreUpTo<S, V>(step, Ddt[row + t] + channel, rest, Ddt.Add);
                    }
                }

                S.Store(S.Add(sum, S.Load(dskip + j)), dskip + j);
            }
        }
    }

    /// <summary>Adds up the blocks' shares of B's and C's gradients, some tokens an index.</summary>
    private struct SelectiveScanShareJob : IJob
    {
        public const int Rows = 32;

        public SelectiveScanBackwardJob Job;
        public Strided Db, Dc;
        public int From, Count;

        public readonly void Run(int index, int worker)
        {
            SelectiveScanPlan p = Job.P;
            int each = (Count + Rows - 1) / Rows, batch = index / each, first = index % each * Rows;
            for (int t = From + first; t < From + Math.Min(Count, first + Rows); t++)
            {
                float* share = Job.SharesAt(batch, t);
                long row = ((long)batch * p.Time) + t;
                for (int group = 0; group < p.Groups; group++, share += p.Blocks * 2L * p.States)
                {
                    for (int block = 1; block < p.Blocks; block++)
                    {
                        Simd.Add(2 * p.States, share + (block * 2L * p.States), share);
                    }

                    Put(share, Db, row, group);
                    Put(share + p.States, Dc, row, group);
                }
            }
        }

        private readonly void Put(float* from, Strided to, long row, int group)
        {
            int states = Job.P.States;
            if (to.IsNone)
            {
                return;
            }

            if (to.Add)
            {
                Simd.Add(states, from, to[row] + (group * states));
            }
            else
            {
                Simd.Copy(1, states, from, states, to[row] + (group * states), states);
            }
        }
    }

    /// <summary>What is left at the first token, a block of channels an index: A's and the skip's gradients, summed over the sequences in their order, and the initial states'.</summary>
    private struct SelectiveScanEndJob : IWideJob
    {
        public SelectiveScanBackwardJob Job;
        public Strided Da, Dskip, Dinitial;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            SelectiveScanPlan p = Job.P;
            int blocks = p.Groups * p.Blocks;
            float* sums = Job.CarriedOf(index) + p.StateFloats, skips = sums + p.StateFloats;
            for (int batch = 0; batch < p.Batch; batch++)
            {
                int item = (batch * blocks) + index;
                SelectiveScanBlock block = p.Block(item);
                float* carried = Job.CarriedOf(item);
                if (!Dinitial.IsNone)
                {
                    SelectiveScanKernel.StoreStates<S, V>(p, block, carried, Dinitial.At + ((long)batch * p.States * p.Channels), Dinitial.Add);
                }

                if (batch > 0)
                {
                    Simd.Add((nint)(p.StateFloats + p.Width), carried + p.StateFloats, sums);
                }
            }

            SelectiveScanBlock channels = p.Block(index);
            for (int j = 0; j < channels.Count; j++)
            {
                if (!Dskip.IsNone)
                {
                    Put(skips[j], Dskip.At + channels.First + j, Dskip.Add);
                }

                float* from = sums + ((long)(j / S.Count) * S.Count * p.States) + (j % S.Count);
                for (int n = 0; n < p.States && !Da.IsNone; n++)
                {
                    Put(from[n * S.Count], Da[channels.First + j] + n, Da.Add);
                }
            }

            static void Put(float value, float* to, bool add) => *to = add ? *to + value : value;
        }
    }
}
