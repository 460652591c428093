using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Zamba2 (arXiv 2411.15242): layers of Mamba-2, before some of which a Transformer block reads the stream and the embedded tokens and
/// adds its output to what the layer reads. The Transformer blocks' weights are few sets that take turns; each use has its own adapters.
/// </summary>
internal sealed class Zamba2Family : Family
{
    private const string Inside = ".shared_transformer.";

    // What has adapters.
    private static readonly string[] Adapted = ["feed_forward.gate_up_proj", "self_attn.linear_q", "self_attn.linear_k", "self_attn.linear_v"];

    public override string ModelType => "zamba2";

    public override string Architecture => "Zamba2ForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        var blocks = new List<BlockSpec>();
        int uses = 0;
        foreach (bool hybrid in Hybrids(c))
        {
            if (hybrid)
            {
                blocks.Add(Shared(c, uses++ % Sets(c)));
            }

            blocks.Add(Mamba(c));
        }

        return Base(c, blocks, tied: true, epsilon: 1e-5);
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.final_layernorm.weight");
        bool[] hybrids = Hybrids(c);
        string[] places = [.. hybrids.Index().Where(h => h.Item).Select(h => $"model.layers.{h.Index}.shared_transformer.")];
        string[] homes = Homes(places, Sets(c), map);
        HashSet<string> copies = [.. places.Except(homes)];
        map.Ignore(key => key.IndexOf(Inside, StringComparison.Ordinal) is >= 0 and int at && copies.Contains(key[..(at + Inside.Length)]));

        // A layer with a set of its own still has the adapters of all uses that would share it.
        HashSet<string> adapters = [.. homes.SelectMany((home, set) => places.Index().Where(p => p.Index % homes.Length != set)
            .SelectMany(p => Adapted.Select(kind => $"{home}{kind}_adapter_list.{p.Index}.")))];
        map.Ignore(key => key.LastIndexOf("weight", StringComparison.Ordinal) is > 2 and int at && adapters.Contains(key[..(at - 2)]));
        int uses = 0, block = 0;
        for (int i = 0; i < hybrids.Length; i++)
        {
            string layer = $"model.layers.{i}.", ours = $"blocks.{block}.";
            if (hybrids[i])
            {
                MapShared(model.Blocks[block], map, ours + "mixer.", homes[uses % homes.Length], uses, isFirst: uses < homes.Length);
                map[ours + "mixer.linear.weight"] = layer + "linear.weight";
                uses++;
                block++;
                (layer, ours) = (layer + "mamba_decoder.", $"blocks.{block}.");
            }

            map[ours + "norm.weight"] = layer + "input_layernorm.weight";
            Mamba2Family.MapMixer(model.Blocks[block], model.Width, map, ours + "mixer.", layer + "mamba.");
            block++;
        }
    }

    // Where each set lies: as a rule under the first layer that uses it. Under the others are copies, or nothing.
    private static string[] Homes(string[] places, int sets, WeightMap map) =>
        [.. places.Take(sets).Select((first, set) => places.Where((_, use) => use % sets == set).FirstOrDefault(p => map.Has(p + "input_layernorm.weight"), first))];

    private static void MapShared(BlockSpec block, WeightMap map, string ours, string theirs, int use, bool isFirst)
    {
        (string attention, string mlp) = (theirs + "self_attn.", theirs + "feed_forward.");
        if (isFirst)
        {
            int queries = Number(block, "heads") * Number(block, "head-dim"), keys = Number(block, "kv-heads") * Number(block, "head-dim");
            map[ours + "shared.norm.weight"] = theirs + "input_layernorm.weight";
            map[ours + "shared.qkv_proj.weight"] = LlamaFamily.Qkv(attention, queries, keys);
            map[ours + "shared.out_proj.weight"] = attention + "o_proj.weight";
            map[ours + "shared.mlp_norm.weight"] = theirs + "pre_ff_layernorm.weight";
            MapWhole(map, ours + "shared.gate_up_proj.", mlp + "gate_up_proj.", IsSet(block, "bias"));
            MapWhole(map, ours + "shared.down_proj.", mlp + "down_proj.", IsSet(block, "bias"));
        }

        int rank = Number(block, "adapter-rank");
        map[ours + "mlp_adapter_in.weight"] = $"{mlp}gate_up_proj_adapter_list.{use}.0.weight";
        map[ours + "mlp_adapter.weight"] = $"{mlp}gate_up_proj_adapter_list.{use}.1.weight";
        if (IsSet(block, "attention-adapters"))
        {
            map[ours + "qkv_adapter_in.weight"] = WeightSource.Stack("qkv".Select(x => WeightSource.Of($"{attention}linear_{x}_adapter_list.{use}.0.weight", rank)));
            foreach (char x in "qkv")
            {
                map[$"{ours}{x}_adapter.weight"] = $"{attention}linear_{x}_adapter_list.{use}.1.weight";
            }
        }
    }

    // Which layers have a Transformer block.
    private static bool[] Hybrids(HfConfig c)
    {
        const string Key = "layers_block_type";
        string[] kinds = CommonKeys.LayerKinds(c, Key, LayerCount(c), "hybrid", "linear_attention") ?? throw c.Bad(Key, "it is missing");
        return Array.ConvertAll(kinds, kind => kind == "hybrid");
    }

    // The reference shares the Transformer blocks' weights only where it ties the embeddings too; else each layer has its own.
    private static int Sets(HfConfig c) => c.Int("num_mem_blocks", 1) is not (>= 1 and int sets) ? throw c.Bad("num_mem_blocks", "a number from 1 on is expected")
        : c.Flag("tie_word_embeddings", true) ? sets : Math.Max(1, Hybrids(c).Count(h => h));

    private static BlockSpec Shared(HfConfig c, int number)
    {
        int width = c.Int("hidden_size"), heads = c.Int("num_attention_heads"), inputs = MambaFamily.Times(2, width);
        if (c.Int("attention_hidden_size", inputs) != inputs)
        {
            throw c.Bad("attention_hidden_size", $"other than twice hidden_size, {inputs}, is not supported");
        }

        int headDim = c.Int("attention_head_dim", inputs / Math.Max(1, heads)), hidden = c.Int("intermediate_size", 0), rank = c.Int("adapter_rank", 128);
        return Spec.Of("shared-transformer",
        [
            ("with-embedding", true), ("to-next", true), ("pre-norm", "none"), ("number", number), ("heads", heads), ("kv-heads", c.Int("num_key_value_heads", heads)), ("head-dim", headDim),
            .. c.Flag("use_mem_rope", false) ? Rotary.Whole(c, headDim) : [("rope-theta", 0)],
            ("hidden", hidden == 0 ? MambaFamily.Times(4, width) : hidden), ("activation", CommonKeys.Activation(c, "hidden_act", "gelu")), ("bias", Set(c.Flag("add_bias_linear", false))),
            ("adapter-rank", rank > 0 ? rank : throw c.Bad("adapter_rank", "a number from 1 on is expected")),
            ("attention-adapters", Set(c.Flag("use_shared_attention_adapter", false))), ("norm-epsilon", c.Real("rms_norm_eps", 1e-5)),
        ]);
    }

    // dt has a lower bound only; the convolution always has a bias; the norm's epsilon is no key.
    private static BlockSpec Mamba(HfConfig c)
    {
        int width = c.Int("hidden_size"), expand = c.Int("mamba_expand", 2), inner = MambaFamily.Times(expand, width), heads = c.Int("n_mamba_heads", 8);
        int headDim = c.Int("mamba_headdim", inner / Math.Max(1, heads));
        return Spec.Of("mamba2",
        [
            ("state", c.Int("mamba_d_state", 64)), ("head-dim", headDim), .. MambaFamily.Inner(width, expand, Mamba2Family.Inner(c, inner, "n_mamba_heads", heads, headDim)),
            ("groups", c.Int("mamba_ngroups", 1)), ("conv", c.Int("mamba_d_conv", 4)), ("bias", Set(c.Flag("add_bias_linear", false))),
            ("norm-epsilon", 1e-5), ("dt-min", c.Real("time_step_min", 0.001)),
        ]);
    }
}
