using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The delta rule with a decay per key channel: A_t is a diagonal times or plus a matrix of rank one, on a matrix state S [dk, dv] per
/// head. Two forms:
/// <code>
/// S_t = (I - beta_t k_t k_t^T) diag(e^g_t) S_{t-1} + beta_t k_t v_t^T         the delta rule proper: Kimi delta attention
/// S_t = diag(e^g_t) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T                 diagonal plus low rank: RWKV-7
/// o_t = scale S_t^T q_t
/// </code>
/// The first (Kimi Linear, arXiv 2510.26692, equation 1) is the second with a_t = e^g_t k_t, b_t = -beta_t k_t and k_t scaled by beta_t,
/// and cheaper: one vector is recalled by, erased along and written along. RWKV-7 (arXiv 2503.14456, section 4.1) erases along
/// b = kappa o rate, a rate per channel, what it recalls by a = -kappa, and writes along a key that is neither.
/// </summary>
/// <remarks>Shapes, for all: q, k, g, a, b [B,T,H dk]; v, o [B,T,H dv]; beta [B,T,H]; states [B,H,dk,dv].</remarks>
public static class ChannelDelta
{
    /// <summary>The definition of the delta rule proper, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>o and the state after the last token; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor logDecay, Tensor? initial, float scale)
    {
        int batch = q.Shape[0], time = q.Shape[1], heads = beta.Shape.Columns, dk = q.Shape.Columns / heads, dv = v.Shape.Columns / heads;
        Tensor s = Definitions.Start(initial, q.Tape!, new Shape(batch, heads, dk, dv));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor key = At(k, 1, dk), decayed = Ops.Multiply(Ops.Exp(At(logDecay, dk, 1)), s);
            Tensor error = Ops.Subtract(At(v, 1, dv), Ops.MatMul(key, decayed));
            s = Ops.Add(decayed, Ops.MatMul(key, Ops.Multiply(At(beta, 1, 1), error), transposeA: true));
            outputs.Add(Ops.Affine(Ops.MatMul(At(q, 1, dk), s), scale).Reshape(new Shape(batch, 1, heads * dv)));

            Tensor At(Tensor x, int rows, int columns) => Definitions.At(x, t, new Shape(batch, heads, rows, columns));
        }

        return (Definitions.Join(outputs), s);
    }

    /// <summary>The definition of the low-rank form, likewise.</summary>
    /// <returns>o and the state after the last token; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor O, Tensor Final) ScanLowRank(Tensor q, Tensor k, Tensor v, Tensor a, Tensor b, Tensor logDecay, Tensor? initial, int heads, float scale = 1)
    {
        int batch = q.Shape[0], time = q.Shape[1], dk = q.Shape.Columns / heads, dv = v.Shape.Columns / heads;
        Tensor s = Definitions.Start(initial, q.Tape!, new Shape(batch, heads, dk, dv));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor recalled = Ops.MatMul(At(a, 1, dk), s);
            Tensor decayed = Ops.Multiply(Ops.Exp(At(logDecay, dk, 1)), s);
            s = Ops.Add(decayed, Ops.Add(Ops.MatMul(At(b, dk, 1), recalled), Ops.MatMul(At(k, dk, 1), At(v, 1, dv))));
            outputs.Add(Ops.Affine(Ops.MatMul(At(q, 1, dk), s), scale).Reshape(new Shape(batch, 1, heads * dv)));

            Tensor At(Tensor x, int rows, int columns) => Definitions.At(x, t, new Shape(batch, heads, rows, columns));
        }

        return (Definitions.Join(outputs), s);
    }

    /// <summary>
    /// The delta rule proper in chunks, <see cref="Ops.ChannelDelta"/>: within a chunk all errors at once by one triangular system over
    /// decayed scores, from chunk to chunk the state. A single token takes two passes over the state.
    /// </summary>
    /// <returns>o and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Chunked(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor logDecay, Tensor? initial, float scale, int chunk = 64) =>
        Ops.ChannelDelta(q, k, v, beta, logDecay, initial, scale, chunk);

    /// <summary>The low-rank form in chunks, <see cref="Ops.DiagonalPlusLowRank"/>: likewise, with four matrices of scores instead of two.</summary>
    /// <returns>o and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor O, Tensor Final) ChunkedLowRank(Tensor q, Tensor k, Tensor v, Tensor a, Tensor b, Tensor logDecay, Tensor? initial, int heads, float scale = 1, int chunk = 64) =>
        Ops.DiagonalPlusLowRank(q, k, v, a, b, logDecay, initial, heads, scale, chunk);

    /// <summary>The forward FLOPs of <see cref="Chunked"/>, or of <see cref="ChunkedLowRank"/>, on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int heads, int keyWidth, int valueWidth, bool lowRank, int chunk = 64) =>
        Ops.ChannelDeltaFlops(tokens, heads, keyWidth, valueWidth, lowRank, chunk);
}
