using System.Text.Json;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>
/// What llama.cpp reaches, in tokens a second by model: a prefill of 2048 tokens, and decoding after it. It is not run here.
/// <see cref="Measured"/> was taken through its C API with models of random weights of exactly <see cref="GenerationBench"/>'s shapes:
/// matrices, embedding included, in bf16, the rest in float32 (GGUF, no tokenizer), 2 threads, batches of 512 tokens (larger ones were slower), flash
/// attention as it chooses (on), logits of the last token only.
/// </summary>
internal sealed record LlamaCpp(string Machine, string Date, IReadOnlyDictionary<string, double> Prefill, IReadOnlyDictionary<string, double> Decode)
{
    /// <summary>
    /// Release v0.5.0 as prebuilt for Linux (ggml's Zen 4 variant: AVX-512 with VDPBF16PS); the best of the medians of several runs. The
    /// machine's host is shared: the medians of an hour went from 272 to 355, 481 to 840 and 658 to 983. In float32: 301, 455 and 614.
    /// </summary>
    public static LlamaCpp Measured { get; } = new(
        "AMD EPYC (Zen 5), 2 cores",
        "2026-11-22",
        new Dictionary<string, double> { ["mamba"] = 355, ["mamba2"] = 840, ["transformer"] = 983 },
        new Dictionary<string, double> { ["mamba"] = 98, ["mamba2"] = 104, ["transformer"] = 84 });

    /// <summary>An earlier measurement on a machine without fast bf16 dot products, whose figures the goals were written down with.</summary>
    public static LlamaCpp Earlier { get; } = new(
        "Intel Xeon (Sapphire Rapids), 2 cores",
        "2026-11-22",
        new Dictionary<string, double> { ["mamba"] = 119, ["mamba2"] = 303, ["transformer"] = 337 },
        new Dictionary<string, double>());

    /// <summary>Reads figures of another machine or day: {"machine": "...", "date": "...", "prefill": {"mamba": 100, ...}, "decode": {...}}.</summary>
    /// <exception cref="InputException">The file cannot be read or says something else.</exception>
    public static LlamaCpp Read(FileInfo file)
    {
        try
        {
            LlamaCpp? read = JsonSerializer.Deserialize<LlamaCpp>(File.ReadAllBytes(file.FullName), Results.Json);
            return read is { Machine: not null, Date: not null, Prefill: not null, Decode: not null } ? read
                : throw new InputException($"{file.FullName} lacks a key; it takes machine, date, prefill and decode");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new InputException($"{file.FullName} holds no figures of llama.cpp: {e.Message}", e);
        }
    }
}
