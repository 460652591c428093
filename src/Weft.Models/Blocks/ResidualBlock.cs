using Weft.Tensors;

namespace Weft.Models;

/// <summary>x + mixer(norm(x)): what models are woven of.</summary>
public sealed class ResidualBlock : Module
{
    private readonly Tensor norm; // [D]
    private readonly float epsilon;

    /// <summary>Makes the block around a mixer.</summary>
    public ResidualBlock(Builder builder, Mixer mixer, float epsilon)
    {
        this.epsilon = epsilon;
        norm = Learn(builder, "norm.weight", new Shape(builder.Width), Initial.Ones, decay: false);
        Mixer = Contain("mixer", mixer);
    }

    /// <summary>The mixer.</summary>
    public Mixer Mixer { get; }

    /// <summary>Runs the block on x [B,T,D], advancing the mixer's state.</summary>
    public Tensor Forward(Tensor x, MixerState state) => Ops.Add(x, Mixer.Mix(Ops.RmsNorm(x, norm, epsilon), state));
}
