using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Lab;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>The last record, a file beside the benchmarks that is kept with the sources: what every figure was, when and where.</summary>
internal static class Record
{
    private const double Noticeable = 0.1;

    /// <summary>A row as it was, and the day and machine.</summary>
    private sealed record Recorded(string Name, double Value, string Unit, double? Goal, double? Ratio, string Machine, string Date)
    {
        /// <summary>Whether the goal is a limit.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public bool AtMost { get; init; }
    }

    /// <summary>Prints the rows that the record has too, with the change; marks those that are noticeably worse.</summary>
    public static void Compare(Results results)
    {
        Dictionary<string, Recorded> record = Read().ToDictionary(r => r.Name);
        (Row Now, Recorded Then)[] both = [.. results.Rows.Where(r => record.ContainsKey(r.Name)).Select(r => (r, record[r.Name]))];
        if (both.Length == 0)
        {
            return;
        }

        Console.WriteLine($"\nagainst the record ({string.Join("; ", both.Select(b => $"{b.Then.Machine}, {b.Then.Date}").Distinct())}); here: {Here}");
        int width = both.Max(b => b.Now.Name.Length) + 2;
        Console.WriteLine($"{"".PadRight(width)}{"recorded",12}{"now",12}{"change",9}");
        foreach ((Row now, Recorded then) in both)
        {
            double change = (now.Value / then.Value) - 1;
            bool worse = (now.AtMost ? change : -change) > Noticeable;
            Console.WriteLine($"{now.Name.PadRight(width)}{then.Value,12:0.###}{now.Value,12:0.###}{change,9:+0%;-0%}{(worse ? "  worse" : "")}");
        }
    }

    /// <summary>Records the rows in place of those of the same names; others stay.</summary>
    public static void Write(Results results)
    {
        string date = DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
        Dictionary<string, Recorded> measured = results.Rows.ToDictionary(r => r.Name, r => new Recorded(r.Name, r.Value, r.Unit, r.Goal, r.Ratio, Here, date) { AtMost = r.AtMost });
        IReadOnlyList<Recorded> before = Read();
        HashSet<string> known = [.. before.Select(r => r.Name)];
        Recorded[] after = [.. before.Select(r => measured.GetValueOrDefault(r.Name, r)), .. measured.Values.Where(r => !known.Contains(r.Name))];
        AtomicFile.WriteAllText(Find(), JsonSerializer.Serialize(after, Results.Json) + "\n");
        Console.WriteLine($"recorded {measured.Count} rows in {Find()}");
    }

    private static string Here => $"{Machine.Processor}, {Environment.ProcessorCount} cores";

    private static Recorded[] Read()
    {
        string path = Find();
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize<Recorded[]>(File.ReadAllBytes(path), Results.Json) ?? [] : [];
        }
        catch (JsonException e)
        {
            throw new InputException($"{path} is no record: {e.Message}; take it from the repository again, or delete it and measure with --record", e);
        }
    }

    // The build's outputs lie within the repository.
    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Weft.slnx")))
            {
                return Path.Combine(folder.FullName, "bench", "record.json");
            }
        }

        return Path.GetFullPath("record.json");
    }
}
