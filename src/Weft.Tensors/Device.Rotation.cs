namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- rotation by accumulated angles (Ops.Rotation.cs)

    /// <summary>
    /// phi_t = phi_{t-1} + step_t rate_t in turns for every batch, head and pair; writes cosines and sines to <paramref name="turns"/> and
    /// the angle after the last token to <paramref name="final"/>, which may be <paramref name="initial"/> (null: zeros).
    /// </summary>
    internal abstract void AccumulateTurns(Tensor rate, Tensor step, Tensor? initial, Tensor turns, Tensor final);

    /// <summary>Gradients of <see cref="AccumulateTurns"/>, given its result and the gradients of its outputs; null for zeros.</summary>
    internal abstract void AccumulateTurnsBackward(Tensor rate, Tensor step, Tensor turns, Tensor? dturns, Tensor? dfinal,
        GradTarget drate, GradTarget dstep, GradTarget dinitial);

    /// <summary>
    /// Turns x + bias by head. With a <paramref name="last"/> every token's rows go to the next one's place, those of
    /// <paramref name="before"/> (null: zeros) to the first one's, and the last token's to <paramref name="last"/>, which may be that.
    /// </summary>
    internal abstract void TurnHeads(Tensor x, Tensor bias, Tensor turns, in TurnShape shape, Tensor? before, Tensor y, Tensor? last);

    /// <summary>Gradients of <see cref="TurnHeads"/>; <paramref name="later"/> says that tokens were moved on by one. Null for zeros.</summary>
    internal abstract void TurnHeadsBackward(Tensor x, Tensor bias, Tensor turns, in TurnShape shape, bool later, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dbias, GradTarget dturns, GradTarget dbefore);
}
