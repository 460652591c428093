namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- convolution with a long kernel (Ops.LongConv.cs)

    /// <summary>y[b,t,c] = skip[c] x[b,t,c] + sum_j kernel[j,c] u[b,t-j,c], where u is the past's inputs followed by x.</summary>
    internal abstract void LongConv(in LongConvInputs inputs, Tensor y);

    /// <summary>Gradients of <see cref="LongConv"/>.</summary>
    internal abstract void LongConvBackward(in LongConvInputs inputs, Tensor dy, GradTarget dx, GradTarget dkernel, GradTarget dskip, GradTarget dpast);
}

/// <summary>The inputs of <see cref="Device.LongConv"/>: x [B,T,C], kernel [L,C], skip [C] or null, what came before, tokens of a block (0: as usual).</summary>
internal readonly record struct LongConvInputs(Tensor X, Tensor Kernel, Tensor? Skip, LongConvPast Past, int Block)
{
    public int Batch => X.Shape[0];

    public int Channels => X.Shape.Columns;

    public LongConvPlan Plan => new(X.Shape[1], Kernel.Shape[0], Block, Past.Position, Past.Length);
}
