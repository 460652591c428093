using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>What the plain definitions of recurrences share: they go token by token, in operations whose gradients the tape knows.</summary>
internal static class Definitions
{
    /// <summary>Token t of x [B,T,C], in a shape of B C values.</summary>
    public static Tensor At(Tensor x, int t, Shape shape) => Ops.Slice(x, 1, t, 1).Reshape(shape);

    /// <summary>Joins outputs [B,1,C] along time, by halves: no token is copied more than log T times.</summary>
    public static Tensor Join(IReadOnlyList<Tensor> tokens) => Join(tokens, 0, tokens.Count);

    /// <summary>The state before the first token: what is given, or zeros.</summary>
    public static Tensor Start(Tensor? initial, Tape tape, Shape shape) =>
        initial is null ? tape.Of(new float[shape.Count], shape) : Ops.Copy(initial, tape);

    private static Tensor Join(IReadOnlyList<Tensor> tokens, int from, int count) =>
        count == 1 ? tokens[from] : Ops.Concat(Join(tokens, from, count / 2), Join(tokens, from + (count / 2), count - (count / 2)), 1);
}
