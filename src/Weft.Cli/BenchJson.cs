using System.Text.Json;
using Weft.Lab;
using Weft.Tensors;

namespace Weft.Cli;

/// <summary>What weft bench measured, for programs.</summary>
internal static class BenchJson
{
    public static byte[] Of(Device device, IReadOnlyList<Ceiling> ceilings, IReadOnlyList<BenchmarkResult> results)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteString("processor", Machine.Processor);
            json.WriteString("device", device.Description);
            json.WriteStartArray("ceilings");
            foreach (Ceiling ceiling in ceilings)
            {
                json.WriteStartObject();
                json.WriteString("name", ceiling.Name);
                json.WriteNumber(ceiling.Kind == CeilingKind.Flops ? "flops_per_second" : "bytes_per_second", Math.Round(ceiling.PerSecond));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartArray("models");
            foreach (BenchmarkResult result in results)
            {
                Write(json, result);
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return [.. stream.ToArray(), (byte)'\n'];
    }

    private static void Write(Utf8JsonWriter json, BenchmarkResult result)
    {
        json.WriteStartObject();
        json.WritePropertyName("config");
        result.Config.WriteTo(json);
        json.WriteNumber("parameters", result.Parameters);
        json.WriteString("weights", result.Format.Word());
        json.WriteNumber("weight_bytes", result.WeightBytes);
        json.WriteNumber("batch", result.Batch);
        if (result.Training is { } training)
        {
            json.WriteStartObject("training_parts");
            json.WriteNumber("forward", result.Parts.Forward);
            json.WriteNumber("backward", result.Parts.Backward);
            json.WriteNumber("update", result.Parts.Update);
            json.WriteEndObject();
            Write(json, "training", training);
        }
        Write(json, "prefill", result.Prefill);
        Write(json, "decode", result.Decode);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, Timing timing)
    {
        Breakdown breakdown = timing.Breakdown;
        json.WriteStartObject(name);
        json.WriteNumber("tokens", timing.Tokens);
        json.WriteNumber("seconds", timing.Seconds);
        json.WriteNumber("tokens_per_second", timing.TokensPerSecond);
        json.WriteNumber("flops", timing.Flops);
        json.WriteStartObject("profile");
        json.WriteNumber("times", breakdown.Times);
        json.WriteNumber("seconds", breakdown.Seconds);
        json.WriteNumber("seconds_between_operations", breakdown.Between);
        json.WriteStartArray("operations");
        foreach (OperationProfile operation in breakdown.Operations)
        {
            json.WriteStartObject();
            json.WriteString("name", operation.Name);
            json.WriteNumber("calls", operation.Calls);
            json.WriteNumber("seconds", operation.Seconds);
            json.WriteNumber("flops", operation.Flops);
            json.WriteNumber("bytes", operation.Bytes);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
