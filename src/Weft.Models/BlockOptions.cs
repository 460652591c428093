using System.Globalization;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Reads the options of one block for the factory that builds it. Each option is asked for by name with the value it has where it is not
/// given; <see cref="Done()"/> then refuses whatever was not asked for. Errors name the block, the option, its value and what would do.
/// </summary>
public sealed class BlockOptions
{
    private readonly BlockSpec spec;
    private readonly SortedDictionary<string, string> inForce = new(StringComparer.Ordinal);

    /// <summary>A reader over <paramref name="spec"/>, the model's block number <paramref name="index"/> (from 0, as weights are named).</summary>
    public BlockOptions(BlockSpec spec, int index)
    {
        ArgumentNullException.ThrowIfNull(spec);
        this.spec = spec;
        Index = index;
    }

    /// <summary>The block's position in the model, from 0.</summary>
    public int Index { get; }

    /// <summary>A whole number from <paramref name="min"/> to <paramref name="max"/>.</summary>
    /// <exception cref="InputException">The value given is not one.</exception>
    public int Int(string name, int fallback, int min, int max)
    {
        if (Ask(name, fallback.ToString(CultureInfo.InvariantCulture)) is not string text)
        {
            return fallback;
        }
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < min || value > max)
        {
            throw Refuse(name, $"is not a whole number from {min} to {max}");
        }
        inForce[name] = value.ToString(CultureInfo.InvariantCulture);
        return value;
    }

    /// <summary>A finite number from <paramref name="min"/> to <paramref name="max"/>.</summary>
    /// <exception cref="InputException">The value given is not one.</exception>
    public double Real(string name, double fallback, double min, double max)
    {
        if (Ask(name, Text(fallback)) is not string text)
        {
            return fallback;
        }
        // The comparisons are false for NaN; text past the range of a double reads as infinity.
        if (!(double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) && value >= min && value <= max))
        {
            throw Refuse(name, string.Create(CultureInfo.InvariantCulture, $"is not a number from {min} to {max}"));
        }
        inForce[name] = Text(value);
        return value;
    }

    /// <summary>True or false; an option written without a value is true.</summary>
    /// <exception cref="InputException">The value given is neither.</exception>
    public bool Flag(string name, bool fallback)
    {
        return Ask(name, fallback ? "true" : "false") switch
        {
            null => fallback,
            "true" => true,
            "false" => false,
            _ => throw Refuse(name, "is neither true nor false"),
        };
    }

    /// <summary>One of a few words.</summary>
    /// <exception cref="InputException">The value given is none of them.</exception>
    public string Choice(string name, string fallback, params IReadOnlyList<string> allowed)
    {
        ArgumentNullException.ThrowIfNull(allowed);
        string? text = Ask(name, fallback);
        return text is null ? fallback
            : allowed.Contains(text) ? text
            : throw Refuse(name, $"is not one of {string.Join(", ", allowed)}");
    }

    /// <summary>Whether the block was given the option, rather than left to its usual value.</summary>
    public bool IsGiven(string name) => spec.Find(name) is not null;

    /// <summary>
    /// The error for an option that cannot do: <c>block 3 'attention': heads=7 {reason}</c>, where the reason says why and what would,
    /// such as <c>does not divide width 256; heads that do: 1, 2, 4</c>. Throw it.
    /// </summary>
    public InputException Refuse(string option, string reason)
    {
        string value = spec.Find(option) is string given ? $"={given}"
            : inForce.TryGetValue(option, out string? usual) ? $"={usual} (the default)"
            : "";
        return new InputException($"{Where}: {option}{value} {reason}");
    }

    /// <summary>
    /// Ends the reading: every option given must have been asked for. Returns the spec with every option asked for written out, so that a
    /// checkpoint that stores it keeps its shapes even where a later version changes a default.
    /// </summary>
    /// <exception cref="InputException">An option was given that the block does not know.</exception>
    public BlockSpec Done() => DoneOr([]);

    /// <summary>The same; the message about an option that is not known proposes <paramref name="others"/> too.</summary>
    internal BlockSpec DoneOr(IReadOnlyList<string> others)
    {
        foreach (BlockOption option in spec.Options)
        {
            if (!inForce.ContainsKey(option.Name))
            {
                throw new InputException(inForce.Count + others.Count == 0
                    ? $"{Where}: unknown option '{option.Name}'; this block takes none"
                    : $"{Where}: unknown option '{option.Name}'; {NearestNames.Hint(option.Name, [.. inForce.Keys, .. others])}");
            }
        }
        return new BlockSpec(spec.Name, inForce.Select(o => new BlockOption(o.Key, o.Value)));
    }

    // One text for one number, and mixers compute in float32: 1E-05, not 1e-5 or 9.999999747378752E-06.
    private static string Text(double value) => ((float)value).ToString("R", CultureInfo.InvariantCulture);

    private string Where => $"block {Index} '{spec.Name}'";

    // Records the option and the value in force; returns the text given, or null.
    private string? Ask(string name, string fallback)
    {
        string? given = spec.Find(name);
        inForce[name] = given ?? fallback;
        return given;
    }
}
