namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- gates and weights of linear recurrences (Ops.ForgetGate.cs, Ops.Softmax.cs)

    /// <summary>
    /// The log of a gate g = log(b + (1 - b) sigmoid(z)) / root for z [.., C], with b = sigmoid(bound) [C] (null: 0), in y's first C
    /// columns; where y has 2 C columns, 1 - e^g in the others.
    /// </summary>
    internal abstract void ForgetGate(Tensor z, Tensor? bound, float root, Tensor y);

    /// <summary>Gradients of <see cref="ForgetGate"/>.</summary>
    internal abstract void ForgetGateBackward(Tensor z, Tensor? bound, float root, Tensor y, Tensor dy, GradTarget dz, GradTarget dbound);

    /// <summary>y = e^x / sum of e^x over each group of columns.</summary>
    internal abstract void Softmax(Tensor x, int group, Tensor y);

    /// <summary>dx = y (dy - sum of y dy over the group).</summary>
    internal abstract void SoftmaxBackward(Tensor y, int group, Tensor dy, GradTarget dx);
}
