using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// What S4's descendants mix channels with after the state space: a * sigmoid(b), where a and b are linear maps of gelu(y)
/// (gated linear units, Dauphin et al., arXiv 1612.08083).
/// </summary>
internal sealed class GluOutput : Module
{
    private readonly Tensor weight; // [2 D, D]: a, then b
    private readonly Tensor bias;   // [2 D]
    private readonly int width;

    public GluOutput(Builder builder)
    {
        width = builder.Width;
        weight = LearnLinear(builder, "weight", 2 * width, width, 1 / MathF.Sqrt(builder.Blocks));
        bias = Learn(builder, "bias", new Shape(2 * width), Initial.Uniform(1 / MathF.Sqrt(width)), decay: false);
    }

    public Tensor Forward(Tensor y)
    {
        Tensor both = Ops.Linear(Ops.Gelu(y), weight, bias);
        return Ops.Multiply(both.Columns(0, width), Ops.Sigmoid(both.Columns(width, width)));
    }

    public long Flops(long tokens) => Cost.Linear(tokens, width, 2L * width);
}
