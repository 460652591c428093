namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// One token later: y_t = x_{t-1}, and y_0 = <paramref name="before"/> [B,1,C] (null: zeros), for <paramref name="x"/> [B,T,C], T &gt; 0.
    /// </summary>
    /// <returns>
    /// y and x's last token [B,1,C], the next call's <paramref name="before"/>: that tensor itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Y, Tensor Last) Later(Tensor x, Tensor? before)
    {
        Shape one = x.Shape.With(1, 1);
        Require(x.Shape.Rank == 3 && x.Shape[1] > 0 && (before is null || before.Shape == one), "Later", x, before);
        Tape tape = TapeOf(x, before);
        Tensor y = tape.Empty(x.Shape), last = before is not null && !tape.Recording ? before : tape.Empty(one);
        Device device = tape.Device;
        int time = x.Shape[1];
        if (before is null)
        {
            device.Fill(last, 0);
        }

        Boxes.Copy(before ?? last, Boxes.Whole(last), y, Boxes.Whole(y), one, false);
        Boxes.Copy(x, Boxes.Whole(x), y, Boxes.Part(y, 1, 1), x.Shape.With(1, time - 1), false);
        Boxes.Copy(x, Boxes.Part(x, 1, time - 1), last, Boxes.Whole(last), one, false);
        if (Records(tape, x, before))
        {
            LaterNode node = tape.Record<LaterNode>(y, last);
            (node.X, node.Before) = (x, before);
        }

        return (y, last);
    }

    private sealed class LaterNode : Node
    {
        internal Tensor X = null!;
        internal Tensor? Before;

        internal override void Backward(Tape tape)
        {
            Tensor? dy = Output.GradToRead, dlast = FinalState!.GradToRead;
            int time = X.Shape[1];
            Shape one = X.Shape.With(1, 1), rest = X.Shape.With(1, time - 1);
            if (GradTarget.Of(X, tape) is { Tensor: { } dx } x)
            {
                Put(dy, 1, dx, 0, rest, x.Accumulate);
                Put(dlast, 0, dx, time - 1, one, x.Accumulate);
            }

            if (GradTarget.Of(Before, tape) is { Tensor: { } dbefore } before)
            {
                Put(dy, 0, dbefore, 0, one, before.Accumulate);
            }

            void Put(Tensor? from, int start, Tensor to, int at, Shape shape, bool add)
            {
                if (from is not null)
                {
                    Boxes.Copy(from, Boxes.Part(from, 1, start), to, Boxes.Part(to, 1, at), shape, add);
                }
                else if (!add)
                {
                    // Nothing depends on these tokens.
                    Tensor zeros = tape.Rent(shape);
                    tape.Device.Fill(zeros, 0);
                    Boxes.Copy(zeros, Boxes.Whole(zeros), to, Boxes.Part(to, 1, at), shape, false);
                    tape.Return(zeros);
                }
            }
        }
    }
}
