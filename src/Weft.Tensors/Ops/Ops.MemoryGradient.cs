namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// A linear memory W [D,D], b [D] per head that learns while it reads: the inner loop of TTT-Linear (Sun et al., arXiv 2407.04620,
    /// equations 4 to 6 and section 2.5, in its dual form). With W_0, b_0 the memory at the start of a token's mini-batch, and
    /// g_j the gradient of |norm(k_j W_0 + b_0) - (v_j - k_j)|^2 / 2 by the norm's input, norm being a layer norm with weight and bias,
    /// <code>
    /// W_i = W_0 - step_i sum_{j &lt;= i} rate_j k_j^T g_j,   b_i = b_0 - step_i sum_{j &lt;= i} rate_j g_j    (sums within the mini-batch)
    /// z_i = q_i W_i + b_i
    /// </code>
    /// Mini-batches are aligned to positions: pieces of a sequence that end on them give the same bits as the whole.
    /// </summary>
    /// <param name="q">[B,T,H D]; may, like all that have a T, be a column view.</param>
    /// <param name="k">[B,T,H D].</param>
    /// <param name="v">[B,T,H D].</param>
    /// <param name="rate">What each token's gradient counts [B,T,H].</param>
    /// <param name="step">What of its mini-batch's gradients so far a token's memory has taken [B,T,H].</param>
    /// <param name="normWeight">The norm's weight [H D].</param>
    /// <param name="normBias">The norm's bias [H D].</param>
    /// <param name="initial">
    /// The state before the first token [B,H,2 (D+1),D]; null for zeros. Rows are W_0, then b_0, then what the mini-batch's tokens so far
    /// have added up: of rate_j k_j^T g_j, then of rate_j g_j; these last are only read within a mini-batch.
    /// </param>
    /// <param name="offset">The tokens of the mini-batch that came before: the position modulo the mini-batch.</param>
    /// <param name="miniBatch">Tokens of a mini-batch.</param>
    /// <param name="epsilon">What the norm adds to the variance.</param>
    /// <returns>
    /// z [B,T,H D] and the state after the last token: <paramref name="initial"/> itself, overwritten, when the tape does not record and it
    /// is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Z, Tensor Final) MemoryGradient(Tensor q, Tensor k, Tensor v, Tensor rate, Tensor step, Tensor normWeight, Tensor normBias,
        Tensor? initial, int offset, int miniBatch, float epsilon)
    {
        int heads = rate.Shape.Columns, columns = q.Shape.Columns;
        Require(q.Shape.Rank == 3 && q.Shape == k.Shape && q.Shape == v.Shape && columns % heads == 0, "MemoryGradient", q, k, v);
        Require(rate.Shape == q.Shape.With(^1, heads) && step.Shape == rate.Shape, "MemoryGradient", q, rate, step);
        Require(normWeight.Shape.Count == columns && normBias.Shape.Count == columns && normWeight.IsContiguous && normBias.IsContiguous, "MemoryGradient", q, normWeight, normBias);
        ArgumentOutOfRangeException.ThrowIfLessThan(miniBatch, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, miniBatch);
        var inputs = new MemoryGradientInputs(q, k, v, rate, step, normWeight, normBias, offset, miniBatch, epsilon);
        int width = inputs.Width;
        Shape stateShape = new(inputs.Batch, heads, 2 * (width + 1), width);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "MemoryGradient", q, initial);

        Tape tape = TapeOf(q, k, v);
        Tensor z = tape.Empty(q.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? memories = null;
        if (Records(tape, q, k, v, rate, step, normWeight) || Records(tape, normBias, initial))
        {
            memories = tape.Empty(new Shape(inputs.Batch, heads, inputs.MiniBatches, (width + 1) * width));
            MemoryGradientNode node = tape.Record<MemoryGradientNode>(z, final);
            (node.Inputs, node.Memories, node.Initial) = (inputs, memories, initial);
        }

        tape.Device.MemoryGradient(inputs, initial, z, final, memories);
        return (z, final);
    }

    private sealed class MemoryGradientNode : Node
    {
        internal MemoryGradientInputs Inputs;
        internal Tensor Memories = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.MemoryGradientBackward(
            Inputs, Initial, Memories, Output.GradToRead, FinalState!.GradToRead,
            new MemoryGradientGrads(GradTarget.Of(Inputs.Q, tape), GradTarget.Of(Inputs.K, tape), GradTarget.Of(Inputs.V, tape), GradTarget.Of(Inputs.Rate, tape),
                GradTarget.Of(Inputs.Step, tape), GradTarget.Of(Inputs.NormWeight, tape), GradTarget.Of(Inputs.NormBias, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>
    /// The FLOPs that <see cref="MemoryGradient"/> counts forward for one sequence: for each n tokens of a mini-batch and head 6 n D^2 (k W, q W and
    /// the gradients' sum) and 4 n^2 D (the dual form), and 2 n D^2 more where earlier tokens of the mini-batch came in another call.
    /// </summary>
    public static long MemoryGradientFlops(long tokens, int heads, int width, int miniBatch, int offset = 0)
    {
        long first = Math.Min(tokens, offset == 0 ? 0 : miniBatch - offset), rest = (tokens - first) % miniBatch;
        long square = (long)width * width;
        return heads * ((6 * tokens * square) + (2 * first * square)
            + (4 * width * ((first * first) + ((tokens - first) / miniBatch * miniBatch * miniBatch) + (rest * rest))));
    }

    /// <summary>The FLOPs that the backward pass of <see cref="MemoryGradient"/> counts for one sequence: eight products of each, and three more.</summary>
    internal static long MemoryGradientBackwardFlops(long tokens, int heads, int width, int miniBatch, int offset)
    {
        long first = Math.Min(tokens, offset == 0 ? 0 : miniBatch - offset), rest = (tokens - first) % miniBatch;
        long square = (long)width * width;
        return heads * ((14 * tokens * square) + (6 * first * square)
            + (10 * width * ((first * first) + ((tokens - first) / miniBatch * miniBatch * miniBatch) + (rest * rest))));
    }
}
