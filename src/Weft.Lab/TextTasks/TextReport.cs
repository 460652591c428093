using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Lab.Report;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.TextTasks;

/// <summary>What a probe on a text, or a grid of generated tasks, found: the schema of its <c>report.json</c>, names in snake_case, what is no finite number as null.</summary>
public sealed record TextReport
{
    /// <summary>The schema version that this program writes and reads.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The schema version of this report.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>The task.</summary>
    public required AskedOfText Task { get; init; }

    /// <summary>The text; null where examples are generated.</summary>
    public required CorpusInfo? Text { get; init; }

    /// <summary>What must be said of the text, or of how the grid was trained; null for nothing.</summary>
    public string? About { get; init; }

    /// <summary>What each training was allowed to spend; empty where models were measured untrained.</summary>
    public required string Budget { get; init; }

    /// <summary>Trainings of each model at its best rate, under each condition.</summary>
    public required int Seeds { get; init; }

    /// <summary>Where it ran.</summary>
    public required MachineInfo Machine { get; init; }

    /// <summary>The command line that reproduces the report.</summary>
    public required string Command { get; init; }

    /// <summary>One entry a model, in the order asked for.</summary>
    public required IReadOnlyList<TextModel> Models { get; init; }

    /// <summary>What was found, in plain words.</summary>
    public IReadOnlyList<string> Findings { get; init; } = [];

    /// <summary>Writes the report as JSON; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(this, TextJson.Default.TextReport) + "\n");
}

/// <summary>The task of a probe on a text.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Line">What it asks.</param>
/// <param name="Source">Where it was published.</param>
/// <param name="Axis">What the horizontal axis is.</param>
/// <param name="Ticks">The points of the axis that have names.</param>
/// <param name="Quantities">What was measured.</param>
public sealed record AskedOfText(string Name, string Line, string Source, string Axis, IReadOnlyList<Tick> Ticks, IReadOnlyList<Quantity> Quantities);

/// <summary>A named point of an axis.</summary>
public sealed record Tick(double X, string Name);

/// <summary>What a probe on a text found of one model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Pattern">Its pattern of blocks, as it was asked for.</param>
/// <param name="Width">Its width.</param>
/// <param name="Conditions">What became of it under each condition.</param>
public sealed record TextModel(string Name, string Pattern, int Width, IReadOnlyList<TextCondition> Conditions);

/// <summary>What became of a model under one condition.</summary>
/// <param name="Name">The condition.</param>
/// <param name="X">Where it stands on the axis.</param>
/// <param name="Pattern">The pattern that was trained.</param>
/// <param name="Parameters">Its learned values.</param>
/// <param name="Context">Tokens of a training sequence.</param>
/// <param name="Rate">The learning rate.</param>
/// <param name="Sweep">The trainings at all rates tried, from the first seed; none where another condition's best rate was taken.</param>
/// <param name="Trainings">Those at that rate, a seed each.</param>
public sealed record TextCondition(
    string Name, double X, string Pattern, long Parameters, int Context, double Rate, IReadOnlyList<TextTraining> Sweep, IReadOnlyList<TextTraining> Trainings);

/// <summary>What came of training one model under one condition, at one rate from one seed.</summary>
/// <param name="Rate">The peak learning rate.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Flops">Counted training FLOPs.</param>
/// <param name="Bytes">Bytes of text learned from; 0 without a text.</param>
/// <param name="Seconds">Training seconds.</param>
/// <param name="BitsPerByte">Held out; no number where training diverged, or without a text.</param>
/// <param name="Found">What was measured; none of a training that was only for a sweep.</param>
public sealed record TextTraining(double Rate, int Seed, double Flops, long Bytes, double Seconds, double BitsPerByte, IReadOnlyList<TextPoint> Found);

/// <summary>A measured value: which quantity, where on its axis.</summary>
public sealed record TextPoint(string Quantity, double X, double Value);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    UseStringEnumConverter = true,
    WriteIndented = true,
    NewLine = "\n",
    Converters = [typeof(FiniteOrNullConverter)])]
[JsonSerializable(typeof(TextReport))]
[JsonSerializable(typeof(KeptTraining))]
[JsonSerializable(typeof(TextPlan))]
internal sealed partial class TextJson : JsonSerializerContext;

/// <summary>A finished training on the disk.</summary>
/// <param name="Key">Everything that it depends on, as one text.</param>
/// <param name="Training">What came of it.</param>
internal sealed record KeptTraining(string Key, TextTraining Training);
