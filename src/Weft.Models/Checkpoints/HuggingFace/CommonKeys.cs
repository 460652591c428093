using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>What several families' configurations say in the same words.</summary>
internal static class CommonKeys
{
    private const string Full = "full_attention", Linear = "linear_attention";

    /// <summary>The word for an activation that transformers names.</summary>
    /// <exception cref="InputException">It is another than those that Weft computes.</exception>
    public static string Activation(HfConfig c, string key, string usual)
    {
        c.Require(key, [usual, "silu", "swish", "gelu", "gelu_python", "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_accurate", "relu", "relu2"]);
        return c.Text(key, usual) switch
        {
            "swish" => "silu",
            "gelu_python" => "gelu",
            string word when word.StartsWith("gelu_", StringComparison.Ordinal) => "gelu-tanh",
            string word => word,
        };
    }

    /// <summary>The heads of keys and values, as families that have a usual number of them say it: null is as many as heads.</summary>
    public static int KeyHeads(HfConfig c, int usual) =>
        c.Json.TryGetProperty("num_key_value_heads", out _) ? c.Int("num_key_value_heads", c.Int("num_attention_heads")) : usual;

    /// <summary>The kinds of layers under a key, whole, in the words of transformers 5; null where it is not given.</summary>
    /// <exception cref="InputException">A kind is none of <paramref name="known"/>, or there are not <paramref name="count"/>, where that is known.</exception>
    public static string[]? LayerKinds(HfConfig c, string key, int? count, params string[] known)
    {
        string[]? kinds = c.Texts(key);
        return kinds is null ? null
            : count is not null && kinds.Length != count ? throw c.Bad(key, $"it names {kinds.Length} layers of {count}")
            : Array.ConvertAll(kinds, given => given switch { "mamba" => Linear, "attention" => Full, _ => given } is string kind && known.Contains(kind) ? kind
                : throw c.Bad(key, $"{PatternText.Quote(given)} is not supported; what is: {string.Join(", ", known)}"));
    }

    /// <summary>Which layers have a linear mixer, and which softmax attention: as layer_types says, or else <paramref name="usual"/>.</summary>
    public static bool[] LinearLayers(HfConfig c, int count, Func<int, bool> usual) =>
        [.. LayerKinds(c, "layer_types", count, Full, Linear)?.Select(kind => kind == Linear) ?? Enumerable.Range(0, count).Select(usual)];

    /// <summary>The word for a layer whose mixer is attention, or is linear.</summary>
    public static string LayerKind(bool attends) => attends ? Full : Linear;
}
