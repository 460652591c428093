namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The token shift of RWKV (arXiv 2305.13048, section 3.1): each channel of each token blended with the token before,
    /// y[b,t,i D + c] = x[b,t,c] + mix[i,c] (x[b,t-1,c] - x[b,t,c]), once for each row i of <paramref name="mix"/> [n,D], side by side in
    /// columns. <paramref name="x"/> is [B,T,D]; <paramref name="past"/> [B,1,D] holds the token before the sequence (null: zeros).
    /// </summary>
    /// <returns>
    /// y [B,T,n D] and the last token's inputs [B,1,D], the next call's past: <paramref name="past"/> itself, overwritten, when the tape
    /// does not record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Y, Tensor Last) TokenShift(Tensor x, Tensor mix, Tensor? past)
    {
        int columns = x.Shape.Columns;
        Require(x.Shape.Rank == 3 && mix.Shape.Rank == 2 && mix.Shape[1] == columns && mix.IsContiguous, "TokenShift", x, mix);
        Shape pastShape = new(x.Shape[0], 1, columns);
        Require(past is null || (past.Shape == pastShape && past.IsContiguous), "TokenShift", x, mix, past);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(^1, mix.Shape[0] * columns));
        Tensor last = past is not null && !tape.Recording ? past : tape.Empty(pastShape);
        tape.Device.TokenShift(x, mix, past, y, last);
        if (Records(tape, x, mix, past))
        {
            TokenShiftNode node = tape.Record<TokenShiftNode>(y, last);
            (node.X, node.Mix, node.Past) = (x, mix, past);
        }

        return (y, last);
    }

    private sealed class TokenShiftNode : Node
    {
        internal Tensor X = null!, Mix = null!;
        internal Tensor? Past;

        internal override void Backward(Tape tape)
        {
            Tensor? zeros = null;
            if (Output.GradToRead is not { } dy)
            {
                dy = zeros = tape.Rent(Output.Shape); // only the last token's inputs were used
                tape.Device.Fill(zeros, 0);
            }

            tape.Device.TokenShiftBackward(X, Mix, Past, dy, FinalState!.GradToRead, GradTarget.Of(X, tape), GradTarget.Of(Mix, tape), GradTarget.Of(Past, tape));
            tape.Return(zeros);
        }
    }
}
