using System.Text;
using System.Text.Json.Nodes;
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

    /// <summary>Which tensors of a checkpoint make which parameters; its keys, with their shapes, are those for which <paramref name="shapeOf"/> is not null.</summary>
    public WeightMap Map(Func<string, long[]?> shapeOf)
    {
        var map = new WeightMap(shapeOf);
        Family.Map(Config, Model, map);
        return map;
    }

    /// <summary>
    /// The folder's configuration and family for a model of ours: those of <paramref name="source"/>, where that describes the model, else those of
    /// the first family that does.
    /// </summary>
    /// <exception cref="InputException">None does.</exception>
    internal static HuggingFaceFolder For(LanguageModel model, HfConfig? source, string path)
    {
        if (source is not null && Describes(source, Families.Of(source), model))
        {
            return new HuggingFaceFolder(path, source);
        }

        foreach (Family family in Families.All)
        {
            if (family.Describe(model.Config) is { } json)
            {
                json["model_type"] = family.ModelType;
                json["architectures"] = new JsonArray(family.Architecture);
                json["vocab_size"] = model.Config.Vocabulary;
                json["tie_word_embeddings"] = model.Config.TieEmbeddings;
                HfConfig config = HfConfig.Read(Encoding.UTF8.GetBytes(json.ToJsonString()), Path.Combine(path, ModelFolder.ConfigFile));
                if (Describes(config, family, model))
                {
                    return new HuggingFaceFolder(path, config);
                }
            }
        }

        throw new InputException($"no family describes the model {PatternText.Quote(model.Config.Blocks.ToString())}; what they do describe: (attention swiglu)*6, mamba*6, mamba2*6 and the like, and what was imported");
    }

    // Whether a configuration gives the model: all but its name and training, every option of its blocks counted.
    private static bool Describes(HfConfig config, Family family, LanguageModel model)
    {
        try
        {
            ModelConfig read = family.Read(config);
            LanguageModel made = LanguageModel.Blank(read, model.Device, 2 * model.ParameterCount());
            return made.BlocksInForce.Equals(model.BlocksInForce)
                && read with { Blocks = model.Config.Blocks, Name = model.Config.Name, Context = model.Config.Context } == model.Config;
        }
        catch (InputException)
        {
            return false;
        }
    }

    /// <summary>Writes the configuration and a model's weights into a folder that is being published.</summary>
    internal void Write(LanguageModel model, string folder)
    {
        AtomicFile.WriteAllBytes(Path.Combine(folder, ModelFolder.ConfigFile), Config.ToJson());
        WeightLoader.Save(Path.Combine(folder, ModelFolder.WeightsFile), model, Map(_ => null));
    }

    private static string NameOf(string path)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        name = new string([.. name.Where(c => !char.IsControl(c)).Take(ModelConfig.MaxName)]);
        return name.Length > 0 ? name : "model";
    }
}
