using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// minLSTM (Feng et al., "Were RNNs All We Needed?", arXiv 2410.01201, section 3.2 and appendix B), an LSTM whose gates do not look at
/// the state and, so that its scale does not depend on time, sum to one:
/// <code>
/// k, j, c = W_in x + b
/// f_t = sigmoid(k_t),  i_t = sigmoid(j_t)
/// h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) g(c_t),    g(c) = c + 1/2 for c >= 0, sigmoid(c) below
/// out = W_out h
/// </code>
/// The log decay is log(f / (f + i)) = log sigmoid(log f - log i), and i / (f + i) is one minus the decay. State: h.
/// </summary>
public sealed class MinLstm : Mixer
{
    private readonly Device device;
    private readonly int width, inner;

    private readonly Tensor inProj, inBias; // [3 C, D], [3 C]: k, j, c
    private readonly Tensor outProj;        // [D, C]

    /// <summary>Makes the mixer with <paramref name="inner"/> channels.</summary>
    public MinLstm(Builder builder, int inner)
    {
        (device, width, this.inner) = (builder.Device, builder.Width, inner);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * inner, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(3 * inner), Initial.Linear(width), decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>Option: <c>expand</c>, the state's channels for each of the model's (the paper's alpha).</summary>
    public static MinLstm Create(BlockOptions options, Builder builder) => new(builder, options.Int("expand", 2, 1, 16) * builder.Width);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (MinRnnState)state;
        Tensor projected = Ops.Linear(x, inProj, inBias);
        Tensor logs = Ops.LogForgetGate(projected.Columns(0, 2 * inner));
        Tensor a = Ops.LogForgetGate(Ops.Subtract(logs.Columns(0, inner), logs.Columns(inner, inner)));
        (Tensor h, Tensor final) = DiagonalRecurrence.Fast(Ops.ShiftedPositive(projected.Columns(2 * inner, inner)), a, before.H.Before(x.Tape!), DiagonalInput.Complement);
        before.H.After(final);
        return Ops.Linear(h, outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new MinRnnState(device, new Shape(batch, inner));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 3L * inner) + DiagonalRecurrence.Flops(tokens, inner) + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (long)inner);
}
