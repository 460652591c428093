namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>The rows of <paramref name="x"/> at <paramref name="places"/> [B,T], of which none comes twice, as [B,T,D]; zeros where a place is negative.</summary>
    public static Tensor TakeRows(Tensor x, Tokens places)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(places);
        Tape tape = places.Tape;
        Tensor y = tape.Empty(new Shape(places.Batch, places.Time, x.Shape.Columns));
        tape.Device.TakeRows(x, places, y, false);
        if (Records(tape, x))
        {
            TakeRowsNode node = tape.Record<TakeRowsNode>(y);
            (node.X, node.Places) = (x, places);
        }

        return y;
    }

    private sealed class TakeRowsNode : Node
    {
        internal Tensor X = null!;
        internal Tokens Places = null!;

        internal override void Backward(Tape tape)
        {
            Tensor dx = X.GradToWrite(tape, out bool fresh)!;
            if (fresh)
            {
                tape.Device.Fill(dx, 0);
            }

            tape.Device.PutRows(Output.GradToRead!, Places, dx);
        }
    }

    // The numbers y [1,N] at their places in zeros of a shape: the transpose of taking rows of one number.
    private static Tensor PutRows(Tensor y, Tokens places, Shape shape)
    {
        Tape tape = places.Tape;
        Tensor all = tape.Empty(shape);
        tape.Device.Fill(all, 0);
        tape.Device.PutRows(Numbers(tape, y), places, Numbers(tape, all));
        if (Records(tape, y))
        {
            PutRowsNode node = tape.Record<PutRowsNode>(all);
            (node.Y, node.Places) = (y, places);
        }

        return all;
    }

    private static Tensor Numbers(Tape tape, Tensor x)
    {
        Tensor rows = tape.Spare();
        rows.Bind(tape.Device, tape, new Shape((int)x.Shape.Count, 1), 1, x.Address, null);
        return rows;
    }

    private sealed class PutRowsNode : Node
    {
        internal Tensor Y = null!;
        internal Tokens Places = null!;

        internal override void Backward(Tape tape)
        {
            Tensor dy = Y.GradToWrite(tape, out bool fresh)!;
            tape.Device.TakeRows(Numbers(tape, Output.GradToRead!), Places, Numbers(tape, dy), !fresh);
        }
    }
}
