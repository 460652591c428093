namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>y = a + w (b - a), elementwise.</summary>
    internal abstract void Lerp(Tensor a, Tensor b, Tensor w, Tensor y);

    /// <summary>Gradients of <see cref="Lerp"/>.</summary>
    internal abstract void LerpBackward(Tensor a, Tensor b, Tensor w, Tensor dy, GradTarget da, GradTarget db, GradTarget dw);
}
