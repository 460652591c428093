namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- one decay per head on a matrix state (Ops.ScalarDecay.cs)

    /// <summary>
    /// S_t = exp(a_t) S_{t-1} + g_t k_t v_t^T and o_t = scale S_t^T q_t + skip v_t for every batch and head, in chunks.
    /// Reads the state before the first token from <paramref name="initial"/> (null: zeros) and writes the one after the last to
    /// <paramref name="final"/>, which may be the same tensor. Writes the state before each chunk to <paramref name="states"/>
    /// [B,H,chunks,dk dv], for the backward pass, unless null.
    /// </summary>
    internal abstract void ScalarDecay(in ScalarDecayInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states);

    /// <summary>Gradients of <see cref="ScalarDecay"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void ScalarDecayBackward(in ScalarDecayInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in ScalarDecayGrads grads);
}

/// <summary>
/// The inputs of <see cref="Device.ScalarDecay"/>: q, k [B,T,Hk dk], v [B,T,H dv], the log decay a [B,T,H] or [H], the gate g [B,T,H]
/// (null: ones), skip [H] (null: zeros). A token has <see cref="Rank"/> rows of q, k and v; <see cref="Time"/> and <see cref="Chunk"/> count those. Those over time may be column views. Head h reads key head h / (H / Hk).
/// </summary>
internal readonly record struct ScalarDecayInputs(
    Tensor Q, Tensor K, Tensor V, Tensor LogDecay, Tensor? Gate, Tensor? Skip, int KeyHeads, float Scale, int Chunk, int Rank)
{
    public int Batch => Q.Shape[0];

    public int Time => Q.Shape[1];

    public int Heads => LogDecay.Shape.Columns;

    public int KeyWidth => Q.Shape.Columns / KeyHeads;

    public int ValueWidth => V.Shape.Columns / Heads;

    public int Chunks => (Time + Chunk - 1) / Chunk;
}

/// <summary>
/// Where the gradients of a scalar-decay recurrence's inputs go. They are written in the order of this list, so that two inputs may be
/// one tensor: the second adds to what the first wrote.
/// </summary>
internal readonly record struct ScalarDecayGrads(
    GradTarget V, GradTarget Q, GradTarget K, GradTarget LogDecay, GradTarget Gate, GradTarget Skip, GradTarget Initial);
