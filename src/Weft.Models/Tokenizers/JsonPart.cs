using System.Globalization;
using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>A part of a tokenizer's file and its path, which messages name.</summary>
internal readonly struct JsonPart(JsonElement json, string path)
{
    /// <summary>Deepest nesting of a file's parts.</summary>
    public const int MaxDepth = 64;

    public string Path { get; } = path;

    public bool IsNull => json.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    public bool IsString => json.ValueKind == JsonValueKind.String;

    public bool IsObject => json.ValueKind == JsonValueKind.Object;

    /// <summary>What a key holds; null where it holds null or is not there.</summary>
    public JsonPart? Get(string key)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw Wrong("an object");
        }
        return json.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? new JsonPart(value, $"{Path}.{key}") : null;
    }

    public JsonPart Need(string key) => Get(key) ?? throw Fail($"has no '{key}', which it needs");

    public IEnumerable<JsonPart> Items()
    {
        if (json.ValueKind != JsonValueKind.Array)
        {
            throw Wrong("a list");
        }
        string path = Path;
        return json.EnumerateArray().Select((item, i) => new JsonPart(item, $"{path}[{i.ToString(CultureInfo.InvariantCulture)}]"));
    }

    /// <summary>The keys of an object and what they hold.</summary>
    public IEnumerable<(string Key, JsonPart Value)> Properties()
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw Wrong("an object");
        }
        string path = Path;
        return json.EnumerateObject().Select(p => (p.Name, new JsonPart(p.Value, $"{path}.{p.Name}")));
    }

    public string Text() => json.ValueKind == JsonValueKind.String ? json.GetString()! : throw Wrong("a string");

    public byte[] Utf8() => System.Text.Encoding.UTF8.GetBytes(Text());

    /// <summary>A text of one character, as bytes.</summary>
    public byte[] Character()
    {
        string text = Text();
        return text.EnumerateRunes().Count() == 1 ? Utf8() : throw Wrong("one character");
    }

    public bool Flag() => json.ValueKind is JsonValueKind.True or JsonValueKind.False ? json.GetBoolean() : throw Wrong("true or false");

    public int Number(int most = int.MaxValue) =>
        json.ValueKind == JsonValueKind.Number && json.TryGetInt32(out int value) && value >= 0 && value <= most ? value
            : throw Wrong(most == int.MaxValue ? "a whole number that is not negative" : $"a whole number from 0 to {most}");

    public double Real() => json.ValueKind == JsonValueKind.Number && json.TryGetDouble(out double value) ? value : throw Wrong("a number");

    /// <summary>A flag, with what it is where it is not given.</summary>
    public bool Flag(string key, bool otherwise) => Get(key)?.Flag() ?? otherwise;

    public string Shown() => PatternText.Quote(json.GetRawText()[..Math.Min(200, json.GetRawText().Length)]);

    public InputException Wrong(string wanted) => Fail($"is {Shown()}, not {wanted}");

    public InputException Fail(string why) => new($"{PatternText.OneLine(Path[..Math.Min(200, Path.Length)])} {why}");

    /// <summary>The failure of a kind that is not known.</summary>
    public InputException Unknown(string what, IEnumerable<string> known) =>
        Fail($"is {Shown()}, which is no {what} that Weft knows; known: {string.Join(", ", known)}");

    /// <summary>Runs what reads this part's contents: a failure that names no path gets this one's.</summary>
    public T Read<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InputException e)
        {
            throw Fail(e.Message);
        }
    }
}
