namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>A copy of entries <paramref name="start"/> .. <paramref name="start"/> + <paramref name="count"/> of a dimension; for the last one, <see cref="Tensor.Columns"/> needs no copy.</summary>
    public static Tensor Slice(Tensor x, Index dimension, int start, int count)
    {
        int axis = dimension.GetOffset(x.Shape.Rank);
        if (start < 0 || count < 0 || start > x.Shape[axis] - count)
        {
            throw new ArgumentOutOfRangeException(nameof(start), $"entries {start}..{start + count} of dimension {axis} of {x.Shape}");
        }

        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(axis, count));
        Boxes.Copy(x, Boxes.Part(x, axis, start), y, Boxes.Whole(y), y.Shape, false);
        if (Records(tape, x))
        {
            SliceNode node = tape.Record<SliceNode>(y);
            (node.X, node.Axis, node.Start) = (x, axis, start);
        }

        return y;
    }

    private sealed class SliceNode : Node
    {
        internal Tensor X = null!;
        internal int Axis, Start;

        internal override void Backward(Tape tape)
        {
            Tensor dx = X.GradToWrite(tape, out bool fresh)!;
            if (fresh)
            {
                tape.Device.Fill(dx, 0);
            }

            Tensor dy = Output.GradToRead!;
            Boxes.Copy(dy, Boxes.Whole(dy), dx, Boxes.Part(dx, Axis, Start), dy.Shape, true);
        }
    }

    /// <summary>a followed by b along a dimension; all other lengths are equal.</summary>
    public static Tensor Concat(Tensor a, Tensor b, Index dimension)
    {
        int axis = dimension.GetOffset(a.Shape.Rank);
        Require(b.Shape.Rank == a.Shape.Rank && a.Shape.With(axis, 1) == b.Shape.With(axis, 1), "Concat", a, b);
        Tape tape = TapeOf(a, b);
        Tensor y = tape.Empty(a.Shape.With(axis, a.Shape[axis] + b.Shape[axis]));
        Boxes.Copy(a, Boxes.Whole(a), y, Boxes.Part(y, axis, 0), a.Shape, false);
        Boxes.Copy(b, Boxes.Whole(b), y, Boxes.Part(y, axis, a.Shape[axis]), b.Shape, false);
        if (Records(tape, a, b))
        {
            ConcatNode node = tape.Record<ConcatNode>(y);
            (node.A, node.B, node.Axis) = (a, b, axis);
        }

        return y;
    }

    private sealed class ConcatNode : Node
    {
        internal Tensor A = null!;
        internal Tensor B = null!;
        internal int Axis;

        internal override void Backward(Tape tape)
        {
            Tensor dy = Output.GradToRead!;
            Carry(GradTarget.Of(A, tape), 0);
            Carry(GradTarget.Of(B, tape), A.Shape[Axis]);

            void Carry(GradTarget target, int start)
            {
                if (target.Tensor is { } dx)
                {
                    Boxes.Copy(dy, Boxes.Part(dy, Axis, start), dx, Boxes.Whole(dx), dx.Shape, target.Accumulate);
                }
            }
        }
    }

    /// <summary>A copy with two dimensions exchanged.</summary>
    public static Tensor Transpose(Tensor x, Index first, Index second)
    {
        int i = first.GetOffset(x.Shape.Rank), j = second.GetOffset(x.Shape.Rank);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(i, x.Shape[j]).With(j, x.Shape[i]));
        Boxes.Copy(x, Boxes.Exchanged(Boxes.Whole(x), x.Shape.Rank, i, j), y, Boxes.Whole(y), y.Shape, false);
        if (Records(tape, x))
        {
            TransposeNode node = tape.Record<TransposeNode>(y);
            (node.X, node.First, node.Second) = (x, i, j);
        }

        return y;
    }

    private sealed class TransposeNode : Node
    {
        internal Tensor X = null!;
        internal int First, Second;

        internal override void Backward(Tape tape)
        {
            GradTarget target = GradTarget.Of(X, tape);
            Tensor dx = target.Tensor!, dy = Output.GradToRead!;
            Boxes.Copy(dy, Boxes.Whole(dy), dx, Boxes.Exchanged(Boxes.Whole(dx), dx.Shape.Rank, First, Second), dy.Shape, target.Accumulate);
        }
    }
}

/// <summary>Boxes of tensors, for <see cref="Device.CopyBox"/>.</summary>
internal static class Boxes
{
    /// <summary>All of a tensor.</summary>
    public static Box Whole(Tensor x)
    {
        (_, int b, int c, _) = x.Shape.Four();
        long row = x.RowStride;
        return new Box(0, b * c * row, c * row, row, 1);
    }

    /// <summary>A tensor from entry <paramref name="start"/> of a dimension on.</summary>
    public static Box Part(Tensor x, int axis, int start)
    {
        Box whole = Whole(x);
        return whole with { Offset = start * Stride(whole, x.Shape.Rank, axis) };
    }

    /// <summary>A box seen with two dimensions exchanged.</summary>
    public static Box Exchanged(Box box, int rank, int i, int j)
    {
        long si = Stride(box, rank, i), sj = Stride(box, rank, j);
        return WithStride(WithStride(box, rank, i, sj), rank, j, si);
    }

    public static void Copy(Tensor from, Box source, Tensor to, Box destination, Shape lengths, bool accumulate) =>
        from.Device.CopyBox(from, source, to, destination, lengths.Four(), accumulate);

    private static long Stride(Box box, int rank, int axis) => (axis + 4 - rank) switch
    {
        0 => box.A,
        1 => box.B,
        2 => box.C,
        _ => box.D,
    };

    private static Box WithStride(Box box, int rank, int axis, long stride) => (axis + 4 - rank) switch
    {
        0 => box with { A = stride },
        1 => box with { B = stride },
        2 => box with { C = stride },
        _ => box with { D = stride },
    };
}
