using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Attention as it is defined, with the whole matrix of scores: slow, and what <see cref="Ops.Attention"/> is compared with. The softmax
/// is not shifted by its largest score, so scores must be moderate.
/// </summary>
internal static class AttentionDefinition
{
    /// <summary>
    /// softmax(scale q k^T + mask) v of each head: q [B,T,H d]; k and v [B,S,H_kv d] hold the S - T earlier tokens and then the sequence's.
    /// </summary>
    public static Tensor Run(Tensor q, Tensor k, Tensor v, AttentionOptions options)
    {
        (int batch, int tokens, int keys) = (q.Shape[0], q.Shape[1], k.Shape[1]);
        (int heads, int keyHeads, int headDim) = (options.Heads, options.KeyHeads, options.HeadDim);

        // Heads of queries that share a key head lie side by side: one matrix of all their rows.
        Tensor qh = ByHead(q, heads).Reshape(new Shape(batch, keyHeads, heads / keyHeads * tokens, headDim));
        Tensor kh = ByHead(k, keyHeads), vh = ByHead(v, keyHeads);

        Tensor scores = Ops.Affine(Ops.MatMul(qh, kh, transposeB: true), options.Scale).Reshape(new Shape(batch, heads, tokens, keys));
        scores = Ops.Add(scores, q.Tape!.Of(Mask(tokens, keys, options.Window), new Shape(tokens, keys)));
        Tensor sums = Ops.SumTo(Ops.Exp(scores), new Shape(batch, heads, tokens, 1));
        Tensor p = Ops.Exp(Ops.Subtract(scores, Ops.Log(sums)));

        Tensor y = Ops.MatMul(p.Reshape(new Shape(batch, keyHeads, heads / keyHeads * tokens, keys)), vh);
        return Ops.Transpose(y.Reshape(new Shape(batch, heads, tokens, headDim)), 1, 2).Reshape(q.Shape);
    }

    // 0 where query t, at position keys - tokens + t, sees key s; far below every score elsewhere.
    private static float[] Mask(int tokens, int keys, int window)
    {
        var mask = new float[tokens * keys];
        for (int t = 0; t < tokens; t++)
        {
            int position = keys - tokens + t;
            for (int s = 0; s < keys; s++)
            {
                mask[(t * keys) + s] = s <= position && (window == 0 || s > position - window) ? 0 : -1e9f;
            }
        }

        return mask;
    }

    private static Tensor ByHead(Tensor x, int heads) =>
        Ops.Transpose(x.Reshape(new Shape(x.Shape[0], x.Shape[1], heads, x.Shape.Columns / heads)), 1, 2);
}
