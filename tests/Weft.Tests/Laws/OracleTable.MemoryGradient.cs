using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] MemoryGradientRows =>
    [
        // Its rates are by the token that reads: our steps. Its output is z + norm(z), its state the matrix after the last token.
        new("ttt_linear", (x, fast) =>
        {
            Shape shape = x["q"].Shape;
            (int batch, int time, int heads, int d) = (shape[0], shape[1], shape[2], shape[3]);
            int miniBatch = (int)x.Arg("mini_batch_size", 16);
            float epsilon = (float)x.Arg("eps", 1e-6);
            Tensor q = Ops.Affine(x.Flat("q"), x.Scale), k = x.Flat("k"), v = x.Flat("v"), step = x["eta"].Reshape(new Shape(batch, time, heads));
            Tensor weight = x["w"].Reshape(new Shape(heads * d)), bias = x["b"].Reshape(new Shape(heads * d)), rate = q.Tape!.Of(Enumerable.Repeat(1f, batch * time * heads).ToArray(), step.Shape);
            Tensor? initial = x.Find("initial_state");
            if (initial is not null)
            {
                Tensor none = q.Tape!.Of(new float[batch * heads * (d + 1) * d], new Shape(batch, heads, d + 1, d));
                initial = Ops.Concat(Ops.Concat(initial, x.Find("initial_state_bias") ?? Ops.Slice(none, 2, 0, 1), 2), none, 2);
            }

            (Tensor z, Tensor state) = fast ? MemoryGradient.Dual(q, k, v, rate, step, weight, bias, initial, 0, miniBatch, epsilon)
                : MemoryGradient.Scan(q, k, v, rate, step, weight, bias, initial, 0, miniBatch, epsilon);
            Tensor last = Ops.Slice(step, 1, time - 1, 1).Reshape(new Shape(batch, heads, 1, 1));
            Tensor memory = Ops.Subtract(Ops.Slice(state, 2, 0, d), Ops.Multiply(Ops.Slice(state, 2, d + 1, d), last));
            return (OracleInputs.ByHead(Ops.Add(z, Ops.Add(Ops.LayerNorm(z, weight, epsilon, d), bias)), heads), memory);
        }),
    ];
}
