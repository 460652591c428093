using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// RWKV-4 (arXiv 2305.13048): time mix and channel mix in turn, layer norms before them and after the embedding.
/// For inference transformers halves the stream after every <c>rescale_every</c> layers, so that float16 does not overflow, and as often what
/// later layers add to it. That changes nothing but how much the norms' epsilon counts: scales of the blocks say the same.
/// </summary>
internal sealed class Rwkv4Family : Family
{
    private const double Epsilon = 1e-5; // of the last norm, whatever the configuration says of the others

    public override string ModelType => "rwkv";

    public override string Architecture => "RwkvForCausalLM";

    public override ModelConfig Read(HfConfig config)
    {
        HfConfig c = config.Spelled(("max_position_embeddings", "context_length"));
        int width = c.Int("hidden_size"), layers = LayerCount(c), every = c.Int("rescale_every", 6);
        int channels = c.Int("attention_hidden_size", width), hidden = c.Int("intermediate_size", 4 * Math.Min(width, 1 << 20));
        if ((float)c.Real("layer_norm_epsilon", Epsilon) != (float)Epsilon)
        {
            throw c.Bad("layer_norm_epsilon", "1e-5 alone is supported, which is what the last norm has in any case");
        }

        return Base(c, Enumerable.Range(0, layers).SelectMany(Blocks), "layer_norm_epsilon", epsilon: Epsilon) with
        {
            EmbeddingNorm = NormKind.Layer,
            FinalNorm = NormKind.Layer,
        };

        BlockSpec[] Blocks(int i)
        {
            int halvings = every > 0 ? i / every : 0;
            bool halves = every > 0 && (i + 1) % every == 0;
            return
            [
                Spec.Of("rwkv4", ("channels", channels), ("pre-norm", "layer"), ("branch-scale", Scale(halvings))),
                Spec.Of("rwkv4-channels", ("hidden", hidden), ("pre-norm", "layer"), ("branch-scale", Scale(halves ? halvings + 1 : halvings)), ("residual-scale", Scale(halves ? 1 : 0))),
            ];
        }

        static object? Scale(int halvings) => halvings == 0 ? null : Math.Pow(2, -Math.Min(halvings, 100));
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        map["embedding.weight"] = "rwkv.embeddings.weight";
        MapWhole(map, "embedding_norm.", "rwkv.blocks.0.pre_ln.", bias: true);
        MapWhole(map, "norm.", "rwkv.ln_out.", bias: true);
        MapHead(model, map, "head.weight");
        foreach (Layer layer in LayersOf(model, "rwkv.blocks."))
        {
            MapWhole(map, layer.First + "norm.", layer.Theirs + "ln1.", bias: true);
            MapMixer(layer.First + "mixer.", layer.Theirs + "attention.", ["key", "value", "receptance"], "output.weight", "time_decay", "time_first");
            MapWhole(map, layer.Second + "norm.", layer.Theirs + "ln2.", bias: true);
            MapMixer(layer.Second + "mixer.", layer.Theirs + "feed_forward.", ["key", "receptance"]);
        }

        void MapMixer(string ours, string theirs, string[] mixed, params string[] more)
        {
            foreach (string name in (string[])["key.weight", "value.weight", "receptance.weight", .. more])
            {
                map[ours + name] = theirs + name;
            }

            map[ours + "time_mix"] = WeightSource.Stack(mixed.Select(m => WeightSource.Of($"{theirs}time_mix_{m}", 1).As(1, 1, model.Width)));
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        int[] halving = [.. model.Blocks.Index().Where(b => b.Item.Find("residual-scale") is not null).Select(b => b.Index)];
        return model.Blocks.Count < 2 || model.Blocks[0].Name != "rwkv4" || model.Blocks[1].Name != "rwkv4-channels" ? null : new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["attention_hidden_size"] = new BlockOptions(model.Blocks[0], 0).Int("channels", model.Width, 1, int.MaxValue),
            ["intermediate_size"] = new BlockOptions(model.Blocks[1], 1).Int("hidden", 4 * model.Width, 1, int.MaxValue),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["layer_norm_epsilon"] = model.NormEpsilon,
            ["rescale_every"] = halving.Length == 0 ? 0 : (halving[0] / 2) + 1,
            ["context_length"] = Math.Max(1024, model.Context),
        };
    }
}
