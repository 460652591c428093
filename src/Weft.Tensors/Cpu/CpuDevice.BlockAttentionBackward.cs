namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void BlockAttentionBackward(in AttentionOperands operands, in BlockSparsity sparsity, Tensor chosen, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients)
    {
        using Timed timed = Measure([Operand.Sparse(operands, (long)sparsity.Budget * sparsity.Block), chosen, y, logSums, dy, gradients.Q, gradients.K, gradients.V, gradients.LogForget]);
        var view = new AttentionView(operands);
        if (view.Tokens == 0)
        {
            return;
        }

        // The products that a gradient of keys or values takes are those with the keys it is of: counted in the job.
        nint floats = BlockBackwardJob.ScratchFloats(view, sparsity), ints = BlockAttentionTile.Ints(sparsity, view.End);
        int owners = view.Batch * view.KeyHeads;
        long* pastPairs = stackalloc long[1];
        *pastPairs = 0;
        BlockBackwardJob job = new()
        {
            View = view,
            Sparsity = sparsity,
            Chosen = chosen.Pointer,
            LogSums = logSums.Pointer,
            PastPairs = pastPairs,
            Y = new TokenRows(y),
            Dy = new TokenRows(dy),
            Dq = new TokenRows(gradients.Q.Tensor),
            Dk = new TokenRows(gradients.K.Tensor),
            Dv = new TokenRows(gradients.V.Tensor),
            DpastK = new TokenRows(gradients.PastKeys),
            DpastV = new TokenRows(gradients.PastValues),
            AddDq = gradients.Q.Accumulate,
            AddDk = gradients.K.Accumulate,
            AddDv = gradients.V.Accumulate,
            Scratch = Pool.Scratch(0, floats * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, ints * Pool.Workers, slot: 1),
        };
        Pool.Run(ref job, owners);
        long all = view.Batch * view.Heads * sparsity.Pairs(view.Tokens, view.Position);
        CountBackward(view.Options, 1, all, all - *pastPairs, gradients);
    }

    /// <summary>
    /// One key head of one sequence: the queries of its heads, a tile at a time, and the blocks of keys that they saw. Probabilities are
    /// computed again from the log-sums. The item owns the gradients of its keys and values, and of its queries.
    /// </summary>
    private struct BlockBackwardJob : IJob
    {
        public AttentionView View;
        public BlockSparsity Sparsity;
        public float* Chosen, LogSums; // [B,H,T,chosen], [B,H,T]
        public TokenRows Y, Dy, Dq, Dk, Dv, DpastK, DpastV;
        public bool AddDq, AddDk, AddDv;
        public long* PastPairs; // gets the pairs whose key is of the past
        public float* Scratch;
        public int* ScratchInts;

        // By query: scores and their gradients, gathered rows of queries and of dy, their gradients, those of all queries, delta. A block of keys or values, and one turned.
        public static nint ScratchFloats(in AttentionView view, in BlockSparsity sparsity) =>
            (BlockAttentionTile.Span(sparsity) * (nint)((2 * BlockForwardJob.Columns(sparsity)) + (3 * view.HeadDim) + view.ValueDim + 1)) + (2 * (nint)sparsity.Block * Math.Max(view.HeadDim, view.ValueDim));

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.KeyHeads, keyHead = index % View.KeyHeads, span = BlockAttentionTile.Span(Sparsity);
            Clear(View, Dk, AddDk, batch, keyHead * View.HeadDim, View.HeadDim);
            Clear(View, Dv, AddDv, batch, keyHead * View.ValueDim, View.ValueDim);
            long pastPairs = 0;
            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                for (long number = View.Position / span; number * span < View.End; number++)
                {
                    var tile = new BlockAttentionTile(View, Sparsity, number, ScratchInts + (worker * BlockAttentionTile.Ints(Sparsity, View.End)));
                    long row0 = ((((long)batch * View.Heads) + head) * View.Tokens) + tile.Row;
                    for (int i = 0; i < tile.Count * Sparsity.Chosen && tile.LastBlock >= Sparsity.Budget; i++)
                    {
                        tile.Chosen[i] = (int)Chosen[(row0 * Sparsity.Chosen) + i];
                    }

                    tile.Sort();
                    pastPairs += Tile(tile, batch, head, LogSums + row0, Scratch + (worker * ScratchFloats(View, Sparsity)));
                }
            }

            Interlocked.Add(ref *PastPairs, pastPairs);
        }

        private readonly long Tile(in BlockAttentionTile tile, int batch, int head, float* logSums, float* scratch)
        {
            int keyHead = head / View.Group, columns = BlockForwardJob.Columns(Sparsity), span = BlockAttentionTile.Span(Sparsity);
            (int headDim, int valueDim, int block) = (View.HeadDim, View.ValueDim, Sparsity.Block);
            float* s = scratch, ds = s + (span * (nint)columns), rows = ds + (span * (nint)columns), dyRows = rows + (span * (nint)headDim);
            float* part = dyRows + (span * (nint)valueDim), dq = part + (span * (nint)headDim), delta = dq + (span * (nint)headDim), copy = delta + span, turned = copy + (block * Math.Max(headDim, valueDim));
            float* y = Y.At(batch, tile.Row, head * valueDim), q = View.Q.At(batch, tile.Row, head * headDim), dy = Dy.At(batch, tile.Row, head * valueDim);
            long pastPairs = 0;
            new Span<float>(dq, tile.Count * headDim).Clear();
            for (int i = 0; i < tile.Count; i++)
            {
                delta[i] = Simd.Dot(valueDim, y + (i * Y.Stride), dy + (i * Dy.Stride));
            }

            for (long j = 0; j <= tile.LastBlock; j++)
            {
                int* queries = tile.Queries(j, out int count);
                if (count == 0)
                {
                    continue;
                }

                long start = j * block, end = start + tile.Keys(j);
                int keys = tile.Keys(j);
                BlockAttentionTile.Gather(q, View.Q.Stride, headDim, queries, count, rows);
                BlockAttentionTile.Gather(dy, Dy.Stride, valueDim, queries, count, dyRows);
                tile.Copy(j, batch, keyHead, true, copy);
                tile.Scores(count, keys, valueDim, dyRows, copy, ds, columns, turned, 1);
                tile.Copy(j, batch, keyHead, false, copy);
                tile.Scores(count, keys, headDim, rows, copy, s, columns, turned, View.Scale);
                AttentionKernel.ScoreGradients(s, columns, ds, columns, count, columns, queries, logSums, delta);
                for (int i = 0; i < count; i++)
                {
                    int seen = tile.Seen(j, queries[i]);
                    if (seen < columns)
                    {
                        new Span<float>(s + (i * columns) + seen, columns - seen).Clear();
                        new Span<float>(ds + (i * columns) + seen, columns - seen).Clear();
                    }

                    pastPairs += Math.Clamp(View.Position - start, 0, seen);
                }

                for (long k = start; k < end;)
                {
                    KeyRun run = View.Run(k, end);
                    (TokenRows dk, TokenRows dv) = run.Past ? (DpastK, DpastV) : (Dk, Dv);
                    if (!dv.IsNull)
                    {
                        SmallGemm.TN(run.Count, valueDim, count, s + (k - start), columns, dyRows, valueDim, dv.At(batch, run.Row, keyHead * valueDim), dv.Stride, 1);
                    }

                    if (!dk.IsNull)
                    {
                        SmallGemm.TN(run.Count, headDim, count, ds + (k - start), columns, rows, headDim, dk.At(batch, run.Row, keyHead * headDim), dk.Stride, 1, View.Scale);
                    }

                    k += run.Count;
                }

                if (!Dq.IsNull)
                {
                    SmallGemm.NN(count, headDim, keys, ds, columns, copy, headDim, part, headDim, 0, View.Scale);
                    for (int i = 0; i < count; i++)
                    {
                        Simd.Add(headDim, part + (i * headDim), dq + (queries[i] * headDim));
                    }
                }
            }

            if (!Dq.IsNull)
            {
                AttentionKernel.Put(tile.Count, headDim, dq, headDim, Dq.At(batch, tile.Row, head * headDim), Dq.Stride, AddDq);
            }

            return pastPairs;
        }
    }

    // Zeros in some columns of a gradient that is to be overwritten by adding.
    private static void Clear(in AttentionView view, TokenRows gradient, bool keep, int batch, int column, int columns)
    {
        for (int i = 0; !gradient.IsNull && !keep && i < view.Tokens; i++)
        {
            new Span<float>(gradient.At(batch, i, column), columns).Clear();
        }
    }
}
