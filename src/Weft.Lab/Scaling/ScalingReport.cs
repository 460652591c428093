using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Lab.Report;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.ScalingLaws;

/// <summary>What a scaling study found: the schema of its <c>report.json</c>, names in snake_case, what is no finite number as null.</summary>
public sealed record ScalingReport
{
    /// <summary>The schema version that this program writes and reads.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The schema version of this report.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>What was learned.</summary>
    public required CorpusInfo Corpus { get; init; }

    /// <summary>The held-out bytes that each loss is measured on, the same for all.</summary>
    public required long EvaluatedBytes { get; init; }

    /// <summary>The training FLOPs of the runs, ascending.</summary>
    public required IReadOnlyList<double> Budgets { get; init; }

    /// <summary>The bytes of a training sequence.</summary>
    public required int Context { get; init; }

    /// <summary>Trainings at each budget and size.</summary>
    public required int Seeds { get; init; }

    /// <summary>Where it ran.</summary>
    public required MachineInfo Machine { get; init; }

    /// <summary>The command line that reproduces the report.</summary>
    public required string Command { get; init; }

    /// <summary>One entry a family, in the order asked for.</summary>
    public required IReadOnlyList<ScaledModel> Models { get; init; }

    /// <summary>The fitted loss of each other model over the first's, at each budget.</summary>
    public required IReadOnlyList<LossRatio> Ratios { get; init; }

    /// <summary>The conditional law; null where no model has attention and MLPs, or it was not asked for.</summary>
    public ShapeReport? Shapes { get; init; }

    /// <summary>What was found, in plain words.</summary>
    public IReadOnlyList<string> Findings { get; init; } = [];

    /// <summary>Writes the report as JSON; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(this, ScalingJson.Default.ScalingReport) + "\n");
}

/// <summary>A training run of a study.</summary>
/// <param name="Budget">The FLOPs that it was given.</param>
/// <param name="Width">The model's width.</param>
/// <param name="Parameters">Its learned values.</param>
/// <param name="NonEmbedding">Those outside embedding and head.</param>
/// <param name="Rate">The peak learning rate.</param>
/// <param name="Seed">Of weights and data, from 1.</param>
/// <param name="Bytes">The bytes learned from, repetitions included.</param>
/// <param name="Flops">The training FLOPs counted.</param>
/// <param name="BitsPerByte">Held out; NaN where training diverged.</param>
/// <param name="Seconds">Spent in steps.</param>
public sealed record ScalingRun(double Budget, int Width, long Parameters, long NonEmbedding, double Rate, int Seed, long Bytes, double Flops, double BitsPerByte, double Seconds);

/// <summary>The best size at a budget.</summary>
/// <param name="Budget">The FLOPs given.</param>
/// <param name="Flops">Those counted, the mean over seeds.</param>
/// <param name="Width">Its width.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="Bytes">The bytes it learned from.</param>
/// <param name="BitsPerByte">Held out, the mean over seeds.</param>
/// <param name="IsInside">Whether a smaller and a larger size were tried and are worse.</param>
public sealed record FrontierPoint(double Budget, double Flops, int Width, long Parameters, long Bytes, double BitsPerByte, bool IsInside);

/// <summary>A figure and the interval that holds it with 90 % confidence; an interval of NaN where the data leave it open.</summary>
/// <param name="Value">The figure.</param>
/// <param name="Low">Where the interval begins.</param>
/// <param name="High">Where it ends.</param>
public readonly record struct Estimate(double Value, double Low, double High);

/// <summary>A number of a fitted law.</summary>
/// <param name="Name">What the law's form calls it.</param>
/// <param name="Estimate">Its value.</param>
/// <param name="IsDetermined">Whether the data determine it: an interval narrower than the value, not reaching 0.</param>
public sealed record LawParameter(string Name, Estimate Estimate, bool IsDetermined);

/// <summary>A law's loss at a number of training FLOPs.</summary>
/// <param name="Flops">The FLOPs.</param>
/// <param name="BitsPerByte">The loss.</param>
public sealed record BandPoint(double Flops, Estimate BitsPerByte);

/// <summary>A law fitted to runs.</summary>
/// <param name="Form">The formula.</param>
/// <param name="Law">The law.</param>
/// <param name="Points">How many losses it was fitted to.</param>
/// <param name="Scatter">The standard deviation of these around it, as a part of the loss; NaN where nothing tells it.</param>
/// <param name="Freedom">The degrees of freedom that the scatter was found with.</param>
/// <param name="Parameters">Its numbers.</param>
/// <param name="Band">The loss along FLOPs, from the smallest budget to ten times the largest; empty of a law of other variables.</param>
public sealed record FittedLaw(string Form, PowerLaw Law, int Points, double Scatter, int Freedom, IReadOnlyList<LawParameter> Parameters, IReadOnlyList<BandPoint> Band);

/// <summary>What a study found of one family.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Pattern">Its pattern of blocks.</param>
/// <param name="Rate">The best learning rate of its sweep, at <paramref name="RateWidth"/>; other widths w had this times sqrt(RateWidth / w).</param>
/// <param name="RateWidth">The width of the sweep.</param>
/// <param name="Sweep">The runs at all rates tried, at the smallest budget.</param>
/// <param name="Runs">All runs at all budgets and sizes.</param>
/// <param name="Frontier">The best size at each budget.</param>
/// <param name="Compute">L(C) of the frontier; null with fewer than two budgets.</param>
/// <param name="Surface">L(N, D) of all runs; null with too few.</param>
public sealed record ScaledModel(
    string Name, string Pattern, double Rate, int RateWidth, IReadOnlyList<ScalingRun> Sweep, IReadOnlyList<ScalingRun> Runs, IReadOnlyList<FrontierPoint> Frontier, FittedLaw? Compute, FittedLaw? Surface);

/// <summary>How two models' fitted losses compare at equal training FLOPs.</summary>
/// <param name="Model">The one.</param>
/// <param name="To">The other.</param>
/// <param name="Flops">The FLOPs.</param>
/// <param name="Ratio">The one's loss over the other's.</param>
public sealed record LossRatio(string Model, string To, double Flops, Estimate Ratio);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    WriteIndented = true,
    NewLine = "\n",
    Converters = [typeof(FiniteOrNullConverter)])]
[JsonSerializable(typeof(ScalingReport))]
[JsonSerializable(typeof(StudyKey))]
[JsonSerializable(typeof(KeptRun))]
internal sealed partial class ScalingJson : JsonSerializerContext;

/// <summary>What the study in a folder is of, as one text.</summary>
internal sealed record StudyKey(string Key);

/// <summary>A finished run on the disk.</summary>
/// <param name="Key">Everything that it depends on, as one text.</param>
/// <param name="Run">What came of it.</param>
internal sealed record KeptRun(string Key, ScalingRun Run);
