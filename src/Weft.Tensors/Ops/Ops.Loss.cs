namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Cross-entropy in nats of each row of <paramref name="logits"/> [B,T,V] against <paramref name="targets"/> [B,T], as [B,T];
    /// 0 where a target is negative.
    /// </summary>
    public static Tensor CrossEntropy(Tensor logits, Tokens targets)
    {
        if (logits.Shape.Rows != targets.Count)
        {
            throw new ArgumentException($"{targets.Count} targets for logits of shape {logits.Shape}", nameof(targets));
        }

        Tape tape = targets.Tape;
        Tensor losses = tape.Empty(new Shape(targets.Batch, targets.Time));
        tape.Device.CrossEntropy(logits, targets, losses);
        if (Records(tape, logits))
        {
            CrossEntropyNode node = tape.Record<CrossEntropyNode>(losses);
            (node.Logits, node.Targets) = (logits, targets);
        }

        return losses;
    }

    private sealed class CrossEntropyNode : Node
    {
        internal Tensor Logits = null!;
        internal Tokens Targets = null!;

        internal override void Backward(Tape tape) =>
            tape.Device.CrossEntropyBackward(Logits, Targets, Output.GradToRead!, GradTarget.Of(Logits, tape));
    }
}
