using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The MLP without a gate, W_down act(W_up x): with gelu and biases as in GPT-2, with relu^2 as in Primer (So et al., arXiv 2109.08668).
/// Like <see cref="SwiGlu"/> it remembers nothing.
/// </summary>
public sealed class Mlp : Mixer
{
    private readonly Tensor up;   // [hidden, D]
    private readonly Tensor down; // [D, hidden]
    private readonly Tensor? upBias, downBias;
    private readonly int width, hidden;
    private readonly Activation activation;

    /// <summary>Makes the MLP with the given hidden width.</summary>
    public Mlp(Builder builder, int hidden, Activation activation = Activation.GeluTanh, bool bias = false)
    {
        (width, this.hidden, this.activation) = (builder.Width, hidden, activation);
        up = LearnLinear(builder, "up_proj.weight", hidden, width);
        upBias = bias ? Learn(builder, "up_proj.bias", new Shape(hidden), Initial.Zeros, decay: false) : null;
        down = LearnLinear(builder, "down_proj.weight", width, hidden, 1 / MathF.Sqrt(builder.Blocks));
        downBias = bias ? Learn(builder, "down_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
    }

    /// <summary>Options: <c>hidden</c>, the hidden width (4 of the model's); <c>activation</c> (gelu-tanh); <c>bias</c> (false), of both maps.</summary>
    public static Mlp Create(BlockOptions options, Builder builder) => new(builder, options.Int("hidden", 4 * builder.Width, 1, 1 << 20),
        Activations.Read(options, Activation.GeluTanh), options.Flag("bias", false));

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state) => Ops.Linear(Activations.Apply(activation, Ops.Linear(x, up, upBias)), down, downBias);

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new NoState();

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(Models.Cost.Linear(tokens, width, 2L * hidden), ParameterCount(), 0);
}
