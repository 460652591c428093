namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- the token shift (Ops.TokenShift.cs)

    /// <summary>
    /// y[b,t,i D + c] = x[b,t,c] + mix[i,c] (x[b,t-1,c] - x[b,t,c]); what lies before the sequence comes from <paramref name="past"/>
    /// [B,1,D], zeros where that is null. Writes the last inputs to <paramref name="last"/>, which may be <paramref name="past"/> itself.
    /// </summary>
    internal abstract void TokenShift(Tensor x, Tensor mix, Tensor? past, Tensor y, Tensor last);

    /// <summary>Gradients of <see cref="TokenShift"/>; <paramref name="dlast"/> is that of the last inputs, null for none.</summary>
    internal abstract void TokenShiftBackward(Tensor x, Tensor mix, Tensor? past, Tensor dy, Tensor? dlast, GradTarget dx, GradTarget dmix, GradTarget dpast);
}
