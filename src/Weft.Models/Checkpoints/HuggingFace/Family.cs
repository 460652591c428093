using System.Globalization;
using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// A family of published checkpoints: how its configuration becomes a pattern of blocks, and which of its tensors make their parameters.
/// </summary>
public abstract class Family
{
    /// <summary>The <c>model_type</c> of its configurations.</summary>
    public abstract string ModelType { get; }

    /// <summary>The class that transformers loads it by.</summary>
    public abstract string Architecture { get; }

    /// <summary>Whether a configuration is of this family.</summary>
    public virtual bool Takes(HfConfig config) => config.Text("model_type", "") == ModelType;

    /// <summary>The part of a configuration that describes the language model: the whole, but for models that see too.</summary>
    public virtual HfConfig Language(HfConfig config) => config;

    /// <summary>The model that a configuration describes, but for its name.</summary>
    /// <exception cref="InputException">It asks for what Weft does not compute, or lacks a key; the message names the file and the key.</exception>
    public abstract ModelConfig Read(HfConfig config);

    /// <summary>Says which tensors make each parameter of the model that <see cref="Read"/> described.</summary>
    public abstract void Map(HfConfig config, ModelConfig model, WeightMap map);

    /// <summary>
    /// The configuration that describes a model of ours; null where this family cannot. What it gives need not be checked: it is only
    /// taken if <see cref="Read"/> makes the same model of it.
    /// </summary>
    public virtual JsonObject? Describe(ModelConfig model) => null;

    /// <summary>
    /// A layer of two blocks, one that mixes tokens and one that mixes channels, with what stands before the names of each one's parameters
    /// and before the keys of the layer's tensors.
    /// </summary>
    private protected readonly record struct Layer(BlockSpec Mixer, BlockSpec Channels, string First, string Second, string Theirs)
    {
        /// <summary>Whether its mixer is attention.</summary>
        public bool Attends => Mixer.Name == "attention";
    }

    /// <summary>The layers of a model that has two blocks in each; the keys of the first one's tensors begin with <paramref name="prefix"/> and 0.</summary>
    private protected static IEnumerable<Layer> LayersOf(ModelConfig model, string prefix = "model.layers.") => Enumerable.Range(0, model.Blocks.Count / 2)
        .Select(i => new Layer(model.Blocks[2 * i], model.Blocks[(2 * i) + 1], $"blocks.{2 * i}.", $"blocks.{(2 * i) + 1}.", $"{prefix}{i}."));

    /// <summary>The blocks of layers that have two each.</summary>
    private protected static IEnumerable<BlockSpec> Pairs(int layers, Func<int, BlockSpec> mixer, Func<int, BlockSpec> channels) =>
        Enumerable.Range(0, layers).SelectMany<int, BlockSpec>(i => [mixer(i), channels(i)]);

    /// <summary>A word for each layer's mixer, as layer_types and its like list them.</summary>
    private protected static JsonArray KindsOf(ModelConfig model, Func<Layer, string> kind) => new([.. LayersOf(model).Select(l => JsonValue.Create(kind(l)))]);

    /// <summary>The first block of a name; null where there is none.</summary>
    private protected static BlockSpec? Find(ModelConfig model, string name) => model.Blocks.FirstOrDefault(b => b.Name == name);

    /// <summary>An option that is written only where it is true.</summary>
    internal static object? Set(bool flag) => flag ? true : null;

    /// <summary>Whether a block's option is true.</summary>
    private protected static bool IsSet(BlockSpec? block, string option) => block?.Find(option) is "true";

    /// <summary>A whole number that a block is sure to have, since <see cref="Read"/> wrote it.</summary>
    private protected static int Number(BlockSpec block, string option) => int.Parse(block.Find(option)!, CultureInfo.InvariantCulture);

    /// <summary>A block's option as a number of a configuration; null where it is not given.</summary>
    protected static JsonNode? NumberOf(BlockSpec? block, string option) =>
        double.TryParse(block?.Find(option), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) ? JsonValue.Create(value) : null;

    /// <summary>Whether a block's option is true, for a configuration.</summary>
    protected static JsonNode FlagOf(BlockSpec? block, string option) => JsonValue.Create(IsSet(block, option));

    /// <summary>The rotary positions of an attention block of which perhaps only a part of each head's columns turns.</summary>
    private protected static JsonObject RotaryOf(BlockSpec? attention)
    {
        double headDim = NumberOf(attention, "head-dim")?.GetValue<double>() ?? 1, rotary = NumberOf(attention, "rotary")?.GetValue<double>() ?? 0;
        return new()
        {
            ["rope_type"] = "default",
            ["rope_theta"] = NumberOf(attention, "rope-theta"),
            ["partial_rotary_factor"] = rotary == 0 ? 1 : (rotary + 0.5) / headDim, // whole columns, whatever the rounding
        };
    }

    /// <summary>What all families have: sizes, tying, the norms' epsilon, the end of text.</summary>
    protected static ModelConfig Base(HfConfig c, IEnumerable<BlockSpec> blocks, string epsilonKey = "rms_norm_eps", bool tied = false, double epsilon = 1e-6) => new()
    {
        Name = "model",
        Vocabulary = c.Int("vocab_size"),
        Width = c.Int("hidden_size"),
        Blocks = new Pattern(blocks),
        TieEmbeddings = c.Flag("tie_word_embeddings", tied),
        NormEpsilon = (float)c.Real(epsilonKey, epsilon),
        Context = Math.Clamp(c.Int("max_position_embeddings", 1024), 1, 1024),
        EndOfText = c.Ints("eos_token_id") is [int end, ..] ? end : -1,
    };

    /// <summary>The number of layers.</summary>
    /// <exception cref="InputException">There are none, or too many.</exception>
    protected static int LayerCount(HfConfig c, string key = "num_hidden_layers") => c.Int(key) is >= 1 and <= Pattern.MaxBlocks and int count ? count
        : throw c.Bad(key, $"a number from 1 to {Pattern.MaxBlocks} is expected");

    /// <summary>The embedding, the last norm and - unless it is tied - the head.</summary>
    protected static void MapEnds(ModelConfig model, WeightMap map, string embedding, WeightSource norm, string head = "lm_head.weight")
    {
        map["embedding.weight"] = embedding;
        map["norm.weight"] = norm;
        MapHead(model, map, head);
    }

    /// <summary>The head; where it is tied, a copy of it in the checkpoint is left aside.</summary>
    protected static void MapHead(ModelConfig model, WeightMap map, string head = "lm_head.weight")
    {
        if (model.TieEmbeddings)
        {
            map.Ignore(key => key == head);
        }
        else
        {
            map["head.weight"] = head;
        }
    }
    /// <summary>A mixer that is attention or Mamba, and the norm before it, under the keys that most hybrids of them have.</summary>
    private protected static void MapAttentionOrMamba(Layer layer, int width, WeightMap map)
    {
        string ours = layer.First + "mixer.", mamba = layer.Theirs + "mamba.";
        map[layer.First + "norm.weight"] = layer.Theirs + "input_layernorm.weight";
        switch (layer.Mixer.Name)
        {
            case "attention":
                LlamaFamily.MapAttention(layer.Mixer, width, map, ours, layer.Theirs + "self_attn.");
                break;
            case "mamba":
                MambaFamily.MapMixer(layer.Mixer, width, map, ours, mamba);
                break;
            default:
                Mamba2Family.MapMixer(layer.Mixer, width, map, ours, mamba);
                break;
        }
    }

    /// <summary>What a linear map or a norm holds.</summary>
    private protected static string[] WeightAndBias(bool bias) => bias ? ["weight", "bias"] : ["weight"];

    /// <summary>A linear map or a norm that is the same in the checkpoint, with its bias where it has one.</summary>
    private protected static void MapWhole(WeightMap map, string ours, string theirs, bool bias)
    {
        foreach (string what in WeightAndBias(bias))
        {
            map[ours + what] = theirs + what;
        }
    }
}
