namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- a decay per channel on a matrix state (Ops.ChannelDecay.cs)

    /// <summary>
    /// S_t = diag(e^g_t) S_{t-1} + k_t v_t^T (or S_{t-1} diag(e^g_t) where values decay) for every batch and head, in chunks, and
    /// o_t = scale S_t^T q_t, or with a bonus scale (S_{t-1} + diag(u) k_t v_t^T)^T q_t.
    /// Reads the state before the first token from <paramref name="initial"/> (null: zeros) and writes the one after the last to
    /// <paramref name="final"/>, which may be the same tensor. Writes the state before each chunk to <paramref name="states"/>
    /// [B,H,chunks,dk dv], for the backward pass, unless null.
    /// </summary>
    internal abstract void ChannelDecay(in ChannelDecayInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states);

    /// <summary>Gradients of <see cref="ChannelDecay"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void ChannelDecayBackward(in ChannelDecayInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in ChannelDecayGrads grads);
}

/// <summary>
/// The inputs of <see cref="Device.ChannelDecay"/>: q, k [B,T,H dk], v [B,T,H dv], the log decay g like k, or like v where values
/// decay, and the bonus u [H dk] (null: none). Those over time may be column views.
/// </summary>
internal readonly record struct ChannelDecayInputs(
    Tensor Q, Tensor K, Tensor V, Tensor LogDecay, Tensor? Bonus, int Heads, float Scale, int Chunk, bool OfValues)
{
    public int Batch => Q.Shape[0];

    public int Time => Q.Shape[1];

    public int KeyWidth => Q.Shape.Columns / Heads;

    public int ValueWidth => V.Shape.Columns / Heads;

    public int Chunks => (Time + Chunk - 1) / Chunk;
}

/// <summary>
/// Where the gradients of a channel-decay recurrence's inputs go. They are written in the order of this list, so that two inputs may be
/// one tensor: the second adds to what the first wrote.
/// </summary>
internal readonly record struct ChannelDecayGrads(
    GradTarget Q, GradTarget K, GradTarget V, GradTarget LogDecay, GradTarget Bonus, GradTarget Initial);
