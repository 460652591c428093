using System.Text.Json;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab;

/// <summary>The folder that a report goes into.</summary>
internal static class ReportFolder
{
    /// <summary>The bytes of the longest file that is taken for a report; ours have a few hundred kB.</summary>
    public const long LongestReport = 64L << 20;

    /// <summary>Refuses a folder that holds a report already: that of something else is not written over.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="mine">The task whose report is to be written, where it is one.</param>
    /// <exception cref="InputException">It holds one; the message says of what.</exception>
    public static void RequireNoOther(string folder, string? mine)
    {
        string path = Path.Combine(folder, "report.json");
        string holds;
        try
        {
            if (!File.Exists(path))
            {
                return;
            }

            holds = "a report of something else";
            if (new FileInfo(path).Length <= LongestReport)
            {
                using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
                holds = Of(json.RootElement, mine) ?? holds;
            }
        }
        catch (JsonException)
        {
            holds = "a report.json that is no report";
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }

        throw new InputException($"{AtomicFile.Quote(folder)} holds {holds}; give another folder with --out, or --force to write over it");
    }

    private static string? Of(JsonElement root, string? mine) =>
        root.ValueKind != JsonValueKind.Object ? null
        : root.TryGetProperty("budgets", out _) ? "the report of another scaling study, of other models or settings"
        : root.TryGetProperty("corpus", out _) ? "the report of a comparison"
        : root.TryGetProperty("task", out JsonElement of) && of.ValueKind == JsonValueKind.Object && of.TryGetProperty("name", out JsonElement name) && name.ValueKind == JsonValueKind.String
            ? $"the report of another probe, of {(name.GetString() == mine ? $"{mine} with other models or settings" : AtomicFile.Quote(name.GetString()!))}"
        : null;
}
