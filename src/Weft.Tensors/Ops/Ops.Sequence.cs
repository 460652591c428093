namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>The rows of <paramref name="table"/> [vocabulary, width] that <paramref name="tokens"/> [B,T] name, as [B,T,width].</summary>
    public static Tensor Embed(Tensor table, Tokens tokens)
    {
        Tape tape = tokens.Tape;
        Tensor y = tape.Empty(new Shape(tokens.Batch, tokens.Time, table.Shape.Columns));
        tape.Device.Embed(table, tokens, y);
        if (Records(tape, table))
        {
            EmbedNode node = tape.Record<EmbedNode>(y);
            (node.Table, node.Tokens) = (table, tokens);
        }

        return y;
    }

    private sealed class EmbedNode : Node
    {
        internal Tensor Table = null!;
        internal Tokens Tokens = null!;

        internal override void Backward(Tape tape)
        {
            Tensor dtable = Table.GradToWrite(tape, out bool fresh)!;
            if (fresh)
            {
                tape.Device.Fill(dtable, 0);
            }

            tape.Device.EmbedBackward(Tokens, Output.GradToRead!, dtable);
        }
    }

    /// <summary>
    /// Depthwise causal convolution over time of <paramref name="x"/> [B,T,C]: y[b,t,c] = bias[c] + sum_j weight[c,j] x[b,t-K+1+j,c],
    /// then SiLU when <paramref name="silu"/>. <paramref name="weight"/> is [C,K], <paramref name="bias"/> [C] or null;
    /// <paramref name="past"/> [B,K-1,C] holds the inputs before the sequence, oldest first (null: zeros).
    /// </summary>
    /// <returns>
    /// y [B,T,C] and the last K-1 inputs [B,K-1,C], the next call's past: <paramref name="past"/> itself, overwritten, when the tape
    /// does not record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Y, Tensor Last) CausalConv(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu)
    {
        int channels = x.Shape.Columns, kernel = weight.Shape.Columns;
        Require(x.Shape.Rank == 3 && weight.Shape.Rank == 2 && weight.Shape[0] == channels && kernel > 1, "CausalConv", x, weight, bias);
        Shape pastShape = new(x.Shape[0], kernel - 1, channels);
        Require(past is null || past.Shape == pastShape, "CausalConv", x, weight, past);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        Tensor last = past is not null && !tape.Recording ? past : tape.Empty(pastShape);
        tape.Device.CausalConv(x, weight, bias, past, silu, y, last);
        if (Records(tape, x, weight, bias, past))
        {
            CausalConvNode node = tape.Record<CausalConvNode>(y, last);
            (node.X, node.Weight, node.Bias, node.Past, node.Silu) = (x, weight, bias, past, silu);
        }

        return (y, last);
    }

    private sealed class CausalConvNode : Node
    {
        internal Tensor X = null!, Weight = null!;
        internal Tensor? Bias, Past;
        internal bool Silu;

        internal override void Backward(Tape tape) => tape.Device.CausalConvBackward(
            X, Weight, Bias, Past, Silu, Output.GradToRead, FinalState!.GradToRead,
            GradTarget.Of(X, tape), GradTarget.Of(Weight, tape), GradTarget.Of(Bias, tape), GradTarget.Of(Past, tape));
    }
}
