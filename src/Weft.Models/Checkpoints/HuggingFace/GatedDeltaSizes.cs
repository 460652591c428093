namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>The sizes of gated delta nets as the configurations of Qwen3-Next and its relatives give them.</summary>
internal readonly record struct GatedDeltaSizes(int Heads, int KeyHeads, int KeyWidth, int ValueWidth, int Conv)
{
    /// <summary>Reads the sizes; what is not given is as given here.</summary>
    public static GatedDeltaSizes Of(HfConfig c, int heads = 32, int keyHeads = 16, int? keyWidth = 128, int? valueWidth = 128)
    {
        keyHeads = c.Int("linear_num_key_heads", keyHeads);
        int key = c.Int("linear_key_head_dim", keyWidth ?? (int)(0.75 * c.Int("hidden_size") / Math.Max(1, keyHeads)));
        return new(c.Int("linear_num_value_heads", heads), keyHeads, key, c.Int("linear_value_head_dim", valueWidth ?? 2 * key), c.Int("linear_conv_kernel_dim", 4));
    }

    /// <summary>The columns of all queries, and as many of keys.</summary>
    public int Keys => KeyHeads * KeyWidth;

    /// <summary>The columns of all values, and as many of gates.</summary>
    public int Values => Heads * ValueWidth;

    /// <summary>The channels of the convolution: queries, keys, values.</summary>
    public int Channels => (2 * Keys) + Values;

    /// <summary>The block.</summary>
    public BlockSpec Block(double epsilon, bool negative = false) => Spec.Of("gated-deltanet", ("heads", Heads), ("key-heads", KeyHeads), ("head-dim", KeyWidth),
        ("value-dim", ValueWidth), ("conv", Conv), ("norm-epsilon", epsilon), ("negative-eigenvalues", Family.Set(negative)));
}
