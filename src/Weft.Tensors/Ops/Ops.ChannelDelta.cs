namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The delta rule with a decay per key channel: Kimi delta attention (arXiv 2510.26692, equation 1). For each head with its state
    /// S [dk, dv], S_t = (I - beta_t k_t k_t^T) diag(e^g_t) S_{t-1} + beta_t k_t v_t^T and o_t = scale S_t^T q_t.
    /// Computed in chunks of <paramref name="chunk"/> tokens; pieces of a sequence that end on multiples of it give the same bits as the
    /// whole. All inputs over time may be column views.
    /// </summary>
    /// <param name="q">Queries [B,T,H dk].</param>
    /// <param name="k">Keys [B,T,H dk], each head's of Euclidean length 1 (or less).</param>
    /// <param name="v">Values [B,T,H dv].</param>
    /// <param name="beta">Write strengths [B,T,H], between 0 and 2.</param>
    /// <param name="logDecay">g [B,T,H dk], not positive.</param>
    /// <param name="initial">The state before the first token [B,H,dk,dv]; null for zeros.</param>
    /// <param name="scale">What outputs are multiplied by, usually dk^-1/2.</param>
    /// <param name="chunk">Tokens that are computed together.</param>
    /// <returns>
    /// o [B,T,H dv] and the state after the last token [B,H,dk,dv]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor O, Tensor Final) ChannelDelta(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor logDecay, Tensor? initial, float scale, int chunk = 64)
    {
        Require(beta.Shape == q.Shape.With(^1, beta.Shape.Columns), "ChannelDelta", q, beta);
        return RunChannelDelta(new ChannelDeltaInputs(q, k, v, logDecay, beta, null, null, beta.Shape.Columns, scale, chunk), initial);
    }

    /// <summary>
    /// The recurrence whose transition is diagonal plus low rank (DPLR), with vectors of its own for what is recalled and where that is
    /// written: RWKV-7 (arXiv 2503.14456, section 4.1). For each head with its state S [dk, dv],
    /// S_t = diag(e^g_t) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T and o_t = scale S_t^T q_t.
    /// Computed in chunks, as <see cref="ChannelDelta"/>, whose parameters
    /// and results it shares; <paramref name="a"/> and <paramref name="b"/> are [B,T,H dk].
    /// </summary>
    public static (Tensor O, Tensor Final) DiagonalPlusLowRank(Tensor q, Tensor k, Tensor v, Tensor a, Tensor b, Tensor logDecay, Tensor? initial,
        int heads, float scale = 1, int chunk = 64)
    {
        Require(a.Shape == q.Shape && b.Shape == q.Shape, "DiagonalPlusLowRank", q, a, b);
        return RunChannelDelta(new ChannelDeltaInputs(q, k, v, logDecay, null, a, b, heads, scale, chunk), initial);
    }

    private static (Tensor O, Tensor Final) RunChannelDelta(in ChannelDeltaInputs x, Tensor? initial)
    {
        (Tensor q, Tensor v, int heads) = (x.Q, x.V, x.Heads);
        Require(q.Shape.Rank == 3 && q.Shape == x.K.Shape && q.Shape == x.LogDecay.Shape && heads > 0 && q.Shape.Columns % heads == 0, "ChannelDelta", q, x.K, x.LogDecay);
        Require(v.Shape == q.Shape.With(^1, v.Shape.Columns) && v.Shape.Columns % heads == 0, "ChannelDelta", q, v);
        ArgumentOutOfRangeException.ThrowIfLessThan(x.Chunk, 1);
        Shape stateShape = new(x.Batch, heads, x.KeyWidth, x.ValueWidth);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "ChannelDelta", q, v, initial);

        Tape tape = TapeOf(q, x.K, v);
        Tensor o = tape.Empty(v.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        ChannelDeltaSaved? saved = null;
        if (Records(tape, q, x.K, v, x.LogDecay, x.Beta, initial) || Records(tape, q, x.A, x.B))
        {
            saved = new ChannelDeltaSaved(
                tape.Empty(new Shape(x.Batch, heads, x.Chunks, x.KeyWidth * x.ValueWidth)),
                tape.Empty(new Shape(x.Batch, heads, x.Time, x.ValueWidth)));
            ChannelDeltaNode node = tape.Record<ChannelDeltaNode>(o, final);
            (node.Inputs, node.Saved, node.Initial) = (x, saved.Value, initial);
        }

        tape.Device.ChannelDelta(x, initial, o, final, saved);
        return (o, final);
    }

    private sealed class ChannelDeltaNode : Node
    {
        internal ChannelDeltaInputs Inputs;
        internal ChannelDeltaSaved Saved;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.ChannelDeltaBackward(
            Inputs, Saved, Output.GradToRead, FinalState!.GradToRead,
            new ChannelDeltaGrads(GradTarget.Of(Inputs.V, tape), GradTarget.Of(Inputs.Beta, tape), GradTarget.Of(Inputs.Q, tape), GradTarget.Of(Inputs.K, tape),
                GradTarget.Of(Inputs.A, tape), GradTarget.Of(Inputs.B, tape), GradTarget.Of(Inputs.LogDecay, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>
    /// The FLOPs that <see cref="ChannelDelta"/> counts forward for one
    /// sequence of <paramref name="tokens"/> tokens, or <see cref="DiagonalPlusLowRank"/> when <paramref name="lowRank"/>.
    /// </summary>
    public static long ChannelDeltaFlops(long tokens, int heads, int keyWidth, int valueWidth, bool lowRank, int chunk = 64)
    {
        long rest = tokens % chunk;
        return heads * ((tokens / chunk * OfChunk(chunk)) + OfChunk(rest));

        long OfChunk(long n)
        {
            // What is recalled of the state, read from it and written to it, once for each vector that writes; one token runs both forms alike.
            long states = (lowRank || n == 1 ? 8 : 6) * n * keyWidth * valueWidth;
            return n <= 1 ? states : states
                + ((lowRank ? 8 : 4) * Triangle(n) * keyWidth)    // the scores
                + (n * n * valueWidth)                            // the triangular system
                + ((lowRank ? 6 : 2) * Triangle(n) * valueWidth); // the scores times what is written
        }
    }

    /// <summary>The FLOPs that the backward pass counts for one sequence.</summary>
    internal static long ChannelDeltaBackwardFlops(long tokens, int heads, int keyWidth, int valueWidth, bool lowRank, int chunk)
    {
        long rest = tokens % chunk;
        return heads * ((tokens / chunk * OfChunk(chunk)) + OfChunk(rest));

        // The scores again; products with the states; the system; the scores' transposes times gradients; the scores' gradients, and what they carry to each side.
        long OfChunk(long n)
        {
            int scores = lowRank ? 4 : 2;
            return (scores * 2 * Triangle(n) * keyWidth) + ((lowRank ? 16 : 12) * n * keyWidth * valueWidth) + (n * n * valueWidth)
                + ((lowRank ? 6 : 2) * TransposedTriangle(n) * valueWidth) + (scores * 2 * Triangle(n) * valueWidth)
                + (scores * 2 * (Triangle(n) + TransposedTriangle(n)) * keyWidth);
        }
    }
}
