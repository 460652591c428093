using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// RetNet's multi-scale retention (Sun et al., arXiv 2307.08621, section 2): linear attention whose heads forget at fixed rates, with
/// rotary positions. For head h of H,
/// <code>
/// q, k, v, g = W_in x                                dv = 2 dk
/// q_t, k_t = rope(q_t, t), rope(k_t, t) / sqrt(dk)   equation 3: xPos, whose decay is gamma
/// S_t = gamma_h S_{t-1} + k_t v_t^T                  equation 6, gamma_h = 1 - 2^(-5 - h)
/// o_t = S_t^T q_t
/// out = W_out (norm(o) * silu(g))                    equation 8: each head over its root mean square
/// </code>
/// The norm makes the paper's further scalings of scores (section 2.2) cancel. State: S, and the position.
/// </summary>
public sealed class RetNet : Mixer
{
    private readonly RetNetOptions o;
    private readonly Device device;
    private readonly int width, keyWidth, valueWidth;

    private readonly Tensor inProj;    // [2 D + 2 H dv, D]: q, k, v, g
    private readonly Tensor outProj;   // [D, H dv]
    private readonly Tensor logDecays; // [H]: ln gamma, fixed

    /// <summary>Makes the mixer; the heads must divide the width and leave even heads.</summary>
    public RetNet(Builder builder, RetNetOptions options)
    {
        (o, device, width) = (options, builder.Device, builder.Width);
        (keyWidth, valueWidth) = (width / o.Heads, width / o.Heads * o.ExpandV);
        int values = o.Heads * valueWidth;

        // The authors' Xavier bounds: gain 2^-2.5 on the way in.
        float keyBound = MathF.Pow(2, -2.5f) * MathF.Sqrt(6f / (2 * width)), valueBound = MathF.Pow(2, -2.5f) * MathF.Sqrt(6f / (width + values));
        inProj = LearnLinear(builder, "in_proj.weight", new Shape(2 * (width + values), width), (weights, random) =>
        {
            Initial.Uniform(keyBound)(weights[..(2 * width * width)], random);
            Initial.Uniform(valueBound)(weights[(2 * width * width)..], random);
        });
        outProj = LearnLinear(builder, "out_proj.weight", width, values, 1 / MathF.Sqrt(builder.Blocks));
        logDecays = device.Of([.. Enumerable.Range(0, o.Heads).Select(h => (float)Math.Log(1 - Math.Pow(2, -5 - h)))], new Shape(o.Heads));
    }

    /// <summary>
    /// Options: <c>heads</c> (of about 256 keys), <c>expand-v</c> (dv / dk, 2), <c>rope-theta</c> (10000), <c>chunk</c> (64),
    /// <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range.</exception>
    public static RetNet Create(BlockOptions options, Builder builder)
    {
        int heads = HeadSizes.Even(options, builder.Width, 256, "the width");
        return heads > 20
            ? throw options.Refuse("heads", "would have decays 1 - 2^(-5 - h) too near 1 to tell apart in float32; use at most 20")
            : new RetNet(builder, new RetNetOptions
            {
                Heads = heads,
                ExpandV = options.Int("expand-v", 2, 1, 16),
                RopeTheta = (float)options.Real("rope-theta", 10000, 1, 1e12),
                Chunk = options.Int("chunk", 64, 1, 1024),
                NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
            });
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (RetNetState)state;
        int values = o.Heads * valueWidth;
        Tensor all = Ops.Linear(x, inProj);
        Tensor qk = Ops.Rope(all.Columns(0, 2 * width), keyWidth, before.Tokens.Position, o.RopeTheta);
        (Tensor y, Tensor s) = ScalarDecay.Chunked(qk.Columns(0, width), qk.Columns(width, width), all.Columns(2 * width, values),
            logDecays, gate: null, skip: null, before.S.Before(x.Tape!), o.Heads, 1 / MathF.Sqrt(keyWidth), o.Chunk);
        before.S.After(s);
        before.Tokens.Advance(x.Shape[1]);
        return Ops.Linear(Ops.GatedRmsNorm(y, all.Columns((2 * width) + values, values), null, o.NormEpsilon, valueWidth, gateFirst: false), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new RetNetState(device, new Shape(batch, o.Heads, keyWidth, valueWidth));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + ScalarDecay.Flops(tokens, o.Heads, o.Heads, keyWidth, valueWidth, o.Chunk)
            + Models.Cost.Linear(tokens, o.Heads * valueWidth, width),
        ParameterCount(),
        sizeof(float) * (long)width * valueWidth);
}

/// <summary>The sizes of a <see cref="RetNet"/> mixer.</summary>
public sealed record RetNetOptions
{
    /// <summary>Heads, H, a divisor of the width.</summary>
    public required int Heads { get; init; }

    /// <summary>Columns of a value for each of a key's, dv / dk.</summary>
    public int ExpandV { get; init; } = 2;

    /// <summary>The base of the rotary angles.</summary>
    public float RopeTheta { get; init; } = 10000;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What a <see cref="RetNet"/> mixer remembers.</summary>
public sealed class RetNetState : MixerState
{
    internal RetNetState(Device device, Shape s) => (S, Tokens) = (Keep(new StateTensor(device, "s", s)), Keep(new TokenCounter("position")));

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor S { get; }

    /// <summary>The tokens seen, by which rotary angles go on.</summary>
    public TokenCounter Tokens { get; }
}
