using Weft.Lab.Report;
using Weft.Lab.Tasks;
using static Weft.Tests.Lab.ProbeSamples;

namespace Weft.Tests.Lab;

public class ProbeFindingsTests
{
    private static readonly long[] Grows = [10_000, 20_000, 40_000, 80_000];
    private static readonly long[] Small = [1000, 1000, 1000, 1000];
    private static readonly long[] Large = [8000, 8000, 8000, 8000];

    private static string Find(ProbeReport report, string topic) => Assert.Single(report.Findings, f => f.StartsWith(topic + ": ", StringComparison.Ordinal));

    private static bool Has(ProbeReport report, string topic) => report.Findings.Any(f => f.StartsWith(topic + ": ", StringComparison.Ordinal));

    private static void Says(string finding, params string[] parts) => Assert.All(parts, p => Assert.Contains(p, finding, StringComparison.Ordinal));

    /// <summary>A model with one trial a seed; each solves the task after so many samples, or never.</summary>
    private static ProbedModel Solves(string name, params long?[] samples) =>
        Model(name, name, Grows, 3e-3, [.. samples.Select((s, i) => Trial(3e-3, i, s, 1, s is null ? .3 : .995, .9, .8))]);

    /// <summary>A model of so much state whose seeds score so at every difficulty from 8 pairs on.</summary>
    private static ProbedModel Scores(string name, long[] state, params double[] seeds) =>
        Model(name, name, state, 3e-3, [.. seeds.Select((e, i) => Trial(3e-3, i, null, 1, e, e, e))]);

    [Fact]
    public void The_quickest_to_solve_is_told_with_its_ratio_to_the_others()
    {
        ProbeReport report = Report(Solves("slow", 40_000, 44_000), Solves("quick", 10_000, 12_000), Solves("never", null, null));
        Says(Find(report, "Learning"), "quick solves 8 pairs after 11k samples (median of 2 seeds), the quickest", "slow needs 42k (median of 2 seeds), 3.8 times as many", "Not solved: never (within 96k samples; 30 % right)");
    }

    [Fact]
    public void Seeds_that_overlap_are_no_difference() =>
        Says(Find(Report(Solves("a", 10_000, 30_000), Solves("b", 20_000, 22_000)), "Learning"), "inside the spread of seeds, no different from a");

    [Theory]
    [InlineData(14_000, "with one seed too close to a to tell")]
    [InlineData(30_000, "b needs 30k, 3.0 times as many")]
    public void One_seed_claims_less(long other, string says)
    {
        ProbeReport report = Report(Solves("a", 10_000), Solves("b", other));
        Says(Find(report, "Learning"), says);
        Says(Find(report, "How sure"), "One seed per model", "--seeds 3");
    }

    [Fact]
    public void Half_of_the_seeds_do_not_make_a_median()
    {
        ProbeReport report = Report(Solves("half", 20_000, null), Solves("most", 20_000, 30_000, null));
        Assert.Null(report.Models[0].SamplesToSolve());
        Assert.Equal(30_000, report.Models[1].SamplesToSolve());
        Says(Find(report, "Learning"), "half solves it from 1 of 2 seeds", "most solves 8 pairs after 30k samples (median of 3 seeds, of which 2 solved it)");
    }

    [Fact]
    public void Nothing_solved_nothing_trained()
    {
        Says(Find(Report(Solves("a", null, null)), "Learning"), "No model solved 8 pairs within 96k samples.");
        Says(Find(Report(), "Learning"), "No model was trained.");
        Assert.Single(Report().Findings);
    }

    [Fact]
    public void Where_accuracy_falls_past_training_is_told()
    {
        ProbeReport report = Typical();
        Says(Find(report, "Past training"), "Training went up to 8 pairs", "attention (92 %) and hybrid (92 %) stay at 50 % or more up to 32 pairs, the hardest scored",
            "Below 50 % falls mamba2[state=64] at 32 (11 %)", "mamba2[state=16] is below it at 8 pairs already");
        ProbeReport torn = Report(Model("torn", "torn", Grows, 3e-3, Trial(3e-3, 0, null, 1, .9, .1, .1), Trial(3e-3, 1, null, 1, .9, .7, .1)));
        Says(Find(torn, "Past training"), "torn at 16 (40 %, but not from every seed)");
    }

    [Fact]
    public void Accuracy_goes_with_state_or_does_not()
    {
        Says(Find(Report(Scores("big", Large, .8, .82), Scores("small", Small, .2, .22), Solves("attention", 10_000, 10_000)), "State"),
            "small (1 kB) 21 % and big (8 kB) 81 %: the more state, the more it gets right", "With a state that grows: attention (20 kB there)");
        Says(Find(Report(Scores("big", Large, .2, .82), Scores("small", Small, .3, .4)), "State"), "inside the spread of seeds");
        Says(Find(Report(Scores("big", Large, .2, .22), Scores("small", Small, .7, .72)), "State"), "more state does not mean more right here");
        Assert.False(Has(Report(Scores("a", Small, .2), Scores("b", Small, .9)), "State"));
        Assert.False(Has(Report(Solves("attention", 10_000)), "State"));
    }

    [Fact]
    public void A_lead_inside_the_spread_of_seeds_is_none()
    {
        Says(Find(Report(Scores("a", Small, .5, .7), Scores("b", Small, .6, .64), Scores("c", Small, .1, .1)), "Accuracy at 8 pairs"), "b (62 %) and a (60 %) cannot be told apart", "inside the spread of seeds", "Behind: c (10 %)");
        Says(Find(Report(Scores("a", Small, .9, .92), Scores("b", Small, .6, .64)), "Accuracy at 32 pairs"), "a (91 %) is best: each of its seeds beats every seed of b", "Behind: b (62 %)");
        Says(Find(Report(Scores("a", Small, .62), Scores("b", Small, .6)), "Accuracy at 8 pairs"), "with one seed differences below 5 % should not be trusted");
        Says(Find(Report(Scores("a", Small, .995, .995), Scores("b", Small, .991, .991)), "Accuracy at 8 pairs"), "cannot be told apart");
    }

    [Fact]
    public void A_diverged_model_is_named_and_left_out()
    {
        ProbeReport report = Report(Scores("a", Small, .5, .7), Model("lost", "lost", Small, 1e-2, Diverged(1e-2, 0), Diverged(1e-2, 1)), Model("half", "half", Small, 3e-3, Trial(3e-3, 0, null, 1, .2, .2, .2), Diverged(3e-3, 1)));
        Assert.Contains(report.Findings, f => f.StartsWith("Diverged: lost has no result", StringComparison.Ordinal) && f.Contains("0.01", StringComparison.Ordinal));
        Assert.Contains("Diverged: 1 of 2 seeds of half diverged; its accuracies leave them out.", report.Findings);
        Says(Find(report, "Learning"), "No model solved");
        Assert.DoesNotContain("lost", Find(report, "Accuracy at 8 pairs"), StringComparison.Ordinal);
        Says(Find(report, "How sure"), "One seed of some model");
    }

    [Fact]
    public void A_best_rate_at_the_edge_of_its_sweep_is_told()
    {
        ProbedModel inside = Solves("inside", 10_000);
        Says(Find(Report(inside), "Learning rates"), "The best rate of inside lies between others tried.");
        Says(Find(Report(inside, Model("high", "high", Small, 1e-2, Trial(1e-2, 0, null, .1, .1, .1, .1)), Model("low", "low", Small, 1e-3, Trial(1e-3, 0, null, .1, .1, .1, .1)), inside with { Name = "single", Sweep = [] }), "Learning rates"),
            "high (0.01) is best at the highest rate tried, so a higher one may be better still", "low (0.001) is best at the lowest rate tried", "single was trained at one rate only");
    }

    [Fact]
    public void A_model_cut_short_while_learning_is_told()
    {
        Trial cut = Trial(3e-3, 0, null, .1, .1, .1, .1);
        cut = cut with { Curve = [new(48_000, 1, 0, 0, 4), new(96_000, 2, .1, .1, 3)] };
        Says(Find(Report(Model("cut", "cut", Small, 3e-3, cut)), "How sure"), "Still learning when the budget ended: cut");
    }
}
