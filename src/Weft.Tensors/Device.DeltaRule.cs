namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- the delta rule (Ops.DeltaRule.cs)

    /// <summary>
    /// S_t = exp(a_t) (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T and o_t = scale S_t^T q_t for every batch and head, in chunks.
    /// Reads the state before the first token from <paramref name="initial"/> (null: zeros) and writes the one after the last to
    /// <paramref name="final"/>, which may be the same tensor. Writes what the backward pass needs to <paramref name="saved"/>, unless null.
    /// </summary>
    internal abstract void DeltaRule(in DeltaRuleInputs inputs, Tensor? initial, Tensor o, Tensor final, DeltaRuleSaved? saved);

    /// <summary>Gradients of <see cref="DeltaRule"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void DeltaRuleBackward(in DeltaRuleInputs inputs, in DeltaRuleSaved saved, Tensor? @do, Tensor? dfinal, in DeltaRuleGrads grads);
}

/// <summary>
/// The inputs of <see cref="Device.DeltaRule"/>: q, k [B,T,Hk dk], v [B,T,H dv], beta and the log decay a [B,T,H] (null: no decay); all
/// may be column views. Head h reads key head h / (H / Hk).
/// </summary>
internal readonly record struct DeltaRuleInputs(Tensor Q, Tensor K, Tensor V, Tensor Beta, Tensor? LogDecay, int KeyHeads, float Scale, int Chunk)
{
    public int Batch => Q.Shape[0];

    public int Time => Q.Shape[1];

    public int Heads => Beta.Shape.Columns;

    public int KeyWidth => Q.Shape.Columns / KeyHeads;

    public int ValueWidth => V.Shape.Columns / Heads;

    public int Chunks => (Time + Chunk - 1) / Chunk;
}

/// <summary>What a forward pass leaves for the backward pass: the state before each chunk [B,H,chunks,dk dv], and the errors y_t = v_t - exp(a_t) S_{t-1}^T k_t [B,H,T,dv].</summary>
internal readonly record struct DeltaRuleSaved(Tensor States, Tensor Errors);

/// <summary>
/// Where the gradients of the delta rule's inputs go. They are written in the order of this list, so that two inputs may be one tensor:
/// the second adds to what the first wrote.
/// </summary>
internal readonly record struct DeltaRuleGrads(GradTarget V, GradTarget Beta, GradTarget LogDecay, GradTarget Q, GradTarget K, GradTarget Initial);
