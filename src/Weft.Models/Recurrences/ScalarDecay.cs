using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence with one decay per head and token on a matrix state S [dk,dv], A_t a multiple of the identity:
/// <code>
/// S_t = exp(a_t) S_{t-1} + g_t k_t v_t^T
/// o_t = scale S_t^T q_t + skip v_t
/// </code>
/// With g and skip absent and a = 0 it is linear attention (arXiv 2006.16236), with a constant a per head RetNet (arXiv 2307.08621) and
/// lightning attention (arXiv 2405.04658),
/// with a = -exp(A_log) dt and g = dt Mamba-2 (arXiv 2405.21060), whose C, B, x and D are q, k, v and skip.
/// q, k are [B,T,Hk dk] and shared by the H / Hk heads of a key head, v is [B,T,H dv], a and g [B,T,H], skip [H]; an a that
/// is the same at every token may be given as [H].
/// </summary>
public static class ScalarDecay
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Chunked"/> is tested against.
    /// Slow, and it keeps every state.
    /// </summary>
    /// <returns>o [B,T,H dv] and the state after the last token [B,H,dk,dv].</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? gate, Tensor? skip, Tensor? initial, int keyHeads, float scale = 1)
    {
        Tape tape = q.Tape ?? throw new ArgumentException("the queries must be on a tape", nameof(q));
        int batch = q.Shape[0], time = q.Shape[1], heads = logDecay.Shape.Columns, sharing = heads / keyHeads;
        int dk = q.Shape.Columns / keyHeads, dv = v.Shape.Columns / heads, rows = batch * keyHeads;
        Shape stateShape = new(batch, heads, dk, dv);
        Tensor state = Definitions.Start(initial, tape, stateShape).Reshape(new Shape(rows, sharing, dk, dv));
        Shape perToken = new(batch, time, heads);
        Tensor decays = logDecay.Shape == perToken ? logDecay
            : Ops.Add(tape.Of(new float[perToken.Count], perToken), logDecay.Reshape(new Shape(1, 1, heads)));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor key = At(k, new Shape(rows, 1, dk, 1)), query = At(q, new Shape(rows, 1, dk, 1));
            Tensor value = At(v, new Shape(rows, sharing, 1, dv)), decay = Ops.Exp(At(decays, new Shape(rows, sharing, 1, 1)));
            Tensor write = Ops.Multiply(key, value);
            if (gate is not null)
            {
                write = Ops.Multiply(write, At(gate, new Shape(rows, sharing, 1, 1)));
            }

            state = Ops.Add(Ops.Multiply(state, decay), write);
            Tensor o = Ops.Affine(Ops.SumTo(Ops.Multiply(state, query), value.Shape), scale).Reshape(new Shape(batch, 1, heads, dv));
            if (skip is not null)
            {
                o = Ops.Add(o, Ops.Multiply(value.Reshape(o.Shape), skip.Reshape(new Shape(1, 1, heads, 1))));
            }

            outputs.Add(o.Reshape(new Shape(batch, 1, heads * dv)));

            Tensor At(Tensor x, Shape shape) => Definitions.At(x, t, shape);
        }

        return (Definitions.Join(outputs), state.Reshape(stateShape));
    }

    /// <summary>
    /// The same in chunks, as matrix products (the SSD algorithm): what mixers use. See <see cref="Ops.ScalarDecay"/>.
    /// </summary>
    /// <returns>o [B,T,H dv] and the state after the last token [B,H,dk,dv], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Chunked(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor? gate, Tensor? skip, Tensor? initial,
        int keyHeads, float scale = 1, int chunk = 64, int rank = 1) => Ops.ScalarDecay(q, k, v, logDecay, gate, skip, initial, keyHeads, scale, chunk, rank);

    /// <summary>The forward FLOPs of <see cref="Chunked"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int heads, int keyHeads, int keyWidth, int valueWidth, int chunk = 64, int rank = 1) =>
        Ops.ScalarDecayFlops(tokens, heads, keyHeads, keyWidth, valueWidth, chunk, rank);
}
