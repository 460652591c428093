namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- division by a normaliser column (Ops.Normaliser.cs)

    /// <summary>
    /// In each of <paramref name="heads"/> runs of columns of x, y = x / (max(|n|, exp(floor)) + epsilon) with n the run's last
    /// column, which y does not have; <paramref name="logFloor"/> has a column a head, null for none.
    /// </summary>
    internal abstract void DivideByLast(Tensor x, Tensor? logFloor, int heads, float epsilon, Tensor y);

    /// <summary>Gradients of <see cref="DivideByLast"/>, given its result and that one's gradient.</summary>
    internal abstract void DivideByLastBackward(Tensor x, Tensor? logFloor, int heads, float epsilon, Tensor y, Tensor dy, GradTarget dx, GradTarget dlogFloor);
}
