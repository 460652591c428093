namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void CausalConv(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor y, Tensor? last) => throw new NotSupportedException();

    internal override void CausalConvBackward(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dweight, GradTarget dbias, GradTarget dpast) => throw new NotSupportedException();
}
