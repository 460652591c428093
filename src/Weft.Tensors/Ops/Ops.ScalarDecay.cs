namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The recurrence of Mamba-2 (state space duality, Dao and Gu, arXiv 2405.21060), RetNet, lightning and linear attention: one decay
    /// per head and token on a matrix state S [dk,dv],
    /// S_t = exp(a_t) S_{t-1} + g_t k_t v_t^T and o_t = scale S_t^T q_t + skip v_t.
    /// Computed in chunks of <paramref name="chunk"/> tokens; pieces of a sequence that end on multiples of it give the same bits as
    /// the whole. All inputs over time may be column views.
    /// </summary>
    /// <param name="q">Queries [B,T,Hk dk]: C in Mamba-2's words.</param>
    /// <param name="k">Keys [B,T,Hk dk]: B in Mamba-2's words.</param>
    /// <param name="v">Values [B,T,H dv]: x in Mamba-2's words.</param>
    /// <param name="logDecay">a [B,T,H], as a rule not positive; or [H], the same at every token, which is not learned.</param>
    /// <param name="gate">What each token's write is multiplied by, g [B,T,H]: Mamba-2's dt; null for ones.</param>
    /// <param name="skip">What of v is added to the output, by head [H]: Mamba-2's D; null for none.</param>
    /// <param name="initial">The state before the first token [B,H,dk,dv]; null for zeros.</param>
    /// <param name="keyHeads">Hk, a divisor of H: head h reads the queries and keys of head h / (H / Hk).</param>
    /// <param name="scale">What the state's part of the output is multiplied by.</param>
    /// <param name="chunk">Tokens that are computed together.</param>
    /// <param name="rank">
    /// R, 1, 2 or 4: a token has R keys, values and queries (Mamba-3's MIMO, arXiv 2603.15569), rows R t .. R t + R - 1 of q, k and v, which
    /// have R T rows; it decays once, writes all its R pairs with its one gate, and then is read by all its R queries.
    /// </param>
    /// <returns>
    /// o [B,T,H dv] and the state after the last token [B,H,dk,dv]: <paramref name="initial"/> itself, overwritten, when the tape does
    /// not record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor O, Tensor Final) ScalarDecay(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? gate, Tensor? skip, Tensor? initial,
        int keyHeads, float scale = 1, int chunk = 64, int rank = 1)
    {
        int heads = logDecay.Shape.Columns;
        Require(q.Shape.Rank == 3 && q.Shape == k.Shape && keyHeads > 0 && q.Shape.Columns % keyHeads == 0 && heads % keyHeads == 0, "ScalarDecay", q, k, logDecay);
        Require(v.Shape == q.Shape.With(^1, v.Shape.Columns) && v.Shape.Columns % heads == 0, "ScalarDecay", q, v, logDecay);
        ArgumentOutOfRangeException.ThrowIfLessThan(chunk, 1);
        if (rank is not (1 or 2 or 4) || q.Shape[1] % rank != 0)
        {
            throw new ArgumentException($"a rank is 1, 2 or 4 and divides the {q.Shape[1]} rows of the queries, not {rank}", nameof(rank));
        }

        Shape each = q.Shape.With(1, q.Shape[1] / rank).With(^1, heads);
        Require(logDecay.Shape == each || (logDecay.Shape.Rank == 1 && !logDecay.RequiresGrad), "ScalarDecay", q, logDecay);
        Require((gate is null || gate.Shape == each) && (skip is null || (skip.Shape.Count == heads && skip.IsContiguous)), "ScalarDecay", logDecay, gate, skip);
        var inputs = new ScalarDecayInputs(q, k, v, logDecay, gate, skip, keyHeads, scale, chunk * rank, rank);
        Shape stateShape = new(inputs.Batch, heads, inputs.KeyWidth, inputs.ValueWidth);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "ScalarDecay", q, v, initial);

        Tape tape = TapeOf(q, k, v);
        Tensor o = tape.Empty(v.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? states = null;
        if (Records(tape, q, k, v, logDecay, gate, skip) || Records(tape, q, initial))
        {
            states = tape.Empty(new Shape(inputs.Batch, heads, inputs.Chunks, inputs.KeyWidth * inputs.ValueWidth));
            ScalarDecayNode node = tape.Record<ScalarDecayNode>(o, final);
            (node.Inputs, node.States, node.Initial) = (inputs, states, initial);
        }

        tape.Device.ScalarDecay(inputs, initial, o, final, states);
        return (o, final);
    }

    private sealed class ScalarDecayNode : Node
    {
        internal ScalarDecayInputs Inputs;
        internal Tensor States = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.ScalarDecayBackward(
            Inputs, States, Output.GradToRead, FinalState!.GradToRead,
            new ScalarDecayGrads(GradTarget.Of(Inputs.V, tape), GradTarget.Of(Inputs.Q, tape), GradTarget.Of(Inputs.K, tape),
                GradTarget.Of(Inputs.LogDecay, tape), GradTarget.Of(Inputs.Gate, tape), GradTarget.Of(Inputs.Skip, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="ScalarDecay"/> counts forward for one sequence of <paramref name="tokens"/> tokens.</summary>
    public static long ScalarDecayFlops(long tokens, int heads, int keyHeads, int keyWidth, int valueWidth, int chunk = 64, int rank = 1)
    {
        long rest = tokens % chunk;
        return (tokens / chunk * OfChunk(chunk * rank)) + OfChunk(rest * rank);

        long OfChunk(long n)
        {
            long states = 4 * n * heads * keyWidth * valueWidth; // k v^T into the state, S^T q out of it
            if (n < ScalarDecaySteps)
            {
                return states + (2 * (n - (n / rank)) * heads * keyWidth * valueWidth); // token by token; all queries but a token's last read once more
            }

            // Products with a lower triangle go by blocks of rows: full ones, and a last one of n % block.
            long full = n / ScalarDecayBlock, last = n % ScalarDecayBlock;
            long triangle = (ScalarDecayBlock * ScalarDecayBlock * full * (full + 1) / 2) + (last * n);
            return states + (2 * triangle * ((keyHeads * keyWidth) + (heads * valueWidth))); // q k^T, and that times v
        }
    }

    /// <summary>The rows of a block in products with a lower triangle: what lies right of the diagonal's block is not computed.</summary>
    internal const int ScalarDecayBlock = 16;

    /// <summary>Chunks of fewer tokens than this go token by token: a decoder's steps, and a short end.</summary>
    internal const int ScalarDecaySteps = 8;
}
