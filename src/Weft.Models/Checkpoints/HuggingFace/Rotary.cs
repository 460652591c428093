using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Rotary positions as configurations give them: under rope_parameters, or in older files as rope_theta, rope_scaling and partial_rotary_factor.</summary>
internal static class Rotary
{
    /// <summary>The options of an attention block whose heads have <paramref name="headDim"/> columns.</summary>
    /// <exception cref="InputException">A kind of scaling that Weft does not compute.</exception>
    public static (string Name, object? Value)[] Options(HfConfig c, int headDim, double theta = 10000, double part = 1)
    {
        HfConfig? rope = c.Object("rope_scaling") ?? c.Object("rope_parameters"); // the older name counts where both are given
        theta = rope?.Real("rope_theta", c.Real("rope_theta", theta)) ?? c.Real("rope_theta", theta);
        part = rope?.Real("partial_rotary_factor", c.Real("partial_rotary_factor", part)) ?? c.Real("partial_rotary_factor", part);
        int rotary = (int)(headDim * part);
        if (rotary == 0)
        {
            return [("rope-theta", 0)]; // no column turns
        }

        return [("rope-theta", theta), ("rotary", rotary == headDim ? null : rotary), .. rope is null ? [] : Scaling(c, rope)];
    }

    /// <summary>The same where all of a head's columns turn, whatever partial_rotary_factor says.</summary>
    public static (string Name, object? Value)[] Whole(HfConfig c, int headDim, double theta = 10000) => [.. Options(c, headDim, theta).Where(o => o.Name != "rotary")];

    private static (string Name, object? Value)[] Scaling(HfConfig c, HfConfig scaling)
    {
        string key = scaling.Has("rope_type") || !scaling.Has("type") ? "rope_type" : "type";
        scaling.Require(key, "default", "linear", "llama3", "yarn");
        string kind = scaling.Text(key, "default");
        if (kind == "default")
        {
            return [];
        }

        int longest = c.Int("max_position_embeddings", 0), original = scaling.Int("original_max_position_embeddings", longest);
        double factor = scaling.Real("factor", kind == "yarn" && original > 0 ? (double)longest / original : null);
        return kind switch
        {
            "linear" => [("rope-scaling", kind), ("rope-factor", factor)],
            "llama3" =>
            [
                ("rope-scaling", kind), ("rope-factor", factor), ("rope-low", scaling.Real("low_freq_factor")),
                ("rope-high", scaling.Real("high_freq_factor")), ("rope-original", original),
            ],
            _ => !scaling.Flag("truncate", true) ? throw scaling.Bad("truncate", "false is not supported")
                :
                [
                    ("rope-scaling", kind), ("rope-factor", factor), ("rope-low", scaling.Real("beta_slow", 1)), ("rope-high", scaling.Real("beta_fast", 32)),
                    ("rope-original", original), ("rope-amplitude", Amplitude(scaling, factor)),
                ],
        };
    }

    private static double Amplitude(HfConfig scaling, double factor)
    {
        return scaling.Has("attention_factor") ? scaling.Real("attention_factor")
            : scaling.Has("mscale") && scaling.Has("mscale_all_dim") ? Of(scaling.Real("mscale")) / Of(scaling.Real("mscale_all_dim"))
            : Of(1);

        double Of(double m) => factor <= 1 ? 1 : (0.1 * m * Math.Log(factor)) + 1;
    }
}
