using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>What definitions that go token by token share.</summary>
internal static class OverTime
{
    /// <summary>The outputs of tokens [B,1,C], at least one, as [B,T,C]: joined by halves, so that the copies are T log T and not T^2.</summary>
    public static Tensor Join(IReadOnlyList<Tensor> outputs)
    {
        return Part(0, outputs.Count);

        Tensor Part(int from, int count) => count == 1 ? outputs[from]
            : Ops.Concat(Part(from, count / 2), Part(from + (count / 2), count - (count / 2)), 1);
    }
}
