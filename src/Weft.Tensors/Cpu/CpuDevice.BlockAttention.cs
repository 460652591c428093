namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void BlockMeans(Tensor k, in AttentionPast past, int block, Tensor means)
    {
        using Timed timed = Measure([k, means]);
        BlockMeanJob job = new() { K = new TokenRows(k), Past = new TokenRows(past.Keys), Length = past.Length, Block = block, Means = new TokenRows(means), Blocks = means.Shape[1], Columns = k.Shape.Columns };
        Pool.Run(ref job, k.Shape[0] * means.Shape[1]);
    }

    internal override void BlockAttention(in AttentionOperands operands, in BlockSparsity sparsity, Tensor? means, Tensor y, Tensor? chosen, Tensor? logSums)
    {
        using Timed timed = Measure([Operand.Sparse(operands, (long)sparsity.Budget * sparsity.Block), means, y, chosen, logSums]);
        var view = new AttentionView(operands);
        CountFlops(view.Batch * sparsity.Flops(view.Options, view.Tokens, view.Position));
        if (view.Tokens == 0)
        {
            return;
        }

        long first = view.Position / sparsity.Block, tiles = ((view.End - 1) / sparsity.Block) - first + 1;
        nint floats = BlockForwardJob.ScratchFloats(view, sparsity), ints = BlockAttentionTile.Ints(sparsity, view.End);
        BlockForwardJob job = new()
        {
            View = view,
            Sparsity = sparsity,
            Means = new TokenRows(means),
            Y = new TokenRows(y),
            Chosen = chosen is null ? null : chosen.Pointer,
            LogSums = logSums is null ? null : logSums.Pointer,
            Scratch = Pool.Scratch(0, floats * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, ints * Pool.Workers, slot: 1),
            First = first,
            Tiles = (int)tiles,
        };
        Pool.Run(ref job, checked((int)(view.Batch * view.Heads * tiles)));
    }

    /// <summary>The mean key of one block.</summary>
    private struct BlockMeanJob : IJob
    {
        public TokenRows K, Past, Means;
        public int Length, Block, Blocks, Columns;

        public readonly void Run(int index, int worker)
        {
            int batch = index / Blocks, block = index % Blocks, start = ((Length / Block) + block) * Block;
            float* mean = Means.At(batch, block, 0);
            new Span<float>(mean, Columns).Clear();
            for (int p = start; p < start + Block; p++)
            {
                Simd.Add(Columns, p < Length ? Past.At(batch, p, 0) : K.At(batch, p - Length, 0), mean);
            }

            Simd.Scale(Columns, 1f / Block, mean);
        }
    }

    /// <summary>
    /// The queries of one head in one block: chooses for each of them, then takes the blocks in their order, with the softmax kept online.
    /// </summary>
    private struct BlockForwardJob : IJob
    {
        public AttentionView View;
        public BlockSparsity Sparsity;
        public TokenRows Means, Y;
        public float* Chosen, LogSums; // [B,H,T,chosen] and [B,H,T], or null
        public float* Scratch;
        public int* ScratchInts;
        public long First;
        public int Tiles;

        // Scores of a block, gathered rows and their output, a block of keys turned; the output, and of each query the largest score and the sum; products with mean keys.
        public static nint ScratchFloats(in AttentionView view, in BlockSparsity sparsity)
        {
            nint block = sparsity.Block, blocks = (nint)(view.End / block);
            return (block * (Columns(sparsity) + (2 * view.HeadDim) + (2 * view.ValueDim) + 2)) + (blocks * block) + sparsity.Chosen;
        }

        /// <summary>The columns of a row of scores: whole vectors.</summary>
        public static int Columns(in BlockSparsity sparsity) => (sparsity.Block + 15) / 16 * 16;

        public readonly void Run(int index, int worker)
        {
            // The last tiles have the most to choose from, and go first.
            int heads = View.Batch * View.Heads, owner = index % heads, batch = owner / View.Heads, head = owner % View.Heads, keyHead = head / View.Group;
            var tile = new BlockAttentionTile(View, Sparsity, First + Tiles - 1 - (index / heads), ScratchInts + (worker * BlockAttentionTile.Ints(Sparsity, View.End)));
            (int headDim, int valueDim, int block, int columns) = (View.HeadDim, View.ValueDim, Sparsity.Block, Columns(Sparsity));
            float* s = Scratch + (worker * ScratchFloats(View, Sparsity)), rows = s + (block * columns), turned = rows + (block * headDim);
            float* part = turned + (block * headDim), o = part + (block * valueDim), max = o + (block * valueDim), sum = max + block, products = sum + block;
            float* q = View.Q.At(batch, tile.Row, head * headDim);
            long row0 = ((long)owner * View.Tokens) + tile.Row;
            if (tile.HasChoice)
            {
                Choose(tile, batch, keyHead, q, products, row0);
            }

            tile.Sort();
            new Span<float>(max, tile.Count).Fill(float.MinValue);
            new Span<float>(sum, tile.Count).Clear();
            new Span<float>(o, tile.Count * valueDim).Clear();
            for (long j = 0; j <= tile.Own; j++)
            {
                int* queries = tile.Queries(j, out int count);
                if (count == 0)
                {
                    continue;
                }

                nint stride = View.Q.Stride;
                float* these = BlockAttentionTile.Gather(q, ref stride, headDim, queries, count, rows);
                long start = j * block, end = tile.End(j);
                for (long k = start; k < end;)
                {
                    KeyRun run = View.Run(k, end);
                    SmallGemm.NT(count, run.Count, headDim, these, stride, View.Keys(run, batch, keyHead), View.KeyStride(run), s + (k - start), columns, 0, turned, View.Scale);
                    k += run.Count;
                }

                for (int i = 0; i < count; i++)
                {
                    int query = queries is null ? i : queries[i], seen = tile.Seen(j, query);
                    float* si = s + (i * columns);
                    new Span<float>(si + seen, columns - seen).Fill(float.NegativeInfinity);
                    float largest = MathF.Max(max[query], Simd.Max(columns, si)), rescale = Simd.Exp(max[query] - largest);
                    sum[query] = (sum[query] * rescale) + AttentionKernel.ExpSum(si, columns, largest);
                    max[query] = largest;
                    if (rescale != 1)
                    {
                        Simd.Scale(valueDim, rescale, o + (query * valueDim));
                    }
                }

                for (long k = start; k < end;)
                {
                    KeyRun run = View.Run(k, end);
                    SmallGemm.NN(count, valueDim, run.Count, s + (k - start), columns, View.Values(run, batch, keyHead), View.ValueStride(run), part, valueDim, k == start ? 0 : 1);
                    k += run.Count;
                }

                for (int i = 0; i < count; i++)
                {
                    Simd.Add(valueDim, part + (i * valueDim), o + ((queries is null ? i : queries[i]) * valueDim));
                }
            }

            for (int i = 0; i < tile.Count; i++)
            {
                Simd.Scale(valueDim, 1 / sum[i], o + (i * valueDim));
                if (LogSums is not null)
                {
                    LogSums[row0 + i] = max[i] + MathF.Log(sum[i]);
                }
            }

            AttentionKernel.Put(tile.Count, valueDim, o, valueDim, Y.At(batch, tile.Row, head * valueDim), Y.Stride, false);
        }

        private readonly void Choose(in BlockAttentionTile tile, int batch, int keyHead, float* q, float* products, long row0)
        {
            int candidates = (int)Sparsity.Candidates(tile.Own), chosen = Sparsity.Chosen;
            float* best = products + (tile.Count * (nint)candidates);

            // Dot products have the same bits however many queries there are: a cut of the sequence does not turn a choice that is nearly a tie.
            SmallGemm.Dots(tile.Count, candidates, View.HeadDim, q, View.Q.Stride, Means.At(batch, Sparsity.Sinks, keyHead * View.HeadDim), Means.Stride, products, candidates, 0);
            for (int i = 0; i < tile.Count; i++)
            {
                int* of = tile.Chosen + (i * chosen);
                TopK.Indices(products + (i * (nint)candidates), candidates, chosen, best, of);
                for (int j = 0; j < chosen; j++)
                {
                    of[j] += Sparsity.Sinks;
                    if (Chosen is not null)
                    {
                        Chosen[((row0 + i) * chosen) + j] = of[j];
                    }
                }
            }
        }
    }
}
