namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- the weighted average of RWKV-4 (Ops.Wkv.cs); a state [B,2,C] holds an average and the log of its weight

    /// <summary>
    /// o and the state after the last token, written to <paramref name="final"/>, which may be <paramref name="initial"/> itself (null:
    /// nothing has been seen). Writes the state before each token to <paramref name="states"/> [B,T,2 C], for the backward pass, unless null.
    /// </summary>
    internal abstract void Wkv(in WkvInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states);

    /// <summary>Gradients of <see cref="Wkv"/>, given those of its outputs; null for zeros. The initial state's is zero where nothing had been seen.</summary>
    internal abstract void WkvBackward(in WkvInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in WkvGrads grads);
}

/// <summary>The inputs of <see cref="Device.Wkv"/>: k, v [B,T,C], which may be column views, w and u [C].</summary>
internal readonly record struct WkvInputs(Tensor K, Tensor V, Tensor Decay, Tensor First);

/// <summary>Where the gradients of <see cref="WkvInputs"/> and of the initial state go. They are written in this order, so that k and v may be one tensor.</summary>
internal readonly record struct WkvGrads(GradTarget K, GradTarget V, GradTarget Decay, GradTarget First, GradTarget Initial);
