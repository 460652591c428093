namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- recurrences nonlinear in their state (Ops.GatedRecurrence.cs)

    /// <summary>
    /// Runs a cell along time: at each token every head's h_{t-1} R + bias is added to the gates' inputs, and the cell makes h_t and its other
    /// states of them. Starts from <paramref name="initial"/> (null: zeros), writes all h to <paramref name="h"/> [B,T,D] and what
    /// is remembered to <paramref name="final"/>, whose tensors may be initial's. Writes what the backward pass needs to <paramref name="saved"/>, unless null.
    /// </summary>
    internal abstract void GatedRecurrence(in GatedInputs inputs, in GatedStates initial, Tensor h, in GatedStates final, GatedSaved? saved);

    /// <summary>
    /// Gradients of <see cref="GatedRecurrence"/>, back through time; <paramref name="dh"/> or <paramref name="dfinal"/> [B,states D] may be null for
    /// zeros. The saved gates are overwritten.
    /// </summary>
    internal abstract void GatedRecurrenceBackward(in GatedInputs inputs, in GatedStates initial, Tensor h, in GatedSaved saved, Tensor? dh, Tensor? dfinal, in GatedGrads grads);
}

/// <summary>What a gated recurrence does at each token.</summary>
internal enum GatedCell
{
    /// <summary>Gates i, f, g, o; states h, c.</summary>
    Lstm,

    /// <summary>Gates r, z, n; state h.</summary>
    Gru,

    /// <summary>Gates i, f, z, o; states h, c, n, m.</summary>
    Slstm,
}

/// <summary>What gated recurrences remember, each [B,D]: h, the cell c, the normaliser n and the stabiliser m; null where a cell has none, or for zeros.</summary>
public readonly record struct GatedStates(Tensor? H, Tensor? C = null, Tensor? N = null, Tensor? M = null)
{
    internal Tensor? this[int index] => index switch { 0 => H, 1 => C, 2 => N, _ => M };
}

/// <summary>
/// The inputs of <see cref="Device.GatedRecurrence"/>: what tokens give to each gate [B,T,D] (column views, or whole tensors), and by head what
/// h gives to all gates, R [H,D/H,gates D/H] and a bias [H,gates D/H] (null: zeros).
/// </summary>
internal readonly record struct GatedInputs(GatedCell Cell, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor R, Tensor? Bias)
{
    public int Batch => A.Shape[0];

    public int Time => A.Shape[1];

    public int Width => A.Shape[2];

    public int Heads => R.Shape[0];

    public int HeadWidth => R.Shape[1];

    public int Gates => Cell == GatedCell.Gru ? 3 : 4;

    /// <summary>The states that the cell has, h included.</summary>
    public int States => Cell switch { GatedCell.Gru => 1, GatedCell.Lstm => 2, _ => 4 };
}

/// <summary>What a forward pass leaves for the backward pass: four values of the gates [B,T,H,4,D/H], and the states besides h, [B,T,states - 1,D] (null for none).</summary>
internal readonly record struct GatedSaved(Tensor Gates, Tensor? Cells);

/// <summary>Where the gradients of a gated recurrence's inputs go.</summary>
internal readonly record struct GatedGrads(
    GradTarget A, GradTarget B, GradTarget C, GradTarget D, GradTarget R, GradTarget Bias, GradTarget H0, GradTarget C0, GradTarget N0, GradTarget M0);
