using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Lab.Report;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>What a probe found: the schema of its <c>report.json</c>, names in snake_case, what is no finite number as null.</summary>
public sealed record ProbeReport
{
    /// <summary>The schema version that this program writes and reads.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The schema version of this report.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>The task.</summary>
    public required ProbedTask Task { get; init; }

    /// <summary>What each trial was allowed to spend, as it was given.</summary>
    public required string Budget { get; init; }

    /// <summary>Trials of each model at its best rate.</summary>
    public required int Seeds { get; init; }

    /// <summary>Where it ran.</summary>
    public required MachineInfo Machine { get; init; }

    /// <summary>The command line that reproduces the report.</summary>
    public required string Command { get; init; }

    /// <summary>One entry a model, in the order asked for.</summary>
    public required IReadOnlyList<ProbedModel> Models { get; init; }

    /// <summary>What was found, in plain words.</summary>
    public IReadOnlyList<string> Findings { get; init; } = [];

    /// <summary>Writes the report as JSON; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(this, ProbeJson.Default.ProbeReport) + "\n");
}

/// <summary>The task of a probe.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Line">What it asks.</param>
/// <param name="Source">Where it was published.</param>
/// <param name="Axis">What makes it harder.</param>
/// <param name="TrainOn">The difficulties trained on.</param>
/// <param name="Main">The difficulty by which learning is followed.</param>
public sealed record ProbedTask(string Name, string Line, string Source, string Axis, IReadOnlyList<int> TrainOn, int Main)
{
    /// <summary>The examples of a training set; null where each is fresh.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? TrainingSet { get; init; }
}

/// <summary>What a probe found of one model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Pattern">Its pattern of blocks.</param>
/// <param name="Width">Its width.</param>
/// <param name="Parameters">Its learned values.</param>
/// <param name="State">The bytes of its state at the end of an example, by difficulty scored.</param>
/// <param name="Rate">The best learning rate.</param>
/// <param name="Sweep">The trials at all rates tried (and weight decays), from the first seed.</param>
/// <param name="Trials">The trials at the best of them, a seed each.</param>
public sealed record ProbedModel(
    string Name, string Pattern, int Width, long Parameters, IReadOnlyList<long> State, double Rate, IReadOnlyList<Trial> Sweep, IReadOnlyList<Trial> Trials)
{
    /// <summary>The best weight decay, where several were tried.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Decay { get; init; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    WriteIndented = true,
    NewLine = "\n",
    Converters = [typeof(FiniteOrNullConverter)])]
[JsonSerializable(typeof(ProbeReport))]
[JsonSerializable(typeof(ProbePlan))]
[JsonSerializable(typeof(MadPlan))]
[JsonSerializable(typeof(KeptTrial))]
internal sealed partial class ProbeJson : JsonSerializerContext;
