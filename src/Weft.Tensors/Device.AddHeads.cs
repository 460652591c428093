namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- heads times factors (Ops.AddHeads.cs)

    /// <summary>z = y + factor x; the factor has one column for each head's run of columns of the others.</summary>
    internal abstract void AddHeads(Tensor y, Tensor x, Tensor factor, Tensor z);

    /// <summary>Gradients of <see cref="AddHeads"/> by x, factor dz, and by the factor, the sums of x dz.</summary>
    internal abstract void AddHeadsBackward(Tensor x, Tensor factor, Tensor dz, GradTarget dx, GradTarget dfactor);
}
