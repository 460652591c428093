using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class OracleTable
{
    private static Row[] DiagonalRows =>
    [
        new("hgrn", (x, fast) => fast ? DiagonalRecurrence.Fast(x["x"], x["g"], x.Find("initial_state"))
            : DiagonalRecurrence.Scan(x["x"], x["g"], x.Find("initial_state"))),
    ];
}
