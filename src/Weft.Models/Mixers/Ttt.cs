using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="Ttt"/> layer; the defaults are the authors'.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="HeadDim">A head's width D.</param>
/// <param name="MiniBatch">Tokens whose gradients are taken at one and the same memory.</param>
/// <param name="BaseRate">The inner learning rate, times a token's own between 0 and 1, over D.</param>
/// <param name="RopeTheta">The base of the rotary angles within a mini-batch; 0: no positions.</param>
public sealed record TttOptions(int Heads, int HeadDim, int MiniBatch = 16, float BaseRate = 1, float RopeTheta = 10000);

/// <summary>
/// TTT-Linear (Sun et al., "Learning to (Learn at Test Time): RNNs with Expressive Hidden States", arXiv 2407.04620; equations 4 to 6,
/// sections 2.4 to 2.7): the state is a linear model, trained on each sequence as it is read. With [x]_h for head h's part, i the token's
/// place in its mini-batch:
/// <code>
/// q, k    = rope_i(W_q x), rope_i(W_k x);   v = W_v x
/// rate_t  = base sigmoid(W_r x + b_r) / D                  the token's inner learning rate, a head (section 2.7)
/// step_i  = max(0, 1 / (i + 1) + u_i)                      what the place in the mini-batch makes of it, u learned
/// g_t     = gradient of |norm_h(k_t W_0 + b_0) - (v_t - k_t)|^2 / 2 by k_t W_0 + b_0,   W_0, b_0: at the mini-batch's start
/// W_t     = W_0 - step_i sum rate_s k_s^T g_s,   b_t = b_0 - step_i sum rate_s g_s,   over its tokens s up to t
/// o_t     = q_t + norm_h(q_t W_t + b_t)
/// y       = W_o (gelu(W_g x) * norm(o))
/// </code>
/// The memory before the first token is learned.
/// </summary>
public sealed class Ttt : Mixer
{
    private const float NormEpsilon = 1e-6f;

    private readonly TttOptions o;
    private readonly int width, inner;  // model width d, H D
    private readonly Tensor inProj;     // [4 H D + H, d]: rows q, k, v, gate, rate
    private readonly Tensor rateBias;   // [H]
    private readonly Tensor places;     // [mini-batch, 1]: u
    private readonly Tensor w, b;       // [1,H,D,D], [1,H,1,D]: the memory at first
    private readonly Tensor headNorm, headBias, norm, normBias; // [H D]
    private readonly Tensor outProj;    // [d, H D]
    private readonly Tensor ones, inverses; // constants: [1,H], and 1 / (i + 1) [mini-batch, 1]
    private int[] indices = [];

    /// <summary>Makes the layer with its initial weights: a memory of deviation 0.02, the other maps as usual.</summary>
    public Ttt(Builder builder, TttOptions options)
    {
        (o, width, inner) = (options, builder.Width, options.Heads * options.HeadDim);
        (int heads, int d) = (o.Heads, o.HeadDim);
        inProj = LearnLinear(builder, "in_proj.weight", (4 * inner) + heads, width);
        rateBias = Learn(builder, "rate.bias", new Shape(heads), Initial.Zeros, decay: false);
        places = Learn(builder, "places", new Shape(o.MiniBatch, 1), Initial.Zeros, decay: false);
        w = Learn(builder, "memory.weight", new Shape(1, heads, d, d), Initial.Normal(0.02f), decay: false);
        b = Learn(builder, "memory.bias", new Shape(1, heads, 1, d), Initial.Zeros, decay: false);
        headNorm = Learn(builder, "head_norm.weight", new Shape(inner), Initial.Ones, decay: false);
        headBias = Learn(builder, "head_norm.bias", new Shape(inner), Initial.Zeros, decay: false);
        norm = Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        normBias = Learn(builder, "norm.bias", new Shape(inner), Initial.Zeros, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
        ones = builder.Device.Of([.. Enumerable.Repeat(1f, heads)], new Shape(1, heads));
        inverses = builder.Device.Of([.. Enumerable.Range(1, o.MiniBatch).Select(i => 1f / i)], new Shape(o.MiniBatch, 1));
    }

    /// <summary>
    /// Options: <c>head-dim</c> (D, 64 where that divides the width), <c>mini-batch</c> (16), <c>base-rate</c> (1), <c>rope-theta</c> (10000; 0: no positions).
    /// </summary>
    public static Ttt Create(BlockOptions options, Builder builder)
    {
        int width = builder.Width, usual = Enumerable.Range(1, Math.Min(64, width)).Last(n => width % n == 0);
        int headDim = options.Int("head-dim", usual, 2, 1024);
        if (width % headDim != 0)
        {
            throw options.Refuse("head-dim", $"does not divide the width {width}; head widths that do: {HeadSizes.Divisors(width, 128)}");
        }

        double theta = options.Real("rope-theta", 10000, 0, 1e12);
        if (theta is > 0 and < 1)
        {
            throw options.Refuse("rope-theta", "would turn faster for later columns; use 1 or more, as a rule 10000, or 0 for no positions");
        }

        return theta == 0 || headDim % 2 == 0
            ? new Ttt(builder, new TttOptions(width / headDim, headDim, options.Int("mini-batch", 16, 1, 1024), (float)options.Real("base-rate", 1, 0, 100), (float)theta))
            : throw options.Refuse("head-dim", "is odd, and rotary positions turn pairs of columns; use an even one, or rope-theta=0");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (TttState)state;
        Tape tape = x.Tape!;
        int heads = o.Heads, offset = (int)(s.Count.Position % o.MiniBatch);

        Tensor all = Ops.Linear(x, inProj), turned = all.Columns(0, 2 * inner);
        if (o.RopeTheta > 0)
        {
            turned = Ops.Rope(turned, o.HeadDim, s.Count.Position, o.RopeTheta, period: o.MiniBatch);
        }

        Tensor q = turned.Columns(0, inner), k = turned.Columns(inner, inner), v = all.Columns(2 * inner, inner);
        Tensor rate = Ops.Affine(Ops.Sigmoid(Ops.Add(all.Columns(4 * inner, heads), rateBias)), o.BaseRate / o.HeadDim);
        (Tensor z, Tensor memory) = MemoryGradient.Dual(q, k, v, rate, Steps(tape, x.Shape[0], x.Shape[1], offset), headNorm, headBias,
            Before(tape, x.Shape[0], s), offset, o.MiniBatch, NormEpsilon);
        s.Memory.After(memory);
        s.Count.Advance(x.Shape[1]);

        Tensor read = Ops.Add(q, Ops.Add(Ops.LayerNorm(z, headNorm, NormEpsilon, o.HeadDim), headBias));
        Tensor normed = Ops.Add(Ops.LayerNorm(read, norm, NormEpsilon), normBias);
        return Ops.Linear(Ops.Multiply(Ops.Gelu(all.Columns(3 * inner, inner)), normed), outProj);
    }

    /// <summary>Each token's step [B,T,H], by its place in the mini-batch.</summary>
    private Tensor Steps(Tape tape, int batch, int time, int offset)
    {
        if (indices.Length < batch * time)
        {
            indices = new int[Math.Max(batch * time, 2 * indices.Length)];
        }

        for (int i = 0; i < batch * time; i++)
        {
            indices[i] = (offset + (i % time)) % o.MiniBatch;
        }

        Tensor table = Ops.Multiply(Ops.Relu(Ops.Add(Ops.Copy(inverses, tape), places)), ones); // [mini-batch, H]
        return Ops.Embed(table, tape.Tokens(indices.AsSpan(0, batch * time), batch, time));
    }

    /// <summary>The memory before the next token: what is remembered, or what is learned for the first.</summary>
    private Tensor Before(Tape tape, int batch, TttState s)
    {
        if (s.Count.Position > 0)
        {
            return s.Memory.Before(tape)!;
        }

        Tensor memory = Ops.Concat(Ops.Copy(w, tape), b, 2), copies = tape.Empty(new Shape(batch, 1, 1, 1));
        copies.Fill(1);
        Tensor first = Ops.Multiply(Ops.Concat(memory, Ops.Affine(memory, 0), 2), copies);
        if (tape.Recording)
        {
            return first;
        }

        Tensor own = s.Memory.Before(tape)!;
        own.CopyFrom(first);
        return own;
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new TttState(
        new StateTensor(inProj.Device, "memory", new Shape(batch, o.Heads, 2 * (o.HeadDim + 1), o.HeadDim)), new TokenCounter("position"));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0])
            + Ops.MemoryGradientFlops(tokens, o.Heads, o.HeadDim, o.MiniBatch, context % o.MiniBatch)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * 2L * inner * (o.HeadDim + 1));
}

/// <summary>What a <see cref="Ttt"/> layer remembers, whatever the number of tokens: 2 H D (D + 1) floats a sequence.</summary>
public sealed class TttState : MixerState
{
    internal TttState(StateTensor memory, TokenCounter count) => (Memory, Count) = (Keep(memory), Keep(count));

    /// <summary>[B,H,2 (D+1),D]: the memory at the mini-batch's start, W_0 and b_0, and what its tokens so far have added up for both.</summary>
    public StateTensor Memory { get; }

    /// <summary>The tokens seen, for the place in the mini-batch.</summary>
    public TokenCounter Count { get; }
}
