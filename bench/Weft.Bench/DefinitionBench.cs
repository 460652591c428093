using Weft.Tensors;
using Weft.Tests.Laws;

namespace Weft.Bench;

/// <summary>What a recurrence's fast form gains over its plain definition.</summary>
internal static class DefinitionBench
{
    public static void Run(Device device, string[] names, int tokens, int rounds, Results results)
    {
        var sizes = new Sizes(1, tokens, 2, 2, 32, 32);
        Console.WriteLine($"B=1, T={tokens}, 2 heads of 32 x 32, forward; medians of {rounds} rounds");
        Console.WriteLine($"{"recurrence",-36}{"definition",12}{"fast",12}{"gain",8}");
        foreach (RecurrenceRow row in RecurrenceTable.Rows.Where(r => Results.Wanted(r.Name, names)))
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
            Console.WriteLine($"{row.Name,-36}{definition,10:0.0}ms{fast,10:0.00}ms{definition / fast,7:0}x");
            results.Add($"{row.Name}: definition over fast", definition / fast, "x", 5);
        }
    }
}
