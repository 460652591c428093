namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>y = min(max(x, low), high).</summary>
    internal abstract void Clamp(Tensor x, float low, float high, Tensor y);

    /// <summary>dx (+)= dy where x lies from low to high, 0 elsewhere.</summary>
    internal abstract void ClampBackward(Tensor x, float low, float high, Tensor dy, GradTarget dx);
}
