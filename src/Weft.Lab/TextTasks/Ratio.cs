using System.Globalization;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// How many layers of a hybrid should be attention: the mixers of a recurrent model replaced by attention, none to all, at equal FLOPs.
/// </summary>
/// <remarks>
/// Of N mixers the k that are attention lie evenly, the last of all among them: after every N/k-1 recurrent ones, as in most published
/// hybrids. MLPs stay where they are. Attention has heads of 32 channels and rotary positions.
/// </remarks>
internal sealed class Ratio : TextTask
{
    private const int Window = 512;
    private const int Far = 1 << 16; // tokens of context at which decoding is compared
    private const int Passages = 16;
    private const string Bits = "bits_per_byte", Recalled = "recall", State = "state_bytes", Speed = "decode_tokens_per_second";

    public override string Name => "ratio";

    public override string Line => "bits per byte and recall of a hybrid, by its attention layers";

    public override string Source => "arXiv 2405.21060 (section 9.2.3): Mamba-2 350M of 48 layers, perplexity 8.60 with no attention layer, 8.38 with 1, 8.26 with 6, 8.28 with 9, 8.50 with 24, 8.68 with attention alone; arXiv 2510.26692: KDA to attention 3:1 5.65, 1:1 5.66, 7:1 5.70, 15:1 5.82";

    public override string Axis => "attention layers";

    public override IReadOnlyList<string> Models => ["(mamba2[state=64] swiglu)*8"];

    public override int Width => 64;

    public override BudgetKind Equal => BudgetKind.Flops;

    public override bool SweepsEach => true;

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new(Bits, "Bits per byte", "Held out, at equal training FLOPs.", Better.Lower) { Unit = "bits" },
        new(Recalled, "Bits gained by memory", $"How many bits per byte fewer a held-out passage costs when it comes again {Recall.Distances[0]} bytes later: what is remembered of it. Models of this size learn little of that from text.", Better.Higher) { Unit = "bits" },
        new(State, $"State at a context of {Far}", "Of one sequence.", Better.Lower) { Unit = "bytes", IsLogarithmic = true },
        new(Speed, $"Decoding at a context of {Far}", "Of one sequence.", Better.Higher) { Unit = "tokens/s", IsTime = true },
    ];

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget)
    {
        ArgumentNullException.ThrowIfNull(model);
        int[] mixers = [.. Enumerable.Range(0, model.Blocks.Count).Where(i => Layers.IsMixer(model.Blocks[i]))];
        if (mixers.Length < 2 || model.Blocks.Any(Layers.IsAttention))
        {
            throw new InputException($"{Name} replaces the recurrent layers of a model by attention: '{model.Name}' has {(mixers.Length < 2 ? "fewer than two" : "attention already")}; give one such as mamba2 or '(gated-deltanet swiglu)*8'");
        }

        int n = mixers.Length;
        int[] counts = [.. new[] { 0, 1, n / 4, n / 2, n }.Where(k => k >= 0).Distinct().Order()];
        return [.. counts.Select(k => new Condition($"{k} of {n} attention", k, model with { Blocks = With(model.Blocks, mixers, k) }, text, budget) { Context = Window, Batch = 1 })];
    }

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        double x = trained.Condition.X;
        found(Bits, x, trained.BitsPerByte);
        if (Recall.Measure(trained.Model, trained.Text, Passages, cancel) is { Count: > 0 } recalled)
        {
            found(Recalled, x, recalled[0].First - recalled[0].Second);
        }

        DecodePoint decoding = DecodeSpeed.Measure(trained.Model, [Far], cancel)[0];
        found(State, x, decoding.StateBytes);
        found(Speed, x, decoding.TokensPerSecond);
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        foreach (TextModel model in report.Models)
        {
            IReadOnlyList<double> counts = model.Axis(Bits);
            if (counts.Count < 3)
            {
                continue;
            }

            IReadOnlyList<double> Of(double k) => model.At(Bits, k);
            double best = counts.MinBy(k => Of(k).Average());
            string level = string.Join(", ", counts.Where(k => k != best && TextFindings.Compare(Of(k), Of(best)) == 0).Select(k => $"{k:0}"));
            string worse = string.Join(", ", counts.Where(k => TextFindings.Compare(Of(k), Of(best)) > 0).Select(k => string.Create(CultureInfo.InvariantCulture, $"{k:0} (by {Of(k).Average() - Of(best).Average():F3})")));
            yield return string.Create(CultureInfo.InvariantCulture, $"Loss: {model.Name} is best with {best:0} attention layers ({Of(best).Average():F3} bits per byte); ")
                + (level.Length > 0 ? $"level with {level}" : "level with none") + (worse.Length > 0 ? $"; worse with {worse}." : ".");
            IReadOnlyList<double> recalled = model.Axis(Recalled);
            if (recalled.Count > 1)
            {
                yield return $"Memory: a passage that comes again costs {model.Name} fewer bits per byte by "
                    + string.Join(", ", recalled.Select(k => string.Create(CultureInfo.InvariantCulture, $"{model.Mean(Recalled, k):F3} with {k:0}"))) + " attention layers.";
            }
        }
    }

    /// <summary>A pattern in which so many of the mixers, given by their places, are attention.</summary>
    internal static Pattern With(Pattern blocks, int[] mixers, int attention)
    {
        BlockSpec layer = Pattern.Parse("attention[head-dim=32]")[0];
        BlockSpec[] changed = [.. blocks];
        for (int i = 1; i <= attention; i++)
        {
            changed[mixers[(i * mixers.Length / attention) - 1]] = layer;
        }

        return new Pattern(changed);
    }
}
