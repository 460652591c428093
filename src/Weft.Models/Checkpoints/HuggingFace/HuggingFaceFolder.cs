using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// A folder with a published checkpoint: transformers' <c>config.json</c>, the weights in any of the forms that <see cref="WeightFile"/> reads,
/// perhaps a <c>tokenizer.json</c>. It may come from anyone: every name and shape is checked before weights are read, and no more memory
/// is taken than its files justify.
/// </summary>
public sealed class HuggingFaceFolder
{
    private readonly string path;

    private HuggingFaceFolder(string path, HfConfig config)
    {
        (this.path, Config) = (path, config);
        Family = Families.Of(config);
        try
        {
            Model = Family.Read(config) with { Name = NameOf(path) };
        }
        catch (InputException e) when (!e.Message.Contains(config.Path, StringComparison.Ordinal))
        {
            throw WeightFile.Bad(config.Path, e.Message, e);
        }
    }

    /// <summary>Reads the configuration of a folder.</summary>
    /// <exception cref="InputException">It has none, or one that is not supported.</exception>
    public static HuggingFaceFolder Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return new HuggingFaceFolder(path, HfConfig.Load(Path.Combine(path, ModelFolder.ConfigFile)));
    }

    /// <summary>The configuration, as the folder has it.</summary>
    public HfConfig Config { get; }

    /// <summary>The family that it is of.</summary>
    public Family Family { get; }

    /// <summary>The same model as data of ours.</summary>
    public ModelConfig Model { get; }

    /// <summary>Which tensors of a checkpoint with these keys make which parameters.</summary>
    public WeightMap Map(Func<string, bool> has)
    {
        var map = new WeightMap(has);
        Family.Map(Config, Model, map);
        return map;
    }

    /// <summary>Builds the model and reads its weights. Matrices that the folder holds in bfloat16 stay so, unless they are to be <paramref name="learned"/>.</summary>
    /// <exception cref="InputException">A file cannot be read, or a tensor is missing, has another shape, or is one too many; the message names file and tensor.</exception>
    public LanguageModel Load(Device device, bool learned = false)
    {
        using WeightFile file = WeightFile.Open(path);
        return WeightLoader.Load(Config.Path, Model, _ => Map(file.Contains), file, device, learned);
    }

    private static string NameOf(string path)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        name = new string([.. name.Where(c => !char.IsControl(c)).Take(ModelConfig.MaxName)]);
        return name.Length > 0 ? name : "model";
    }
}
