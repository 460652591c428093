namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void DiagonalSsm(in DiagonalSsmInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? states)
    {
        using Timed timed = Measure([inputs.X, inputs.Lambda, inputs.W, inputs.Skip, initial, y, final, states]);
        var plan = new DiagonalSsmPlan(inputs);
        var job = new DiagonalSsmJob
        {
            P = plan,
            Y = new Strided(y),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            States = states is null ? null : states.Pointer,
            Scratch = Pool.ScratchTable(DiagonalSsmKernel.Scratch(plan.Blocks.Padded)),
        };
        Pool.RunWide(ref job, inputs.Batch * plan.Blocks.Count);
        CountFlops(inputs.Batch * Ops.DiagonalSsmFlops(inputs.Time, inputs.States, inputs.Channels));
    }

    internal override void DiagonalSsmBackward(in DiagonalSsmInputs inputs, Tensor states, Tensor? dy, Tensor? dfinal, in DiagonalSsmGrads grads)
    {
        using Timed timed = Measure([inputs.X, inputs.Lambda, inputs.W, inputs.Skip, states, dy, dfinal, grads.X, grads.Lambda, grads.W, grads.Skip, grads.Initial]);
        var plan = new DiagonalSsmPlan(inputs);
        var job = new DiagonalSsmBackwardJob
        {
            P = plan,
            Dy = new Strided(dy),
            DFinal = dfinal is null ? null : dfinal.Pointer,
            States = states.Pointer,
            DX = new Strided(grads.X),
            DLambda = new Strided(grads.Lambda),
            DW = new Strided(grads.W),
            DSkip = new Strided(grads.Skip),
            DInitial = new Strided(grads.Initial),
            Scratch = Pool.ScratchTable(DiagonalSsmKernel.BackwardScratch(plan.Blocks.Padded)),
        };
        Pool.RunWide(ref job, plan.Blocks.Count);
        CountFlops(34L * inputs.Batch * inputs.Time * inputs.States * inputs.Channels); // 6 multiply-adds for the states again, 11 from the end
    }

    /// <summary>What both passes know. An item is a block of channels, with all their states.</summary>
    private readonly struct DiagonalSsmPlan(in DiagonalSsmInputs x)
    {
        public readonly int Batch = x.Batch, Time = x.Time, Chunks = x.Chunks;
        public readonly StateBlocks Blocks = new(x.States, x.Channels, DiagonalSsmKernel.Group);
        public readonly Strided X = new(x.X);
        private readonly float* lambda = x.Lambda.Pointer, w = x.W.Pointer, skip = x.Skip is null ? null : x.Skip.Pointer;

        /// <summary>A block's part of the parameters into scratch.</summary>
        public void Load(int block, DiagonalSsmKernel to)
        {
            Blocks.Gather(lambda, block, to.Lambda);
            Blocks.Gather(w, block, to.W);
            Blocks.GatherRow(skip, block, to.Skip);
        }

        /// <summary>Where the state kept before a chunk begins.</summary>
        public long StateAt(int batch, int chunk) => (((long)batch * Chunks) + chunk) * Blocks.Size;
    }

    /// <summary>The forward pass: a block of channels of a sequence an index.</summary>
    private struct DiagonalSsmJob : IWideJob
    {
        public DiagonalSsmPlan P;
        public Strided Y;
        public float* Initial, Final, States;
        public float** Scratch;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / P.Blocks.Count, block = index % P.Blocks.Count, lanes = P.Blocks.Lanes(block), column = block * StateBlocks.Width;
            var k = new DiagonalSsmKernel(P.Blocks.Padded, Scratch[worker]);
            P.Load(block, k);
            P.Blocks.Gather(Initial == null ? null : Initial + (batch * P.Blocks.Size), block, k.H);
            for (int chunk = 0; chunk < P.Chunks; chunk++)
            {
                int t = chunk * Ops.DiagonalSsmChunk, tokens = Math.Min(Ops.DiagonalSsmChunk, P.Time - t);
                long row = ((long)batch * P.Time) + t;
                P.Blocks.Scatter(k.H, block, States == null ? null : States + P.StateAt(batch, chunk), add: false);
                StateBlocks.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                k.Chunk<S, V>(tokens);
                StateBlocks.Finish<S, V>(tokens, lanes, k.Y, 2, k.X, k.Skip, Y.From(row, column));
            }

            P.Blocks.Scatter(k.H, block, Final + (batch * P.Blocks.Size), add: false);
        }
    }

    /// <summary>The backward pass: a block of channels an index, all sequences one after the other, since they add to the same parameters.</summary>
    private struct DiagonalSsmBackwardJob : IWideJob
    {
        public DiagonalSsmPlan P;
        public Strided Dy, DX, DLambda, DW, DSkip, DInitial;
        public float* DFinal, States;
        public float** Scratch;

        public readonly void Run<S, V>(int block, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int lanes = P.Blocks.Lanes(block), column = block * StateBlocks.Width;
            var k = new DiagonalSsmKernel(P.Blocks.Padded, Scratch[worker]);
            P.Load(block, k);
            k.ClearSums();
            for (int batch = 0; batch < P.Batch; batch++)
            {
                P.Blocks.Gather(DFinal == null ? null : DFinal + (batch * P.Blocks.Size), block, k.DH);
                for (int chunk = P.Chunks - 1; chunk >= 0; chunk--)
                {
                    int t = chunk * Ops.DiagonalSsmChunk, tokens = Math.Min(Ops.DiagonalSsmChunk, P.Time - t);
                    long row = ((long)batch * P.Time) + t;
                    P.Blocks.Gather(States + P.StateAt(batch, chunk), block, k.H);
                    StateBlocks.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                    StateBlocks.Copy<S, V>(tokens, lanes, Dy.From(row, column), k.Y);
                    k.ChunkBackward<S, V>(tokens);
                    StateBlocks.Finish<S, V>(tokens, lanes, k.DX, 1, k.Y, k.Skip, DX.From(row, column));
                }

                P.Blocks.Scatter(k.DH, block, DInitial.IsNone ? null : DInitial.At + (batch * P.Blocks.Size), DInitial.Add);
            }

            P.Blocks.Scatter(k.DLambda, block, DLambda.At, DLambda.Add);
            P.Blocks.Scatter(k.DW, block, DW.At, DW.Add);
            P.Blocks.ScatterRow(k.DSkip, block, DSkip.At, DSkip.Add);
        }
    }
}
