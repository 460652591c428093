using System.Text;
using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The JSON form of a <see cref="ModelConfig"/>. What it reads may come from anyone: size and depth are bounded.</summary>
internal static class ModelConfigJson
{
    internal const string VersionKey = "weft";

    private static readonly string[] Keys =
    [
        VersionKey, "name", "vocabulary", "width", "context", "tied", "norm_epsilon", "embedding_scale", "embedding_norm", "positions", "final_norm",
        "logit_scale", "logit_cap", "end_of_text", "pattern", "blocks",
    ];

    private static readonly JsonWriterOptions WriterOptions = new() { Indented = true, NewLine = "\n" };

    public static void Write(Utf8JsonWriter writer, ModelConfig config, bool asBlocks)
    {
        writer.WriteStartObject();
        writer.WriteNumber(VersionKey, ModelConfig.FormatVersion);
        writer.WriteString("name", config.Name);
        writer.WriteNumber("vocabulary", config.Vocabulary);
        writer.WriteNumber("width", config.Width);
        writer.WriteNumber("context", config.Context);
        writer.WriteBoolean("tied", config.TieEmbeddings);
        writer.WriteNumber("norm_epsilon", config.NormEpsilon);
        WriteUnusual(writer, config);
        if (asBlocks)
        {
            writer.WriteStartArray("blocks");
            foreach (BlockSpec block in config.Blocks)
            {
                block.WriteTo(writer);
            }
            writer.WriteEndArray();
        }
        else
        {
            writer.WriteString("pattern", config.Blocks.ToString());
        }
        writer.WriteEndObject();
    }

    // What most models do without is written where it is there.
    private static void WriteUnusual(Utf8JsonWriter writer, ModelConfig config)
    {
        if (config.EmbeddingScale != 1)
        {
            writer.WriteNumber("embedding_scale", config.EmbeddingScale);
        }
        if (config.EmbeddingNorm != NormKind.None)
        {
            writer.WriteString("embedding_norm", config.EmbeddingNorm.Word());
        }
        if (config.Positions != 0)
        {
            writer.WriteNumber("positions", config.Positions);
        }
        if (config.FinalNorm != NormKind.Rms)
        {
            writer.WriteString("final_norm", config.FinalNorm.Word());
        }
        if (config.LogitScale != 1)
        {
            writer.WriteNumber("logit_scale", config.LogitScale);
        }
        if (config.LogitCap != 0)
        {
            writer.WriteNumber("logit_cap", config.LogitCap);
        }
        if (config.EndOfText >= 0)
        {
            writer.WriteNumber("end_of_text", config.EndOfText);
        }
    }

    public static byte[] Write(ModelConfig config, bool asBlocks)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, WriterOptions))
        {
            Write(writer, config, asBlocks);
        }
        stream.WriteByte((byte)'\n');
        return stream.ToArray();
    }

    public static byte[] ReadFile(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            // One byte more than allowed tells a file that is too long; its declared length may lie (a device, a pipe).
            var bytes = new byte[ModelConfig.MaxFileBytes + 1];
            int count = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return bytes[..count];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string reason = e is FileNotFoundException or DirectoryNotFoundException ? "no such file"
                : Directory.Exists(path) ? "is a directory"
                : "cannot be read";
            throw new InputException($"{PatternText.OneLine(path)}: {reason}; give the path of a model's .json file", e);
        }
    }

    public static ModelConfig Read(ReadOnlyMemory<byte> utf8, string source, IReadOnlyCollection<string>? knownBlocks)
    {
        source = PatternText.OneLine(source);
        try
        {
            return Read(utf8, knownBlocks);
        }
        catch (JsonException e)
        {
            throw new InputException($"{source}: not valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}", e);
        }
        catch (InvalidOperationException e)
        {
            // Half a surrogate pair or bytes that are no UTF-8 pass the parser and fail where the string is taken.
            throw new InputException($"{source}: a string is not valid Unicode text; save the file as UTF-8", e);
        }
        catch (InputException e)
        {
            throw new InputException($"{source}: {e.Message}", e);
        }
    }

    private static ModelConfig Read(ReadOnlyMemory<byte> utf8, IReadOnlyCollection<string>? knownBlocks)
    {
        if (utf8.Length > ModelConfig.MaxFileBytes)
        {
            throw new InputException($"is larger than {ModelConfig.MaxFileBytes} bytes, so it is no model's configuration");
        }
        // Editors may put a byte order mark first, which JSON does not allow.
        ReadOnlySpan<byte> mark = Encoding.UTF8.Preamble;
        using JsonDocument document = JsonDocument.Parse(
            utf8.Span.StartsWith(mark) ? utf8[mark.Length..] : utf8, new JsonDocumentOptions { MaxDepth = 8 });
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw new InputException($"holds no object; write {{\"weft\": {ModelConfig.FormatVersion}, \"name\": ..., \"width\": ..., \"pattern\": ...}}");
        }
        return Read(document.RootElement, knownBlocks);
    }

    private static ModelConfig Read(JsonElement root, IReadOnlyCollection<string>? knownBlocks)
    {
        // The version first: a newer one may hold keys that this one would call unknown.
        int version = Int(Required(root, VersionKey, "1"), VersionKey);
        if (version != ModelConfig.FormatVersion)
        {
            throw new InputException(version > ModelConfig.FormatVersion
                ? $"{VersionKey} {version} was written by a newer Weft, this one reads up to {ModelConfig.FormatVersion}; update Weft"
                : $"{VersionKey} {version} is no version; write {ModelConfig.FormatVersion}");
        }
        CheckKeys(root);
        var config = new ModelConfig
        {
            Name = Text(Required(root, "name", "\"my-model\""), "name"),
            Width = Int(Required(root, "width", "128"), "width"),
            Blocks = ReadPattern(root, knownBlocks),
        };
        Take("vocabulary", (json, key) => config = config with { Vocabulary = Int(json, key) });
        Take("context", (json, key) => config = config with { Context = Int(json, key) });
        Take("tied", (json, key) => config = config with { TieEmbeddings = Flag(json, key) });
        Take("norm_epsilon", (json, key) => config = config with { NormEpsilon = Real(json, key) });
        Take("embedding_scale", (json, key) => config = config with { EmbeddingScale = Real(json, key) });
        Take("embedding_norm", (json, key) => config = config with { EmbeddingNorm = Norm(json, key) });
        Take("positions", (json, key) => config = config with { Positions = Int(json, key) });
        Take("final_norm", (json, key) => config = config with { FinalNorm = Norm(json, key) });
        Take("logit_scale", (json, key) => config = config with { LogitScale = Real(json, key) });
        Take("logit_cap", (json, key) => config = config with { LogitCap = Real(json, key) });
        Take("end_of_text", (json, key) => config = config with { EndOfText = Int(json, key) });
        return config;

        void Take(string key, Action<JsonElement, string> set)
        {
            if (root.TryGetProperty(key, out JsonElement json))
            {
                set(json, key);
            }
        }
    }

    private static void CheckKeys(JsonElement root)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (!Keys.Contains(property.Name))
            {
                throw new InputException($"key {PatternText.Quote(property.Name)} is unknown; {NearestNames.Hint(property.Name, Keys)}");
            }
            if (!seen.Add(property.Name))
            {
                throw new InputException($"key '{property.Name}' is given twice; keep one");
            }
        }
    }

    private static Pattern ReadPattern(JsonElement root, IReadOnlyCollection<string>? knownBlocks)
    {
        bool hasText = root.TryGetProperty("pattern", out JsonElement text);
        bool hasBlocks = root.TryGetProperty("blocks", out JsonElement blocks);
        if (hasText == hasBlocks)
        {
            throw new InputException(hasText ? "keys 'pattern' and 'blocks' say the same thing; keep one"
                : "key 'pattern' is missing; add \"pattern\": \"(3*mamba2 attention)*4\", or \"blocks\": [...]");
        }
        if (hasText)
        {
            return Pattern.Parse(Text(text, "pattern"), knownBlocks);
        }
        if (blocks.ValueKind != JsonValueKind.Array || blocks.GetArrayLength() is 0 or > Pattern.MaxBlocks)
        {
            throw new InputException($"blocks must be a list of 1 to {Pattern.MaxBlocks} blocks");
        }
        return new Pattern(blocks.EnumerateArray().Select((json, i) => ReadBlock(json, i, knownBlocks)));
    }

    private static BlockSpec ReadBlock(JsonElement json, int index, IReadOnlyCollection<string>? knownBlocks)
    {
        try
        {
            BlockSpec block = BlockSpec.Read(json);
            return knownBlocks is null || knownBlocks.Contains(block.Name) ? block
                : throw new InputException($"unknown block '{block.Name}'; {NearestNames.Hint(block.Name, knownBlocks)}");
        }
        catch (InputException e)
        {
            throw new InputException($"blocks[{index}]: {e.Message}", e);
        }
    }

    private static JsonElement Required(JsonElement root, string key, string example)
    {
        return root.TryGetProperty(key, out JsonElement value) ? value
            : throw new InputException($"key '{key}' is missing; add \"{key}\": {example}");
    }

    private static string Text(JsonElement json, string key)
    {
        return json.ValueKind == JsonValueKind.String ? json.GetString()! : throw Wrong(json, key, "a string");
    }

    private static int Int(JsonElement json, string key)
    {
        return json.ValueKind == JsonValueKind.Number && json.TryGetInt32(out int value) ? value : throw Wrong(json, key, "a whole number");
    }

    private static float Real(JsonElement json, string key)
    {
        return json.ValueKind == JsonValueKind.Number && json.TryGetSingle(out float value) ? value : throw Wrong(json, key, "a number");
    }

    private static NormKind Norm(JsonElement json, string key)
    {
        return json.ValueKind == JsonValueKind.String && NormKinds.Words.Contains(json.GetString()) ? NormKinds.Parse(json.GetString()!)
            : throw Wrong(json, key, string.Join(", ", NormKinds.Words));
    }

    private static bool Flag(JsonElement json, string key)
    {
        return json.ValueKind is JsonValueKind.True or JsonValueKind.False ? json.GetBoolean() : throw Wrong(json, key, "true or false");
    }

    private static InputException Wrong(JsonElement json, string key, string wanted)
    {
        return new InputException($"{key} is {PatternText.Quote(json.GetRawText())}; give {wanted}");
    }
}
