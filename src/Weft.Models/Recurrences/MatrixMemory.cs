using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The matrix memory of mLSTM (Beck et al., "xLSTM", arXiv 2405.04517, equations 19-27): a scalar-decay recurrence with an exponential
/// input gate and a normaliser,
/// <code>
/// C_t = f_t C_{t-1} + i_t k_t v_t^T,   n_t = f_t n_{t-1} + i_t k_t,   f_t = sigmoid(F_t), i_t = exp(I_t)
/// h_t = C_t^T q_t / max(|n_t . q_t|, 1),   q scaled by dk^-1/2
/// </code>
/// As exp(I) may overflow, memory and normaliser are kept times exp(-m_t), with m_t = max(log f_t + m_{t-1}, I_t) (equation 15) and
/// m_0 = 0: decays become exp(log f_t + m_{t-1} - m_t), inputs exp(I_t - m_t), none above 1, and the output's floor exp(-m_t). The result
/// is the same but for the epsilon that is added to the divisor.
/// </summary>
/// <remarks>
/// Shapes: q, k [B,T,H dk]; v, h [B,T,H dv]; gates I, F [B,T,H] before their functions; memory [B,H,dk,dv+1], whose last column is n;
/// m [B,H]. States are null for zeros.
/// </remarks>
public static class MatrixMemory
{
    /// <summary>The epsilon of the divisor unless given, the authors'.</summary>
    public const float Epsilon = 1e-6f;

    /// <summary>The definition, token by token in plain operations: for tests and for reading.</summary>
    /// <returns>h, memory and m after the last token.</returns>
    public static (Tensor H, Tensor Memory, Tensor M) Scan(Tensor q, Tensor k, Tensor v, Tensor input, Tensor forget, Tensor? memory, Tensor? m, float epsilon = Epsilon)
    {
        Tape tape = q.Tape!;
        int batch = q.Shape[0], time = q.Shape[1], heads = input.Shape.Columns, dk = q.Shape.Columns / heads, dv = v.Shape.Columns / heads;
        Shape gate = new(batch, heads, 1, 1);
        Tensor state = Definitions.Start(memory, tape, new Shape(batch, heads, dk, dv + 1));
        Tensor most = Definitions.Start(m, tape, new Shape(batch, heads)).Reshape(gate);
        Tensor one = tape.Of(Enumerable.Repeat(1f, batch * heads).ToArray(), gate);
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor i = Definitions.At(input, t, gate), logF = Ops.Affine(Ops.Softplus(Ops.Affine(Definitions.At(forget, t, gate), -1)), -1);
            Tensor kept = Ops.Add(logF, most);
            most = Ops.Add(i, Ops.Relu(Ops.Subtract(kept, i))); // the larger of both
            Tensor value = Ops.Concat(Definitions.At(v, t, new Shape(batch, heads, 1, dv)), one, 3);
            Tensor write = Ops.Multiply(Ops.Exp(Ops.Subtract(i, most)), Ops.MatMul(Definitions.At(k, t, new Shape(batch, heads, dk, 1)), value));
            state = Ops.Add(Ops.Multiply(Ops.Exp(Ops.Subtract(kept, most)), state), write);
            Tensor read = Ops.Affine(Ops.MatMul(Definitions.At(q, t, new Shape(batch, heads, 1, dk)), state), 1 / MathF.Sqrt(dk));
            outputs.Add(Ops.DivideByLast(read.Reshape(new Shape(batch, 1, heads * (dv + 1))), Ops.Affine(most, -1).Reshape(new Shape(batch, 1, heads)), heads, epsilon));
        }

        return (Definitions.Join(outputs), state, most.Reshape(new Shape(batch, heads)));
    }

    /// <summary>The same in chunks: the running maximum by itself, then a scalar decay (<see cref="ScalarDecay.Chunked"/>) on values that end in ones.</summary>
    /// <returns>h, memory and m after the last token; the states given are overwritten when the tape does not record.</returns>
    public static (Tensor H, Tensor Memory, Tensor M) Chunked(Tensor q, Tensor k, Tensor v, Tensor input, Tensor forget, Tensor? memory, Tensor? m,
        int chunk = 64, float epsilon = Epsilon)
    {
        Tape tape = q.Tape!;
        int batch = q.Shape[0], time = q.Shape[1], heads = input.Shape.Columns;
        Shape first = new(batch, 1, heads);
        Tensor before = m is null ? Zeros(tape, new Shape(batch, heads)) : Ops.Copy(m, tape);
        Tensor logF = Ops.Affine(Ops.Softplus(Ops.Affine(forget, -1)), -1);
        (Tensor most, Tensor last) = RunningMaximum.Fast(logF, input, m ?? before);

        Tensor earlier = time == 1 ? before.Reshape(first) : Ops.Concat(before.Reshape(first), Ops.Slice(most, 1, 0, time - 1), 1);
        Tensor decay = Ops.Subtract(Ops.Add(logF, earlier), most), gate = Ops.Exp(Ops.Subtract(input, most));
        (Tensor read, Tensor final) = ScalarDecay.Chunked(q, k, Ops.AppendOnes(v, heads), decay, gate, skip: null, memory, heads, 1 / MathF.Sqrt(q.Shape.Columns / heads), chunk);
        return (Ops.DivideByLast(read, Ops.Affine(most, -1), heads, epsilon), final, last);
    }

    private static Tensor Zeros(Tape tape, Shape shape)
    {
        Tensor zeros = tape.Empty(shape);
        zeros.Fill(0);
        return zeros;
    }
}
