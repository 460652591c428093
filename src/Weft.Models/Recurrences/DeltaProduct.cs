using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Products of Householder steps: A_t is a decay times n factors (identity minus rank one), on a matrix state S [dk, dv] per head.
/// A token decays the state once, then takes n delta-rule steps with keys, values and strengths of its own, and reads the result:
/// <code>
/// S_{t,0} = exp(a_t) S_{t-1}
/// S_{t,i} = (I - beta_{t,i} k_{t,i} k_{t,i}^T) S_{t,i-1} + beta_{t,i} k_{t,i} v_{t,i}^T     i = 1 .. n
/// S_t = S_{t,n},     o_t = scale S_t^T q_t.
/// </code>
/// DeltaProduct and its gated form (Siems et al., arXiv 2502.10297, section 3). With beta up to 2 a factor reflects, and n reflections
/// make any rotation of n dimensions: what tracking the state of a permutation needs. n = 1 is <see cref="DeltaRule"/>.
/// </summary>
/// <remarks>
/// Shapes, for both algorithms: q [B,T,Hk dk]; k [B,n T,Hk dk], v [B,n T,H dv], beta [B,n T,H], the n steps of a token one after the
/// other; a [B,T,H]; o [B,T,H dv]; states [B,H,dk,dv]. Head h reads key head h / (H / Hk).
/// </remarks>
public static class DeltaProduct
{
    /// <summary>The definition, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>o and the state after the last token; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? logDecay, Tensor? initial, int keyHeads, float scale)
    {
        Tape tape = q.Tape!;
        int batch = q.Shape[0], time = q.Shape[1], steps = k.Shape[1] / time, heads = beta.Shape.Columns;
        int dk = q.Shape.Columns / keyHeads, dv = v.Shape.Columns / heads, group = heads / keyHeads;
        Tensor ones = tape.Of(Enumerable.Repeat(1f, group).ToArray(), new Shape(1, group, 1));
        Tensor s = Definitions.Start(initial, tape, new Shape(batch, heads, dk, dv));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            if (logDecay is not null)
            {
                s = Ops.Multiply(s, Ops.Exp(Definitions.At(logDecay, t, new Shape(batch, heads, 1, 1))));
            }

            for (int i = t * steps; i < (t + 1) * steps; i++)
            {
                Tensor ki = Keys(k, i);                                                                    // [B,H,1,dk]
                Tensor error = Ops.Subtract(Definitions.At(v, i, new Shape(batch, heads, 1, dv)), Ops.MatMul(ki, s));
                Tensor write = Ops.Multiply(Definitions.At(beta, i, new Shape(batch, heads, 1, 1)), error);
                s = Ops.Add(s, Ops.MatMul(ki, write, transposeA: true));
            }

            outputs.Add(Ops.Affine(Ops.MatMul(Keys(q, t), s), scale).Reshape(new Shape(batch, 1, heads * dv)));
        }

        return (Definitions.Join(outputs), s);

        Tensor Keys(Tensor x, int t) => Ops.Multiply(Definitions.At(x, t, new Shape(batch * keyHeads, 1, dk)), ones).Reshape(new Shape(batch, heads, 1, dk));
    }

    /// <summary>
    /// The fast algorithm: the chunked delta rule over the n T steps, where only a token's first step decays and only its last is read.
    /// k, v and beta are taken as they are; a chunk is <paramref name="chunk"/> tokens, n times as many steps.
    /// </summary>
    /// <returns>o, a view of what every step would read, and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Chunked(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? logDecay, Tensor? initial, int keyHeads, float scale, int chunk = 32)
    {
        int batch = q.Shape[0], time = q.Shape[1], steps = k.Shape[1] / time, keys = q.Shape.Columns, values = v.Shape.Columns;
        Tensor queries = Ops.Pad(q, ^1, (steps - 1) * keys, 0).Reshape(k.Shape);
        Tensor? decays = logDecay is null ? null : Ops.Pad(logDecay, ^1, 0, (steps - 1) * beta.Shape.Columns).Reshape(beta.Shape);
        (Tensor o, Tensor final) = Ops.DeltaRule(queries, k, v, beta, decays, initial, keyHeads, scale, chunk * steps);
        return (o.Reshape(new Shape(batch, time, steps * values)).Columns((steps - 1) * values, values), final);
    }

    /// <summary>The forward FLOPs of <see cref="Chunked"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int steps, int heads, int keyWidth, int valueWidth, int chunk = 32) =>
        Ops.DeltaRuleFlops(tokens * steps, heads, keyWidth, valueWidth, chunk * steps);
}
