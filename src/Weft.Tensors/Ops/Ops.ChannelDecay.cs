namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The recurrence with a decay per key channel on a matrix state S [dk,dv] per head,
    /// S_t = diag(e^g_t) S_{t-1} + k_t v_t^T and o_t = scale S_t^T q_t: gated linear attention (Yang et al., arXiv 2312.06635,
    /// equation 3) and HGRN-2 (arXiv 2404.07904). With a bonus u each token reads the state before it, and itself through u:
    /// o_t = scale (S_{t-1} + diag(u) k_t v_t^T)^T q_t, RWKV-6 (arXiv 2404.05892, equation 19). With <paramref name="ofValues"/> the
    /// value channels decay instead, S_t = S_{t-1} diag(e^g_t) + k_t v_t^T: the first pass of gated slot attention (arXiv 2409.07146).
    /// Computed in chunks of <paramref name="chunk"/> tokens; pieces of a sequence that end on multiples of it give the same bits as
    /// the whole. All inputs over time may be column views.
    /// </summary>
    /// <param name="q">Queries [B,T,H dk].</param>
    /// <param name="k">Keys [B,T,H dk].</param>
    /// <param name="v">Values [B,T,H dv].</param>
    /// <param name="logDecay">g [B,T,H dk], or [B,T,H dv] with <paramref name="ofValues"/>; not positive.</param>
    /// <param name="bonus">u, of H dk values; null to read S_t. Not with <paramref name="ofValues"/>.</param>
    /// <param name="initial">The state before the first token [B,H,dk,dv]; null for zeros.</param>
    /// <param name="heads">H.</param>
    /// <param name="scale">What the outputs are multiplied by.</param>
    /// <param name="ofValues">Whether the decays are of the value channels.</param>
    /// <param name="chunk">Tokens that are computed together.</param>
    /// <returns>
    /// o [B,T,H dv] and the state after the last token [B,H,dk,dv]: <paramref name="initial"/> itself, overwritten, when the tape does
    /// not record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor O, Tensor Final) ChannelDecay(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? bonus, Tensor? initial, int heads,
        float scale = 1, bool ofValues = false, int chunk = 64)
    {
        Require(q.Shape.Rank == 3 && q.Shape == k.Shape && heads > 0 && q.Shape.Columns % heads == 0, "ChannelDecay", q, k, v);
        Require(v.Shape == q.Shape.With(^1, v.Shape.Columns) && v.Shape.Columns % heads == 0 && logDecay.Shape == (ofValues ? v : k).Shape, "ChannelDecay", q, v, logDecay);
        Require(bonus is null || (bonus.Shape.Count == q.Shape.Columns && bonus.IsContiguous && !ofValues), "ChannelDecay", q, v, bonus);
        ArgumentOutOfRangeException.ThrowIfLessThan(chunk, 1);
        var inputs = new ChannelDecayInputs(q, k, v, logDecay, bonus, heads, scale, chunk, ofValues);
        Shape stateShape = new(inputs.Batch, heads, inputs.KeyWidth, inputs.ValueWidth);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "ChannelDecay", q, v, initial);

        Tape tape = TapeOf(q, k, v);
        Tensor o = tape.Empty(v.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? states = null;
        if (Records(tape, q, k, v, logDecay, bonus, initial))
        {
            states = tape.Empty(new Shape(inputs.Batch, heads, inputs.Chunks, inputs.KeyWidth * inputs.ValueWidth));
            ChannelDecayNode node = tape.Record<ChannelDecayNode>(o, final);
            (node.Inputs, node.States, node.Initial) = (inputs, states, initial);
        }

        tape.Device.ChannelDecay(inputs, initial, o, final, states);
        return (o, final);
    }

    private sealed class ChannelDecayNode : Node
    {
        internal ChannelDecayInputs Inputs;
        internal Tensor States = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.ChannelDecayBackward(
            Inputs, States, Output.GradToRead, FinalState!.GradToRead,
            new ChannelDecayGrads(GradTarget.Of(Inputs.Q, tape), GradTarget.Of(Inputs.K, tape), GradTarget.Of(Inputs.V, tape),
                GradTarget.Of(Inputs.LogDecay, tape), GradTarget.Of(Inputs.Bonus, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>
    /// The FLOPs that <see cref="ChannelDecay"/> counts forward for one sequence of <paramref name="tokens"/> tokens; a block of
    /// pairs on the diagonal counts as a whole one.
    /// </summary>
    public static long ChannelDecayFlops(long tokens, int heads, int keyWidth, int valueWidth, int chunk = 64)
    {
        return heads * ((tokens / chunk * OfChunk(chunk)) + OfChunk(tokens % chunk));

        long OfChunk(long n)
        {
            long states = 4 * n * keyWidth * valueWidth; // k v^T into the state, S^T q out of it
            return n < ChannelDecaySteps ? states : states + (2 * ChannelDecayPairs(n) * (keyWidth + valueWidth)); // scores, and those times v
        }
    }

    /// <summary>The token pairs of a chunk of n, by blocks: full ones, and a last one of n % block.</summary>
    internal static long ChannelDecayPairs(long n)
    {
        const int block = Cpu.DecayedScores.Block;
        long full = n / block;
        return (block * block * full * (full + 1) / 2) + (n % block * n);
    }

    /// <summary>Chunks of fewer tokens than this go token by token: a decoder's steps, and a short end.</summary>
    internal const int ChannelDecaySteps = 8;
}
