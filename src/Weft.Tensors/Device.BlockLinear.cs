namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- products with block-diagonal matrices (Ops.BlockLinear.cs)

    /// <summary>y = x W, run of columns by run of columns; W is [blocks, in, out].</summary>
    internal abstract void BlockLinear(Tensor x, Tensor weight, Tensor y);

    /// <summary>Gradients of <see cref="BlockLinear"/>.</summary>
    internal abstract void BlockLinearBackward(Tensor x, Tensor weight, Tensor dy, GradTarget dx, GradTarget dweight);
}
