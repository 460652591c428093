using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The hierarchically gated recurrent unit (Qin et al., arXiv 2311.04823, section 3.2, equations 1 to 5), in the real form of the
/// flash-linear-attention library, without the phases of the paper's complex state:
/// <code>
/// i, f, g = W_in x
/// a_t = log(gamma + (1 - gamma) sigmoid(f_t))           a forget gate that does not fall below gamma
/// h_t = exp(a_t) h_{t-1} + (1 - exp(a_t)) silu(i_t)
/// out = W_out (rmsnorm(h) weight * silu(g))
/// </code>
/// The lower bound gamma rises from layer to layer, so that upper layers remember for longer. The paper ties the layers' bounds by a
/// cumulative softmax over all of them; a mixer knows its own layer only, so each learns a bound per channel that starts where the
/// paper's does: at layer / layers, and at none, without a parameter, in the first. State: h.
/// </summary>
public sealed class Hgrn : Mixer
{
    private const float NormEpsilon = 1e-5f;

    private readonly Device device;
    private readonly int width, inner;

    private readonly Tensor inProj;  // [3 C, D]: i, f, g
    private readonly Tensor? bound;  // [C]: gamma = sigmoid(bound); null for 0
    private readonly Tensor norm;    // [C]
    private readonly Tensor outProj; // [D, C]

    /// <summary>Makes the mixer with <paramref name="inner"/> channels, whose forget gates start bounded by <paramref name="lowerBound"/> from below.</summary>
    public Hgrn(Builder builder, int inner, double lowerBound)
    {
        (device, width, this.inner) = (builder.Device, builder.Width, inner);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * inner, width);
        if (lowerBound > 0)
        {
            float logit = (float)Math.Log(lowerBound / (1 - lowerBound));
            bound = Learn(builder, "lower_bound", new Shape(inner), (values, _) => values.Fill(logit), decay: false);
        }

        norm = Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>Options: <c>expand</c>, channels for each of the model's; <c>lower-bound</c>, where gamma starts (the block's place in the model, from 0 to 1).</summary>
    public static Hgrn Create(BlockOptions options, Builder builder) => new(
        builder, options.Int("expand", 1, 1, 16) * builder.Width,
        options.Real("lower-bound", Math.Round(Math.Min(0.99, (double)options.Index / builder.Blocks), 4), 0, 0.9999));

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (HgrnState)state;
        Tensor projected = Ops.Linear(x, inProj);
        (Tensor a, Tensor write) = Ops.ForgetGate(projected.Columns(inner, inner), bound);
        (Tensor h, Tensor final) = DiagonalRecurrence.Fast(Ops.SiluMul(projected.Columns(0, inner), write), a, before.H.Before(x.Tape!));
        before.H.After(final);
        return Ops.Linear(Ops.GatedRmsNorm(h, projected.Columns(2 * inner, inner), norm, NormEpsilon, inner, gateFirst: false), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new HgrnState(device, new Shape(batch, inner));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 3L * inner) + DiagonalRecurrence.Flops(tokens, inner) + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (long)inner);
}

/// <summary>What an <see cref="Hgrn"/> mixer remembers.</summary>
public sealed class HgrnState : MixerState
{
    internal HgrnState(Device device, Shape h) => H = Keep(new StateTensor(device, "h", h));

    /// <summary>The recurrent state [B,C].</summary>
    public StateTensor H { get; }
}
