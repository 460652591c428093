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

        int span = BlockAttentionTile.Span(sparsity);
        long first = view.Position / span, tiles = ((view.End - 1) / span) - first + 1;
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
    /// The queries of one head in a tile: chooses for each of them, then takes the blocks in their order, with the softmax kept online.
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

        // By query: scores with a block, gathered rows, their output, the output, three numbers. A block of keys or values and one turned; products with mean keys.
        public static nint ScratchFloats(in AttentionView view, in BlockSparsity sparsity)
        {
            nint block = sparsity.Block, blocks = (nint)(view.End / block), span = BlockAttentionTile.Span(sparsity);
            return (span * (Columns(sparsity) + view.HeadDim + (2 * view.ValueDim) + 3)) + (block * (view.HeadDim + Math.Max(view.HeadDim, view.ValueDim))) + (blocks * block) + sparsity.Chosen;
        }

        /// <summary>The columns of a row of scores: whole vectors.</summary>
        public static int Columns(in BlockSparsity sparsity) => (sparsity.Block + 15) / 16 * 16;

        public readonly void Run(int index, int worker)
        {
            // The last tiles have the most to choose from, and go first.
            int heads = View.Batch * View.Heads, owner = index % heads, batch = owner / View.Heads, head = owner % View.Heads, keyHead = head / View.Group;
            var tile = new BlockAttentionTile(View, Sparsity, First + Tiles - 1 - (index / heads), ScratchInts + (worker * BlockAttentionTile.Ints(Sparsity, View.End)));
            (int headDim, int valueDim, int columns, int span) = (View.HeadDim, View.ValueDim, Columns(Sparsity), BlockAttentionTile.Span(Sparsity));
            float* s = Scratch + (worker * ScratchFloats(View, Sparsity)), rows = s + (span * (nint)columns), part = rows + (span * (nint)headDim), o = part + (span * (nint)valueDim);
            float* max = o + (span * (nint)valueDim), sum = max + span, rescale = sum + span, copy = rescale + span, turned = copy + (Sparsity.Block * Math.Max(headDim, valueDim));
            float* q = View.Q.At(batch, tile.Row, head * headDim);
            long row0 = ((long)owner * View.Tokens) + tile.Row;
            Choose(tile, batch, keyHead, q, turned + (Sparsity.Block * headDim), row0);
            tile.Sort();
            new Span<float>(max, tile.Count).Fill(float.MinValue);
            new Span<float>(sum, tile.Count).Clear();
            new Span<float>(o, tile.Count * valueDim).Clear();
            for (long j = 0; j <= tile.LastBlock; j++)
            {
                int* queries = tile.Queries(j, out int count);
                if (count == 0)
                {
                    continue;
                }

                int keys = tile.Keys(j);
                BlockAttentionTile.Gather(q, View.Q.Stride, headDim, queries, count, rows);
                tile.Copy(j, batch, keyHead, false, copy);
                tile.Scores(count, keys, headDim, rows, copy, s, columns, turned, View.Scale);
                for (int i = 0; i < count; i++)
                {
                    int seen = tile.Seen(j, queries[i]);
                    if (seen < columns)
                    {
                        new Span<float>(s + (i * columns) + seen, columns - seen).Fill(float.NegativeInfinity);
                    }
                }

                AttentionKernel.SoftmaxRows(s, columns, count, columns, queries, max, sum, rescale);
                tile.Copy(j, batch, keyHead, true, copy);
                SmallGemm.NN(count, valueDim, keys, s, columns, copy, valueDim, part, valueDim, 0);
                AttentionKernel.AddRescaled(count, valueDim, part, queries, rescale, o);
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
            int chosen = Sparsity.Chosen;
            for (int end, start = 0; start < tile.Count; start = end)
            {
                long own = tile.Own(start);
                end = (int)Math.Min(tile.Count, ((own + 1) * Sparsity.Block) - tile.First);
                int candidates = (int)Sparsity.Candidates(own);
                if (candidates == 0)
                {
                    continue;
                }

                // Dot products have the same bits however many queries there are: a cut of the sequence does not turn a choice that is nearly a tie.
                float* best = products + ((end - start) * (nint)candidates);
                SmallGemm.Dots(end - start, candidates, View.HeadDim, q + (start * View.Q.Stride), View.Q.Stride, Means.At(batch, Sparsity.Sinks, keyHead * View.HeadDim), Means.Stride, products, candidates, 0);
                for (int i = start; i < end; i++)
                {
                    int* of = tile.Chosen + (i * chosen);
                    TopK.Indices(products + ((i - start) * (nint)candidates), candidates, chosen, best, of);
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
}
