using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence with a decay per channel on a matrix state S [dk,dv], A_t diagonal:
/// <code>
/// S_t = diag(e^g_t) S_{t-1} + k_t v_t^T
/// o_t = scale S_t^T q_t                              gated linear attention (arXiv 2312.06635, equation 3), HGRN-2 (arXiv 2404.07904)
/// o_t = scale (S_{t-1} + diag(u) k_t v_t^T)^T q_t    with a bonus u: RWKV-6 (arXiv 2404.05892, equation 19)
/// </code>
/// With <c>ofValues</c> the value channels decay, S_t = S_{t-1} diag(e^g_t) + k_t v_t^T: what <see cref="GatedSlots"/> begins with.
/// q, k are [B,T,H dk], v is [B,T,H dv], g like k (or like v), u [H dk].
/// </summary>
public static class ChannelDecay
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Chunked"/> is tested against.
    /// Slow, and it keeps every state.
    /// </summary>
    /// <returns>o [B,T,H dv] and the state after the last token [B,H,dk,dv]; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? bonus, Tensor? initial, int heads,
        float scale = 1, bool ofValues = false)
    {
        Tape tape = q.Tape ?? throw new ArgumentException("the queries must be on a tape", nameof(q));
        int batch = q.Shape[0], time = q.Shape[1], dk = q.Shape.Columns / heads, dv = v.Shape.Columns / heads;
        Shape stateShape = new(batch, heads, dk, dv), keyShape = new(batch, heads, dk, 1), valueShape = new(batch, heads, 1, dv);
        Tensor state = Definitions.Start(initial, tape, stateShape);
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor decay = Ops.Exp(At(logDecay, ofValues ? valueShape : keyShape));
            Tensor write = Ops.Multiply(At(k, keyShape), At(v, valueShape));
            Tensor next = Ops.Add(Ops.Multiply(state, decay), write);
            Tensor read = bonus is null ? next : Ops.Add(state, Ops.Multiply(write, bonus.Reshape(new Shape(1, heads, dk, 1))));
            Tensor o = Ops.SumTo(Ops.Multiply(read, At(q, keyShape)), valueShape);
            outputs.Add(Ops.Affine(o, scale).Reshape(new Shape(batch, 1, heads * dv)));
            state = next;

            Tensor At(Tensor x, Shape shape) => Definitions.At(x, t, shape);
        }

        return (Definitions.Join(outputs), state);
    }

    /// <summary>The same in chunks, as matrix products of factors that never exceed 1: what mixers use. See <see cref="Ops.ChannelDecay"/>.</summary>
    /// <returns>o [B,T,H dv] and the state after the last token [B,H,dk,dv], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Chunked(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? bonus, Tensor? initial, int heads,
        float scale = 1, bool ofValues = false, int chunk = 64) => Ops.ChannelDecay(q, k, v, logDecay, bonus, initial, heads, scale, ofValues, chunk);

    /// <summary>The forward FLOPs of <see cref="Chunked"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int heads, int keyWidth, int valueWidth, int chunk = 64) =>
        Ops.ChannelDecayFlops(tokens, heads, keyWidth, valueWidth, chunk);
}
