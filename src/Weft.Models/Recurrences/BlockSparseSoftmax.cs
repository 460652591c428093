using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Softmax attention to a fixed number of blocks of keys, which each query and head chooses:
/// <code>
/// m_j  = mean of the keys of block j
/// C_t  = the first blocks, the last ones up to t's own, and of those between the ones with the largest q_t . m_j
/// o_t  = sum_s softmax_s(scale q_t . k_s) v_s over the s &lt;= t in C_t
/// </code>
/// Whatever a query sees depends on nothing after it, and on no cut of the sequence. <see cref="BlockSparsity"/> says how many blocks there are
/// of each kind. q is [B,T,H dk]; k [B,T,Hk dk] and v [B,T,Hk dv] are shared by the H / Hk heads of a key head.
/// </summary>
public static class BlockSparseSoftmax
{
    /// <summary>
    /// The definition: whole matrices of scores, and choices by sorting, which are constants to gradients. Keys and values may be of more
    /// tokens than the queries: the earlier ones are the cache.
    /// </summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Plain(Tensor q, Tensor k, Tensor v, int keyHeads, float scale, BlockSparsity sparsity)
    {
        (int tokens, int all, int keyColumns) = (q.Shape[1], k.Shape[1], k.Shape.Columns);
        (int block, int headDim) = (sparsity.Block, keyColumns / keyHeads);
        int heads = q.Shape.Columns / headDim;
        (float[] queries, float[] keys) = (q.ToArray(), k.ToArray());
        var seen = new Dictionary<(int, int, int), HashSet<int>>(); // blocks, by sequence, head and position of the query
        var options = new AttentionOptions(heads, keyHeads, headDim, scale, 0) { ValueDim = v.Shape.Columns / keyHeads };
        return AttentionDefinition.Run(q, k, v, options, sees: (b, h, t, s) =>
        {
            if (!seen.TryGetValue((b, h, t), out HashSet<int>? blocks))
            {
                seen[(b, h, t)] = blocks = Blocks(b, h, t);
            }

            return blocks.Contains(s / block);
        });

        HashSet<int> Blocks(int b, int h, int t)
        {
            int own = t / block, firstLocal = own - sparsity.Local + 1;
            IEnumerable<int> chosen = Enumerable.Range(0, own + 1);
            if (own >= sparsity.Budget)
            {
                IEnumerable<int> between = Enumerable.Range(sparsity.Sinks, firstLocal - sparsity.Sinks);
                chosen = [.. Enumerable.Range(0, sparsity.Sinks), .. between.OrderByDescending(j => Product(b, h, t, j)).Take(sparsity.Chosen), .. Enumerable.Range(firstLocal, sparsity.Local)];
            }

            return [.. chosen];
        }

        // The query's product with the mean key of a block.
        double Product(int b, int h, int t, int j)
        {
            double sum = 0;
            for (int i = 0; i < block * headDim; i++)
            {
                int row = (b * all) + (j * block) + (i / headDim), column = i % headDim;
                double key = keys[(row * keyColumns) + (h / (heads / keyHeads) * headDim) + column];
                sum += key * queries[(((((b * tokens) + t - all + tokens) * heads) + h) * headDim) + column];
            }

            return sum / block;
        }
    }

    /// <summary>The same, a block of queries at a time, behind the cache <paramref name="past"/>. See <see cref="Ops.BlockSparseAttention"/>; mixers keep the mean keys.</summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Fast(Tensor q, Tensor k, Tensor v, in AttentionPast past, int keyHeads, float scale, BlockSparsity sparsity)
    {
        int headDim = k.Shape.Columns / keyHeads;
        var options = new AttentionOptions(q.Shape.Columns / headDim, keyHeads, headDim, scale, 0) { ValueDim = v.Shape.Columns / keyHeads };
        Tensor all = past.Length == 0 ? k : Ops.Concat(Ops.Slice(past.Keys!, 1, 0, past.Length), k, 1);
        return Ops.BlockSparseAttention(q, k, v, past, Ops.BlockMeans(all, default, 0, sparsity.Block), options, sparsity, past.Length);
    }
}
