using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="ForgettingAttention"/> layer.</summary>
/// <param name="Heads">The heads of queries H.</param>
/// <param name="KeyHeads">The heads of keys and values H_kv, which divides H.</param>
/// <param name="HeadDim">The columns of a head d.</param>
/// <param name="QkNorm">Whether queries and keys are normalised (the Pro form).</param>
/// <param name="OutputGate">Whether the output is normalised and gated (the Pro form).</param>
public sealed record ForgettingAttentionOptions(int Heads, int KeyHeads, int HeadDim, bool QkNorm = false, bool OutputGate = false);

/// <summary>
/// Forgetting attention (Lin et al., "Forgetting Transformer: Softmax Attention with a Forget Gate", arXiv 2503.02130; sections 3 and 3.3):
/// softmax attention in which a gate a head and token lets the past fade. It needs no positions. With [x]_h for head h's part:
/// <code>
/// q, k, v = W_q x, W_k x, W_v x        with qk-norm q and k are rmsnorm([q]_h) weight, rmsnorm([k]_h) weight
/// f       = sigmoid(W_f x + b_f)       one a head
/// D_ts    = sum over l = s+1 .. t of log f_l
/// o_t     = sum_s softmax_s(q_t . k_s / sqrt(d) + D_ts) v_s    equation 5
/// y       = W_o o                      with output-gate W_o (rmsnorm([o]_h) weight * sigmoid(W_g x))
/// </code>
/// Both options together are FoX (Pro) but for its shift of keys and values. The authors have as many heads of keys as of queries;
/// grouped ones are ours.
/// </summary>
public sealed class ForgettingAttention : Mixer
{
    private const float NormEpsilon = 1e-6f;

    private readonly ForgettingAttentionOptions options;
    private readonly AttentionOptions sizes;
    private readonly Device device;
    private readonly int width, queries, keys; // model width, H d, H_kv d

    private readonly Tensor inProj;      // [H d + 2 H_kv d + H (+ H d), D]: rows q, k, v, f, g
    private readonly Tensor forgetBias;  // [H]
    private readonly Tensor? queryNorm, keyNorm, outputNorm; // [H d], [H_kv d], [H d]
    private readonly Tensor output;      // [D, H d]

    /// <summary>Makes the layer with its initial weights: the gates' bias is zero, as the authors have it, so that gates begin near 1/2.</summary>
    public ForgettingAttention(Builder builder, ForgettingAttentionOptions options)
    {
        (this.options, device, width) = (options, builder.Device, builder.Width);
        sizes = new AttentionOptions(options.Heads, options.KeyHeads, options.HeadDim, 1 / MathF.Sqrt(options.HeadDim), 0);
        (queries, keys) = (options.Heads * options.HeadDim, options.KeyHeads * options.HeadDim);
        inProj = LearnLinear(builder, "in_proj.weight", queries + (2 * keys) + options.Heads + (options.OutputGate ? queries : 0), width);
        forgetBias = Learn(builder, "forget.bias", new Shape(options.Heads), Initial.Zeros, decay: false);
        queryNorm = Norm("q_norm.weight", options.QkNorm, queries);
        keyNorm = Norm("k_norm.weight", options.QkNorm, keys);
        outputNorm = Norm("norm.weight", options.OutputGate, queries);
        output = LearnLinear(builder, "out_proj.weight", width, queries, 1 / MathF.Sqrt(builder.Blocks));

        Tensor? Norm(string name, bool wanted, int columns) => wanted ? Learn(builder, name, new Shape(columns), Initial.Ones, decay: false) : null;
    }

    /// <summary>
    /// Options: <c>heads</c>, <c>kv-heads</c> and <c>head-dim</c> as <see cref="Attention"/> has them; <c>qk-norm</c> and <c>output-gate</c>
    /// (false: the LLaMA form of the paper; both true: its Pro form).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide.</exception>
    public static ForgettingAttention Create(BlockOptions options, Builder builder)
    {
        (int heads, int keyHeads, int headDim) = Attention.ReadHeads(options, builder.Width);
        return new ForgettingAttention(builder, new ForgettingAttentionOptions(heads, keyHeads, headDim, options.Flag("qk-norm", false), options.Flag("output-gate", false)));
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        TokenCache cache = ((ForgettingAttentionState)state).Cache;
        Tensor all = Ops.Linear(x, inProj);
        Tensor q = all.Columns(0, queries), k = all.Columns(queries, keys), v = all.Columns(queries + keys, keys);
        if (options.QkNorm)
        {
            q = Ops.RmsNorm(q, queryNorm, NormEpsilon, options.HeadDim);
            k = Ops.RmsNorm(k, keyNorm, NormEpsilon, options.HeadDim);
        }

        // log sigmoid(z) = -softplus(-z)
        Tensor logits = Ops.Add(all.Columns(queries + (2 * keys), options.Heads), forgetBias);
        Tensor logForget = Ops.Affine(Ops.Softplus(Ops.Affine(logits, -1)), -1);

        Tensor o = Ops.Attention(q, k, v, cache.Before(x.Tape!), sizes, cache.Position, new AttentionBias(LogForget: logForget));
        cache.Append(x.Tape!, k, v, logForget);
        if (options.OutputGate)
        {
            Tensor gate = Ops.Sigmoid(all.Columns(queries + (2 * keys) + options.Heads, queries));
            o = Ops.Multiply(Ops.RmsNorm(o, outputNorm, NormEpsilon, options.HeadDim), gate);
        }

        return Ops.Linear(o, output);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new ForgettingAttentionState(device, batch, keys, options.Heads);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + sizes.Flops(tokens, context) + Models.Cost.Linear(tokens, queries, width),
        ParameterCount(),
        ((long)context + tokens) * ((2 * keys) + options.Heads) * sizeof(float));
}

/// <summary>What <see cref="ForgettingAttention"/> remembers: its tokens' keys, values and log forget gates.</summary>
public sealed class ForgettingAttentionState : MixerState
{
    internal ForgettingAttentionState(Device device, int batch, int width, int heads) =>
        Cache = Keep(new TokenCache(device, "cache", batch, [("keys", width), ("values", width), ("log_forget", heads)]));

    /// <summary>The keys and values [B, tokens, H_kv d] and the log forget gates [B, tokens, H].</summary>
    public TokenCache Cache { get; }
}
