using System.Text.Json;
using System.Text.Json.Serialization;
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

    /// <summary>Writes the report as JSON, to a temporary name that is then renamed: the file is whole or not there.</summary>
    public void Write(string path) => AtomicFile.Write(path, JsonSerializer.Serialize(this, ReportJson.Default.ComparisonReport) + "\n");

    /// <summary>Reads a report.</summary>
    /// <exception cref="InputException">The file is missing, unreadable, not a report, or of another version.</exception>
    public static ComparisonReport Read(string path)
    {
        const long limit = 64L << 20; // a report is a few hundred kB
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > limit)
                throw new InputException($"{path}: {file.Length:N0} bytes is too large for a report.");
            using JsonDocument json = JsonDocument.Parse(file);
            if (json.RootElement.ValueKind != JsonValueKind.Object)
                throw new InputException($"{path}: not a comparison report.");
            if (json.RootElement.TryGetProperty("version", out JsonElement version)
                && !(version.ValueKind == JsonValueKind.Number && version.TryGetInt32(out int number) && number == CurrentVersion))
                throw new InputException($"{path}: report version {version.GetRawText()}, but this program reads version {CurrentVersion}; run the comparison again.");
            ComparisonReport? report = json.Deserialize(ReportJson.Default.ComparisonReport);
            if (report is null || report.Models.Any(m => m is null || m.Curve.Concat<object>(m.Decode).Concat(m.Recall).Contains(null)) || report.Findings.Contains(null))
                throw new InputException($"{path}: a comparison report holds null where an entry is needed.");
            return report;
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: not a comparison report: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read: {e.Message}", e);
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
/// <param name="Flops">The counted training FLOPs that each model was given.</param>
public sealed record BudgetInfo(string Text, double Flops);

/// <summary>The machine that the figures in seconds belong to.</summary>
/// <param name="Cpu">The processor's name.</param>
/// <param name="Cores">Logical cores.</param>
/// <param name="Threads">Threads used.</param>
/// <param name="Isa">The vector instructions used.</param>
/// <param name="Os">The operating system.</param>
/// <param name="Runtime">The .NET runtime.</param>
public sealed record MachineInfo(string Cpu, int Cores, int Threads, string Isa, string Os, string Runtime);

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
    /// <summary>Anything a reader should know about the state's size.</summary>
    public string? StateBytesNote { get; init; }
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

/// <summary>Decoding one sequence at one context.</summary>
/// <param name="Context">Tokens already in the state.</param>
/// <param name="TokensPerSecond">Tokens per second, one after another.</param>
/// <param name="StateBytes">Bytes of the state.</param>
/// <param name="Measured">Whether the speed was timed; otherwise it is computed from shorter contexts.</param>
public sealed record DecodePoint(int Context, double TokensPerSecond, long StateBytes, bool Measured);

/// <summary>Recall of held-out passages at one distance.</summary>
/// <param name="Distance">Bytes between the start of a passage and the start of its repetition.</param>
/// <param name="First">Bits per byte on the first copy.</param>
/// <param name="Second">Bits per byte on the second copy.</param>
/// <param name="Passages">Passages averaged.</param>
public sealed record RecallPoint(int Distance, double First, double Second, int Passages)
{
    /// <summary>Bits per byte that having seen the passage before saves.</summary>
    [JsonIgnore]
    public double Gain => First - Second;
}

/// <summary>Compressors on the held-out text, in bits per byte; NaN where not measured.</summary>
/// <param name="Order0">The entropy of single bytes.</param>
/// <param name="Gzip">gzip -9.</param>
/// <param name="Brotli">Brotli 11.</param>
public sealed record Baselines(double Order0, double Gzip, double Brotli);

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

internal static class AtomicFile
{
    /// <summary>Writes UTF-8 text under a temporary name beside <paramref name="path"/>, then renames it.</summary>
    public static void Write(string path, string text)
    {
        string temporary = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }
}
