namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- a linear memory learned by gradient descent in mini-batches (Ops.MemoryGradient.cs)

    /// <summary>
    /// The memory of <see cref="Ops.MemoryGradient"/> for every batch and head. Reads the state from <paramref name="initial"/> (null: zeros) and
    /// writes that after the last token to <paramref name="final"/>, which may be the same tensor. Writes the memories at the mini-batches' starts
    /// to <paramref name="memories"/> [B,H,mini-batches,(D+1) D], unless null.
    /// </summary>
    internal abstract void MemoryGradient(in MemoryGradientInputs inputs, Tensor? initial, Tensor z, Tensor final, Tensor? memories);

    /// <summary>Gradients of <see cref="MemoryGradient"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void MemoryGradientBackward(in MemoryGradientInputs inputs, Tensor? initial, Tensor memories, Tensor? dz, Tensor? dfinal, in MemoryGradientGrads grads);
}

/// <summary>The inputs of <see cref="Device.MemoryGradient"/>: q, k, v [B,T,H D], rate and step [B,T,H], weight and bias of the norm [H D].</summary>
internal readonly record struct MemoryGradientInputs(
    Tensor Q, Tensor K, Tensor V, Tensor Rate, Tensor Step, Tensor NormWeight, Tensor NormBias, int Offset, int MiniBatch, float Epsilon)
{
    public int Batch => Q.Shape[0];

    public int Time => Q.Shape[1];

    public int Heads => Rate.Shape.Columns;

    public int Width => Q.Shape.Columns / Heads;

    /// <summary>Mini-batches that the tokens touch.</summary>
    public int MiniBatches => (Offset + Time + MiniBatch - 1) / MiniBatch;
}

/// <summary>Where the gradients of the inputs go.</summary>
internal readonly record struct MemoryGradientGrads(
    GradTarget Q, GradTarget K, GradTarget V, GradTarget Rate, GradTarget Step, GradTarget NormWeight, GradTarget NormBias, GradTarget Initial);
