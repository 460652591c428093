using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>The parameters of a folder that are held in one form.</summary>
/// <param name="Type">The form, as safetensors names it: F32, BF16, ...</param>
/// <param name="Parameters">Their number.</param>
/// <param name="Bytes">Their bytes in the files.</param>
public readonly record struct HeldWeights(string Type, long Parameters, long Bytes);

/// <summary>What a model folder of either kind holds, told without reading a weight: names and shapes are checked, values are not looked at.</summary>
public sealed class ModelSummary
{
    private readonly LanguageModel model; // without values

    private ModelSummary(LanguageModel model, Family? family, IReadOnlyList<HeldWeights> weights, bool readsBytes) => (this.model, Family, Weights, ReadsBytes) = (model, family, weights, readsBytes);

    /// <summary>Reads a folder's configuration and the headers of its files.</summary>
    /// <exception cref="InputException">It holds no model; the message names the file, the key and the reason.</exception>
    public static ModelSummary Read(string path, Device device)
    {
        (ModelConfig config, Func<LanguageModel, WeightFile, WeightMap> map, HuggingFaceFolder? published) = ModelFolder.Describe(path);
        using WeightFile file = ModelFolder.OpenWeights(path);
        LanguageModel model = WeightLoader.Build(Path.Combine(path, ModelFolder.ConfigFile), config, m => map(m, file), file, device, out _);
        HeldWeights[] weights = [.. file.Names.Select(file.Info).GroupBy(e => e.Type).OrderByDescending(g => g.Sum(e => e.ByteCount))
            .Select(g => new HeldWeights(SafetensorsEntry.TypeName(g.Key), g.Sum(e => e.Count), g.Sum(e => e.ByteCount)))];
        return new ModelSummary(model, published?.Family, weights, published is null && !ModelFolder.HasTokenizer(path));
    }

    /// <summary>The model as data.</summary>
    public ModelConfig Config => model.Config;

    /// <summary>The family of a published checkpoint; null for a folder in Weft's own format.</summary>
    public Family? Family { get; }

    /// <summary>Whether its tokens are bytes.</summary>
    public bool ReadsBytes { get; }

    /// <summary>The forms of the tensors in the files, the largest first.</summary>
    public IReadOnlyList<HeldWeights> Weights { get; }

    /// <summary>The number of learned values.</summary>
    public long Parameters => model.ParameterCount();

    /// <summary>What it takes to run <paramref name="tokens"/> tokens of one sequence after <paramref name="context"/> earlier ones.</summary>
    public Cost Cost(int tokens, int context) => model.Cost(tokens, context);
}
