using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] SelectiveScanRows =>
    [
        // Time comes last, and the states are [B,D,N]: ours transposed. The gate is no part of the recurrence.
        new("selective_scan", (x, fast) =>
        {
            Tensor a = x["A"], u = Over(x["u"]), dt = Ops.Add(Over(x["delta"]), x["delta_bias"]), b = Over(x["B"]), c = Over(x["C"]);
            (Tensor y, Tensor state) = fast ? SelectiveScan.Fused(u, dt, a, b, c, x["D"], null, softplus: true) : SelectiveScan.Scan(u, dt, a, b, c, x["D"], null, softplus: true);
            return (Over(Ops.SiluMul(Over(x["z"]), y)), Over(state));

            static Tensor Over(Tensor x) => Ops.Transpose(x, 1, 2);
        }),
    ];
}
