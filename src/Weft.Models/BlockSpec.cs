using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>An option of a block as written: its name and its value's text.</summary>
public readonly record struct BlockOption(string Name, string Value);

/// <summary>
/// One residual block of a model as data: the block's name and its options. Immutable, compared by value. Options are kept sorted by
/// name, so that two specs that say the same are equal and print the same; every spec has a text form that <see cref="Models.Pattern"/> reads.
/// </summary>
public sealed partial class BlockSpec : IEquatable<BlockSpec>
{
    /// <summary>Most options of one block.</summary>
    public const int MaxOptions = 64;

    /// <summary>The key that holds the block's name in JSON; no option may be called so.</summary>
    internal const string NameKey = "block";

    private readonly BlockOption[] options;

    /// <summary>Creates a spec; option order does not matter.</summary>
    /// <exception cref="InputException">A name or value that the text form cannot write, an option given twice, or too many.</exception>
    public BlockSpec(string name, params IEnumerable<BlockOption> options)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(options);
        Name = PatternText.IsName(name) ? name
            : throw new InputException($"block name {PatternText.Quote(name)} is not a name; use letters, digits, '-' and '_', a letter first");
        this.options = [.. options.OrderBy(o => o.Name, StringComparer.Ordinal)];
        Check();
    }

    /// <summary>The block's name, such as <c>attention</c>.</summary>
    public string Name { get; }

    /// <summary>The options given, sorted by name.</summary>
    public IReadOnlyList<BlockOption> Options => options;

    /// <summary>The text of an option's value, or null where it is not given.</summary>
    public string? Find(string option)
    {
        foreach (BlockOption o in options)
        {
            if (o.Name == option)
            {
                return o.Value;
            }
        }
        return null;
    }

    /// <summary>The text form: <c>attention[heads=8, window=256]</c>; an option that is <c>true</c> is written by its name alone.</summary>
    public override string ToString()
    {
        return options.Length == 0 ? Name
            : $"{Name}[{string.Join(", ", options.Select(o => o.Value == "true" ? o.Name : $"{o.Name}={o.Value}"))}]";
    }

    /// <summary>Writes the block as JSON: its name as a string where it has no options, else <c>{"block": name, option: value, ...}</c>.</summary>
    public void WriteTo(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        if (options.Length == 0)
        {
            writer.WriteStringValue(Name);
            return;
        }
        writer.WriteStartObject();
        writer.WriteString(NameKey, Name);
        foreach (BlockOption o in options)
        {
            writer.WritePropertyName(o.Name);
            if (o.Value is "true" or "false")
            {
                writer.WriteBooleanValue(o.Value == "true");
            }
            else if (JsonNumber().IsMatch(o.Value))
            {
                writer.WriteRawValue(o.Value);
            }
            else
            {
                writer.WriteStringValue(o.Value);
            }
        }
        writer.WriteEndObject();
    }

    /// <summary>Reads a block from JSON: a string in the text form (one block), or an object as <see cref="WriteTo"/> writes it.</summary>
    /// <exception cref="InputException">Anything else.</exception>
    public static BlockSpec Read(JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.String:
                string text = json.GetString()!;
                Pattern pattern = Pattern.Parse(text);
                return pattern.Count == 1 ? pattern[0]
                    : throw new InputException($"{PatternText.Quote(text)} is {pattern.Count} blocks; give one, or use \"pattern\"");
            case JsonValueKind.Object:
                return ReadObject(json);
            default:
                throw new InputException("a block is a name or an object such as {\"block\": \"attention\", \"heads\": 8}");
        }
    }

    /// <inheritdoc/>
    public bool Equals(BlockSpec? other)
    {
        return other is not null && Name == other.Name && options.AsSpan().SequenceEqual(other.options);
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as BlockSpec);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(Name);
        foreach (BlockOption o in options)
        {
            hash.Add(o);
        }
        return hash.ToHashCode();
    }

    private static BlockSpec ReadObject(JsonElement json)
    {
        string? name = null;
        var options = new List<BlockOption>();
        foreach (JsonProperty property in json.EnumerateObject())
        {
            if (property.Name == NameKey)
            {
                name = property.Value.ValueKind == JsonValueKind.String && name is null ? property.Value.GetString()
                    : throw new InputException($"\"{NameKey}\" must be given once, as a string: the block's name");
                continue;
            }
            string value = property.Value.ValueKind switch
            {
                JsonValueKind.String => property.Value.GetString()!,
                JsonValueKind.Number => property.Value.GetRawText(),
                JsonValueKind.True => "true",
                JsonValueKind.False => "false",
                _ => throw new InputException($"option {PatternText.Quote(property.Name)} must be a number, a string, true or false"),
            };
            options.Add(new BlockOption(property.Name, value));
        }
        return new BlockSpec(name ?? throw new InputException($"key \"{NameKey}\" is missing; it holds the block's name"), options);
    }

    private void Check()
    {
        if (options.Length > MaxOptions)
        {
            throw new InputException($"block '{Name}' has {options.Length} options; at most {MaxOptions}");
        }
        for (int i = 0; i < options.Length; i++)
        {
            (string name, string value) = options[i];
            if (!PatternText.IsName(name) || name == NameKey)
            {
                throw new InputException($"block '{Name}': {PatternText.Quote(name)} cannot name an option; use letters, digits, '-' and '_'");
            }
            if (!PatternText.IsValue(value))
            {
                throw new InputException(
                    $"block '{Name}': {name}={PatternText.Quote(value)} is no value; use up to {PatternText.MaxWord} letters, digits, '.', '-', '+', '_'");
            }
            if (i > 0 && options[i - 1].Name == name)
            {
                throw new InputException($"block '{Name}': option '{name}' is given twice; keep one");
            }
        }
    }

    [GeneratedRegex(@"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex JsonNumber();
}
