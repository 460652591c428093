using Weft.Tensors;
using Weft.Tests.Laws;

namespace Weft.Bench;

/// <summary>What a recurrence's fast form gains over its plain definition.</summary>
internal static class DefinitionBench
{
    public static void Run(Device device, string[] names, int tokens, int rounds, Results results)
    {
        Console.WriteLine($"B=1, 2 heads of 32 x 32, forward; medians of {rounds} rounds; fewer tokens where a definition needs too much memory");
        Console.WriteLine($"{"recurrence",-40}{"tokens",8}{"definition",12}{"fast",12}{"gain",8}");
        foreach (RecurrenceRow row in RecurrenceTable.Rows.Where(r => Results.Wanted(r.Name, names)))
        {
            for (int time = tokens; ; time /= 2)
            {
                try
                {
                    Compare(device, row, new Sizes(1, time, 2, 2, 32, 32), rounds, results);
                    break;
                }
                catch (InputException) when (time > 64)
                {
                    // A definition of every pair of tokens, such as attention's whole matrix.
                }
            }
        }
    }

    private static void Compare(Device device, RecurrenceRow row, Sizes sizes, int rounds, Results results)
    {
        List<(string Name, Shape Shape, float[] Values)> arrays = row.Draw(sizes).Arrays;
        using var tape = new Tape(device) { Recording = false };
        double Run(Func<Sizes, IReadOnlyDictionary<string, Tensor>, Tensor[]> run)
        {
            Dictionary<string, Tensor> inputs = arrays.ToDictionary(a => a.Name, a => tape.Of(a.Values, a.Shape));
            double time = Results.Time(() => run(sizes, inputs));
            tape.Reset();
            return time;
        }

        Run(row.Fast);
        var times = Enumerable.Range(0, rounds).Select(_ => (Definition: Run(row.Definition), Fast: Run(row.Fast))).ToArray();
        double definition = Results.Median(times.Select(t => t.Definition)), fast = Results.Median(times.Select(t => t.Fast));
        Console.WriteLine($"{row.Name,-40}{sizes.Time,8}{definition,10:0.0}ms{fast,10:0.00}ms{definition / fast,7:0}x");
        results.Add($"{row.Name}: definition over fast at {sizes.Time} tokens", definition / fast, "x", 5);
    }
}
