namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The gated delta rule (Yang et al., arXiv 2412.06464, equation 10), for each head with its state S [dk, dv]:
    /// S_t = exp(a_t) (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T and o_t = scale S_t^T q_t; without a decay, DeltaNet
    /// (arXiv 2406.06484). Computed in chunks of <paramref name="chunk"/> tokens; pieces of a sequence that end on multiples of it give
    /// the same bits as the whole.
    /// </summary>
    /// <param name="q">Queries [B,T,Hk dk].</param>
    /// <param name="k">Keys [B,T,Hk dk], each of Euclidean length 1 (or less).</param>
    /// <param name="v">Values [B,T,H dv].</param>
    /// <param name="beta">Write strengths [B,T,H], between 0 and 2.</param>
    /// <param name="logDecay">a [B,T,H], not positive; null for no decay.</param>
    /// <param name="initial">The state before the first token [B,H,dk,dv]; null for zeros.</param>
    /// <param name="keyHeads">Hk, a divisor of H: head h reads key head h / (H / Hk).</param>
    /// <param name="scale">What outputs are multiplied by, usually dk^-1/2.</param>
    /// <param name="chunk">Tokens that are computed together.</param>
    /// <returns>
    /// o [B,T,H dv] and the state after the last token [B,H,dk,dv]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor O, Tensor Final) DeltaRule(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? logDecay, Tensor? initial,
        int keyHeads, float scale, int chunk = 64)
    {
        int heads = beta.Shape.Columns;
        Require(q.Shape.Rank == 3 && q.Shape == k.Shape && keyHeads > 0 && q.Shape.Columns % keyHeads == 0 && heads % keyHeads == 0, "DeltaRule", q, k, beta);
        Require(v.Shape == q.Shape.With(^1, v.Shape.Columns) && beta.Shape == q.Shape.With(^1, heads) && v.Shape.Columns % heads == 0, "DeltaRule", q, v, beta);
        Require(logDecay is null || logDecay.Shape == beta.Shape, "DeltaRule", beta, logDecay);
        ArgumentOutOfRangeException.ThrowIfLessThan(chunk, 1);
        var inputs = new DeltaRuleInputs(q, k, v, beta, logDecay, keyHeads, scale, chunk);
        Shape stateShape = new(inputs.Batch, heads, inputs.KeyWidth, inputs.ValueWidth);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "DeltaRule", q, v, initial);

        Tape tape = TapeOf(q, k, v);
        Tensor o = tape.Empty(v.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        DeltaRuleSaved? saved = null;
        if (Records(tape, q, k, v, beta, logDecay, initial))
        {
            saved = new DeltaRuleSaved(
                tape.Empty(new Shape(inputs.Batch, heads, inputs.Chunks, inputs.KeyWidth * inputs.ValueWidth)),
                tape.Empty(new Shape(inputs.Batch, heads, inputs.Time, inputs.ValueWidth)));
            DeltaRuleNode node = tape.Record<DeltaRuleNode>(o, final);
            (node.Inputs, node.Saved, node.Initial) = (inputs, saved.Value, initial);
        }

        tape.Device.DeltaRule(inputs, initial, o, final, saved);
        return (o, final);
    }

    private sealed class DeltaRuleNode : Node
    {
        internal DeltaRuleInputs Inputs;
        internal DeltaRuleSaved Saved;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.DeltaRuleBackward(
            Inputs, Saved, Output.GradToRead, FinalState!.GradToRead,
            new DeltaRuleGrads(GradTarget.Of(Inputs.V, tape), GradTarget.Of(Inputs.Beta, tape), GradTarget.Of(Inputs.LogDecay, tape),
                GradTarget.Of(Inputs.Q, tape), GradTarget.Of(Inputs.K, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="DeltaRule"/> counts forward for one sequence of <paramref name="tokens"/> tokens.</summary>
    public static long DeltaRuleFlops(long tokens, int heads, int keyWidth, int valueWidth, int chunk = 64)
    {
        long rest = tokens % chunk;
        return heads * ((tokens / chunk * OfChunk(chunk)) + OfChunk(rest));

        long OfChunk(long n)
        {
            long states = 6 * n * keyWidth * valueWidth; // S^T k, k u^T into the state, S^T q
            return n <= 1 ? states : states
                + (4 * Triangle(n) * keyWidth)    // K K^T and Q K^T
                + (n * n * valueWidth)            // the triangular system
                + (2 * Triangle(n) * valueWidth); // P U
        }
    }

    /// <summary>The FLOPs that the backward pass of <see cref="DeltaRule"/> counts for one sequence.</summary>
    internal static long DeltaRuleBackwardFlops(long tokens, int heads, int keyWidth, int valueWidth, int chunk)
    {
        long rest = tokens % chunk;
        return heads * ((tokens / chunk * OfChunk(chunk)) + OfChunk(rest));

        // K K^T, Q K^T; K dS, dO S^T, dY S^T, U dS^T, Q^T dO, K^T dY; the system; P^T dO; dO U^T, dY U^T; four products with triangles for dQ and dK.
        long OfChunk(long n) => (4 * Triangle(n) * keyWidth) + (12 * n * keyWidth * valueWidth) + (n * n * valueWidth)
            + (2 * TransposedTriangle(n) * valueWidth) + (4 * Triangle(n) * valueWidth) + (4 * (Triangle(n) + TransposedTriangle(n)) * keyWidth);
    }

    /// <summary>The rows of a block in products with a lower triangle: what lies right of the diagonal's block is not computed.</summary>
    internal const int DeltaRuleBlock = 16;

    // The entries computed of an n x n lower triangle: full blocks of rows up to the diagonal's block, and a last one of n % block rows.
    private static long Triangle(long n) => (DeltaRuleBlock * DeltaRuleBlock * (n / DeltaRuleBlock) * ((n / DeltaRuleBlock) + 1) / 2) + (n % DeltaRuleBlock * n);

    // The same of the transpose, whose blocks of rows begin at the diagonal.
    private static long TransposedTriangle(long n)
    {
        long full = n / DeltaRuleBlock, last = n % DeltaRuleBlock;
        return (DeltaRuleBlock * ((full * n) - (DeltaRuleBlock * full * (full - 1) / 2))) + (last * last);
    }
}
