using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] DeltaRuleRows =>
    [
        new("delta_rule", (x, fast) => Delta(fast, x, null)),
        new("gated_delta_rule", (x, fast) => Delta(fast, x, x["g"])),
    ];

    private static (Tensor O, Tensor? State) Delta(bool fast, OracleInputs x, Tensor? decay)
    {
        int heads = x["q"].Shape[2];
        (Tensor q, Tensor k, Tensor v, Tensor? initial) = (x.Flat("q"), x.Flat("k"), x.Flat("v"), x.Find("initial_state"));
        return ByHead(fast ? DeltaRule.Chunked(q, k, v, x["beta"], decay, initial, heads, x.Scale)
            : DeltaRule.Scan(q, k, v, x["beta"], decay, initial, heads, x.Scale), heads);
    }
}
