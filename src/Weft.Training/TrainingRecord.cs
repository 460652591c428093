using System.Text.Json;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>The <c>training.json</c> of a run: what, beside weights and moments, its next step depends on.</summary>
internal sealed record TrainingRecord
{
    public const string FileName = "training.json";
    private const string VersionKey = "weft_run", StartKey = "start", BytesKey = "bytes";
    private const int Version = 1;
    private const long MaxBytes = 16 << 20;

    /// <summary>The fingerprint of configuration and weights, so that other weights are not taken for the run's.</summary>
    public required string Model { get; init; }

    public required string Corpus { get; init; }

    public required string CorpusName { get; init; }

    public StartingPoint? Start { get; init; }

    public required TrainingOptions Options { get; init; }

    public required long Steps { get; init; }

    public required long TotalSteps { get; init; }

    public required BatchPosition Position { get; init; }

    public required long Bytes { get; init; }

    public required long Flops { get; init; }

    public required double Seconds { get; init; }

    public required double FirstSeconds { get; init; }

    public required IReadOnlyList<EvaluationPoint> History { get; init; }

    public void Save(string path)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteNumber(VersionKey, Version);
            json.WriteString("model", Model);
            json.WriteString("corpus", Corpus);
            json.WriteString("corpus_name", CorpusName);
            if (Start is { } start)
            {
                json.WriteStartObject(StartKey);
                json.WriteString("name", start.Name);
                json.WriteString("fingerprint", start.Fingerprint);
                json.WriteEndObject();
            }

            json.WritePropertyName("options");
            Options.WriteTo(json);
            json.WriteNumber("step", Steps);
            json.WriteNumber("steps", TotalSteps);
            json.WriteNumber("data_seed", Position.Seed);
            json.WriteNumber("data_epoch", Position.Epoch);
            json.WriteNumber("data_index", Position.Index);
            json.WriteNumber(BytesKey, Bytes);
            json.WriteNumber("flops", Flops);
            json.WriteNumber("seconds", Seconds);
            json.WriteNumber("first_seconds", FirstSeconds);
            json.WriteStartArray("history");
            foreach (EvaluationPoint point in History)
            {
                json.WriteStartObject();
                json.WriteNumber("step", point.Step);
                json.WriteNumber("bytes", point.Bytes);
                json.WriteNumber("flops", point.Flops);
                json.WriteNumber("seconds", point.Seconds);
                json.WriteNumber("loss", point.Loss);
                json.WriteNumber("bits_per_byte", point.BitsPerByte);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        AtomicFile.WriteAllBytes(path, stream.ToArray());
    }

    /// <exception cref="InputException">The file cannot be read, is damaged, or was written by another version.</exception>
    public static TrainingRecord Load(string path)
    {
        byte[] bytes = ReadBounded(path);
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = 8 });
            return Read(document.RootElement);
        }
        catch (InputException e)
        {
            throw new InputException($"{AtomicFile.Quote(path)}: {e.Message}", e);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            // Whatever it is that is missing or of another kind, the file is not one that Weft wrote.
            throw new InputException($"{AtomicFile.Quote(path)}: it is damaged, or was not written by Weft", e);
        }
    }

    private static TrainingRecord Read(JsonElement json)
    {
        int version = json.GetProperty(VersionKey).GetInt32();
        if (version != Version)
        {
            throw new InputException($"it is a run of format {version}; this Weft resumes format {Version}");
        }

        TrainingOptions options = TrainingOptions.Read(json.GetProperty("options"));
        long steps = json.GetProperty("step").GetInt64();
        var record = new TrainingRecord
        {
            Model = json.GetProperty("model").GetString()!,
            Corpus = json.GetProperty("corpus").GetString()!,
            CorpusName = json.GetProperty("corpus_name").GetString()!,
            Start = json.TryGetProperty(StartKey, out JsonElement start)
                ? new StartingPoint(start.GetProperty("name").GetString()!, start.GetProperty("fingerprint").GetString()!) : null,
            Options = options,
            Steps = steps,
            TotalSteps = json.GetProperty("steps").GetInt64(),
            Position = new BatchPosition(
                json.GetProperty("data_seed").GetUInt64(), json.GetProperty("data_epoch").GetInt64(), json.GetProperty("data_index").GetInt64()),
            // Absent in a run from before there were tokenizers: a token was a byte.
            Bytes = json.TryGetProperty(BytesKey, out JsonElement bytes) ? bytes.GetInt64() : steps * options.BatchSize!.Value * options.Context!.Value,
            Flops = json.GetProperty("flops").GetInt64(),
            Seconds = json.GetProperty("seconds").GetDouble(),
            FirstSeconds = json.GetProperty("first_seconds").GetDouble(),
            History = [.. json.GetProperty("history").EnumerateArray().Select(p => new EvaluationPoint(
                p.GetProperty("step").GetInt64(), p.GetProperty("bytes").GetInt64(), p.GetProperty("flops").GetInt64(),
                p.GetProperty("seconds").GetDouble(), p.GetProperty("loss").GetDouble(), p.GetProperty("bits_per_byte").GetDouble()))],
        };
        return record.Steps >= 1 && record.TotalSteps >= record.Steps ? record
            : throw new InputException($"step {record.Steps} of {record.TotalSteps} is none: the file is damaged");
    }

    private static byte[] ReadBounded(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > MaxBytes)
            {
                throw new InputException($"{AtomicFile.Quote(path)}: it is larger than {MaxBytes} bytes, so it is no run's record");
            }

            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }
    }
}
