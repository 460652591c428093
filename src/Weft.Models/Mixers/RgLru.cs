using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The recurrent block of Griffin and RecurrentGemma (De et al., arXiv 2402.19427, section 2.3), around the real-gated linear recurrent
/// unit (section 2.4, equations 1 to 4), as the authors' code computes it:
/// <code>
/// y = gelu(W_y x + b_y),  u = conv(W_x x + b_x)     depthwise, causal, 4 taps and a bias
/// r = sigmoid(W_a u + b_a)                          recurrence gate, equation 1; W_a, W_i of `heads` diagonal blocks
/// i = sigmoid(W_i u + b_i)                          input gate, equation 2
/// log a_t = -8 softplus(Lambda) r_t                 equation 3
/// h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t u_t)     equation 4; a sequence's first token enters whole, with a = 0
/// out = W_o (h y) + b_o
/// </code>
/// State: h, and the last 3 inputs of the convolution.
/// </summary>
public sealed class RgLru : Mixer
{
    private const float Sharpness = 8; // the constant c of equation 3

    private readonly Device device;
    private readonly int width, inner, heads, taps;

    private readonly Tensor inProj, inBias;                 // [2 d_rnn, D], [2 d_rnn]: y, u
    private readonly Tensor convWeight, convBias;           // [d_rnn, K], [d_rnn]
    private readonly Tensor recurrenceGate, recurrenceBias; // [heads, d_rnn / heads, d_rnn / heads] inputs by outputs, [d_rnn]
    private readonly Tensor inputGate, inputBias;           // the same
    private readonly Tensor lambda;                         // [d_rnn]
    private readonly Tensor outProj, outBias;               // [D, d_rnn], [D]

    /// <summary>Makes the block; <paramref name="heads"/> divides <paramref name="inner"/>.</summary>
    /// <param name="builder">What it is made with.</param>
    /// <param name="inner">The recurrence's channels, d_rnn.</param>
    /// <param name="heads">The diagonal blocks of the gates.</param>
    /// <param name="taps">The tokens that the convolution sees, this one included.</param>
    public RgLru(Builder builder, int inner, int heads, int taps = 4)
    {
        if (inner % heads != 0)
        {
            throw new ArgumentException($"{heads} heads do not fit {inner} channels", nameof(heads));
        }

        (device, width, this.inner, this.heads, this.taps) = (builder.Device, builder.Width, inner, heads, taps);
        var block = new Shape(heads, inner / heads, inner / heads);
        Initializer gate = Initial.Normal(1 / MathF.Sqrt(inner / heads));
        inProj = LearnLinear(builder, "in_proj.weight", new Shape(2 * inner, width), Initial.Normal(1 / MathF.Sqrt(width)));
        inBias = Learn(builder, "in_proj.bias", new Shape(2 * inner), Initial.Zeros, decay: false);
        convWeight = Learn(builder, "conv1d.weight", new Shape(inner, taps), Initial.Normal(0.1f / MathF.Sqrt(taps)), decay: true);
        convBias = Learn(builder, "conv1d.bias", new Shape(inner), Initial.Zeros, decay: false);
        recurrenceGate = Learn(builder, "recurrence_gate.weight", block, gate, decay: true);
        recurrenceBias = Learn(builder, "recurrence_gate.bias", new Shape(inner), Initial.Zeros, decay: false);
        inputGate = Learn(builder, "input_gate.weight", block, gate, decay: true);
        inputBias = Learn(builder, "input_gate.bias", new Shape(inner), Initial.Zeros, decay: false);
        lambda = Learn(builder, "lambda", new Shape(inner), Radii, decay: false);

        // Variance 2 / layers over the inputs; the authors' layer is two of our residual blocks.
        float deviation = MathF.Sqrt(Math.Min(1, 4f / builder.Blocks) / inner);
        outProj = LearnLinear(builder, "out_proj.weight", new Shape(width, inner), Initial.Normal(deviation));
        outBias = Learn(builder, "out_proj.bias", new Shape(width), Initial.Zeros, decay: false);
    }

    /// <summary>
    /// Options: <c>d-rnn</c>, the recurrence's channels (4/3 of the width, to a multiple of 64); <c>heads</c>, the blocks of the gates;
    /// <c>conv</c>, the convolution's taps.
    /// </summary>
    public static RgLru Create(BlockOptions options, Builder builder)
    {
        int inner = options.Int("d-rnn", Math.Max(64, (int)Math.Round(builder.Width / 48.0) * 64), 1, 1 << 20);
        int heads = options.Int("heads", inner % 16 == 0 ? 16 : 1, 1, 4096);
        return inner % heads == 0 ? new RgLru(builder, inner, heads, options.Int("conv", 4, 2, 64))
            : throw options.Refuse("heads", $"does not divide d-rnn = {inner}; numbers that do: {HeadSizes.Divisors(inner, 64)}");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (RgLruState)state;
        Tape tape = x.Tape!;

        Tensor projected = Ops.Linear(x, inProj, inBias);
        Tensor y = Ops.Gelu(projected.Columns(0, inner));
        (Tensor u, Tensor last) = Ops.CausalConv(projected.Columns(inner, inner), convWeight, convBias, before.Conv.Before(tape), silu: false);
        before.Conv.After(last);

        Tensor r = Ops.Sigmoid(Ops.Add(Ops.BlockLinear(u, recurrenceGate), recurrenceBias));
        Tensor a = Ops.Multiply(r, Ops.Affine(Ops.Softplus(Ops.Copy(lambda, tape)), -Sharpness));
        Tensor gated = Ops.Multiply(Ops.Sigmoid(Ops.Add(Ops.BlockLinear(u, inputGate), inputBias)), u);
        (Tensor h, Tensor final) = DiagonalRecurrence.Fast(gated, a, before.H.Before(tape), DiagonalInput.UnitVariance, restart: before.Tokens.Position == 0);
        before.H.After(final);
        before.Tokens.Advance(x.Shape[1]);

        return Ops.Linear(Ops.Multiply(h, y), outProj, outBias);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new RgLruState(device, new Shape(batch, taps - 1, inner), new Shape(batch, inner));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 2L * inner)
            + (2L * tokens * taps * inner)
            + (2 * Models.Cost.Linear(tokens, inner, inner / heads))
            + DiagonalRecurrence.Flops(tokens, inner)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (long)inner * taps);

    // Lambda such that e^-softplus(Lambda) is uniform by area on the ring from 0.9 to 0.999: the code's; the paper puts the eighth power of it there.
    private static void Radii(Span<float> values, RandomSource random)
    {
        for (int i = 0; i < values.Length; i++)
        {
            double squared = 0.81 + (random.NextDouble() * (0.998001 - 0.81));
            values[i] = (float)Math.Log(Math.Exp(-0.5 * Math.Log(squared)) - 1);
        }
    }
}

/// <summary>What an <see cref="RgLru"/> block remembers: d_rnn K floats a sequence.</summary>
public sealed class RgLruState : MixerState
{
    internal RgLruState(Device device, Shape conv, Shape h)
    {
        Conv = Keep(new StateTensor(device, "conv", conv));
        H = Keep(new StateTensor(device, "h", h));
        Tokens = Keep(new TokenCounter("position"));
    }

    /// <summary>The last inputs of the convolution [B,K-1,d_rnn], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>The recurrent state [B,d_rnn].</summary>
    public StateTensor H { get; }

    /// <summary>The tokens seen: whether the next one is the first.</summary>
    public TokenCounter Tokens { get; }
}
