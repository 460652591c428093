using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>
/// One comparison of models on one corpus at one training budget: the schema of <c>report.json</c>. Names are snake_case there;
/// a figure that is not a finite number (a diverged model, a baseline not measured) is NaN here and null there.
/// </summary>
public sealed record ComparisonReport
{
    /// <summary>The schema version this program writes and reads.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The schema version of this report.</summary>
    public int Version { get; init; } = CurrentVersion;
    /// <summary>When the comparison ended.</summary>
    public required DateTimeOffset Created { get; init; }
    /// <summary>The bytes that were compared on.</summary>
    public required CorpusInfo Corpus { get; init; }
    /// <summary>What each model was allowed to spend on training.</summary>
    public required BudgetInfo Budget { get; init; }
    /// <summary>Training context, in tokens (bytes).</summary>
    public required int Context { get; init; }
    /// <summary>Training runs per model.</summary>
    public required int Seeds { get; init; }
    /// <summary>Where it ran.</summary>
    public required MachineInfo Machine { get; init; }
    /// <summary>The command line that reproduces the report.</summary>
    public required string Command { get; init; }
    /// <summary>One entry per model, in the order asked for.</summary>
    public required IReadOnlyList<ModelResult> Models { get; init; }
    /// <summary>Compressors on the same held-out text.</summary>
    public required Baselines Baselines { get; init; }
    /// <summary>What was found, in plain words: see <see cref="Report.Findings"/>.</summary>
    public IReadOnlyList<string> Findings { get; init; } = [];

    /// <summary>Writes the report as JSON; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string path) => AtomicFile.WriteAllText(path, JsonSerializer.Serialize(this, ReportJson.Default.ComparisonReport) + "\n");

    /// <summary>Reads a report.</summary>
    /// <exception cref="InputException">The file is missing, unreadable, not a report, or of another version.</exception>
    public static ComparisonReport Read(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > ReportFolder.LongestReport)
                throw new InputException($"{AtomicFile.Quote(path)} has {file.Length} bytes, too many for a comparison report");
            using JsonDocument json = JsonDocument.Parse(file);
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("version", out JsonElement version) || version.ValueKind != JsonValueKind.Number)
                throw new InputException($"{AtomicFile.Quote(path)} is not a comparison report");
            if (!version.TryGetInt32(out int number) || number != CurrentVersion)
                throw new InputException($"{AtomicFile.Quote(path)} is a comparison report of version {version.GetRawText()}, and this program reads version {CurrentVersion}; run the comparison again");
            ComparisonReport? report = json.Deserialize(ReportJson.Default.ComparisonReport);
            if (report is null || report.Models.Any(m => m is null || m.Curve.Concat<object>(m.Decode).Concat(m.Recall).Contains(null)) || report.Findings.Contains(null))
                throw new InputException($"{AtomicFile.Quote(path)} is not a comparison report: it holds null where an entry is needed");
            return report;
        }
        catch (Exception e) when (e is JsonException || AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read a comparison report from", path, e);
        }
    }
}

/// <summary>The corpus: what it is called, its size, and how it was split.</summary>
/// <param name="Name">A name to show, usually the file's.</param>
/// <param name="Bytes">All bytes.</param>
/// <param name="TrainBytes">Bytes that models were trained on.</param>
/// <param name="HeldOutBytes">Bytes that no model saw in training and every figure is measured on.</param>
public sealed record CorpusInfo(string Name, long Bytes, long TrainBytes, long HeldOutBytes);

/// <summary>The training budget.</summary>
/// <param name="Text">As the person gave it, such as <c>60s</c> or <c>3e13flop</c>.</param>
/// <param name="Flops">The counted training FLOPs that each model was given; the most that one took, where bytes were matched instead.</param>
/// <param name="Matched">What is equal for all models: <c>flops</c>, or <c>bytes</c>.</param>
public sealed record BudgetInfo(string Text, double Flops, string Matched = "flops");

/// <summary>The machine that the figures in seconds belong to.</summary>
/// <param name="Cpu">The processor's name.</param>
/// <param name="Cores">Logical cores.</param>
/// <param name="Threads">Threads used.</param>
/// <param name="Isa">The vector instructions used.</param>
/// <param name="Os">The operating system.</param>
/// <param name="Runtime">The .NET runtime.</param>
public sealed record MachineInfo(string Cpu, int Cores, int Threads, string Isa, string Os, string Runtime)
{
    /// <summary>This machine, as a device uses it.</summary>
    public static MachineInfo Of(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new(Machine.Processor, Environment.ProcessorCount, device.Threads, device.InstructionSet, RuntimeInformation.OSDescription, RuntimeInformation.FrameworkDescription);
    }
}

/// <summary>What was measured on one model.</summary>
public sealed record ModelResult
{
    /// <summary>The model's name.</summary>
    public required string Name { get; init; }
    /// <summary>Its pattern of blocks.</summary>
    public required string Pattern { get; init; }
    /// <summary>Trained parameters.</summary>
    public required long Parameters { get; init; }
    /// <summary>Counted training FLOPs spent, per seed.</summary>
    public required double TrainFlops { get; init; }
    /// <summary>Training bytes seen, per seed.</summary>
    public required long BytesSeen { get; init; }
    /// <summary>Held-out bits per byte at the end of training, the mean over seeds; NaN if training diverged.</summary>
    public required double BitsPerByte { get; init; }
    /// <summary>Held-out bits per byte of each seed.</summary>
    public required IReadOnlyList<double> BitsPerByteSeeds { get; init; }
    /// <summary>Seconds of training, the mean over seeds, without evaluations.</summary>
    public required double TrainSeconds { get; init; }
    /// <summary>Tokens (bytes) trained on per second.</summary>
    public required double TrainTokensPerSecond { get; init; }
    /// <summary>Peak learning rate.</summary>
    public required double LearningRate { get; init; }
    /// <summary>The learning rates tried first, if a sweep was asked for; the best was then trained with.</summary>
    public IReadOnlyList<SweepPoint>? Sweep { get; init; }
    /// <summary>Held-out loss along training, all seeds.</summary>
    public IReadOnlyList<CurvePoint> Curve { get; init; } = [];
    /// <summary>Decoding, by context.</summary>
    public IReadOnlyList<DecodePoint> Decode { get; init; } = [];
    /// <summary>Recall, by distance.</summary>
    public IReadOnlyList<RecallPoint> Recall { get; init; } = [];
}

/// <summary>One evaluation during training.</summary>
/// <param name="Seed">The run.</param>
/// <param name="Flops">Counted training FLOPs so far.</param>
/// <param name="Bytes">Training bytes seen so far.</param>
/// <param name="Seconds">Training seconds so far.</param>
/// <param name="BitsPerByte">Held-out bits per byte.</param>
public sealed record CurvePoint(int Seed, double Flops, long Bytes, double Seconds, double BitsPerByte);

/// <summary>One learning rate of a sweep.</summary>
/// <param name="Rate">Peak learning rate.</param>
/// <param name="BitsPerByte">Held-out bits per byte at the end of a short training; NaN if it diverged.</param>
public sealed record SweepPoint(double Rate, double BitsPerByte);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    WriteIndented = true,
    NewLine = "\n",
    Converters = [typeof(FiniteOrNullConverter)])]
[JsonSerializable(typeof(ComparisonReport))]
internal sealed partial class ReportJson : JsonSerializerContext;

/// <summary>JSON has no NaN or infinity: both are written as null, and null is read as NaN.</summary>
internal sealed class FiniteOrNullConverter : JsonConverter<double>
{
    public override bool HandleNull => true;

    public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.Null ? double.NaN : reader.GetDouble();

    public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
    {
        if (double.IsFinite(value)) writer.WriteNumberValue(value);
        else writer.WriteNullValue();
    }
}
