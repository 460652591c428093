using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Softmax attention with a budget of columns and diagonals of the matrix of scores, the pattern that most heads of trained models were found to
/// have (MInference; Jiang et al., arXiv 2407.02490, section 3), and the best of its kind in prefill in Nawrot et al., "The Sparse Frontier", arXiv 2504.17768.
/// </summary>
/// <remarks>
/// With q = rope(W_q x), k = rope(W_k x), v = W_v x by heads: y_t = W_o sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s &lt;= t that are
/// one of the tile's columns, or whose distance t - s is one of its diagonals.
/// <para>
/// What is published chooses once, by the last 64 queries of a prompt, for all queries of that prompt: a query's view then depends on
/// later ones. Here positions are cut into tiles, and the last queries of a tile choose for the next one, by the same sums of their
/// probabilities; the choice in force is part of the state. Training, prefill and decoding see the same pairs. As published, the first
/// 4 columns and the nearest 64 diagonals (at most half of them) are always among the chosen. Gradients pass through the pairs seen; the choice is a constant.
/// Choosing takes last / tile of the products of full attention's scores, twice: it grows with the square of the length, by a small factor.
/// </para>
/// </remarks>
public sealed class VerticalSlashAttention : Mixer
{
    private readonly Tensor qkv;    // [(H + 2 H_kv) d, D]: queries, keys, values
    private readonly Tensor output; // [D, H d]
    private readonly Device device;
    private readonly int width, queries, keys; // D, H d, H_kv d
    private readonly AttentionOptions sizes;
    private readonly VerticalSlash pattern;
    private readonly float theta;   // 0: no positions

    /// <summary>Makes the mixer; <paramref name="theta"/> 0 leaves positions out.</summary>
    public VerticalSlashAttention(Builder builder, AttentionOptions sizes, VerticalSlash pattern, float theta)
    {
        (device, width, this.sizes, this.pattern, this.theta) = (builder.Device, builder.Width, sizes, pattern, theta);
        (queries, keys) = (sizes.Heads * sizes.HeadDim, sizes.KeyHeads * sizes.HeadDim);
        qkv = LearnLinear(builder, "qkv_proj.weight", queries + (2 * keys), width);
        output = LearnLinear(builder, "out_proj.weight", width, queries, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c>, <c>kv-heads</c>, <c>head-dim</c> and <c>rope-theta</c> as <see cref="Attention"/> has them; <c>vertical</c> and
    /// <c>slash</c> (the columns and the diagonals that a query sees, 512 each), <c>tile</c> (the tokens for which a choice holds, 1024; up to 64, or
    /// a multiple of it), <c>last</c> (the queries of a tile that choose, 64).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide.</exception>
    public static VerticalSlashAttention Create(BlockOptions options, Builder builder)
    {
        (int heads, int keyHeads, int headDim) = Attention.ReadHeads(options, builder.Width);
        float theta = Attention.ReadTheta(options, 10000, headDim);
        int tile = options.Int("tile", 1024, 1, 1 << 20);
        if (tile > 64 && tile % 64 != 0)
        {
            throw options.Refuse("tile", $"is neither up to 64 nor a multiple of it; {tile / 64 * 64}, {((tile / 64) + 1) * 64} are");
        }

        var pattern = new VerticalSlash(options.Int("vertical", 512, 1, 1 << 20), options.Int("slash", 512, 1, 1 << 20), tile, options.Int("last", Math.Min(64, tile), 1, tile));
        return new VerticalSlashAttention(builder, new AttentionOptions(heads, keyHeads, headDim, 1 / MathF.Sqrt(headDim), 0), pattern, theta);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (VerticalSlashAttentionState)state;
        Tape tape = x.Tape!;
        long position = s.Cache.Position;
        Tensor all = Ops.Linear(x, qkv), turned = all.Columns(0, queries + keys);
        if (theta > 0)
        {
            turned = Ops.Rope(turned, sizes.HeadDim, position, theta);
        }

        Tensor q = turned.Columns(0, queries), k = turned.Columns(queries, keys), v = all.Columns(queries + keys, keys);
        AttentionPast past = s.Cache.Before(tape);
        (Tensor choices, Tensor last, Tensor choice) = Ops.ChooseVerticalSlash(q, k, past, s.LastQueries.Before(tape), s.Choice.Before(tape), sizes, pattern, position);
        s.LastQueries.After(last);
        s.Choice.After(choice);
        Tensor y = Ops.VerticalSlashAttention(q, k, v, past, choices, sizes, pattern, position);
        s.Cache.Append(tape, k, v);
        return Ops.Linear(y, output);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new VerticalSlashAttentionState(device, batch, sizes, pattern);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, queries + (2 * keys)) + pattern.Flops(sizes, tokens, context) + Models.Cost.Linear(tokens, queries, width),
        ParameterCount(),
        ((2 * ((long)context + tokens) * keys) + ((long)pattern.Last * queries) + ((long)sizes.Heads * (pattern.Vertical + pattern.Slash))) * sizeof(float));
}

/// <summary>What <see cref="VerticalSlashAttention"/> remembers: its tokens' keys and values, the last queries, and what they chose before.</summary>
public sealed class VerticalSlashAttentionState : MixerState
{
    internal VerticalSlashAttentionState(Device device, int batch, AttentionOptions sizes, VerticalSlash pattern)
    {
        Cache = Keep(new TokenCache(device, "cache", batch, sizes.KeyHeads * sizes.HeadDim));
        LastQueries = Keep(new StateTensor(device, "last_queries", new Shape(batch, pattern.Last, sizes.Heads * sizes.HeadDim), learned: false));
        Choice = Keep(new StateTensor(device, "choice", new Shape(batch, 1, sizes.Heads, pattern.Vertical + pattern.Slash), learned: false));
    }

    /// <summary>The keys, rotated, and the values.</summary>
    public TokenCache Cache { get; }

    /// <summary>The last queries, rotated, [B, last, H d]: that of position p in row p mod last. They will choose; no gradient passes.</summary>
    public StateTensor LastQueries { get; }

    /// <summary>The columns, then the distances, that the tile being read sees, [B, 1, H, vertical + slash].</summary>
    public StateTensor Choice { get; }
}
