namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The LSTM (Hochreiter and Schmidhuber 1997, with forget gates), given what the tokens give to its gates: with R_x h for a gate x's
    /// part of h R + bias, by head,
    /// i = sigmoid(i_t + R_i h), f = sigmoid(f_t + R_f h), g = tanh(g_t + R_g h), o = sigmoid(o_t + R_o h), c = f c + i g, h = o tanh(c).
    /// Gates over time [B,T,D] may be column views; <paramref name="recurrent"/> is R [H,D/H,4 D/H], inputs by outputs, gates in the order
    /// i, f, g, o: one head is a dense matrix; <paramref name="bias"/> [H,4 D/H] may be null. Sequential in time; batches and heads go in parallel.
    /// </summary>
    /// <returns>h [B,T,D] and the states after the last token: those of <paramref name="initial"/>, overwritten, when the tape does not record and they are given.</returns>
    public static (Tensor H, GatedStates Final) Lstm(Tensor i, Tensor f, Tensor g, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Gated("Lstm", new GatedInputs(GatedCell.Lstm, i, f, g, o, recurrent, bias), initial);

    /// <summary>
    /// The GRU (Cho et al., arXiv 1406.1078) with its reset gate applied to what the state gives, as PyTorch's and cuDNN's (arXiv 1412.3555's variant):
    /// r = sigmoid(r_t + R_r h), z = sigmoid(z_t + R_z h), n = tanh(n_t + r R_n h), h = (1 - z) n + z h, where R h includes the bias.
    /// Shapes as in <see cref="Lstm"/>; R is [H,D/H,3 D/H], the bias [H,3 D/H], gates in the order r, z, n.
    /// </summary>
    /// <returns>As <see cref="Lstm"/>; the only state is h.</returns>
    public static (Tensor H, GatedStates Final) Gru(Tensor r, Tensor z, Tensor n, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Gated("Gru", new GatedInputs(GatedCell.Gru, r, z, n, null, recurrent, bias), initial);

    /// <summary>
    /// The sLSTM of xLSTM (Beck et al., arXiv 2405.04517, equations 8 to 17), exponential gates kept in range by m and normalised by n: with each gate's
    /// input raised by its part of h R + bias,
    /// m' = log(e^(log sigmoid(f) + m) + e^i), i' = exp(i - m'), f' = exp(log sigmoid(f) + m - m'),
    /// c' = f' c + i' tanh(z), n' = f' n + i', h' = sigmoid(o) c' / n'.
    /// Any m gives the same h: the paper's (equation 15) is the larger of the two terms, this one, their sum, differs from it by at most log 2,
    /// is smooth, and keeps n at 1 but for rounding, which the division undoes. Where n is 0 nothing has been seen: m' = i. Shapes as in <see cref="Lstm"/>, gates in the order i, f, z, o.
    /// </summary>
    /// <returns>As <see cref="Lstm"/>; the states are h, c, n and m.</returns>
    public static (Tensor H, GatedStates Final) Slstm(Tensor i, Tensor f, Tensor z, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Gated("Slstm", new GatedInputs(GatedCell.Slstm, i, f, z, o, recurrent, bias), initial);

    private static (Tensor H, GatedStates Final) Gated(string name, GatedInputs x, GatedStates initial)
    {
        Require(x.A.Shape.Rank == 3 && x.B.Shape == x.A.Shape && x.C.Shape == x.A.Shape && (x.D is null || x.D.Shape == x.A.Shape), name, x.A, x.B, x.C);
        Require(x.R.Shape.Rank == 3 && x.R.IsContiguous && x.Heads * x.HeadWidth == x.Width && x.R.Shape[2] == x.Gates * x.HeadWidth, name, x.A, x.R);
        Require(x.Bias is null || (x.Bias.Shape.Count == x.Gates * x.Width && x.Bias.IsContiguous), name, x.R, x.Bias);
        Shape stateShape = new(x.Batch, x.Width);
        for (int s = 0; s < 4; s++)
        {
            Require(s < x.States ? (initial[s] is null) == (initial.H is null) && (initial[s] is null || initial[s]!.Shape == stateShape) : initial[s] is null, name, x.A, initial[s]);
        }

        Tape tape = TapeOf(x.A);
        Tensor h = tape.Empty(x.A.Shape);
        GatedStates final = initial;
        Tensor? states = null;
        if (initial.H is null || tape.Recording)
        {
            states = tape.Empty(new Shape(x.Batch, x.States * x.Width)); // side by side: a node has one final state
        }

        GatedSaved? saved = null;
        if (Records(tape, x.A, x.B, x.C, x.D, x.R, x.Bias) || Records(tape, x.A, initial.H, initial.C, initial.N, initial.M))
        {
            saved = new GatedSaved(tape.Empty(x.A.Shape.With(^1, 4 * x.Width)), x.States > 1 ? tape.Empty(x.A.Shape.With(^1, (x.States - 1) * x.Width)) : null);
            GatedNode node = tape.Record<GatedNode>(h, states);
            (node.Inputs, node.Initial, node.Saved) = (x, initial, saved.Value);
        }

        if (states is not null)
        {
            final = new GatedStates(Part(0), Part(1), Part(2), Part(3)); // views made now carry gradients
        }

        tape.Device.GatedRecurrence(x, initial, h, final, saved);
        return (h, final);

        Tensor? Part(int s) => s < x.States ? states.Columns(s * x.Width, x.Width) : null;
    }

    private sealed class GatedNode : Node
    {
        internal GatedInputs Inputs;
        internal GatedStates Initial;
        internal GatedSaved Saved;

        internal override void Backward(Tape tape) => tape.Device.GatedRecurrenceBackward(Inputs, Initial, Output, Saved, Output.GradToRead, FinalState!.GradToRead,
            new GatedGrads(GradTarget.Of(Inputs.A, tape), GradTarget.Of(Inputs.B, tape), GradTarget.Of(Inputs.C, tape), GradTarget.Of(Inputs.D, tape),
                GradTarget.Of(Inputs.R, tape), GradTarget.Of(Inputs.Bias, tape),
                GradTarget.Of(Initial.H, tape), GradTarget.Of(Initial.C, tape), GradTarget.Of(Initial.N, tape), GradTarget.Of(Initial.M, tape)));
    }

    /// <summary>The FLOPs that <see cref="Lstm"/>, <see cref="Gru"/> (of three gates) and <see cref="Slstm"/> count forward for one sequence: h R.</summary>
    public static long GatedRecurrenceFlops(long tokens, int width, int heads, int gates = 4) => 2 * tokens * width * (width / heads) * gates;
}
