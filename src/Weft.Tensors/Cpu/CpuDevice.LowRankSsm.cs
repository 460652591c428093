namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void LowRankSsm(in LowRankSsmInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? states)
    {
        using Timed timed = Measure([inputs.X, inputs.Lambda, inputs.Left, inputs.Right, inputs.B, inputs.C, inputs.Skip, initial, y, final, states]);
        var plan = new LowRankSsmPlan(inputs);
        var job = new LowRankSsmJob
        {
            P = plan,
            Y = new Strided(y),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            States = states is null ? null : states.Pointer,
            Scratch = Pool.ScratchTable(LowRankSsmKernel.Scratch(plan.Blocks.Padded)),
        };
        Pool.RunWide(ref job, inputs.Batch * plan.Blocks.Count);
        CountFlops(inputs.Batch * Ops.LowRankSsmFlops(inputs.Time, inputs.States, inputs.Channels));
    }

    internal override void LowRankSsmBackward(in LowRankSsmInputs inputs, Tensor states, Tensor? dy, Tensor? dfinal, in LowRankSsmGrads grads)
    {
        using Timed timed = Measure([inputs.X, inputs.Lambda, inputs.Left, inputs.Right, inputs.B, inputs.C, inputs.Skip, states, dy, dfinal, grads.X, grads.Lambda, grads.Left, grads.Right, grads.B, grads.C, grads.Skip, grads.Initial]);
        var plan = new LowRankSsmPlan(inputs);
        var job = new LowRankSsmBackwardJob
        {
            P = plan,
            Dy = new Strided(dy),
            DFinal = dfinal is null ? null : dfinal.Pointer,
            States = states.Pointer,
            DX = new Strided(grads.X),
            DLambda = new Strided(grads.Lambda),
            DLeft = new Strided(grads.Left),
            DRight = new Strided(grads.Right),
            DB = new Strided(grads.B),
            DC = new Strided(grads.C),
            DSkip = new Strided(grads.Skip),
            DInitial = new Strided(grads.Initial),
            Scratch = Pool.ScratchTable(LowRankSsmKernel.BackwardScratch(plan.Blocks.Padded)),
        };
        Pool.RunWide(ref job, plan.Blocks.Count);
        CountFlops(72L * inputs.Batch * inputs.Time * inputs.States * inputs.Channels); // 12 multiply-adds for the states again, 24 from the end
    }

    /// <summary>What both passes know. An item is a block of channels, with all their states.</summary>
    private readonly struct LowRankSsmPlan(in LowRankSsmInputs x)
    {
        public readonly int Batch = x.Batch, Time = x.Time, Chunks = x.Chunks;
        public readonly StateBlocks Blocks = new(x.States, x.Channels, LowRankSsmKernel.Group);
        public readonly Strided X = new(x.X);
        private readonly float* lambda = x.Lambda.Pointer, left = x.Left.Pointer, right = x.Right.Pointer, b = x.B.Pointer, c = x.C.Pointer;
        private readonly float* skip = x.Skip is null ? null : x.Skip.Pointer;

        /// <summary>A block's part of the parameters into scratch.</summary>
        public void Load(int block, LowRankSsmKernel to)
        {
            Blocks.Gather(lambda, block, to.Lambda);
            Blocks.Gather(left, block, to.Left);
            Blocks.Gather(right, block, to.Right);
            Blocks.Gather(b, block, to.B);
            Blocks.Gather(c, block, to.C);
            Blocks.GatherRow(skip, block, to.Skip);
        }

        /// <summary>Where the state kept before a chunk begins.</summary>
        public long StateAt(int batch, int chunk) => (((long)batch * Chunks) + chunk) * Blocks.Size;
    }

    /// <summary>The forward pass: a block of channels of a sequence an index.</summary>
    private struct LowRankSsmJob : IWideJob
    {
        public LowRankSsmPlan P;
        public Strided Y;
        public float* Initial, Final, States;
        public float** Scratch;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Blocks.Count, block = index % P.Blocks.Count, lanes = P.Blocks.Lanes(block), column = block * StateBlocks.Width;
            var k = new LowRankSsmKernel(P.Blocks.Padded, Scratch[worker]);
            P.Load(block, k);
            P.Blocks.Gather(Initial == null ? null : Initial + (batch * P.Blocks.Size), block, k.H);
            for (int chunk = 0; chunk < P.Chunks; chunk++)
            {
                int t = chunk * Ops.LowRankSsmChunk, tokens = Math.Min(Ops.LowRankSsmChunk, P.Time - t);
                long row = ((long)batch * P.Time) + t;
                P.Blocks.Scatter(k.H, block, States == null ? null : States + P.StateAt(batch, chunk), add: false);
                StateBlocks.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                k.Chunk<S, V>(tokens, keep: false);
                StateBlocks.Finish<S, V>(tokens, lanes, k.Y, 2, k.X, k.Skip, Y.From(row, column));
            }

            P.Blocks.Scatter(k.H, block, Final + (batch * P.Blocks.Size), add: false);
        }
    }

    /// <summary>The backward pass: a block of channels an index, all sequences one after the other, since they add to the same parameters.</summary>
    private struct LowRankSsmBackwardJob : IWideJob
    {
        public LowRankSsmPlan P;
        public Strided Dy, DX, DLambda, DLeft, DRight, DB, DC, DSkip, DInitial;
        public float* DFinal, States;
        public float** Scratch;

        public readonly void Run<S, V>(int block, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int lanes = P.Blocks.Lanes(block), column = block * StateBlocks.Width;
            var k = new LowRankSsmKernel(P.Blocks.Padded, Scratch[worker]);
            P.Load(block, k);
            k.ClearSums();
            for (int batch = 0; batch < P.Batch; batch++)
            {
                P.Blocks.Gather(DFinal == null ? null : DFinal + (batch * P.Blocks.Size), block, k.DH);
                k.End();
                for (int chunk = P.Chunks - 1; chunk >= 0; chunk--)
                {
                    int t = chunk * Ops.LowRankSsmChunk, tokens = Math.Min(Ops.LowRankSsmChunk, P.Time - t);
                    long row = ((long)batch * P.Time) + t;
                    P.Blocks.Gather(States + P.StateAt(batch, chunk), block, k.H);
                    StateBlocks.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                    k.Chunk<S, V>(tokens, keep: true);
                    StateBlocks.Copy<S, V>(tokens, lanes, Dy.From(row, column), k.Y);
                    k.ChunkBackward<S, V>(tokens);
                    StateBlocks.Finish<S, V>(tokens, lanes, k.DX, 1, k.Y, k.Skip, DX.From(row, column));
                }

                k.Start<S, V>();
                P.Blocks.Scatter(k.DH, block, DInitial.IsNone ? null : DInitial.At + (batch * P.Blocks.Size), DInitial.Add);
            }

            P.Blocks.Scatter(k.DLambda, block, DLambda.At, DLambda.Add);
            P.Blocks.Scatter(k.DLeft, block, DLeft.At, DLeft.Add);
            P.Blocks.Scatter(k.DRight, block, DRight.At, DRight.Add);
            P.Blocks.Scatter(k.DB, block, DB.At, DB.Add);
            P.Blocks.Scatter(k.DC, block, DC.At, DC.Add);
            P.Blocks.ScatterRow(k.DSkip, block, DSkip.At, DSkip.Add);
        }
    }
}
