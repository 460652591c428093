using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The gated MLP of Llama, W_down (silu(W_gate x) * W_up x), and its relatives with another activation (Shazeer, arXiv 2002.05202). It
/// mixes channels, not time, and remembers nothing: the mixer whose state is empty.
/// </summary>
public sealed class SwiGlu : Mixer
{
    private readonly Tensor gateUp; // [2 hidden, D]: gate, then up, one product for both
    private readonly Tensor down;   // [D, hidden]
    private readonly Tensor? gateUpBias, downBias;
    private readonly int width, hidden;
    private readonly Activation activation;
    private readonly float gateScale;

    /// <summary>Makes the MLP with the given hidden width; <paramref name="gateScale"/> multiplies what the activation takes.</summary>
    public SwiGlu(Builder builder, int hidden, Activation activation = Activation.Silu, bool bias = false, float gateScale = 1)
    {
        (width, this.hidden, this.activation, this.gateScale) = (builder.Width, hidden, activation, gateScale);
        gateUp = LearnLinear(builder, "gate_up_proj.weight", 2 * hidden, width);
        gateUpBias = bias ? Learn(builder, "gate_up_proj.bias", new Shape(2 * hidden), Initial.Zeros, decay: false) : null;
        down = LearnLinear(builder, "down_proj.weight", width, hidden, 1 / MathF.Sqrt(builder.Blocks));
        downBias = bias ? Learn(builder, "down_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
    }

    /// <summary>
    /// Options: <c>hidden</c>, the hidden width (8/3 of the model's, rounded up to a multiple of 32, unless given); <c>activation</c> (silu),
    /// the gate's; <c>bias</c> (false), of all three maps; <c>gate-scale</c> (1), a constant that multiplies what the activation takes.
    /// </summary>
    public static SwiGlu Create(BlockOptions options, Builder builder) => new(builder, options.Int("hidden", UsualHidden(builder.Width), 1, 1 << 20),
        Activations.Read(options, Activation.Silu), options.Flag("bias", false), (float)options.Real("gate-scale", 1, 1e-6, 1e6));

    /// <summary>8/3 of a model's width, rounded up to a multiple of 32: about as many weights as an MLP without a gate of four times the width has.</summary>
    internal static int UsualHidden(int width) => ((width * 8 / 3) + 31) / 32 * 32;

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        Tensor both = Ops.Linear(x, gateUp, gateUpBias), gate = both.Columns(0, hidden);
        return Ops.Linear(Activations.Gate(activation, gateScale == 1 ? gate : Ops.Affine(gate, gateScale), both.Columns(hidden, hidden)), down, downBias);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new NoState();

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) =>
        new(Models.Cost.Linear(tokens, width, 3L * hidden), ParameterCount(), 0);
}
