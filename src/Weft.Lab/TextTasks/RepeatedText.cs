using Weft.Lab.Report;
using Weft.Models;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>Whether attention over-weights what stands several times in its context (<see cref="Repetition"/>).</summary>
internal sealed class RepeatedText : TextTask
{
    private const int Examples = 64;
    private const double Recalled = 0.1; // of the bits of a passage, saved once it stands before: below it a model hardly looks back

    public override string Name => "repetition";

    public override string Line => "does it over-weight what stands several times in its context";

    public override string Source =>
        "arXiv 2311.11829: soft attention overly focuses on repeated tokens. arXiv 2206.02369: the more often a sentence stands in the context, the more probable it is once more. "
        + "arXiv 2310.00297: so with single tokens that follow each other. The votes, with counting as the measure of what is right, are ours";

    public override string Axis => "copies in the context";

    public override IReadOnlyList<string> Models => ["transformer", "mamba2", "gated-deltanet", "hybrid"];

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new("votes", "Odds of what came more often", "log2 of the odds of answer B, which followed a cue so many times, over A, which followed it once, and last. Counting says 0 for one, and 1 more for each doubling; a faster rise over-weights repetition.", Better.Neither)
        {
            Unit = "bits",
            HasLogarithmicAxis = true,
        },
        new("either", "Probability of either answer", "The probability of A and B together after the cue: a model that looks the cue up gives them nearly all of it; one that does not has no reason to vote.", Better.Higher) { Unit = "share", HasLogarithmicAxis = true },
        new("start", "Other text after copies: its first 16 bytes", "Extra bits per byte of other text that follows a passage repeated so often, against no copies: the surprise that the passage does not go on.", Better.Lower) { Unit = "bits" },
        new("rest", "Other text after copies: the 80 bytes after those", "The same once it is plain that the passage does not go on: what copies still in the context cost.", Better.Lower) { Unit = "bits" },
        new("again", "The passage once more", "Bits per byte of the passage when it stands once more; with no copies before, when it is first met.", Better.Lower) { Unit = "bits" },
        new("begins", "Probability that the passage begins again", "The probability of the passage's first byte right after the copies.", Better.Neither) { Unit = "share" },
    ];

    public override BudgetKind Equal => BudgetKind.Data;

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget) =>
        [new Condition("bytes", 0, model, text, budget) { Context = Repetition.Longest }];

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        foreach (VotePoint point in Repetition.MeasureVotes(trained.Model, trained.Text, Examples, cancel))
        {
            found("votes", point.Copies, point.LogOdds);
            found("either", point.Copies, point.Either);
        }

        foreach (RepetitionPoint point in Repetition.MeasurePassages(trained.Model, trained.Text, Examples, cancel))
        {
            found("start", point.Copies, point.Start);
            found("rest", point.Copies, point.Rest);
            found("again", point.Copies, point.Again);
            found("begins", point.Copies, point.First);
        }
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        TextModel[] models = [.. report.Models.Where(m => m.Axis("votes").Count > 1 && m.Axis("rest").Count > 0 && m.Axis("again").Count > 0)];
        if (models.Length == 0)
        {
            yield break;
        }

        yield return $"Votes: For each doubling of the votes the odds rise by {Sentence.List(models.Select(m => $"{Slope(m):0.00} bits in {m.Name}"))}; counting says 1, and more would over-weight repetition.";
        TextModel[] weak = [.. models.Where(m => m.Axis("again").Min(x => m.Mean("again", x)) > (1 - Recalled) * m.Mean("again", 0))];
        if (weak.Length > 0)
        {
            yield return $"Recall: A passage that stands before is predicted little better than a new one by {Sentence.List(weak.Select(m => $"{m.Name} ({m.Axis("again").Min(x => m.Mean("again", x)):0.00} and {m.Mean("again", 0):0.00} bits per byte)"))}: "
                + "too little looking back is learned for votes to say how copies are weighed; a larger budget may change that.";
        }

        double copies = models[0].Axis("rest")[^1];
        yield return $"Distraction: After {copies} copies other text costs, past its first 16 bytes, {Sentence.List(models.Select(m => $"{m.Mean("rest", copies):0.000} bits per byte more in {m.Name}"))}; "
            + $"in those 16, {Sentence.List(models.Select(m => $"{m.Mean("start", copies):0.00} in {m.Name}"))}.";
    }

    // Of votes over log2 of their number, by least squares.
    private static double Slope(TextModel model)
    {
        (double X, double Y)[] curve = [.. model.Axis("votes").Select(x => (Math.Log2(x), model.Mean("votes", x)))];
        double x = curve.Average(p => p.X), y = curve.Average(p => p.Y);
        return curve.Sum(p => (p.X - x) * (p.Y - y)) / curve.Sum(p => (p.X - x) * (p.X - x));
    }
}
