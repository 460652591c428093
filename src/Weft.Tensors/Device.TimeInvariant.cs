namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- linear time-invariant state spaces (Ops.Discretize.cs, Ops.DiagonalSsm.cs, Ops.LowRankSsm.cs, Ops.ComplexScan.cs)

    /// <summary>From continuous poles a to those of a step dt, lambda, and to the gain of an input held or averaged over it, times c.</summary>
    internal abstract void Discretize(in DiscretizeInputs inputs, Tensor lambda, Tensor gain);

    /// <summary>Gradients of <see cref="Discretize"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void DiscretizeBackward(in DiscretizeInputs inputs, Tensor? dlambda, Tensor? dgain, in DiscretizeGrads grads);

    /// <summary>
    /// h_t = lambda h_{t-1} + x_t and y_t = 2 Re sum_n w h_t + skip x_t for every batch and channel, with N complex states for each channel.
    /// Reads the state before the first token from <paramref name="initial"/> (null: zeros) and writes the one after the last to
    /// <paramref name="final"/>, which may be the same tensor. Writes the state before every <see cref="Ops.DiagonalSsmChunk"/> tokens to
    /// <paramref name="states"/> [B,chunks,2N,C], for the backward pass, unless null.
    /// </summary>
    internal abstract void DiagonalSsm(in DiagonalSsmInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? states);

    /// <summary>Gradients of <see cref="DiagonalSsm"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void DiagonalSsmBackward(in DiagonalSsmInputs inputs, Tensor states, Tensor? dy, Tensor? dfinal, in DiagonalSsmGrads grads);

    /// <summary>
    /// The same with a correction of rank one and an input vector: h_t = lambda h_{t-1} - right 2 Re(sum_n left h_{t-1}) + b x_t, and
    /// y_t = 2 Re sum_n c h_t + skip x_t. <paramref name="states"/> has one before every <see cref="Ops.LowRankSsmChunk"/> tokens.
    /// </summary>
    internal abstract void LowRankSsm(in LowRankSsmInputs inputs, Tensor? initial, Tensor y, Tensor final, Tensor? states);

    /// <summary>Gradients of <see cref="LowRankSsm"/>, given those of its outputs; null for zeros.</summary>
    internal abstract void LowRankSsmBackward(in LowRankSsmInputs inputs, Tensor states, Tensor? dy, Tensor? dfinal, in LowRankSsmGrads grads);

    /// <summary>
    /// h_t = lambda h_{t-1} + gain u_t for every batch and complex channel; u and h [B,T,2P] hold real parts, then imaginary ones.
    /// <paramref name="final"/> may be <paramref name="initial"/> (null: zeros).
    /// </summary>
    internal abstract void ComplexScan(in ComplexScanInputs inputs, Tensor? initial, Tensor h, Tensor final);

    /// <summary>Gradients of <see cref="ComplexScan"/>, given its output h and the gradients of its outputs; null for zeros.</summary>
    internal abstract void ComplexScanBackward(in ComplexScanInputs inputs, Tensor? initial, Tensor h, Tensor? dh, Tensor? dfinal, in ComplexScanGrads grads);
}

/// <summary>The inputs of <see cref="Device.Discretize"/>: real and imaginary parts [N,C] or [C], log dt [C] (null: dt = 1), c [2,N,C] (null: 1).</summary>
internal readonly record struct DiscretizeInputs(Tensor Real, Tensor Imaginary, Tensor? LogStep, Tensor? C, Discretization Rule);

/// <summary>Where the gradients of a discretisation's inputs go.</summary>
internal readonly record struct DiscretizeGrads(GradTarget Real, GradTarget Imaginary, GradTarget LogStep, GradTarget C);

/// <summary>The inputs of <see cref="Device.DiagonalSsm"/>: x [B,T,C], which may be a column view, lambda and w [2,N,C], skip [C] (null: zeros).</summary>
internal readonly record struct DiagonalSsmInputs(Tensor X, Tensor Lambda, Tensor W, Tensor? Skip)
{
    public int Batch => X.Shape[0];

    public int Time => X.Shape[1];

    public int Channels => X.Shape[2];

    public int States => Lambda.Shape[1];

    public int Chunks => (Time + Ops.DiagonalSsmChunk - 1) / Ops.DiagonalSsmChunk;
}

/// <summary>Where the gradients of a diagonal state space's inputs go.</summary>
internal readonly record struct DiagonalSsmGrads(GradTarget X, GradTarget Lambda, GradTarget W, GradTarget Skip, GradTarget Initial);

/// <summary>The inputs of <see cref="Device.LowRankSsm"/>: x [B,T,C], which may be a column view, the others [2,N,C], skip [C] (null: zeros).</summary>
internal readonly record struct LowRankSsmInputs(Tensor X, Tensor Lambda, Tensor Left, Tensor Right, Tensor B, Tensor C, Tensor? Skip)
{
    public int Batch => X.Shape[0];

    public int Time => X.Shape[1];

    public int Channels => X.Shape[2];

    public int States => Lambda.Shape[1];

    public int Chunks => (Time + Ops.LowRankSsmChunk - 1) / Ops.LowRankSsmChunk;
}

/// <summary>Where the gradients of a diagonal-plus-low-rank state space's inputs go.</summary>
internal readonly record struct LowRankSsmGrads(
    GradTarget X, GradTarget Lambda, GradTarget Left, GradTarget Right, GradTarget B, GradTarget C, GradTarget Skip, GradTarget Initial);

/// <summary>The inputs of <see cref="Device.ComplexScan"/>: u [B,T,2P], which may be a column view, lambda [2,P], gain [2,P] (null: 1).</summary>
internal readonly record struct ComplexScanInputs(Tensor U, Tensor Lambda, Tensor? Gain)
{
    public int Batch => U.Shape[0];

    public int Time => U.Shape[1];

    public int States => Lambda.Shape[1];
}

/// <summary>Where the gradients of a complex scan's inputs go.</summary>
internal readonly record struct ComplexScanGrads(GradTarget U, GradTarget Lambda, GradTarget Gain, GradTarget Initial);
