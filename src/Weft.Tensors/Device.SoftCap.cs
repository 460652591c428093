namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>y = cap tanh(x / cap), elementwise; y may be x itself.</summary>
    internal abstract void SoftCap(Tensor x, float cap, Tensor y);

    /// <summary>dx (+)= dy (1 - (y / cap)^2), given y = cap tanh(x / cap); dx may be dy itself.</summary>
    internal abstract void SoftCapBackward(Tensor y, float cap, Tensor dy, GradTarget dx);
}
