using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] AttentionRows =>
    [
        new("forgetting_attn", (x, fast) =>
        {
            (Tensor q, Tensor k, Tensor v) = (x.Flat("q"), x.Flat("k"), x.Flat("v"));
            (int heads, int keyHeads) = (x["q"].Shape[2], x["k"].Shape[2]);
            Tensor o = fast ? ForgettingSoftmax.Fast(q, k, v, x["g"], default, keyHeads, x.Scale) : ForgettingSoftmax.Scan(q, k, v, x["g"], keyHeads, x.Scale);
            return (OracleInputs.ByHead(o, heads), null);
        }),
    ];
}
