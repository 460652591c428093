using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] ScalarDecayRows =>
    [
        new("linear_attn", (x, fast) => Decayed(fast, x.Flat("q"), x.Flat("k"), x.Flat("v"), null, x.Find("initial_state"), x["q"].Shape[2], x.Scale)),
        new("simple_gla", (x, fast) => Decayed(fast, x.Flat("q"), x.Flat("k"), x.Flat("v"), x["g"], x.Find("initial_state"), x["q"].Shape[2], x.Scale)),

        // Its states are [B,H,P,N]: ours transposed.
        new("ssd", (x, fast) =>
        {
            Tensor? initial = x.Find("initial_states");
            (Tensor o, Tensor? state) = Decayed(fast, x.Flat("C"), x.Flat("B"), x.Flat("X"), x["A"], initial is null ? null : Ops.Transpose(initial, 2, 3), x["X"].Shape[2], x.Scale);
            return (o, Ops.Transpose(state!, 2, 3));
        }),
    ];

    private static (Tensor O, Tensor? State) Decayed(bool fast, Tensor q, Tensor k, Tensor v, Tensor? decay, Tensor? initial, int heads, float scale)
    {
        decay ??= q.Tape!.Of(new float[heads], new Shape(heads));
        return ByHead(fast ? ScalarDecay.Chunked(q, k, v, decay, null, null, initial, heads, scale, 16)
            : ScalarDecay.Scan(q, k, v, decay, null, null, initial, heads, scale), heads);
    }
}
