using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] ChannelDeltaRows =>
    [
        new("kda", (x, fast) =>
        {
            (Tensor q, Tensor k, Tensor v, Tensor g, Tensor? initial) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Flat("g"), x.Find("initial_state"));
            return ByHead(fast ? ChannelDelta.Chunked(q, k, v, x["beta"], g, initial, x.Scale)
                : ChannelDelta.Scan(q, k, v, x["beta"], g, initial, x.Scale), x["q"].Shape[2]);
        }),
        new("dplr_rwkv7", (x, fast) =>
        {
            int heads = x["q"].Shape[2];
            (Tensor q, Tensor k, Tensor v, Tensor a, Tensor b, Tensor g) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Flat("alpha"), x.Flat("b"), x.Flat("gk"));
            return ByHead(fast ? ChannelDelta.ChunkedLowRank(q, k, v, a, b, g, x.Find("initial_state"), heads, x.Scale)
                : ChannelDelta.ScanLowRank(q, k, v, a, b, g, x.Find("initial_state"), heads, x.Scale), heads);
        }),
    ];
}
