namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- rows by their places (Ops.Rows.cs)

    /// <summary>
    /// The <paramref name="places"/> of <paramref name="tokens"/> that are not negative, in order, and those tokens themselves in <paramref name="given"/>;
    /// what is left of both is -1. There is room for all.
    /// </summary>
    internal abstract void FindGiven(Tokens tokens, Tokens places, Tokens given);

    /// <summary>y[i] (+)= x[places[i]], a row each; 0 where the place is negative.</summary>
    internal abstract void TakeRows(Tensor x, Tokens places, Tensor y, bool accumulate);

    /// <summary>x[places[i]] += y[i], a row each, where the place is not negative; no place comes twice.</summary>
    internal abstract void PutRows(Tensor y, Tokens places, Tensor x);
}
