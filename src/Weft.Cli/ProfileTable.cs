using Spectre.Console;
using Weft.Lab;
using Weft.Tensors;

namespace Weft.Cli;

/// <summary>Where time went, a row an operation, against the machine's ceilings.</summary>
internal static class ProfileTable
{
    private const double Least = 0.005; // of the time: below it operations share a row

    /// <summary>What to know of the tables.</summary>
    public const string Note = "GB/s: the operands' bytes, once each; above 100 % of memory they came from a cache.";

    /// <summary>Writes the table; its figures are of one of the times that it was done.</summary>
    public static void Write(IAnsiConsole console, string title, Breakdown breakdown, IReadOnlyList<Ceiling> ceilings)
    {
        double once = breakdown.Seconds / breakdown.Times;
        (string unit, double scale) = once < 1e-3 ? ("µs", 1e6) : ("ms", 1e3);
        Ceiling peak = ceilings.First(c => c.Kind == CeilingKind.Flops), memory = ceilings.First(c => c.Kind == CeilingKind.Bytes);
        Table table = Tables.New("operation", " calls", $" {unit}", " share", " GFLOP/s", $" of {peak.Name}", " GB/s", $" of {memory.Name}");
        OperationProfile[] rest = [.. breakdown.Operations.Where(o => o.Seconds < Least * breakdown.Seconds)];
        rest = rest.Length > 1 ? rest : [];
        foreach (OperationProfile operation in breakdown.Operations.Except(rest))
        {
            Row(operation);
        }
        if (rest.Length > 0)
        {
            Row(Sum($"{rest.Length} more", rest, rest.Sum(o => o.Seconds)));
        }
        Row(new OperationProfile("between operations", 0, breakdown.Between, 0, 0));
        Row(Sum("total", breakdown.Operations, breakdown.Seconds));
        console.WriteLine();
        console.WriteLine($" {title}");
        console.Write(table);

        void Row(OperationProfile operation) => table.AddRow(Tables.Cells([
            operation.Name,
            operation.Calls == 0 ? "" : $"{(double)operation.Calls / breakdown.Times:0.#}",
            Number(operation.Seconds / breakdown.Times * scale),
            $"{operation.Seconds / breakdown.Seconds:0.0%}",
            .. Rate(operation.Flops, operation.Seconds, peak),
            .. Rate(operation.Bytes, operation.Seconds, memory)]));
    }

    /// <summary>The ceilings in a line.</summary>
    public static string Describe(IReadOnlyList<Ceiling> ceilings) =>
        string.Join(", ", ceilings.Select(c => $"{c.Name} {c.PerSecond / 1e9:0} {(c.Kind == CeilingKind.Flops ? "GFLOP/s" : "GB/s")}"));

    private static OperationProfile Sum(string name, IReadOnlyList<OperationProfile> operations, double seconds) =>
        new(name, operations.Sum(o => o.Calls), seconds, operations.Sum(o => o.Flops), operations.Sum(o => o.Bytes));

    private static string[] Rate(long amount, double seconds, Ceiling ceiling) => amount == 0 || seconds <= 0 ? ["", ""]
        : [Number(amount / seconds / 1e9), $"{amount / seconds / ceiling.PerSecond:0%}"];

    private static string Number(double value) => value.ToString(value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00");
}
