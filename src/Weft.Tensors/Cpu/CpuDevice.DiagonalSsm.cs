namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void DiagonalSsm(in DiagonalSsmInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? states)
    {
        var plan = new DiagonalSsmPlan(inputs);
        var job = new DiagonalSsmJob
        {
            P = plan,
            Y = new Strided(y),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            States = states is null ? null : states.Pointer,
            Scratch = Pool.ScratchTable(DiagonalSsmKernel.Scratch(plan.Padded)),
        };
        Pool.RunWide(ref job, inputs.Batch * plan.Blocks);
        CountFlops(inputs.Batch * Ops.DiagonalSsmFlops(inputs.Time, inputs.States, inputs.Channels));
    }

    internal override void DiagonalSsmBackward(in DiagonalSsmInputs inputs, Tensor states, Tensor? dy, Tensor? dfinal, in DiagonalSsmGrads grads)
    {
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
            Scratch = Pool.ScratchTable(DiagonalSsmKernel.BackwardScratch(plan.Padded)),
        };
        Pool.RunWide(ref job, plan.Blocks);
        CountFlops(34L * inputs.Batch * inputs.Time * inputs.States * inputs.Channels); // 6 multiply-adds for the states again, 11 from the end
    }

    /// <summary>What both passes know. An item is a block of channels, with all their states.</summary>
    private readonly struct DiagonalSsmPlan(in DiagonalSsmInputs x)
    {
        private const int Block = DiagonalSsmKernel.Block, Group = DiagonalSsmKernel.Group;

        public readonly int Batch = x.Batch, Time = x.Time, Channels = x.Channels, States = x.States, Chunks = x.Chunks;
        public readonly Strided X = new(x.X);
        private readonly float* lambda = x.Lambda.Pointer, w = x.W.Pointer, skip = x.Skip is null ? null : x.Skip.Pointer;

        public int Blocks => (Channels + Block - 1) / Block;

        /// <summary>The states, rounded up to whole groups: those beyond are zero and stay so.</summary>
        public int Padded => (States + Group - 1) / Group * Group;

        /// <summary>The floats of a sequence's state.</summary>
        public long StateSize => 2L * States * Channels;

        public int Lanes(int block) => Math.Min(Block, Channels - (block * Block));

        /// <summary>A block's part of the parameters into scratch; D too, zeros for none.</summary>
        public void Load(int block, DiagonalSsmKernel.Planes toLambda, DiagonalSsmKernel.Planes toW, float* toSkip)
        {
            Gather(lambda, block, toLambda);
            Gather(w, block, toW);
            new Span<float>(toSkip, Block).Clear();
            if (skip != null)
            {
                new ReadOnlySpan<float>(skip + (block * Block), Lanes(block)).CopyTo(new Span<float>(toSkip, Block));
            }
        }

        /// <summary>A block's columns of an array [2,N,C], null for zeros.</summary>
        public void Gather(float* from, int block, DiagonalSsmKernel.Planes to)
        {
            int lanes = Lanes(block);
            if (from == null || lanes < Block || Padded > States)
            {
                new Span<float>(to.Re, 2 * Padded * Block).Clear();
            }

            for (int n = 0; n < States && from != null; n++)
            {
                float* re = from + ((long)n * Channels) + (block * Block), im = re + ((long)States * Channels);
                new ReadOnlySpan<float>(re, lanes).CopyTo(new Span<float>(to.Re + (n * Block), Block));
                new ReadOnlySpan<float>(im, lanes).CopyTo(new Span<float>(to.Im + (n * Block), Block));
            }
        }

        /// <summary>A block's columns back into an array [2,N,C], or added to it.</summary>
        public void Scatter(DiagonalSsmKernel.Planes from, int block, float* to, bool add)
        {
            int lanes = Lanes(block);
            for (int row = 0; row < 2 * States; row++)
            {
                float* source = row < States ? from.Re + (row * Block) : from.Im + ((row - States) * Block);
                float* target = to + ((long)row * Channels) + (block * Block);
                if (add)
                {
                    Simd.Add(lanes, source, target);
                }
                else
                {
                    new ReadOnlySpan<float>(source, lanes).CopyTo(new Span<float>(target, lanes));
                }
            }
        }
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
            int batch = index / P.Blocks, block = index % P.Blocks, lanes = P.Lanes(block), column = block * DiagonalSsmKernel.Block;
            var k = new DiagonalSsmKernel(P.Padded, Scratch[worker]);
            P.Load(block, k.Lambda, k.W, k.Skip);
            P.Gather(Initial == null ? null : Initial + (batch * P.StateSize), block, k.H);
            for (int chunk = 0; chunk < P.Chunks; chunk++)
            {
                int t = chunk * Ops.DiagonalSsmChunk, tokens = Math.Min(Ops.DiagonalSsmChunk, P.Time - t);
                long row = ((long)batch * P.Time) + t;
                if (States != null)
                {
                    P.Scatter(k.H, block, States + ((((long)batch * P.Chunks) + chunk) * P.StateSize), add: false);
                }

                DiagonalSsmKernel.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                k.Chunk<S, V>(tokens);
                DiagonalSsmKernel.Finish<S, V>(tokens, lanes, k.Y, 2, k.X, k.Skip, Y.From(row, column));
            }

            P.Scatter(k.H, block, Final + (batch * P.StateSize), add: false);
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
            int lanes = P.Lanes(block), column = block * DiagonalSsmKernel.Block;
            var k = new DiagonalSsmKernel(P.Padded, Scratch[worker]);
            P.Load(block, k.Lambda, k.W, k.Skip);
            k.ClearSums();
            for (int batch = 0; batch < P.Batch; batch++)
            {
                P.Gather(DFinal == null ? null : DFinal + (batch * P.StateSize), block, k.DH);
                for (int chunk = P.Chunks - 1; chunk >= 0; chunk--)
                {
                    int t = chunk * Ops.DiagonalSsmChunk, tokens = Math.Min(Ops.DiagonalSsmChunk, P.Time - t);
                    long row = ((long)batch * P.Time) + t;
                    P.Gather(States + ((((long)batch * P.Chunks) + chunk) * P.StateSize), block, k.H);
                    DiagonalSsmKernel.Copy<S, V>(tokens, lanes, P.X.From(row, column), k.X);
                    DiagonalSsmKernel.Copy<S, V>(tokens, lanes, Dy.From(row, column), k.Y);
                    k.ChunkBackward<S, V>(tokens);
                    if (!DX.IsNone)
                    {
                        DiagonalSsmKernel.Finish<S, V>(tokens, lanes, k.DX, 1, k.Y, k.Skip, DX.From(row, column));
                    }
                }

                if (!DInitial.IsNone)
                {
                    P.Scatter(k.DH, block, DInitial.At + (batch * P.StateSize), DInitial.Add);
                }
            }

            if (!DLambda.IsNone)
            {
                P.Scatter(k.DLambda, block, DLambda.At, DLambda.Add);
            }

            if (!DW.IsNone)
            {
                P.Scatter(k.DW, block, DW.At, DW.Add);
            }

            for (int c = 0; c < lanes && !DSkip.IsNone; c++)
            {
                DSkip.At[column + c] = k.DSkip[c] + (DSkip.Add ? DSkip.At[column + c] : 0);
            }
        }
    }
}
