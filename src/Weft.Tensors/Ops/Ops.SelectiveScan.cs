namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The selective scan of Mamba (Gu and Dao, arXiv 2312.00752, equation 2 discretised as in section 3.6): N states h [N] for each
    /// channel, with rates A of its own, steps dt of its own, and B and C shared by the channels of a group,
    /// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t and y_t = C_t . h_t + skip x_t.
    /// Token by token, so that a sequence in any pieces gives the bits of the whole. The backward pass computes the states again
    /// from one kept for every <see cref="SelectiveScanChunk"/> tokens. Inputs over time may be column views.
    /// </summary>
    /// <param name="x">Inputs [B,T,D].</param>
    /// <param name="dt">Steps [B,T,D]: positive, or any numbers when <paramref name="softplus"/>.</param>
    /// <param name="a">Rates A [D,N], negative.</param>
    /// <param name="b">B [B,T,G N].</param>
    /// <param name="c">C [B,T,G N].</param>
    /// <param name="skip">What of x is added to the output, by channel [D]; null for none.</param>
    /// <param name="initial">The states before the first token [B,N,D]; null for zeros.</param>
    /// <param name="groups">G, a divisor of D: channel i reads the B and C of group i / (D / G).</param>
    /// <param name="softplus">Whether steps are softplus(dt) rather than dt.</param>
    /// <returns>
    /// y [B,T,D] and the states after the last token [B,N,D]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Y, Tensor Final) SelectiveScan(Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? skip, Tensor? initial,
        int groups = 1, bool softplus = false)
    {
        Require(x.Shape.Rank == 3 && x.Shape == dt.Shape && a.Shape.Rank == 2 && a.Shape[0] == x.Shape.Columns && a.IsContiguous, "SelectiveScan", x, dt, a);
        int channels = a.Shape[0], states = a.Shape[1];
        Require(groups > 0 && channels % groups == 0 && b.Shape == x.Shape.With(^1, groups * states) && c.Shape == b.Shape, "SelectiveScan", x, b, c);
        Shape stateShape = new(x.Shape[0], states, channels);
        Require((skip is null || (skip.Shape.Count == channels && skip.IsContiguous)) && (initial is null || (initial.Shape == stateShape && initial.IsContiguous)),
            "SelectiveScan", x, skip, initial);

        var inputs = new SelectiveScanInputs(x, dt, a, b, c, skip, groups, softplus);
        Tape tape = TapeOf(x, dt, b);
        Tensor y = tape.Empty(x.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? kept = null;
        if (Records(tape, x, dt, a, b, c, skip) || Records(tape, x, initial))
        {
            kept = tape.Empty(new Shape(inputs.Batch, inputs.Chunks, states, channels));
            SelectiveScanNode node = tape.Record<SelectiveScanNode>(y, final);
            (node.Inputs, node.Kept, node.Initial) = (inputs, kept, initial);
        }

        tape.Device.SelectiveScan(inputs, initial, y, final, kept);
        return (y, final);
    }

    private sealed class SelectiveScanNode : Node
    {
        internal SelectiveScanInputs Inputs;
        internal Tensor Kept = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.SelectiveScanBackward(
            Inputs, Kept, Output.GradToRead, FinalState!.GradToRead,
            new SelectiveScanGrads(GradTarget.Of(Inputs.X, tape), GradTarget.Of(Inputs.Dt, tape), GradTarget.Of(Inputs.B, tape), GradTarget.Of(Inputs.C, tape),
                GradTarget.Of(Inputs.A, tape), GradTarget.Of(Inputs.Skip, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="SelectiveScan"/> counts forward for one sequence: dt x B into the states, C . h out of them.</summary>
    public static long SelectiveScanFlops(long tokens, int channels, int states) => 4 * tokens * channels * states;

    /// <summary>Tokens between the states that a recorded pass keeps: what is computed again for them in the backward pass stays in the near caches.</summary>
    internal const int SelectiveScanChunk = 32;
}
