using Weft.Tensors;

namespace Weft.Models;

/// <summary>The norm of a residual stream.</summary>
public enum NormKind
{
    /// <summary>Root mean square, with a weight (Zhang and Sennrich, arXiv 1910.07467).</summary>
    Rms,

    /// <summary>Mean and variance, with a weight and a bias (Ba et al., arXiv 1607.06450).</summary>
    Layer,

    /// <summary>None: what comes in goes out.</summary>
    None,

    /// <summary>Root mean square, with a weight and a bias (xLSTM with biases).</summary>
    BiasedRms,
}

/// <summary>The words for norms in patterns and configurations.</summary>
internal static class NormKinds
{
    public static readonly string[] Words = ["rms", "layer", "none", "biased-rms"]; // in the order of NormKind

    public static string Word(this NormKind kind) => Words[(int)kind];

    public static NormKind Parse(string word) => (NormKind)Array.IndexOf(Words, word);
}

/// <summary>A norm over the columns of what flows from block to block.</summary>
internal sealed class Normaliser : Module
{
    private readonly NormKind kind;
    private readonly float epsilon;
    private readonly Tensor? weight; // [columns]
    private readonly Tensor? bias;   // [columns]; null for none

    public Normaliser(Builder builder, NormKind kind, int columns, float epsilon)
    {
        (this.kind, this.epsilon) = (kind, epsilon);
        weight = kind == NormKind.None ? null : Learn(builder, "weight", new Shape(columns), Initial.Ones, decay: false);
        bias = kind is NormKind.Layer or NormKind.BiasedRms ? Learn(builder, "bias", new Shape(columns), Initial.Zeros, decay: false) : null;
    }

    public Tensor Forward(Tensor x) => kind switch
    {
        NormKind.Rms => Ops.RmsNorm(x, weight, epsilon),
        NormKind.Layer => Ops.Add(Ops.LayerNorm(x, weight, epsilon), bias!),
        NormKind.BiasedRms => Ops.Add(Ops.RmsNorm(x, weight, epsilon), bias!),
        _ => x,
    };
}
