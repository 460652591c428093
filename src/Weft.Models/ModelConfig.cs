using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// A model as data: what is needed to build it and to give a checkpoint's weights their shapes. Immutable, compared by value; every
/// property checks its range when it is set, with an <see cref="InputException"/> that names it as the file does.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>The version of the file format this Weft writes, and the newest it reads: the number under the key <c>weft</c>.</summary>
    public const int FormatVersion = 1;

    /// <summary>Largest file read, in bytes.</summary>
    public const int MaxFileBytes = 1 << 20;

    /// <summary>Tokens of a plain byte vocabulary.</summary>
    public const int Bytes = 256;

    internal const int MaxName = 128;

    /// <summary>What people call the model: one line of up to 128 characters.</summary>
    public required string Name
    {
        get;
        init => field = value.Length is > 0 and <= MaxName && !value.Any(char.IsControl) ? value
            : throw new InputException($"name {PatternText.Quote(value)} must be one line of 1 to {MaxName} characters");
    }

    /// <summary>Number of token ids, 1 to 2^20. Without a tokenizer ids 0 to 255 are the bytes; any above are special tokens.</summary>
    public int Vocabulary { get; init => field = InRange(value, 1, 1 << 20, "vocabulary"); } = Bytes;

    /// <summary>Channels of the residual stream, 1 to 65536.</summary>
    public required int Width { get; init => field = InRange(value, 1, 1 << 16, "width"); }

    /// <summary>The residual blocks from the embedding to the head.</summary>
    public required Pattern Blocks { get; init; }

    /// <summary>Whether the head reuses the embedding's weights.</summary>
    public bool TieEmbeddings { get; init; } = true;

    /// <summary>What each norm adds to the mean square before its root: above 0, at most 1.</summary>
    public float NormEpsilon
    {
        get;
        init => field = value is > 0 and <= 1 ? value
            : throw new InputException($"norm_epsilon {value:R} is out of range; give a number above 0, at most 1, such as 1e-5");
    } = 1e-5f;

    /// <summary>What embedded tokens are multiplied by.</summary>
    public float EmbeddingScale { get; init => field = Positive(value, "embedding_scale"); } = 1;

    /// <summary>The norm of embedded tokens; as a rule none.</summary>
    public NormKind EmbeddingNorm { get; init; } = NormKind.None;

    /// <summary>Learned positions, added to embedded tokens: the longest sequence that can be read, 0 to 2^24. 0, as a rule: none.</summary>
    public int Positions { get; init => field = InRange(value, 0, 1 << 24, "positions"); }

    /// <summary>The norm before the head.</summary>
    public NormKind FinalNorm { get; init; } = NormKind.Rms;

    /// <summary>What logits are multiplied by.</summary>
    public float LogitScale { get; init => field = Positive(value, "logit_scale"); } = 1;

    /// <summary>The bound c of logits l that are capped, c tanh(l / c); 0, as a rule: none.</summary>
    public float LogitCap
    {
        get;
        init => field = value is >= 0 and <= 1e6f ? value
            : throw new InputException($"logit_cap {value:R} is out of range; give a number from 0 (none) to 1e6");
    }

    /// <summary>The token that ends a text, at which generation stops; -1, as a rule: none.</summary>
    public int EndOfText { get; init => field = InRange(value, -1, (1 << 20) - 1, "end_of_text"); } = -1;

    /// <summary>Tokens of a training sequence, 1 to 2^24.</summary>
    public int Context { get; init => field = InRange(value, 1, 1 << 24, "context"); } = 512;

    /// <summary>Reads a configuration file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="knownBlocks">The block names that exist, or null to take any.</param>
    /// <exception cref="InputException">The file cannot be read or holds no configuration; the message names file and key.</exception>
    public static ModelConfig Load(string path, IReadOnlyCollection<string>? knownBlocks = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        return ModelConfigJson.Read(ModelConfigJson.ReadFile(path), path, knownBlocks);
    }

    /// <summary>Reads a configuration from JSON text in UTF-8; <paramref name="source"/> is what error messages call it.</summary>
    /// <exception cref="InputException">The text holds no configuration; the message names source and key.</exception>
    public static ModelConfig Read(ReadOnlyMemory<byte> utf8, string source, IReadOnlyCollection<string>? knownBlocks = null)
    {
        return ModelConfigJson.Read(utf8, source, knownBlocks);
    }

    /// <summary>Writes the configuration as one JSON object, keys always in the same order.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="asBlocks">Write the pattern as a list of blocks rather than as text: longer, easier to edit block by block.</param>
    public void WriteTo(Utf8JsonWriter writer, bool asBlocks = false)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ModelConfigJson.Write(writer, this, asBlocks);
    }

    /// <summary>The configuration as an indented JSON file's bytes; the same on every system.</summary>
    public byte[] ToJson(bool asBlocks = false) => ModelConfigJson.Write(this, asBlocks);

    private static float Positive(float value, string key)
    {
        return value is > 0 and <= 1e6f ? value : throw new InputException($"{key} {value:R} is out of range; give a number above 0, at most 1e6");
    }

    private static int InRange(int value, int min, int max, string key)
    {
        return value >= min && value <= max ? value
            : throw new InputException($"{key} {value} is out of range; give a whole number from {min} to {max}");
    }
}
