using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The channel mix of RWKV-4, its MLP (Peng et al., arXiv 2305.13048, section 3.1, equation 18, and appendix D):
/// <code>
/// x^k_t = mu_k x_t + (1 - mu_k) x_{t-1}, and x^r with mu_r
/// out = sigmoid(W_r x^r) * W_v relu(W_k x^k)^2
/// </code>
/// The parameters have the names of published checkpoints, but for the two mu below each other in one. State: the last token's x.
/// </summary>
public sealed class Rwkv4Channels : Mixer
{
    private readonly Device device;
    private readonly int width, hidden;

    private readonly Tensor timeMix;                // [2, D]: mu of keys, receptances
    private readonly Tensor key, value, receptance; // [hidden, D], [D, hidden], [D, D]

    /// <summary>Makes the mixer; <paramref name="index"/> is the block's place in the model, on which the initial shifts depend.</summary>
    public Rwkv4Channels(Builder builder, int hidden, int index)
    {
        (device, width, this.hidden) = (builder.Device, builder.Width, hidden);
        double falling = Math.Max(0, 1 - ((double)index / builder.Blocks)); // 1 in the first layer, almost 0 in the last
        timeMix = Learn(builder, "time_mix", new Shape(2, width), (values, _) =>
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (float)Math.Pow((double)(i % width) / width, falling);
            }
        }, decay: false);

        // As the authors start them; their keys' map is orthogonal, ours has its variance.
        key = LearnLinear(builder, "key.weight", new Shape(hidden, width), Initial.Normal(1 / MathF.Sqrt(width)));
        value = LearnLinear(builder, "value.weight", new Shape(width, hidden), Initial.Zeros);
        receptance = LearnLinear(builder, "receptance.weight", new Shape(width, width), Initial.Zeros);
    }

    /// <summary>Options: <c>hidden</c>, the hidden width (4 times the model's).</summary>
    public static Rwkv4Channels Create(BlockOptions options, Builder builder) =>
        new(builder, options.Int("hidden", 4 * builder.Width, 1, 1 << 20), options.Index);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (Rwkv4ChannelsState)state;
        Tape tape = x.Tape!;
        (Tensor shifted, Tensor last) = Ops.TokenShift(x, Ops.Affine(Ops.Copy(timeMix, tape), -1, 1), before.Last.Before(tape));
        before.Last.After(last);
        Tensor k = Ops.ReluSquared(Ops.Linear(shifted.Columns(0, width), key)), r = Ops.Linear(shifted.Columns(width, width), receptance);
        return Ops.Multiply(Ops.Sigmoid(r), Ops.Linear(k, value));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new Rwkv4ChannelsState(device, new Shape(batch, 1, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) =>
        new(Models.Cost.Linear(tokens, width, width + (2L * hidden)), ParameterCount(), sizeof(float) * (long)width);
}

/// <summary>What a <see cref="Rwkv4Channels"/> mixer remembers.</summary>
public sealed class Rwkv4ChannelsState : MixerState
{
    internal Rwkv4ChannelsState(Device device, Shape last) => Last = Keep(new StateTensor(device, "last", last));

    /// <summary>The last token's input [B,1,D].</summary>
    public StateTensor Last { get; }
}
