using System.Diagnostics;
using System.Text.Json;
using Weft.Models.Checkpoints;

namespace Weft.Bench;

/// <summary>What was measured, a row a figure: its name, value, unit, the goal if there is one, and value over goal.</summary>
internal sealed class Results
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly List<object> rows = [];

    public void Add(string name, double value, string unit, double? goal = null) =>
        rows.Add(new { name, value = Math.Round(value, 4), unit, goal, ratio = goal is { } g ? Math.Round(value / g, 4) : (double?)null });

    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(rows, Indented) + "\n");

    /// <summary>Milliseconds that an action takes.</summary>
    public static double Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>Whether a name is one of those asked for: itself, or one that begins so; nothing asked for is everything.</summary>
    public static bool Wanted(string name, string[] names) =>
        names.Length == 0 || names.Contains(name) || (!names.Any(n => n == name) && names.Any(n => n.EndsWith('*') && name.StartsWith(n[..^1], StringComparison.Ordinal)));
}
