using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] DeltaProductRows =>
    [
        new("gated_delta_product", (x, fast) =>
        {
            // The reference takes a scale, and does not use it.
            int heads = x["q"].Shape[2];
            (Tensor q, Tensor k, Tensor v, Tensor? initial) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Find("initial_state"));
            (Tensor o, Tensor state) = fast ? DeltaProduct.Chunked(q, k, v, x["beta"], x.Find("g"), initial, heads, 1)
                : DeltaProduct.Scan(q, k, v, x["beta"], x.Find("g"), initial, heads, 1);
            return (OracleInputs.ByHead(Ops.Copy(o, q.Tape!), heads), state);
        }),
    ];
}
