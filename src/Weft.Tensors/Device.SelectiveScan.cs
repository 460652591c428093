namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- a rate per channel and state, a step per channel and token (Ops.SelectiveScan.cs)

    /// <summary>
    /// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t and y_t = C_t . h_t + skip x_t for every batch and channel. Reads the states before
    /// the first token from <paramref name="initial"/> (null: zeros) and writes those after the last to <paramref name="final"/>,
    /// which may be the same tensor. Writes the states before each chunk to <paramref name="kept"/> [B,chunks,N,D], unless null.
    /// </summary>
    internal abstract void SelectiveScan(in SelectiveScanInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? kept);

    /// <summary>Gradients of <see cref="SelectiveScan"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void SelectiveScanBackward(in SelectiveScanInputs inputs, Tensor kept, Tensor? dy, Tensor? dfinal, in SelectiveScanGrads grads);
}

/// <summary>
/// The inputs of <see cref="Device.SelectiveScan"/>: x, dt [B,T,D], A [D,N], B, C [B,T,G N], skip [D] (null: zeros). Those over time may
/// be column views. Channel i reads group i / (D / G); steps are softplus(dt) when Softplus.
/// </summary>
internal readonly record struct SelectiveScanInputs(Tensor X, Tensor Dt, Tensor A, Tensor B, Tensor C, Tensor? Skip, int Groups, bool Softplus)
{
    public int Batch => X.Shape[0];

    public int Time => X.Shape[1];

    public int Channels => A.Shape[0];

    public int States => A.Shape[1];

    public int Chunks => (Time + Ops.SelectiveScanChunk - 1) / Ops.SelectiveScanChunk;
}

/// <summary>
/// Where the gradients of a selective scan's inputs go. They are written in the order of this list, so that two inputs may be one
/// tensor: the second adds to what the first wrote.
/// </summary>
internal readonly record struct SelectiveScanGrads(
    GradTarget X, GradTarget Dt, GradTarget B, GradTarget C, GradTarget A, GradTarget Skip, GradTarget Initial);
