using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// minGRU (Feng et al., "Were RNNs All We Needed?", arXiv 2410.01201, section 3.1 and appendix B), a GRU whose gate and candidate do not
/// look at the state, so that it is a linear recurrence:
/// <code>
/// k, c = W_in x + b
/// z_t = sigmoid(k_t)
/// h_t = (1 - z_t) h_{t-1} + z_t g(c_t),    g(c) = c + 1/2 for c >= 0, sigmoid(c) below
/// out = W_out h
/// </code>
/// g keeps the state positive (appendix B.3). log(1 - z) = log sigmoid(-k) is the log decay. State: h.
/// </summary>
public sealed class MinGru : Mixer
{
    private readonly Device device;
    private readonly int width, inner;

    private readonly Tensor inProj, inBias; // [2 C, D], [2 C]: k, c
    private readonly Tensor outProj;        // [D, C]

    /// <summary>Makes the mixer with <paramref name="inner"/> channels.</summary>
    public MinGru(Builder builder, int inner)
    {
        (device, width, this.inner) = (builder.Device, builder.Width, inner);
        inProj = LearnLinear(builder, "in_proj.weight", 2 * inner, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(2 * inner), Initial.Linear(width), decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>Option: <c>expand</c>, the state's channels for each of the model's (the paper's alpha).</summary>
    public static MinGru Create(BlockOptions options, Builder builder) => new(builder, options.Int("expand", 2, 1, 16) * builder.Width);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (MinRnnState)state;
        Tensor projected = Ops.Linear(x, inProj, inBias);
        Tensor a = Ops.LogForgetGate(Ops.Affine(projected.Columns(0, inner), -1));
        (Tensor h, Tensor final) = DiagonalRecurrence.Fast(Ops.ShiftedPositive(projected.Columns(inner, inner)), a, before.H.Before(x.Tape!), DiagonalInput.Complement);
        before.H.After(final);
        return Ops.Linear(h, outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new MinRnnState(device, new Shape(batch, inner));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 2L * inner) + DiagonalRecurrence.Flops(tokens, inner) + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (long)inner);
}

/// <summary>What a <see cref="MinGru"/> or a <see cref="MinLstm"/> remembers.</summary>
public sealed class MinRnnState : MixerState
{
    internal MinRnnState(Device device, Shape h) => H = Keep(new StateTensor(device, "h", h));

    /// <summary>The recurrent state [B,C].</summary>
    public StateTensor H { get; }
}
