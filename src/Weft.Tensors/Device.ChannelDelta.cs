namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- the delta rule with a decay per key channel (Ops.ChannelDelta.cs)

    /// <summary>
    /// S_t = diag(e^g_t) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T and o_t = scale S_t^T q_t for every batch and head, in chunks; where a
    /// and b are null, a_t = e^g_t k_t, b_t = -beta_t k_t and beta_t k_t in the place of k_t: the delta rule proper.
    /// Reads the state before the first token from <paramref name="initial"/> (null: zeros) and writes the one after the last to
    /// <paramref name="final"/>, which may be the same tensor. Writes what the backward pass needs to <paramref name="saved"/>, unless null.
    /// </summary>
    internal abstract void ChannelDelta(in ChannelDeltaInputs inputs, Tensor? initial, Tensor o, Tensor final, ChannelDeltaSaved? saved);

    /// <summary>Gradients of <see cref="ChannelDelta"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void ChannelDeltaBackward(in ChannelDeltaInputs inputs, in ChannelDeltaSaved saved, Tensor? @do, Tensor? dfinal, in ChannelDeltaGrads grads);
}

/// <summary>
/// The inputs of <see cref="Device.ChannelDelta"/>: q, k and the log decay g [B,T,H dk], v [B,T,H dv], and either beta [B,T,H] or a and
/// b [B,T,H dk]; all may be column views.
/// </summary>
internal readonly record struct ChannelDeltaInputs(
    Tensor Q, Tensor K, Tensor V, Tensor LogDecay, Tensor? Beta, Tensor? A, Tensor? B, int Heads, float Scale, int Chunk)
{
    public int Batch => Q.Shape[0];

    public int Time => Q.Shape[1];

    public int KeyWidth => Q.Shape.Columns / Heads;

    public int ValueWidth => V.Shape.Columns / Heads;

    public int Chunks => (Time + Chunk - 1) / Chunk;
}

/// <summary>
/// What a forward pass leaves for the backward pass: the state before each chunk [B,H,chunks,dk dv], and what each token recalled, a
/// row of [B,H,T,dv]: the errors v_t - (e^g_t k_t)^T S_{t-1} of the delta rule proper, or a_t^T S_{t-1}.
/// </summary>
internal readonly record struct ChannelDeltaSaved(Tensor States, Tensor Recalled);

/// <summary>
/// Where the gradients of the inputs go. They are written in the order of this list, so that two inputs may be one tensor: the second
/// adds to what the first wrote.
/// </summary>
internal readonly record struct ChannelDeltaGrads(
    GradTarget V, GradTarget Beta, GradTarget Q, GradTarget K, GradTarget A, GradTarget B, GradTarget LogDecay, GradTarget Initial);
