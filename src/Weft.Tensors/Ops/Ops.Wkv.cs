namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The weighted average of RWKV-4 (Peng et al., arXiv 2305.13048, equations 16 to 19): for every channel, values weighted by e^k and by
    /// e^w for each token that has passed, the token's own by e^(u + k). It is carried as the average a of the past and the log L of its weight,
    /// o_t = a_{t-1} + sigmoid(u + k_t - L_{t-1}) (v_t - a_{t-1}), a_t = a_{t-1} + sigmoid(k_t - L_{t-1} - w) (v_t - a_{t-1}),
    /// L_t = log(e^(L_{t-1} + w) + e^k_t): no key, however large or small, overflows or vanishes. Token by token: pieces of a sequence
    /// give the same bits as the whole.
    /// </summary>
    /// <param name="k">Keys [B,T,C]; may be a column view.</param>
    /// <param name="v">Values [B,T,C]; may be a column view.</param>
    /// <param name="decay">w [C], negative.</param>
    /// <param name="first">u [C].</param>
    /// <param name="initial">a and L before the first token [B,2,C]; null: nothing has been seen.</param>
    /// <param name="restart">Whether nothing has been seen, whatever the initial state holds.</param>
    /// <returns>
    /// o [B,T,C] and the state after the last token [B,2,C]: <paramref name="initial"/> itself, overwritten, when the tape does not record
    /// and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor O, Tensor Final) Wkv(Tensor k, Tensor v, Tensor decay, Tensor first, Tensor? initial, bool restart = false)
    {
        int channels = k.Shape.Columns;
        Require(k.Shape.Rank == 3 && v.Shape == k.Shape, "Wkv", k, v);
        Require(decay.Shape.Count == channels && first.Shape.Count == channels && decay.IsContiguous && first.IsContiguous, "Wkv", k, decay, first);
        Shape state = new(k.Shape[0], 2, channels);
        Require(initial is null || (initial.Shape == state && initial.IsContiguous), "Wkv", k, initial);
        Tape tape = TapeOf(k, v, decay);
        Tensor o = tape.Empty(k.Shape);
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(state);
        var inputs = new WkvInputs(k, v, decay, first);
        Tensor? states = null;
        if (Records(tape, k, v, decay, first, initial))
        {
            states = tape.Empty(k.Shape.With(^1, 2 * channels));
            WkvNode node = tape.Record<WkvNode>(o, final);
            (node.Inputs, node.Initial, node.States) = (inputs, initial, states);
        }

        tape.Device.Wkv(inputs, restart ? null : initial, o, final, states);
        return (o, final);
    }

    private sealed class WkvNode : Node
    {
        internal WkvInputs Inputs;
        internal Tensor? Initial;
        internal Tensor States = null!;

        internal override void Backward(Tape tape) => tape.Device.WkvBackward(
            Inputs, States, Output.GradToRead, FinalState!.GradToRead,
            new WkvGrads(GradTarget.Of(Inputs.K, tape), GradTarget.Of(Inputs.V, tape), GradTarget.Of(Inputs.Decay, tape), GradTarget.Of(Inputs.First, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="Wkv"/> counts forward for one sequence of <paramref name="tokens"/> tokens: an average read, and one advanced.</summary>
    public static long WkvFlops(long tokens, int channels) => 4 * tokens * channels;
}
