using System.Globalization;
using System.Text;
using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// A model folder's <c>config.json</c> as transformers writes it: any keys, of which a family asks for those it knows. A value of null is
/// one that is not given. Errors name the file and the key.
/// </summary>
public sealed class HfConfig
{
    private const int MaxBytes = 16 << 20, MaxDepth = 32;

    private readonly string path;
    private readonly string prefix; // of keys, for messages: "rope_parameters."
    private readonly JsonElement root;
    private readonly (string Key, string Other)[] spellings;

    private HfConfig(string path, string prefix, JsonElement root, params (string, string)[] spellings) =>
        (this.path, this.prefix, this.root, this.spellings) = (path, prefix, root, spellings);

    /// <summary>The file.</summary>
    public string Path => path;

    /// <summary>The content.</summary>
    internal JsonElement Json => root;

    /// <summary>The content as an indented file's bytes.</summary>
    internal byte[] ToJson()
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            root.WriteTo(writer);
        }

        return bytes.ToArray();
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="InputException">It cannot be read, or holds no JSON object.</exception>
    public static HfConfig Load(string path)
    {
        byte[] bytes;
        try
        {
            using FileStream file = File.OpenRead(path);
            bytes = new byte[Math.Min(file.Length, MaxBytes + 1)];
            file.ReadExactly(bytes);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }

        return bytes.Length > MaxBytes ? throw WeightFile.Bad(path, $"it is larger than {MaxBytes} bytes, so it is no model's configuration") : Read(bytes, path);
    }

    /// <summary>Reads JSON text in UTF-8.</summary>
    /// <exception cref="InputException">It is no JSON object.</exception>
    public static HfConfig Read(ReadOnlySpan<byte> utf8, string path)
    {
        try
        {
            JsonElement json = JsonElement.Parse(QuoteNumbersThatAreNone(utf8), new JsonDocumentOptions { MaxDepth = MaxDepth });
            return json.ValueKind == JsonValueKind.Object ? new HfConfig(path, "", json) : throw WeightFile.Bad(path, "it holds no object");
        }
        catch (JsonException e)
        {
            throw WeightFile.Bad(path, $"it is not valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}", e);
        }
    }

    /// <summary>The same with other spellings of keys: what is asked for as the first is read under the second, where that is given.</summary>
    public HfConfig Spelled(params (string Key, string Other)[] others) => new(path, prefix, root, others);

    /// <summary>Whether a key is given.</summary>
    public bool Has(string key) => Find(ref key) is not null;

    /// <summary>A whole number from 0 on, or the -1 that some write for none, that must be there or has a usual value.</summary>
    public int Int(string key, int? usual = null) => Find(ref key) is not { } json ? usual ?? throw Missing(key) : ReadInt(json, key);

    /// <summary>A whole number; <paramref name="auto"/> where it is not given, or is the word auto.</summary>
    public int IntOrAuto(string key, int auto) => Find(ref key) is { ValueKind: JsonValueKind.String } json && json.ValueEquals("auto") ? auto : Int(key, auto);

    /// <summary>A number that must be there, or has a usual value.</summary>
    public double Real(string key, double? usual = null) => Find(ref key) is not { } json ? usual ?? throw Missing(key) : ReadReal(json, key);

    /// <summary>True or false.</summary>
    public bool Flag(string key, bool usual) => Find(ref key) switch
    {
        null => usual,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } json => throw Wrong(key, json, "true or false is expected"),
    };

    /// <summary>A string that must be there, or has a usual value.</summary>
    public string Text(string key, string? usual = null) => Find(ref key) is not { } json ? usual ?? throw Missing(key) : ReadText(json, key);

    /// <summary>A list of strings; null where it is not given.</summary>
    public string[]? Texts(string key) => List(key, j => ReadText(j, key));

    /// <summary>A list of whole numbers; null where it is not given. A single number is a list of one.</summary>
    public int[]? Ints(string key) => Find(ref key) is { ValueKind: JsonValueKind.Number } one ? [ReadInt(one, key)] : List(key, j => ReadInt(j, key));

    /// <summary>A list of numbers; null where it is not given. Infinity may be written as Python does.</summary>
    public double[]? Reals(string key) => List(key, j => ReadReal(j, key));

    /// <summary>The object under a key; null where it is not given.</summary>
    public HfConfig? Object(string key) => Find(ref key) is not { } json ? null
        : json.ValueKind == JsonValueKind.Object ? new HfConfig(path, $"{prefix}{key}.", json) : throw Wrong(key, json, "an object is expected");

    /// <summary>Refuses a value other than those that Weft computes; one that is not given counts as the first.</summary>
    /// <exception cref="InputException">It is another.</exception>
    public void Require(string key, params ReadOnlySpan<string> known)
    {
        string text = Find(ref key) is { } json ? json.ValueKind == JsonValueKind.String ? json.GetString()! : json.GetRawText() : known[0];
        if (!known.Contains(text))
        {
            throw Bad(key, $"{PatternText.Quote(text)} is not supported; what is: {string.Join(", ", known.ToArray())}");
        }
    }

    /// <summary>The error for a key: the file, the key and the reason.</summary>
    public InputException Bad(string key, string reason) => WeightFile.Bad(path, $"{prefix}{key}: {reason}");

    // What is under a key; the key becomes the one that it is given under.
    private JsonElement? Find(ref string key)
    {
        foreach ((string spelled, string other) in spellings)
        {
            if (spelled == key && Given(other) is { } json)
            {
                key = other;
                return json;
            }
        }

        return Given(key);
    }

    private JsonElement? Given(string key) => root.TryGetProperty(key, out JsonElement json) && json.ValueKind != JsonValueKind.Null ? json : null;

    private T[]? List<T>(string key, Func<JsonElement, T> read) => Find(ref key) is not { } json ? null
        : json.ValueKind == JsonValueKind.Array ? [.. json.EnumerateArray().Select(read)] : throw Wrong(key, json, "a list is expected");

    private int ReadInt(JsonElement json, string key) =>
        json.ValueKind == JsonValueKind.Number && json.TryGetDouble(out double value) && value == Math.Floor(value) && value is >= -1 and <= int.MaxValue ? (int)value
            : throw Wrong(key, json, "a whole number is expected");

    private double ReadReal(JsonElement json, string key) => json.ValueKind switch
    {
        JsonValueKind.Number when json.TryGetDouble(out double value) => value,
        JsonValueKind.String when json.GetString() is "Infinity" => double.PositiveInfinity,
        JsonValueKind.String when json.GetString() is "-Infinity" => double.NegativeInfinity,
        JsonValueKind.Object when json.TryGetProperty("__float__", out JsonElement inner) && inner.ValueKind == JsonValueKind.String => ReadReal(inner, key),
        _ => throw Wrong(key, json, "a number is expected"),
    };

    private string ReadText(JsonElement json, string key)
    {
        try
        {
            return json.ValueKind == JsonValueKind.String ? json.GetString()! : throw Wrong(key, json, "a string is expected");
        }
        catch (InvalidOperationException e)
        {
            throw WeightFile.Bad(path, $"{prefix}{key}: it is not valid Unicode text", e);
        }
    }

    private InputException Missing(string key) => Bad(key, "it is missing");

    private InputException Wrong(string key, JsonElement json, string expected)
    {
        string text = json.GetRawText();
        return Bad(key, $"it is {PatternText.Quote(text.Length > 60 ? text[..60] : text)} where {expected}");
    }

    // Python writes Infinity and NaN as they are, which JSON does not allow: they become strings.
    private static byte[] QuoteNumbersThatAreNone(ReadOnlySpan<byte> json)
    {
        ReadOnlySpan<byte> mark = Encoding.UTF8.Preamble;
        json = json.StartsWith(mark) ? json[mark.Length..] : json;
        using var result = new MemoryStream(json.Length + 64);
        bool isString = false;
        for (int i = 0; i < json.Length; i++)
        {
            byte b = json[i];
            isString ^= b == '"';
            int word = isString ? 0 : json[i..].StartsWith("Infinity"u8) ? 8 : json[i..].StartsWith("-Infinity"u8) ? 9 : json[i..].StartsWith("NaN"u8) ? 3 : 0;
            if (word > 0)
            {
                result.WriteByte((byte)'"');
                result.Write(json.Slice(i, word));
                result.WriteByte((byte)'"');
                i += word - 1;
                continue;
            }

            result.WriteByte(b);
            if (isString && b == '\\' && i + 1 < json.Length)
            {
                result.WriteByte(json[++i]);
            }
        }

        return result.ToArray();
    }
}

/// <summary>Makes blocks of patterns from sizes.</summary>
internal static class Spec
{
    /// <summary>A block; options that are null are left out, so that they have their usual value.</summary>
    public static BlockSpec Of(string name, params ReadOnlySpan<(string Name, object? Value)> options)
    {
        var given = new List<BlockOption>();
        foreach ((string option, object? value) in options)
        {
            if (value is not null)
            {
                given.Add(new BlockOption(option, value switch
                {
                    bool flag => flag ? "true" : "false",
                    double real => ((float)real).ToString("R", CultureInfo.InvariantCulture),
                    IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
                    _ => value.ToString()!,
                }));
            }
        }

        return new BlockSpec(name, given);
    }
}
