using Weft.Lab;
using Weft.Lab.Report;
using static Weft.Tests.Lab.ReportSamples;

namespace Weft.Tests.Lab;

public class ReportFindingsTests
{
    private static string Find(ComparisonReport report, string topic) =>
        Assert.Single(report.Findings, f => f.StartsWith(topic + ": ", StringComparison.Ordinal));

    private static void Says(string finding, params string[] parts) => Assert.All(parts, p => Assert.Contains(p, finding, StringComparison.Ordinal));

    private static bool Has(ComparisonReport report, string topic) => report.Findings.Any(f => f.StartsWith(topic + ": ", StringComparison.Ordinal));

    [Fact]
    public void A_clear_winner_over_three_seeds()
    {
        ComparisonReport report = Report(Model("b", 2.40, 2.41, 2.42), Model("a", 2.30, 2.31, 2.32), Model("c", 2.5, 2.5, 2.5));
        Says(Find(report, "Compression"), "a compresses best", "2.310 bits/byte", "0.100 ahead of b (2.410)", "each of its seeds beats every seed of b", "Behind: c (2.500)");
        Says(Find(report, "Which to take"), "a for the smallest bits/byte");
        Says(Find(report, "How sure"), "3 seeds per model", "0.020 bits/byte apart", "once in 10 comparisons");
    }

    [Fact]
    public void A_gap_inside_the_seed_spread_is_a_tie()
    {
        ComparisonReport report = Report(Model("b", 2.30, 2.34, 2.35), Model("a", 2.29, 2.30, 2.36), Model("c", 2.5, 2.5, 2.5));
        Says(Find(report, "Compression"), "Too close to call", "a (2.317) and b (2.330)", "inside the spread between seeds (up to 0.070)", "Behind: c (2.500)");
        Says(Find(report, "Which to take"), "a or b for the smallest bits/byte");
    }

    [Theory]
    [InlineData(2.319, "Too close to call", "with one seed differences below about 0.02 should not be trusted")]
    [InlineData(2.330, "a compresses best", "With one seed the spread between seeds is unknown")]
    public void One_seed_claims_less(double other, params string[] says)
    {
        ComparisonReport report = Report(Model("a", 2.30), Model("b", other));
        Says(Find(report, "Compression"), says);
        Says(Find(report, "How sure"), "One seed per model", "should not be trusted", "--seeds 3");
    }

    [Fact]
    public void One_model_is_compared_with_nothing()
    {
        ComparisonReport report = Report(Model("a", 2.40));
        Says(Find(report, "Compression"), "a reaches 2.400 bits/byte", "30 % of its size", "no other model");
        Says(Find(report, "Compressors"), "a beats gzip -9 (2.956 bits/byte) and Brotli 11 (2.561 bits/byte).");
        Assert.False(Has(report, "Which to take"));
        Assert.False(Has(report, "Training"));
    }

    [Fact]
    public void No_model_at_all_is_still_a_report()
    {
        Says(Find(Report(), "Compression"), "No model");
        Says(Find(Report(Model("a", double.NaN)), "Compression"), "No model");
    }

    [Fact]
    public void A_diverged_model_is_named_and_never_recommended()
    {
        ComparisonReport report = Report(Model("a", double.NaN, double.NaN), Model("b", 2.4, double.NaN), Model("c", 2.3, 2.31));
        Assert.Contains(report.Findings, f => f.StartsWith("Diverged: a has no result", StringComparison.Ordinal) && f.Contains("0.002", StringComparison.Ordinal));
        Assert.Contains(report.Findings, f => f.StartsWith("Diverged: 1 of 2 seeds of b", StringComparison.Ordinal));
        Assert.DoesNotContain("a for", Find(report, "Which to take"), StringComparison.Ordinal);
        Says(Find(report, "Compressors"), "Only c and b beat gzip -9");
    }

    [Fact]
    public void A_model_that_loses_to_gzip_is_called_of_no_use()
    {
        ComparisonReport report = Report(Model("a", 2.7), Model("b", 3.1));
        Says(Find(report, "Compressors"), "Only a beats gzip -9", "No model beats Brotli 11", "learned too little", "larger budget");
        Assert.DoesNotContain("b for", Find(report, "Which to take"), StringComparison.Ordinal);
        Assert.False(Has(Report(Model("a", 3.1), Model("b", 3.2)), "Which to take"));
    }

    [Fact]
    public void Baselines_not_measured_are_not_spoken_of()
    {
        ComparisonReport report = Report(Model("a", 2.7), Model("b", 3.1)) with { Baselines = new(0, double.NaN, double.NaN, double.NaN) };
        IReadOnlyList<string> findings = Findings.Derive(report);
        Assert.DoesNotContain(findings, f => f.StartsWith("Compressors", StringComparison.Ordinal));
        Assert.Contains("every compressor", findings[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void Unequal_budgets_are_told()
    {
        Assert.False(Has(Report(Model("a", 2.3), Model("b", 2.4)), "Unequal budgets"));
        Says(Find(Report(Model("a", 2.3), Model("b", 2.4) with { TrainFlops = 2e13 }), "Unequal budgets"), "b spent 2E+13", "3E+13");
    }

    private static RecallPoint[] Recalls(params double[] gains) => [.. gains.Select((g, i) => new RecallPoint(256 << (2 * i), 3, 3 - g, 10))];

    [Fact]
    public void Recall_is_told_within_and_past_the_training_context()
    {
        ComparisonReport report = Report(Model("a", 2.3) with { Recall = Recalls(1, -.3, -.5, -.4) }, Model("b", 2.4) with { Recall = Recalls(.5, .3, .1, .02) });
        Says(Find(report, "Recall within the training context"), "256 bytes later", "a 1.00 and b 0.50");
        Says(Find(report, "Recall past the training context"), "1k to 16k bytes later", "b 0.14 (at least 0.05 up to 4k)", "a -0.40 (below 0.05 at once)", "worse than the first");
        Says(Find(report, "Which to take"), "a for the smallest bits/byte and repeating what it read within the training context", "b for repeating what it read past the training context, at a cost of 0.100 bits/byte");
    }

    [Fact]
    public void Savings_closer_than_the_floor_are_equal() =>
        Says(Find(Report(Model("a", 2.3) with { Recall = Recalls(.50) }, Model("b", 2.4) with { Recall = Recalls(.53) }), "Which to take"), "b or a for repeating what it read within the training context");

    [Fact]
    public void Without_any_gain_nobody_recalls()
    {
        ComparisonReport report = Report(Model("a", 2.3) with { Recall = Recalls(.01, .01) }, Model("b", 2.4) with { Recall = Recalls(.02, .0) });
        Says(Find(report, "Recall within the training context"), "None recalls there");
        Assert.DoesNotContain("repeating", Find(report, "Which to take"), StringComparison.Ordinal);
    }

    /// <summary>Points at 1k, 4k, 16k, ...; the last ones may be computed.</summary>
    private static DecodePoint[] Decodes(long fixedBytes, long tokenBytes, int measured, params double[] speeds) =>
        [.. speeds.Select((s, i) => new DecodePoint(1024 << (2 * i), s, fixedBytes + tokenBytes * (1024 << (2 * i)), i < measured))];

    [Fact]
    public void Decoding_compares_at_the_longest_context_measured_for_all()
    {
        ComparisonReport report = Report(
            Model("attention", 2.3) with { Decode = Decodes(0, 1000, 3, 8000, 3000, 1000, 250, 60) },
            Model("recurrent", 2.4) with { Decode = Decodes(2_000_000, 0, 4, 4000, 4000, 4000, 4000, 4000) });
        Says(Find(report, "Decoding"), "At 16k tokens of context, the longest measured for all, recurrent writes 4000 tokens/s, 4.0 times attention (1000)",
            "At 1k attention is faster (8000 tokens/s); recurrent overtakes it between 1k and 4k", "From 1k to 16k attention slows down 8.0 times");
        Says(Find(report, "Memory"), "recurrent's state is 2 MB at every context", "attention's grows from 1.02 MB at 1k to 16.4 MB at 16k, 8.2 times recurrent's",
            "Computed, not measured: at 256k they would hold recurrent 2 MB and attention 262 MB");
        Says(Find(report, "Which to take"), "recurrent for the fastest decoding at 16k tokens of context and the least memory per sequence at 16k, at a cost of 0.100 bits/byte");
        Says(Find(report, "Not measured"), "Decode speed from 64k tokens");
    }

    [Fact]
    public void Speeds_within_a_tenth_are_equal()
    {
        ComparisonReport report = Report(Model("a", 2.3) with { Decode = Decodes(5, 0, 2, 1050, 1000) }, Model("b", 2.4) with { Decode = Decodes(5, 0, 2, 1000, 1050) });
        Says(Find(report, "Decoding"), "b writes 1050 tokens/s, about as fast as a (1000)");
        Assert.DoesNotContain("overtakes", Find(report, "Decoding"), StringComparison.Ordinal);
        Assert.DoesNotContain("decoding", Find(report, "Which to take"), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_common_measured_context_decoding_is_not_compared()
    {
        ComparisonReport report = Report(Model("a", 2.3) with { Decode = Decodes(5, 0, 0, 10, 10) }, Model("b", 2.4) with { Decode = Decodes(5, 0, 2, 10, 10) });
        Assert.False(Has(report, "Decoding"));
        Assert.False(Has(report, "Memory"));
    }

    private static CurvePoint[] Curve(double seconds, params double[] bits) =>
        [.. bits.Select((b, i) => new CurvePoint(0, 3e13 * (i + 1) / bits.Length, 1000 * (i + 1), seconds * (i + 1) / bits.Length, b))];

    [Fact]
    public void Equal_time_may_change_the_order_and_late_gains_are_told()
    {
        ComparisonReport report = Report(
            Model("slow", 2.3) with { TrainSeconds = 200, Curve = Curve(200, 3.0, 2.6, 2.4, 2.3) },
            Model("fast", 2.4) with { TrainSeconds = 100, Curve = Curve(100, 2.8, 2.5, 2.41, 2.40) });
        Says(Find(report, "Training"), "fast 100 s", "slow 200 s", "At equal time (100 s) the order changes: fast 2.400 and slow 2.600");
        Says(Find(report, "How sure"), "Still improving when the budget ended", ": slow; a larger budget");
    }

    [Fact]
    public void The_same_figures_give_the_same_words() => Assert.Equal(Typical().Findings, Typical().Findings);
}
