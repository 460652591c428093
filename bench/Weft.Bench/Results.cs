using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Models.Checkpoints;

namespace Weft.Bench;

/// <summary>One figure: its name, value, unit, the goal if there is one, and value over goal.</summary>
/// <param name="Name">What was measured, sizes and precision included: rows of the same name are comparable.</param>
/// <param name="Value">The figure.</param>
/// <param name="Unit">Its unit; x for a ratio.</param>
/// <param name="Goal">What it should reach, or stay below.</param>
internal sealed record Row(string Name, double Value, string Unit, double? Goal)
{
    /// <summary>Value over goal.</summary>
    public double? Ratio => Goal is { } goal ? Math.Round(Value / goal, 4) : null;

    /// <summary>Whether smaller is better: the goal is a limit.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool AtMost { get; init; }
}

/// <summary>What was measured, a row a figure.</summary>
internal sealed class Results
{
    internal static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private readonly List<Row> rows = [];

    public IReadOnlyList<Row> Rows => rows;

    /// <summary>Adds a row whose value should reach the goal or, with <paramref name="atMost"/>, stay below it.</summary>
    public void Add(string name, double value, string unit, double? goal = null, bool atMost = false) =>
        rows.Add(new Row(name, Math.Round(value, 4), unit, goal) { AtMost = atMost });

    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(rows, Json) + "\n");

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
