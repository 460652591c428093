using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Claims;

/// <summary>
/// A claim of the field, and the commands that re-test it at a size that two cores can run. A claim is a row of <see cref="ClaimTable"/>; the
/// commands are run as a person would run them, and what is said follows from their reports alone.
/// </summary>
/// <param name="Name">What it is called on the command line: copying.</param>
/// <param name="Statement">What is claimed, in a sentence.</param>
/// <param name="Source">By whom.</param>
/// <param name="Published">The figure that was published, at its own size.</param>
/// <param name="Commands">What re-tests it: words after <c>weft</c>, to which the folder of the report is added.</param>
/// <param name="Judge">Says what the reports show.</param>
public sealed record Claim(string Name, string Statement, string Source, string Published, IReadOnlyList<string> Commands, Func<ClaimReports, ClaimFinding> Judge)
{
    /// <summary>Where the report of a command goes, below the folder of all claims.</summary>
    public string FolderOf(string root, int command) => Path.Combine(root, Commands.Count == 1 ? Name : $"{Name}-{command + 1}");

    /// <summary>The machines that the reports below <paramref name="root"/> were made on.</summary>
    internal IEnumerable<string> Machines(string root)
    {
        string[] paths = Paths(root);
        return paths.All(File.Exists) ? new ClaimReports(paths).Machines() : [];
    }

    private string[] Paths(string root) => [.. Commands.Select((_, i) => Path.Combine(FolderOf(root, i), "report.json"))];

    /// <summary>What was found, by the reports below <paramref name="root"/>; null where a report is missing.</summary>
    /// <exception cref="InputException">A report cannot be read.</exception>
    public ClaimFinding? Find(string root)
    {
        string[] paths = Paths(root);
        return paths.All(File.Exists) ? Judge(new ClaimReports(paths)) : null;
    }
}

/// <summary>How a claim fared.</summary>
public enum Verdict
{
    /// <summary>It held here.</summary>
    Held,

    /// <summary>It did not.</summary>
    DidNotHold,

    /// <summary>What was measured here does not tell: too small a model or budget, or differences inside the spread of seeds.</summary>
    TooSmallToTell,
}

/// <summary>What was found of a claim.</summary>
/// <param name="Measured">The figures, with their spread.</param>
/// <param name="Verdict">How it fared.</param>
public sealed record ClaimFinding(string Measured, Verdict Verdict);

/// <summary>The reports of a claim's commands.</summary>
public sealed class ClaimReports
{
    private readonly IReadOnlyList<string> paths;

    internal ClaimReports(IReadOnlyList<string> paths) => this.paths = paths;

    /// <summary>The report of the command at an index, a probe.</summary>
    public ProbeReport Probe(int index = 0) => Read(paths[index], ProbeJson.Default.ProbeReport);

    /// <summary>The report of the command at an index, a probe on a text.</summary>
    public TextReport Text(int index = 0) => Read(paths[index], TextJson.Default.TextReport);

    /// <summary>The report of the command at an index, a comparison.</summary>
    public ComparisonReport Comparison(int index = 0) => ComparisonReport.Read(paths[index]);

    /// <summary>The machine of each, which all kinds of reports name alike.</summary>
    internal IEnumerable<string> Machines() => paths.Select(path => Read(path, ClaimJson.Default.OfMachine).Machine).Select(m => $"{m.Cpu} ({m.Threads} threads, {m.Isa})");

    private static T Read<T>(string path, JsonTypeInfo<T> type)
    {
        try
        {
            if (new FileInfo(path).Length > ReportFolder.LongestReport)
            {
                throw new InputException($"{AtomicFile.Quote(path)} is too long for a report");
            }

            return JsonSerializer.Deserialize(File.ReadAllBytes(path), type) ?? throw new InputException($"{AtomicFile.Quote(path)} is not a report");
        }
        catch (Exception e) when (e is JsonException || AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read a report from", path, e);
        }
    }
}

/// <summary>The part of any report that names the machine.</summary>
internal sealed record OfMachine(MachineInfo Machine);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(OfMachine))]
internal sealed partial class ClaimJson : JsonSerializerContext;
