using System.Globalization;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Lab.ScalingLaws;

/// <summary>
/// The shapes that a model of attention and MLPs can have at equal parameters and depth: its width, what part of the parameters the MLPs get, and how
/// many query heads share keys and values.
/// </summary>
internal sealed class ShapePlan
{
    /// <summary>The runs of a study: every width at every ratio, and two of fewer key and value heads.</summary>
    public const int Count = 18;

    private const int Grain = 8;            // of widths and hidden widths
    private const int LeastHeads = 4;       // of the family as it stands, so that their number can vary
    private static readonly double[] Widths = [0.5, 0.75, 1, 1.5]; // of the family's own
    private static readonly double[] Ratios = [0.5, 1, 2, 4];
    private static readonly int[] HeadDims = [64, 32, 16], Groups = [2, 4];

    // The ratio that is held out at each width: every width and every ratio once, and no corner, so that nothing is extrapolated.
    private static readonly int[] HeldOut = [2, 0, 3, 1];

    private readonly ModelConfig family;
    private readonly double inBlocks; // parameters of attention and MLPs together
    private readonly int attentions, matrices, headDim; // layers of attention; matrices of all MLPs

    public ShapePlan(ModelConfig family, LanguageModel model)
    {
        this.family = family;
        double inAttention = 0, inMlps = 0;
        for (int i = 0; i < family.Blocks.Count; i++)
        {
            long parameters = model.Blocks[i].Mixer.ParameterCount();
            string name = family.Blocks[i].Name;
            (attentions, inAttention) = name == "attention" ? (attentions + 1, inAttention + parameters) : (attentions, inAttention);
            (matrices, inMlps) = MatricesOf(name) is int m and > 0 ? (matrices + m, inMlps + parameters) : (matrices, inMlps);
        }

        inBlocks = inAttention + inMlps;
        double columns = inAttention / attentions / (4.0 * family.Width);
        headDim = HeadDims.FirstOrDefault(d => columns >= LeastHeads * d, 8);
    }

    /// <summary>Whether a model has both attention and MLPs.</summary>
    public static bool Suits(ModelConfig family) => family.Blocks.Any(b => b.Name == "attention") && family.Blocks.Any(b => MatricesOf(b.Name) > 0);

    /// <summary>The family's own width, and a middle ratio.</summary>
    public AttentionShape Usual(int group) => Make(family.Width, Ratios[2], group);

    /// <summary>All shapes to train, and what for.</summary>
    public IReadOnlyList<(AttentionShape Shape, string Use)> All()
    {
        var shapes = new List<(AttentionShape, string)>();
        for (int i = 0; i < Widths.Length; i++)
        {
            for (int j = 0; j < Ratios.Length; j++)
            {
                shapes.Add((Make(Widths[i] * family.Width, Ratios[j], 1), HeldOut[i] == j ? "held out" : "fit"));
            }
        }

        int heads = Usual(1).Heads;
        foreach (int group in Groups.Where(g => g <= heads))
        {
            shapes.Add((Usual(group), "grouped"));
        }

        // Where all is small, roundings make some alike: one of each, and the held out ones first, so that none of them is fitted.
        return [.. shapes.OrderBy(s => s.Item2 == "held out" ? 0 : 1).DistinctBy(s => s.Item1)];
    }

    /// <summary>A shape of the family's parameters times <paramref name="size"/>.</summary>
    /// <param name="width">Its width, about.</param>
    /// <param name="ratio">The MLPs' parameters over the attention's, about.</param>
    /// <param name="group">The query heads of a key and value head.</param>
    /// <param name="size">The parameters over the family's.</param>
    public AttentionShape Make(double width, double ratio, int group, double size = 1)
    {
        int w = Rounded(width);
        double all = size * inBlocks, perHead = PerHead(w, group);
        int heads = group * (int)Math.Max(1, Math.Round(all / (1 + ratio) / (perHead * group)));
        int hidden = Rounded((all - (heads * perHead)) / ((double)matrices * w));
        return new AttentionShape(w, heads, heads / group, headDim, hidden);
    }

    /// <summary>The MLPs' parameters over the attention's, as the shape has them.</summary>
    public double RatioOf(AttentionShape shape) => (double)matrices * shape.Width * shape.Hidden / (shape.Heads * PerHead(shape.Width, shape.Group));

    /// <summary>FLOPs of a generated token after <paramref name="context"/> others: of blocks and head, but for other mixers.</summary>
    public double FlopsPerToken(AttentionShape shape, int context) => 2.0 * ((shape.Width * (double)family.Vocabulary) + (shape.Heads * PerHead(shape.Width, shape.Group))
        + ((double)matrices * shape.Width * shape.Hidden) + (2.0 * family.Blocks.Where(b => b.Name == "attention").Sum(b => Seen(b, context)) * shape.Heads * headDim));

    /// <summary>The family in a shape.</summary>
    public ModelConfig Config(AttentionShape shape) => family with
    {
        Width = shape.Width,
        Blocks = new Pattern(family.Blocks.Select(b => b.Name == "attention" ? With(b, ("heads", shape.Heads), ("kv-heads", shape.KeyHeads), ("head-dim", shape.HeadDim))
            : MatricesOf(b.Name) > 0 ? With(b, ("hidden", shape.Hidden)) : b)),
    };

    private static BlockSpec With(BlockSpec block, params (string Name, int Value)[] options) => new(block.Name,
        [.. block.Options.Where(o => options.All(n => n.Name != o.Name)), .. options.Select(o => new BlockOption(o.Name, o.Value.ToString(CultureInfo.InvariantCulture)))]);

    // The tokens that a query of a block looks at.
    private static int Seen(BlockSpec block, int context) => int.TryParse(block.Find("window"), out int window) && window > 0 ? Math.Min(window, context) : context;

    // Queries and output of a head, and its part of keys and values, in all layers.
    private double PerHead(int width, int group) => attentions * (double)width * headDim * (2 + (2.0 / group));

    private static int MatricesOf(string block) => block switch { "swiglu" => 3, "mlp" => 2, _ => 0 };

    private static int Rounded(double width) => Math.Max(1, (int)Math.Round(width / Grain)) * Grain;
}
