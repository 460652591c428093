namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- recurrences of every channel by itself (Ops.Diagonal.cs); states are [B,C], sequences [B,T,C]

    /// <summary>
    /// h_t = exp(a_t) h_{t-1} + w(a_t) x_t for every batch and channel. Writes the state after the last token to
    /// <paramref name="final"/>, which may be the initial state's tensor.
    /// </summary>
    internal abstract void DiagonalRecurrence(in DiagonalInputs inputs, Tensor h, Tensor final);

    /// <summary>Gradients of <see cref="DiagonalRecurrence"/>, given those of its outputs; null for zeros. Written in the order x, a, so that both may be one tensor.</summary>
    internal abstract void DiagonalRecurrenceBackward(in DiagonalInputs inputs, Tensor h, Tensor? dh, Tensor? dfinal,
        GradTarget dx, GradTarget dlogDecay, GradTarget dinitial);

    /// <summary>
    /// m_t = max(m_{t-1} + f_t, i_t) for every batch and channel; f, i may be column views. Reads the maximum before the first
    /// token from <paramref name="initial"/> (null: -infinity) and writes the one after the last to <paramref name="final"/>, which may be the same tensor.
    /// </summary>
    internal abstract void MaxPlus(Tensor f, Tensor i, Tensor? initial, Tensor m, Tensor final);

    /// <summary>
    /// Gradients of <see cref="MaxPlus"/>, given those of its outputs; null for zeros. Each goes to the argument that was the larger, to i
    /// where they are equal. Written in the order f, i, so that both may be one tensor.
    /// </summary>
    internal abstract void MaxPlusBackward(Tensor f, Tensor i, Tensor? initial, Tensor m, Tensor? dm, Tensor? dfinal,
        GradTarget df, GradTarget di, GradTarget dinitial);
}

/// <summary>
/// The inputs of <see cref="Device.DiagonalRecurrence"/>: x, a [B,T,C], which may be column views, the state before the first token [B,C]
/// (null: zeros), the input's weight, and whether the first token forgets that state as with a = -infinity.
/// </summary>
internal readonly record struct DiagonalInputs(Tensor X, Tensor LogDecay, Tensor? Initial, DiagonalInput Input, bool Restart);
