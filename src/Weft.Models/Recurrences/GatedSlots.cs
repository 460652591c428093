using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Attention over a fixed number M of slots that forget (gated slot attention, Zhang et al., arXiv 2409.07146, equations 7 to 9): with
/// write strengths s_t and log decays g_t per slot,
/// <code>
/// K_t = diag(e^g_t) K_{t-1} + s_t k_t^T      [M,dk]
/// V_t = diag(e^g_t) V_{t-1} + s_t v_t^T      [M,dv]
/// o_t = V_t^T softmax(scale K_t q_t)
/// </code>
/// Two passes of <see cref="ChannelDecay"/> with a softmax between: K_t^T is a state whose value channels decay, V_t one whose key
/// channels do. q, k are [B,T,H dk], v is [B,T,H dv], s and g [B,T,H M]; the states are K^T [B,H,dk,M] and V [B,H,M,dv].
/// </summary>
public static class GatedSlots
{
    /// <summary>The definition, token by token: <see cref="ChannelDecay.Scan"/> twice.</summary>
    /// <returns>o [B,T,H dv], and both states after the last token; those given are left as they are.</returns>
    public static (Tensor O, Tensor Keys, Tensor Values) Scan(Tensor q, Tensor k, Tensor v, Tensor s, Tensor logDecay, Tensor? keys, Tensor? values, int heads, float scale)
    {
        (Tensor scores, Tensor lastKeys) = ChannelDecay.Scan(q, k, s, logDecay, null, keys, heads, scale, ofValues: true);
        (Tensor o, Tensor lastValues) = ChannelDecay.Scan(Ops.Softmax(scores, scores.Shape.Columns / heads), s, v, logDecay, null, values, heads);
        return (o, lastKeys, lastValues);
    }

    /// <summary>The same in chunks: what the mixer uses.</summary>
    /// <returns>o [B,T,H dv], and both states after the last token, which overwrite those given when the tape does not record.</returns>
    public static (Tensor O, Tensor Keys, Tensor Values) Chunked(Tensor q, Tensor k, Tensor v, Tensor s, Tensor logDecay, Tensor? keys, Tensor? values, int heads, float scale, int chunk = 64)
    {
        (Tensor scores, Tensor lastKeys) = ChannelDecay.Chunked(q, k, s, logDecay, null, keys, heads, scale, ofValues: true, chunk);
        (Tensor o, Tensor lastValues) = ChannelDecay.Chunked(Ops.Softmax(scores, scores.Shape.Columns / heads), s, v, logDecay, null, values, heads, chunk: chunk);
        return (o, lastKeys, lastValues);
    }

    /// <summary>The forward FLOPs of <see cref="Chunked"/> on <paramref name="tokens"/> tokens of one sequence.</summary>
    public static long Flops(long tokens, int heads, int keyWidth, int valueWidth, int slots, int chunk = 64) =>
        ChannelDecay.Flops(tokens, heads, keyWidth, slots, chunk) + ChannelDecay.Flops(tokens, heads, slots, valueWidth, chunk);
}
