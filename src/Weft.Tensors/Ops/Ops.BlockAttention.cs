namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The means of the keys of each block of <paramref name="block"/> positions that <paramref name="k"/> [B,T,W] completes, whose first
    /// token is at <paramref name="position"/>, behind all earlier keys in <paramref name="past"/>. Not recorded on a tape: gradients do not pass.
    /// </summary>
    /// <returns>[B, blocks completed, W].</returns>
    public static Tensor BlockMeans(Tensor k, in AttentionPast past, long position, int block)
    {
        Require(k.Shape.Rank == 3 && block > 0 && past.Length == position && (position == 0 || past.Keys!.Shape == k.Shape.With(1, past.Keys.Shape[1])), "BlockMeans", k, past.Keys);
        Tape tape = TapeOf(k);
        Tensor means = tape.Empty(k.Shape.With(1, (int)(((position + k.Shape[1]) / block) - (position / block))));
        tape.Device.BlockMeans(k, past, block, means);
        return means;
    }

    /// <summary>
    /// Causal softmax attention as <see cref="Attention"/>, but each query and head sees only some blocks of keys; see
    /// <see cref="BlockSparsity"/>. <paramref name="past"/> holds all earlier tokens; <paramref name="means"/> [B, rows, H_kv d] begins with
    /// the mean keys of all complete blocks, those that this sequence completes included (<see cref="BlockMeans"/>).
    /// Gradients pass through the pairs seen; the choice is a constant.
    /// </summary>
    /// <returns>[B,T,H d_v].</returns>
    public static Tensor BlockSparseAttention(Tensor q, Tensor k, Tensor v, in AttentionPast past, Tensor? means, in AttentionOptions options, in BlockSparsity sparsity, long position)
    {
        CheckAttention(q, k, v, past, options, position);
        long blocks = sparsity.Block > 0 ? (position + q.Shape[1]) / sparsity.Block : 0;
        Require(options.Window == 0 && options.LocalHeads == 0 && past.Length == position && sparsity is { Block: > 0, Sinks: >= 0, Local: > 0, Chosen: > 0 }
            && (blocks == 0 || (means!.Shape[1] >= blocks && means.Shape == k.Shape.With(1, means.Shape[1]))), "BlockSparseAttention", q, k, means);

        Tape tape = TapeOf(q, k, v);
        (int batch, int tokens, int heads) = (q.Shape[0], q.Shape[1], options.Heads);
        Tensor y = tape.Empty(q.Shape.With(^1, heads * options.ValueDim));
        bool records = Records(tape, q, k, v, past.Keys, past.Values);
        Tensor? logSums = records ? tape.Empty(new Shape(batch, heads, tokens)) : null;
        Tensor? chosen = records ? tape.Empty(new Shape(batch, heads, tokens, sparsity.Chosen)) : null;
        var operands = new AttentionOperands(q, k, v, past, default, options, position);
        tape.Device.BlockAttention(operands, sparsity, means, y, chosen, logSums);
        if (records)
        {
            BlockAttentionNode node = tape.Record<BlockAttentionNode>(y);
            (node.Operands, node.Sparsity, node.Chosen, node.LogSums) = (operands, sparsity, chosen!, logSums!);
        }

        return y;
    }

    private sealed class BlockAttentionNode : Node
    {
        internal AttentionOperands Operands;
        internal BlockSparsity Sparsity;
        internal Tensor Chosen = null!, LogSums = null!;

        internal override void Backward(Tape tape)
        {
            var gradients = new AttentionGradients(GradTarget.Of(Operands.Q, tape), GradTarget.Of(Operands.K, tape), GradTarget.Of(Operands.V, tape), default,
                Cleared(Operands.Past.Keys, tape), Cleared(Operands.Past.Values, tape), null);
            tape.Device.BlockAttentionBackward(Operands, Sparsity, Chosen, Output, LogSums, Output.GradToRead!, gradients);
        }
    }
}

/// <summary>
/// Which keys a query of block-sparse attention sees. Positions are cut into blocks at multiples of <paramref name="Block"/>. The query in
/// block n sees its own block up to itself, the <paramref name="Local"/> - 1 blocks before it, the first <paramref name="Sinks"/> blocks, and
/// of those between the <see cref="Chosen"/> whose mean key has the largest product with the query (of equals the earlier).
/// </summary>
/// <param name="Block">The positions of a block.</param>
/// <param name="Budget">The blocks that a query sees, its own included.</param>
/// <param name="Sinks">The first blocks, always seen.</param>
/// <param name="Local">The last blocks, always seen, the query's own among them.</param>
public readonly record struct BlockSparsity(int Block, int Budget, int Sinks = 1, int Local = 2)
{
    /// <summary>The blocks that a query chooses.</summary>
    public int Chosen => Budget - Sinks - Local;

    /// <summary>The blocks among which a query in block <paramref name="own"/> chooses; 0 where it sees them all.</summary>
    public long Candidates(long own) => own < Budget ? 0 : own - Sinks - Local + 1;

    /// <summary>The pairs (query, key seen) of one head when <paramref name="tokens"/> queries follow <paramref name="past"/> tokens.</summary>
    public long Pairs(long tokens, long past) => Count(tokens, past).Pairs;

    /// <summary>The forward FLOPs of one sequence: q k^T and p v over the pairs seen, and the product of queries and mean keys where there is a choice.</summary>
    public long Flops(in AttentionOptions options, long tokens, long past)
    {
        (long pairs, long candidates) = Count(tokens, past);
        return 2L * options.Heads * ((pairs * (options.HeadDim + options.ValueDim)) + (candidates * options.HeadDim));
    }

    private (long Pairs, long Candidates) Count(long tokens, long past)
    {
        long pairs = 0, candidates = 0;
        for (long next, p = past; p < past + tokens; p = next)
        {
            long own = p / Block;
            next = Math.Min(past + tokens, (own + 1) * Block);
            long count = next - p, first = p % Block;
            pairs += (count * Math.Min(own, Budget - 1) * Block) + (count * first) + (count * (count + 1) / 2);
            candidates += count * Candidates(own);
        }

        return (pairs, candidates);
    }
}
