using System.Text.Json;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>The folder that a report is written into: one that holds the report of something else is left as it is.</summary>
internal static class ReportFolder
{
    private const long LongestReport = 64L << 20;

    /// <summary>Refuses a folder that holds a report, since it is of something else: what goes on with its own has looked for that before.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="task">The task of the probe to be written there; null of anything else.</param>
    /// <exception cref="InputException">It holds one; the message says of what.</exception>
    public static void RequireNoOther(string folder, string? task = null)
    {
        string path = Path.Combine(folder, "report.json");
        string holds;
        try
        {
            if (!File.Exists(path))
            {
                return;
            }

            holds = new FileInfo(path).Length <= LongestReport ? Holds(File.ReadAllBytes(path), task) : SomethingElse;
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

    private const string SomethingElse = "a report of something else";

    private static string Holds(byte[] report, string? task)
    {
        using JsonDocument json = JsonDocument.Parse(report);
        JsonElement root = json.RootElement;
        return root.ValueKind != JsonValueKind.Object ? SomethingElse
            : root.TryGetProperty("budgets", out _) ? "the report of another scaling study, of other models or settings"
            : root.TryGetProperty("task", out JsonElement of) && of.ValueKind == JsonValueKind.Object && of.TryGetProperty("name", out JsonElement name) && name.ValueKind == JsonValueKind.String
                ? $"the report of another probe, of {(name.GetString() == task ? $"{task} with other models or settings" : AtomicFile.Quote(name.GetString()!))}"
            : root.TryGetProperty("corpus", out _) ? "the report of a comparison"
            : SomethingElse;
    }
}
