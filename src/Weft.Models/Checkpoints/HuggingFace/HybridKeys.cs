using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Keys that hybrids of attention and Mamba have in common.</summary>
internal static class HybridKeys
{
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
    /// <exception cref="InputException">A kind is none of <paramref name="known"/>.</exception>
    public static string[]? Layers(HfConfig c, string key, params ReadOnlySpan<string> known)
    {
        string[]? kinds = c.Texts(key);
        for (int i = 0; i < kinds?.Length; i++)
        {
            kinds[i] = kinds[i] switch { "mamba" => "linear_attention", "attention" => "full_attention", string kind => kind };
            if (!known.Contains(kinds[i]))
            {
                throw c.Bad(key, $"{PatternText.Quote(kinds[i])} is not supported; what is: {string.Join(", ", known.ToArray())}");
            }
        }

        return kinds;
    }
}
