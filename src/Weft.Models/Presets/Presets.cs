using Weft.Tensors;

namespace Weft.Models;

/// <summary>A named model: what it is in a line, and its configuration.</summary>
public sealed record Preset(string Name, string Description, ModelConfig Config);

/// <summary>The models that come with Weft, sized for bytes on a small machine, and how a person's word for a model is understood.</summary>
public static class Presets
{
    /// <summary>The width of a model given by its pattern alone.</summary>
    public const int DefaultWidth = 128;

    /// <summary>The width of the presets.</summary>
    private const int Width = 96;

    /// <summary>Every preset: models of several kinds of block, then one of each mixer, named after it.</summary>
    public static IReadOnlyList<Preset> All { get; } =
    [
        Row("transformer", "Attention over the whole context and SwiGLU, in turn", "(attention[head-dim=32] swiglu)*4"),
        Row("hybrid", "Three Mamba-2 layers to one of attention", "(3*mamba2[state=64] attention[head-dim=32])*2"),
        Row("window", "Attention over the last 128 bytes only, and SwiGLU", "(attention[head-dim=32, window=128] swiglu)*4"),
        Row("nope", "Attention that is told no positions, and SwiGLU", "(attention[head-dim=32, positions=none] swiglu)*4"),
        Row("alibi", "Attention that favours the near by a slope a head, and SwiGLU", "(attention[head-dim=32, positions=alibi] swiglu)*4"),
        .. BlockTable.Names.Select(name => (Name: name, Info: BlockTable.Of(name))).Where(b => b.Info.Preset is not null)
            .Select(b => Row(b.Name, b.Info.Title, b.Info.Preset!)),
    ];

    /// <summary>The preset of that name, or null.</summary>
    public static Preset? Find(string name) => All.FirstOrDefault(p => p.Name == name);

    /// <summary>
    /// The model that a word means: a preset's name, else the path of a <c>.json</c> file, else a pattern's text.
    /// </summary>
    /// <param name="model">The word.</param>
    /// <param name="width">The width to use in place of the preset's, the file's or <see cref="DefaultWidth"/>.</param>
    /// <param name="knownBlocks">The block names that exist, or null to take any.</param>
    /// <exception cref="InputException">It means none; the message gives the nearest names, or what is wrong with the pattern or file.</exception>
    public static ModelConfig Resolve(string model, int? width = null, IReadOnlyCollection<string>? knownBlocks = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        string word = model.Trim();
        ModelConfig config = Find(word)?.Config
            ?? (word.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? ModelConfig.Load(word, knownBlocks) : FromPattern(word, knownBlocks));
        return width is int given ? config with { Width = given } : config;
    }

    private static ModelConfig FromPattern(string text, IReadOnlyCollection<string>? knownBlocks)
    {
        // A lone word is more likely a name misspelt than a pattern of one block.
        if (knownBlocks is not null && text.All(PatternText.IsNamePart) && !knownBlocks.Contains(text))
        {
            IEnumerable<string> names = All.Select(p => p.Name).Union(knownBlocks);
            throw new InputException($"unknown model {PatternText.Quote(text)}; {NearestNames.Hint(text, names)}; "
                + "give a preset (hybrid), a pattern ('(3*mamba2 attention)*4') or a file (model.json)");
        }
        Pattern pattern = Pattern.Parse(text, knownBlocks);
        string name = pattern.ToString();
        return new ModelConfig
        {
            Name = name.Length <= ModelConfig.MaxName ? name : $"{name[..(ModelConfig.MaxName - 3)]}...",
            Width = DefaultWidth,
            Blocks = pattern,
        };
    }

    private static Preset Row(string name, string description, string pattern)
    {
        return new Preset(name, description, new ModelConfig { Name = name, Width = Width, Blocks = Pattern.Parse(pattern) });
    }
}
