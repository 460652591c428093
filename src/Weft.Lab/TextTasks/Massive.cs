using Weft.Lab.Report;
using Weft.Models;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>Outliers of the residual stream: where, how large, and what a model loses without them (<see cref="StreamOutliers"/>).</summary>
internal sealed class Massive : TextTask
{
    private const int Windows = 32;

    public override string Name => "massive";

    public override string Line => "activation outliers: where they are, how large, and what a model loses without them";

    public override string Source =>
        "arXiv 2402.17762: in large Transformers fewer than ten values, at the first token and at delimiters, are above 100 and about 1000 times the median; set to zero they ruin the model, "
        + "set to their mean they cost nothing. arXiv 2503.22329: not every model depends on them. arXiv 2407.12397: Mamba has outlier channels too. The experiment on whole channels with a control is ours";

    public override string Axis => "blocks passed";

    public override IReadOnlyList<string> Models =>
    [
        "transformer", "(attention[head-dim=32, output-gate=true] swiglu)*4", "mamba2", "gated-deltanet", "hybrid",
    ];

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        Of("ratio", "Largest value over the median", "The largest magnitude of the residual stream in a window over the median one. The embedding is at 0; normally distributed values give 6 to 7.") with { IsLogarithmic = true },
        Of("largest", "Largest value", "The largest magnitude in a window. What is called massive in large models is above 100.") with { IsLogarithmic = true },
        Cost("values_zeroed", "Largest values set to zero", $"Extra bits per byte where the {StreamOutliers.Few} largest values of each window are set to zero after so many blocks: what ruins large models."),
        Cost("values_patched", "Largest values set to their mean", "The same where they are set to the mean of their channel over positions of their kind (first token, delimiter, other): what costs large models nothing."),
        Cost("channels_zeroed", "Largest channels set to zero", $"Extra bits per byte where the {StreamOutliers.Few} channels with the largest values are set to zero at every position."),
        Cost("channels_patched", "Largest channels set to their mean", "The same where they are set to their mean over positions of a kind. What it costs less than zero is what the channels do as a bias."),
        Cost("control_zeroed", "Middling channels set to zero", $"The same with {StreamOutliers.Few} channels of middling size set to zero: what the loss of any channels costs."),
        Of("first", "Largest value at the first token", "The largest magnitude at the first byte of a window over the window's median.") with { IsLogarithmic = true },
        Of("delimiter", "Largest value at delimiters", "The largest magnitude at spaces, line ends and . , ; : over the window's median.") with { IsLogarithmic = true },
        Of("other", "Largest value elsewhere", "The largest magnitude at all other bytes over the window's median.") with { IsLogarithmic = true },
        Of("outliers", "Positions with an outlier", $"The share of positions whose largest magnitude is above {StreamOutliers.Outlier} times the median.") with { Unit = "share" },
        Of("one_channel", "Positions with their largest value in one channel", "The share of positions whose largest magnitude is in the most frequent channel: outliers in fixed channels make it high.") with { Unit = "share" },
        Of("massive", "Massive values", "The values of a window that are massive as the paper defines it: above 100 and above 1000 times the median."),
    ];

    public override BudgetKind Equal => BudgetKind.Data;

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget) => [new Condition("bytes", 0, model, text, budget)];

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        foreach (StreamLevel at in StreamOutliers.Measure(trained.Model, trained.Text, trained.Condition.Context, Windows, cancel))
        {
            Tell("ratio", at.Ratio);
            Tell("largest", at.Largest);
            Tell("values_zeroed", at.ValuesZeroed);
            Tell("values_patched", at.ValuesPatched);
            Tell("channels_zeroed", at.ChannelsZeroed);
            Tell("channels_patched", at.ChannelsPatched);
            Tell("control_zeroed", at.ControlZeroed);
            Tell("first", at.First);
            Tell("delimiter", at.Delimiter);
            Tell("other", at.Other);
            Tell("outliers", at.Outliers);
            Tell("one_channel", at.OneChannel);
            Tell("massive", at.Massive);

            void Tell(string quantity, double value) => found(quantity, at.Level, value);
        }
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        TextModel[] models = [.. report.Models.Where(m => m.Axis("ratio").Count > 0)];
        if (models.Length == 0)
        {
            yield break;
        }

        string[] massive = [.. models.Where(m => Most(m, "massive") > 0).Select(m => m.Name)];
        yield return $"Massive activations: By the definition of the paper (above 100, and 1000 times the median) {(massive.Length > 0 ? $"{Sentence.List(massive)} {(massive.Length > 1 ? "have" : "has")} some" : "there are none")}. "
            + $"The largest value over the median reaches {Sentence.List(models.Select(Where))}.";
        yield return $"Without them: The {StreamOutliers.Few} largest values of a window set to zero cost at most {Sentence.List(models.Select(m => $"{m.Name} {Most(m, "values_zeroed"):0.000} (set to their mean, {Most(m, "values_patched"):0.000})"))} bits per byte. "
            + $"The {StreamOutliers.Few} largest channels set to zero cost at most {Sentence.List(models.Select(m => $"{m.Name} {Most(m, "channels_zeroed"):0.000} (to their mean {Most(m, "channels_patched"):0.000}, middling channels to zero {Most(m, "control_zeroed"):0.000})"))}.";

        static double Most(TextModel m, string quantity) => m.Axis(quantity).Max(x => m.Mean(quantity, x));

        static string Where(TextModel m)
        {
            double x = m.Axis("ratio").MaxBy(x => m.Mean("ratio", x));
            string kind = new[] { (Name: "first", Words: "the first byte"), (Name: "delimiter", Words: "a delimiter"), (Name: "other", Words: "another byte") }
                .Where(k => double.IsFinite(m.Mean(k.Name, x))).MaxBy(k => m.Mean(k.Name, x)).Words;
            return $"{Sentence.Ratio(m.Mean("ratio", x))} in {m.Name} ({(x == 0 ? "as embedded" : $"after block {x}")}, mostly at {kind}; the largest value there is {m.Mean("largest", x):0.0})";
        }
    }

    private static Quantity Of(string name, string title, string note) => new(name, title, note, Better.Neither);

    private static Quantity Cost(string name, string title, string note) => new(name, title, note, Better.Neither) { Unit = "bits" };
}
