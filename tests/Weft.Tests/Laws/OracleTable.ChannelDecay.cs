using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] ChannelDecayRows =>
    [
        new("gla", (x, fast) => ChannelDecayed(fast, x, x.Flat("g"), null)),
        new("rwkv6", (x, fast) => ChannelDecayed(fast, x, x.Flat("w"), x["u"].Reshape(new Shape((int)x["u"].Shape.Count)))),
        new("gsa", (x, fast) =>
        {
            int heads = x["q"].Shape[2];
            (Tensor q, Tensor k, Tensor v, Tensor s, Tensor g) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Flat("s"), x.Flat("g"));
            return (OracleInputs.ByHead(fast ? GatedSlots.Chunked(q, k, v, s, g, null, null, heads, x.Scale, 32).O
                : GatedSlots.Scan(q, k, v, s, g, null, null, heads, x.Scale).O, heads), null);
        }),
    ];

    private static (Tensor O, Tensor? State) ChannelDecayed(bool fast, OracleInputs x, Tensor decay, Tensor? bonus)
    {
        int heads = x["q"].Shape[2];
        (Tensor q, Tensor k, Tensor v, Tensor? initial) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Find("initial_state"));
        return ByHead(fast ? ChannelDecay.Chunked(q, k, v, decay, bonus, initial, heads, x.Scale, chunk: 32)
            : ChannelDecay.Scan(q, k, v, decay, bonus, initial, heads, x.Scale), heads);
    }
}
