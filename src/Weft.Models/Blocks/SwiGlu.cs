using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The gated MLP of Llama, W_down (silu(W_gate x) * W_up x) (Shazeer, arXiv 2002.05202). It mixes channels, not time, and remembers
/// nothing: the mixer whose state is empty.
/// </summary>
public sealed class SwiGlu : Mixer
{
    private readonly Tensor gateUp; // [2 hidden, D]: gate, then up, one product for both
    private readonly Tensor down;   // [D, hidden]
    private readonly int width, hidden;

    /// <summary>Makes the MLP with the given hidden width.</summary>
    public SwiGlu(Builder builder, int hidden)
    {
        (width, this.hidden) = (builder.Width, hidden);
        gateUp = LearnLinear(builder, "gate_up_proj.weight", 2 * hidden, width);
        down = LearnLinear(builder, "down_proj.weight", width, hidden, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>Options: <c>hidden</c>, the hidden width; 8/3 of the model's, rounded up to a multiple of 32, unless given.</summary>
    public static SwiGlu Create(BlockOptions options, Builder builder) =>
        new(builder, options.Int("hidden", UsualHidden(builder.Width), 1, 1 << 20));

    /// <summary>8/3 of a model's width, rounded up to a multiple of 32.</summary>
    internal static int UsualHidden(int width) => ((width * 8 / 3) + 31) / 32 * 32;

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        Tensor both = Ops.Linear(x, gateUp);
        return Ops.Linear(Ops.SiluMul(both.Columns(0, hidden), both.Columns(hidden, hidden)), down);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new NoState();

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) =>
        new(Models.Cost.Linear(tokens, width, 3L * hidden), ParameterCount(), 0);
}
