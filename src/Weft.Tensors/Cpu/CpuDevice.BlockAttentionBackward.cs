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
    /// One key head of one sequence: the queries of its heads, a block at a time, and the blocks of keys that they saw. Probabilities are
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

        // Scores and their gradients, gathered rows of queries and of dy, a block of keys or values turned, gradients of gathered queries.
        public static nint ScratchFloats(in AttentionView view, in BlockSparsity sparsity) =>
            sparsity.Block * ((2 * (nint)BlockForwardJob.Columns(sparsity)) + (2 * view.HeadDim) + view.ValueDim + Math.Max(view.HeadDim, view.ValueDim));

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.KeyHeads, keyHead = index % View.KeyHeads;
            Clear(View, Dk, AddDk, batch, keyHead * View.HeadDim, View.HeadDim);
            Clear(View, Dv, AddDv, batch, keyHead * View.ValueDim, View.ValueDim);
            Clear(View, Dq, AddDq, batch, keyHead * View.Group * View.HeadDim, View.Group * View.HeadDim);
            long pastPairs = 0;
            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                for (long own = View.Position / Sparsity.Block; own * Sparsity.Block < View.End; own++)
                {
                    var tile = new BlockAttentionTile(View, Sparsity, own, ScratchInts + (worker * BlockAttentionTile.Ints(Sparsity, View.End)));
                    long row0 = ((((long)batch * View.Heads) + head) * View.Tokens) + tile.Row;
                    for (int i = 0; tile.HasChoice && i < tile.Count * Sparsity.Chosen; i++)
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
            int keyHead = head / View.Group, columns = BlockForwardJob.Columns(Sparsity);
            (int headDim, int valueDim, int block) = (View.HeadDim, View.ValueDim, Sparsity.Block);
            float* s = scratch, ds = s + (block * columns), rows = ds + (block * columns), dyRows = rows + (block * headDim);
            float* part = dyRows + (block * valueDim), turned = part + (block * headDim);
            float* y = Y.At(batch, tile.Row, head * valueDim), q = View.Q.At(batch, tile.Row, head * headDim), dy = Dy.At(batch, tile.Row, head * valueDim);
            long pastPairs = 0;
            for (long j = 0; j <= tile.Own; j++)
            {
                int* queries = tile.Queries(j, out int count);
                if (count == 0)
                {
                    continue;
                }

                (nint qStride, nint dyStride) = (View.Q.Stride, Dy.Stride);
                float* qs = BlockAttentionTile.Gather(q, ref qStride, headDim, queries, count, rows), dys = BlockAttentionTile.Gather(dy, ref dyStride, valueDim, queries, count, dyRows);
                long start = j * block, end = tile.End(j);
                for (long k = start; k < end;)
                {
                    KeyRun run = View.Run(k, end);
                    SmallGemm.NT(count, run.Count, headDim, qs, qStride, View.Keys(run, batch, keyHead), View.KeyStride(run), s + (k - start), columns, 0, turned, View.Scale);
                    SmallGemm.NT(count, run.Count, valueDim, dys, dyStride, View.Values(run, batch, keyHead), View.ValueStride(run), ds + (k - start), columns, 0, turned);
                    k += run.Count;
                }

                for (int i = 0; i < count; i++)
                {
                    int query = queries is null ? i : queries[i], seen = tile.Seen(j, query);
                    float* si = s + (i * columns), di = ds + (i * columns);
                    float delta = Simd.Dot(valueDim, y + (query * Y.Stride), dy + (query * Dy.Stride));
                    AttentionKernel.ScoreGradients(si, di, columns, logSums[query], delta);
                    new Span<float>(si + seen, columns - seen).Clear();
                    new Span<float>(di + seen, columns - seen).Clear();
                    pastPairs += Math.Clamp(View.Position - start, 0, seen);
                }

                for (long k = start; k < end;)
                {
                    KeyRun run = View.Run(k, end);
                    (TokenRows dk, TokenRows dv) = run.Past ? (DpastK, DpastV) : (Dk, Dv);
                    if (!dv.IsNull)
                    {
                        SmallGemm.TN(run.Count, valueDim, count, s + (k - start), columns, dys, dyStride, dv.At(batch, run.Row, keyHead * valueDim), dv.Stride, 1);
                    }

                    if (!dk.IsNull)
                    {
                        SmallGemm.TN(run.Count, headDim, count, ds + (k - start), columns, qs, qStride, dk.At(batch, run.Row, keyHead * headDim), dk.Stride, 1, View.Scale);
                    }

                    if (!Dq.IsNull)
                    {
                        SmallGemm.NN(count, headDim, run.Count, ds + (k - start), columns, View.Keys(run, batch, keyHead), View.KeyStride(run), part, headDim, k == start ? 0 : 1, View.Scale);
                    }

                    k += run.Count;
                }

                for (int i = 0; !Dq.IsNull && i < count; i++)
                {
                    Simd.Add(headDim, part + (i * headDim), Dq.At(batch, tile.Row + (queries is null ? i : queries[i]), head * headDim));
                }
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
