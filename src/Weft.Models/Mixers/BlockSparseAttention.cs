using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Softmax attention with a budget: each query sees a fixed number of blocks of keys, so that its cost does not grow with the sequence,
/// but for one product per block that finds which (the family that Nawrot et al., "The Sparse Frontier", arXiv 2504.17768, compares).
/// </summary>
/// <remarks>
/// With q = rope(W_q x), k = rope(W_k x), v = W_v x by heads, and m_j the mean key of block j:
/// y_t = W_o sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s &lt;= t of the first block, the last two and those of the largest q_t . m_j.
/// <para>
/// What is published chooses for trained models: in prefill for a whole block of queries, by the product of mean queries and mean keys
/// (block-sparse; MInference, arXiv 2407.02490), and in decoding for each query, by a bound from the keys' smallest and largest values
/// (Quest, arXiv 2406.10774). A mean over queries lets a query's choice depend on later ones, and on where a prefill ends. Here each query and
/// head chooses for itself, by the mean keys of complete earlier blocks (as MoBA, arXiv 2502.13189, which is trained so): training, prefill and
/// decoding see the same pairs. Gradients pass through the pairs seen; the choice is a constant.
/// </para>
/// </remarks>
public sealed class BlockSparseAttention : Mixer
{
    private readonly Tensor qkv;    // [(H + 2 H_kv) d, D]: queries, keys, values
    private readonly Tensor output; // [D, H d]
    private readonly Device device;
    private readonly int width, queries, keys; // D, H d, H_kv d
    private readonly AttentionOptions sizes;
    private readonly BlockSparsity sparsity;
    private readonly float theta;   // 0: no positions

    /// <summary>Makes the mixer; <paramref name="theta"/> 0 leaves positions out.</summary>
    public BlockSparseAttention(Builder builder, AttentionOptions sizes, BlockSparsity sparsity, float theta)
    {
        (device, width, this.sizes, this.sparsity, this.theta) = (builder.Device, builder.Width, sizes, sparsity, theta);
        (queries, keys) = (sizes.Heads * sizes.HeadDim, sizes.KeyHeads * sizes.HeadDim);
        qkv = LearnLinear(builder, "qkv_proj.weight", queries + (2 * keys), width);
        output = LearnLinear(builder, "out_proj.weight", width, queries, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c>, <c>kv-heads</c>, <c>head-dim</c> and <c>rope-theta</c> as <see cref="Attention"/> has them; <c>block-size</c>
    /// (keys of a block, 64), <c>budget</c> (the tokens that a query sees, whole blocks, its own included; 1024 or 16 blocks).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, the heads do not divide, or the budget is no number of blocks.</exception>
    public static BlockSparseAttention Create(BlockOptions options, Builder builder)
    {
        (int heads, int keyHeads, int headDim) = Attention.ReadHeads(options, builder.Width);
        float theta = Attention.ReadTheta(options, 10000, headDim);
        int block = options.Int("block-size", 64, 4, 256);
        int budget = options.Int("budget", 16 * block, 1, 1 << 20);
        if (budget % block != 0)
        {
            throw options.Refuse("budget", $"is no whole number of blocks of {block}; {budget / block * block} and {((budget / block) + 1) * block} are");
        }

        var sparsity = new BlockSparsity(block, budget / block);
        if (sparsity.Chosen < 1)
        {
            throw options.Refuse("budget", $"leaves nothing to choose beside the first block and the last two; use {(sparsity.Sinks + sparsity.Local + 1) * block} or more");
        }

        var sizes = new AttentionOptions(heads, keyHeads, headDim, 1 / MathF.Sqrt(headDim), 0);
        return new BlockSparseAttention(builder, sizes, sparsity, theta);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (BlockSparseAttentionState)state;
        (TokenCache cache, TokenCache means) = (s.Cache, s.Means);
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, qkv), turned = all.Columns(0, queries + keys);
        if (theta > 0)
        {
            turned = Ops.Rope(turned, sizes.HeadDim, cache.Position, theta);
        }

        Tensor k = turned.Columns(queries, keys), v = all.Columns(queries + keys, keys);
        AttentionPast past = cache.Before(tape);
        Tensor completed = Ops.BlockMeans(k, past, cache.Position, sparsity.Block);
        if (completed.Shape[1] > 0)
        {
            means.Append(tape, completed);
        }

        Tensor y = Ops.BlockSparseAttention(turned.Columns(0, queries), k, v, past, means.Before(tape).Keys, sizes, sparsity, cache.Position);
        cache.Append(tape, k, v);
        return Ops.Linear(y, output);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new BlockSparseAttentionState(device, batch, keys, sparsity.Block);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        long seen = (long)context + tokens;
        return new Cost(
            Models.Cost.Linear(tokens, width, queries + (2 * keys)) + sparsity.Flops(sizes, tokens, context) + Models.Cost.Linear(tokens, queries, width),
            ParameterCount(),
            ((2 * seen) + (seen / sparsity.Block)) * keys * sizeof(float));
    }
}

/// <summary>What <see cref="BlockSparseAttention"/> remembers: its tokens' keys and values, and the mean key of each complete block.</summary>
public sealed class BlockSparseAttentionState : MixerState
{
    internal BlockSparseAttentionState(Device device, int batch, int width, int block)
    {
        Cache = Keep(new TokenCache(device, "cache", batch, width));
        Means = Keep(new TokenCache(device, "blocks", batch, [("means", width)], learned: false, span: block));
    }

    /// <summary>The keys, rotated, and the values.</summary>
    public TokenCache Cache { get; }

    /// <summary>The mean keys of complete blocks: what queries choose by. They follow from the keys, and no gradient passes.</summary>
    public TokenCache Means { get; }
}
