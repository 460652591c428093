using Weft.Tensors;

namespace Weft.Models;

/// <summary>What an MLP bends its hidden values with.</summary>
public enum Activation
{
    /// <summary>x sigmoid(x).</summary>
    Silu,

    /// <summary>x P(X &lt; x), X Gaussian.</summary>
    Gelu,

    /// <summary>Gelu in its tanh form.</summary>
    GeluTanh,

    /// <summary>max(x, 0).</summary>
    Relu,

    /// <summary>max(x, 0)^2.</summary>
    Relu2,
}

/// <summary>Activations by name, and as operations.</summary>
internal static class Activations
{
    private static readonly string[] Names = ["silu", "gelu", "gelu-tanh", "relu", "relu2"]; // in the order of the enumeration

    /// <summary>The option <c>activation</c> of a block.</summary>
    public static Activation Read(BlockOptions options, Activation usual) =>
        (Activation)Array.IndexOf(Names, options.Choice("activation", Names[(int)usual], Names));

    public static Tensor Apply(Activation activation, Tensor x) => activation switch
    {
        Activation.Silu => Ops.Silu(x),
        Activation.Gelu => Ops.GeluExact(x),
        Activation.GeluTanh => Ops.Gelu(x),
        Activation.Relu => Ops.Relu(x),
        _ => Ops.ReluSquared(x),
    };

    /// <summary>act(gate) x, silu's in one pass.</summary>
    public static Tensor Gate(Activation activation, Tensor gate, Tensor x) =>
        activation == Activation.Silu ? Ops.SiluMul(gate, x) : Ops.Multiply(Apply(activation, gate), x);
}
