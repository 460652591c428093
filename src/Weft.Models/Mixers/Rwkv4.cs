using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The time mix of RWKV-4 (Peng et al., arXiv 2305.13048, section 3, equations 11 to 19), as the authors' code computes it:
/// <code>
/// x^k_t = mu_k x_t + (1 - mu_k) x_{t-1}, and x^v, x^r with mu_v, mu_r           token shift, equations 11 to 13
/// k, v, r = W_k x^k, W_v x^v, W_r x^r
/// wkv_t = (n_{t-1} + e^{u + k_t} v_t) / (d_{t-1} + e^{u + k_t})                  equation 16
/// n_t, d_t = e^w n_{t-1} + e^{k_t} v_t, e^w d_{t-1} + e^{k_t},  w = -exp(time_decay)
/// out = W_o (sigmoid(r) * wkv)                                                  equation 15
/// </code>
/// The parameters have the names of published checkpoints, but for the three mu below each other in one. State: the last token's x, and n / d with log d.
/// </summary>
public sealed class Rwkv4 : Mixer
{
    private readonly Device device;
    private readonly int width, channels;

    private readonly Tensor timeDecay, timeFirst;           // [C]: w = -exp(timeDecay), u
    private readonly Tensor timeMix;                        // [3, D]: mu of keys, values, receptances
    private readonly Tensor key, value, receptance, output; // [C, D], the last [D, C]

    /// <summary>
    /// Makes the mixer with a recurrence of <paramref name="channels"/>, C; <paramref name="index"/> is the block's place in the model, on
    /// which the initial decays and shifts depend.
    /// </summary>
    public Rwkv4(Builder builder, int channels, int index)
    {
        (device, width, this.channels) = (builder.Device, builder.Width, channels);
        double rising = builder.Blocks > 1 ? Math.Min(1, index / (builder.Blocks - 1.0)) : 0; // 0 in the first layer, 1 in the last
        double falling = Math.Max(0, 1 - ((double)index / builder.Blocks));                   // 1 in the first layer, almost 0 in the last
        timeDecay = LearnRows("time_decay", new Shape(channels), (_, i) => -5 + (8 * Math.Pow(i / Math.Max(1, channels - 1.0), 0.7 + (1.3 * rising))));
        timeFirst = LearnRows("time_first", new Shape(channels), (_, i) => Math.Log(0.3) + (0.5 * (((i + 1) % 3) - 1)));
        timeMix = LearnRows("time_mix", new Shape(3, width), (row, i) => Math.Pow((double)i / width, row == 2 ? 0.5 * falling : falling) + (row == 1 ? 0.3 * rising : 0));

        // Zeros, as the authors start all matrices but the values'; theirs is orthogonal, ours has its variance.
        var inwards = new Shape(channels, width);
        key = LearnLinear(builder, "key.weight", inwards, Initial.Zeros);
        value = LearnLinear(builder, "value.weight", inwards, Initial.Normal(1 / MathF.Sqrt(width)));
        receptance = LearnLinear(builder, "receptance.weight", inwards, Initial.Zeros);
        output = LearnLinear(builder, "output.weight", new Shape(width, channels), Initial.Zeros);

        Tensor LearnRows(string name, Shape shape, Func<int, int, double> at) => Learn(builder, name, shape, (values, _) =>
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (float)at(i / shape[^1], i % shape[^1]);
            }
        }, decay: false);
    }

    /// <summary>Options: <c>channels</c>, of the recurrence (the model's width).</summary>
    public static Rwkv4 Create(BlockOptions options, Builder builder) => new(builder, options.Int("channels", builder.Width, 1, 1 << 18), options.Index);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (Rwkv4State)state;
        Tape tape = x.Tape!;

        (Tensor shifted, Tensor last) = Ops.TokenShift(x, Ops.Affine(Ops.Copy(timeMix, tape), -1, 1), before.Last.Before(tape));
        before.Last.After(last);
        Tensor k = Ops.Linear(shifted.Columns(0, width), key), v = Ops.Linear(shifted.Columns(width, width), value);
        Tensor r = Ops.Linear(shifted.Columns(2 * width, width), receptance);

        Tensor decay = Ops.Affine(Ops.Exp(Ops.Copy(timeDecay, tape)), -1);
        (Tensor wkv, Tensor average) = Wkv.Fast(k, v, decay, timeFirst, before.Average.Before(tape), restart: before.Tokens.Position == 0);
        before.Average.After(average);
        before.Tokens.Advance(x.Shape[1]);
        return Ops.Linear(Ops.Multiply(Ops.Sigmoid(r), wkv), output);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new Rwkv4State(device, batch, width, channels);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        (4 * Models.Cost.Linear(tokens, width, channels)) + Wkv.Flops(tokens, channels),
        ParameterCount(),
        sizeof(float) * (width + (2L * channels)));
}

/// <summary>What an <see cref="Rwkv4"/> mixer remembers: D + 2 C floats a sequence.</summary>
public sealed class Rwkv4State : MixerState
{
    internal Rwkv4State(Device device, int batch, int width, int channels)
    {
        Last = Keep(new StateTensor(device, "last", new Shape(batch, 1, width)));
        Average = Keep(new StateTensor(device, "average", new Shape(batch, 2, channels)));
        Tokens = Keep(new TokenCounter("position"));
    }

    /// <summary>The last token's input [B,1,D].</summary>
    public StateTensor Last { get; }

    /// <summary>The values' average n / d and the log of its weight d [B,2,C].</summary>
    public StateTensor Average { get; }

    /// <summary>The tokens seen: whether there is an average yet.</summary>
    public TokenCounter Tokens { get; }
}
