using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// A function of a weight alone, such as A = -exp(A_log). While a tape records it is computed each time, so that gradients reach the
/// weight; otherwise it is computed once for each value of the weight, not for each token.
/// </summary>
internal sealed class DerivedWeight(Tensor weight, Func<Tensor, Tensor> compute)
{
    private Tensor? kept;
    private long version;

    /// <summary>The function's value: on the tape, or kept.</summary>
    public Tensor On(Tape tape)
    {
        if (tape.Recording)
        {
            return compute(Ops.Copy(weight, tape));
        }

        if (kept is null || version != weight.Version)
        {
            Tensor value = compute(Ops.Copy(weight, tape));
            kept ??= weight.Device.Zeros(value.Shape);
            kept.CopyFrom(value);
            version = weight.Version;
        }

        return kept;
    }
}
