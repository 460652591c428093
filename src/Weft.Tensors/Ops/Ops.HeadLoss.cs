namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// <see cref="CrossEntropy"/> of <see cref="Linear"/>: the loss in nats of each row of <paramref name="x"/> [B,T,D], read through
    /// <paramref name="head"/> [V,D], against <paramref name="targets"/> [B,T], as [B,T]; 0 where a target is negative. The logits [B,T,V]
    /// are never held whole, unless they are small; the backward pass then computes them again, and those FLOPs count. Rows without a target
    /// cost nothing: the others are gathered first.
    /// </summary>
    /// <exception cref="InputException">A target is outside the vocabulary.</exception>
    public static Tensor HeadLoss(Tensor x, Tensor head, Tokens targets)
    {
        Require(head.Shape.Rank == 2 && head.Shape[1] == x.Shape.Columns && head.IsContiguous, "HeadLoss", x, head);
        if (x.Shape.Rows != targets.Count)
        {
            throw new ArgumentException($"{targets.Count} targets for inputs of shape {x.Shape}", nameof(targets));
        }

        // Rounded up, so that masks that change from step to step ask the tape for few sizes.
        int asked = (Math.Max(1, targets.Given) + RowsTogether - 1) / RowsTogether * RowsTogether;
        if (asked >= targets.Count)
        {
            return AllHeadLoss(x, head, targets);
        }

        Tape tape = targets.Tape;
        Tokens places = tape.EmptyTokens(1, asked), wanted = tape.EmptyTokens(1, asked);
        tape.Device.FindGiven(targets, places, wanted);
        return PutRows(AllHeadLoss(TakeRows(x, places), head, wanted), places, new Shape(targets.Batch, targets.Time));
    }

    private const int RowsTogether = 16;

    // Of all rows, whether they have a target or not.
    private static Tensor AllHeadLoss(Tensor x, Tensor head, Tokens targets)
    {
        Tape tape = targets.Tape;
        int rows = x.Shape.Rows, vocabulary = head.Shape[0];
        bool records = Records(tape, x, head);
        HeadPieces pieces = HeadPieces.Of(rows, vocabulary, records);
        var logitsShape = new Shape(pieces.Rows, pieces.Columns);
        bool kept = records && logitsShape.Count == (long)rows * vocabulary;
        Tensor losses = tape.Empty(new Shape(targets.Batch, targets.Time)), sums = tape.Empty(new Shape(2, rows)), logits = tape.Rent(logitsShape);
        tape.Device.HeadLoss(x, head, targets, logits, sums, losses);
        if (!kept)
        {
            tape.Return(logits);
        }

        if (records)
        {
            RequireLearnable(head);
            HeadLossNode node = tape.Record<HeadLossNode>(losses);
            (node.X, node.Head, node.Targets, node.Sums, node.LogitsShape, node.Logits) = (x, head, targets, sums, logitsShape, kept ? logits : null);
        }

        return losses;
    }

    private sealed class HeadLossNode : Node
    {
        internal Tensor X = null!;
        internal Tensor Head = null!;
        internal Tokens Targets = null!;
        internal Tensor Sums = null!;
        internal Shape LogitsShape;
        internal Tensor? Logits; // null: to be computed again

        internal override void Backward(Tape tape)
        {
            Tensor logits = Logits ?? tape.Rent(LogitsShape);
            tape.Device.HeadLossBackward(X, Head, Targets, logits, Sums, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(Head, tape));
            tape.Return(logits);
        }
    }
}
