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

    /// <summary>A block's option as a number of a configuration; null where it is not given.</summary>
    protected static JsonNode? NumberOf(BlockSpec? block, string option) =>
        double.TryParse(block?.Find(option), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) ? JsonValue.Create(value) : null;

    /// <summary>Whether a block's option is true.</summary>
    protected static JsonNode FlagOf(BlockSpec? block, string option) => JsonValue.Create(block?.Find(option) is "true");

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
    protected static void MapEnds(ModelConfig model, WeightMap map, string embedding, string norm, string head = "lm_head.weight")
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
}
