using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;

namespace Weft.Lab.Claims;

/// <summary>
/// What the reports of claims show. Each judge states the figures that a claim is about and applies a fixed rule to them; where the figures
/// that a rule compares cannot be told apart, or nothing was learned, it says that this is too small to tell.
/// </summary>
internal static class Judges
{
    private const double DnaDoubt = 0.003; // of perplexity, relative, with one seed
    private const double Solved = 0.99, Learned = 0.5, Followed = 0.9;

    /// <summary>
    /// Copying: report 0 has a Transformer, report 1 a recurrent model of as many parameters. At twice the trained length 99 % of the strings, from every
    /// seed; and half of them after fewer than a tenth of the recurrent model's samples, since 99 % is what the latter does not come near.
    /// </summary>
    public static ClaimFinding Copying(ClaimReports reports)
    {
        ProbeReport report = reports.Probe(0);
        (ProbedModel attention, ProbedModel recurrent) = (report.Models[0], reports.Probe(1).Models[0]);
        int twice = report.Task.Main, trained = report.Task.TrainOn.Max();
        double half = attention.Trials.Max(Half), other = recurrent.Trials.Min(Half), ratio = (double.IsFinite(other) ? other : recurrent.MostSamples()) / half;
        string said = $"trained on up to {trained} letters; Transformer ({Count(attention.Parameters)} parameters): {Spread(attention.Exact(twice), Share)} of strings of {twice} letters right after {Count(attention.MostSamples())} samples, half of them after {Count(half)}; "
            + $"Mamba-2 ({Count(recurrent.Parameters)}): {Spread(recurrent.Exact(trained), Share)} of {trained} letters and {Spread(recurrent.Exact(twice), Share)} of {twice} after {Count(recurrent.MostSamples())}: "
            + (double.IsFinite(other) ? $"half of {twice} letters after {Count(other)}" : $"half of {twice} letters takes it more than {Math.Floor(10 * ratio) / 10:0.0} times as many samples");
        double least = attention.Exact(twice).DefaultIfEmpty().Min();
        return new(said, least < Followed ? Verdict.DidNotHold : least >= Solved && ratio >= 10 && attention.Parameters <= 2_000_000 ? Verdict.Held : double.IsFinite(other) && ratio < 10 ? Verdict.DidNotHold : Verdict.TooSmallToTell);

        static double Half(Trial trial) => trial.Curve.FirstOrDefault(c => c.Exact >= Learned) is { } point ? point.Samples : double.PositiveInfinity;
    }

    /// <summary>A fixed state and longer strings: accuracy falls with length for each state, and where it tells them apart it rises with state bytes.</summary>
    public static ClaimFinding CopyingState(ClaimReports reports)
    {
        ProbeReport report = reports.Probe();
        IReadOnlyList<int> lengths = report.Difficulties();
        ProbedModel[] models = [.. report.Models.Where(m => m.Exact(lengths[0]).Count > 0)];
        string said = string.Join("; ", models.Select(m => $"{m.Name} ({Sentence.Bytes(m.State[0])}): " + string.Join(", ", lengths.Select(d => $"{Spread(m.Exact(d), Share)} of {d} letters"))));
        bool falls = models.All(m => m.Exact(lengths[^1]).Average() < Learned);

        // Of one mixer, since what a byte of state holds depends on it.
        Verdict[] rise = [.. models.GroupBy(m => m.Pattern.TrimStart('(').Split('[', ' ')[0]).Where(g => g.Count() > 1).Select(g => Rises(report, [.. g.OrderBy(m => m.State[0])], ProbeFigures.Exact))];
        return new(said, models.Any(m => m.Exact(lengths[0]).Average() < Learned) ? Verdict.TooSmallToTell : !falls || rise.Contains(Verdict.DidNotHold) ? Verdict.DidNotHold : rise.Length > 0 && rise.All(v => v == Verdict.Held) ? Verdict.Held : Verdict.TooSmallToTell);
    }

    /// <summary>MQAR, by the share of values that are right, as its sources score it: attention and the hybrid solve it, and recurrent models do better the more state they have.</summary>
    public static ClaimFinding Recall(ClaimReports reports)
    {
        ProbeReport report = reports.Probe();
        int hardest = report.Task.TrainOn.Max();
        ProbedModel[] recurrent = [.. report.Models.Where(m => m.State.Distinct().Count() == 1 && m.Correct(hardest).Count > 0).OrderBy(m => m.State[0])];
        ProbedModel[] attentive = [.. report.Models.Where(m => m.State.Distinct().Count() > 1)];
        string said = "values right: " + string.Join("; ", report.Models.Select(m => $"{m.Name} ({Sentence.Bytes(m.State[^1])} at {report.Difficulties()[^1]} pairs): " + string.Join(", ", report.Difficulties().Select(d => $"{Spread(m.Correct(d), Share)} of {d}"))));
        return new(said, attentive.Any(m => m.Correct(hardest) is { Count: > 0 } e && e.Average() < Learned) ? Verdict.TooSmallToTell
            : attentive.Length > 0 && attentive.All(m => m.Correct(hardest) is { Count: > 0 } e && e.Average() >= 0.95) ? Rises(report, recurrent, ProbeFigures.Correct) : Verdict.DidNotHold);
    }

    /// <summary>
    /// Parity past the trained length, 40 bits in report 0 and 160, as Mamba-3's authors train, in report 1. It is a claim about what can be followed: one
    /// seed shows that a model can, and those that cannot must fail from all.
    /// </summary>
    public static ClaimFinding Parity(ClaimReports reports)
    {
        ProbeReport[] both = [reports.Probe(0), reports.Probe(1)];
        string said = string.Join("; ", both.Select(r => $"trained on up to {r.Task.TrainOn.Max()} bits: " + string.Join("; ", r.Models.Select(m => Told(r, m)))));
        (ProbedModel Model, double Best)[] far = [.. both.SelectMany(r => r.Models.Select(m => (m, m.Exact(r.Difficulties()[^1]).DefaultIfEmpty().Max())))];
        return new(said, far.Any(f => !IsAble(f.Model) && f.Best > Learned) ? Verdict.DidNotHold : far.All(f => !IsAble(f.Model) || f.Best >= Followed) ? Verdict.Held : Verdict.TooSmallToTell);

        static string Told(ProbeReport report, ProbedModel m)
        {
            (int trained, int longest) = (report.Task.TrainOn.Max(), report.Difficulties()[^1]);
            return $"{m.Name}: {Spread(m.Exact(trained), Share)} at {trained}, {Spread(m.Exact(longest), Share)} at {longest} ({Spread(m.Correct(longest), Share)} of all bits)";
        }

        // Whose transitions have negative or complex eigenvalues, or are no linear map.
        static bool IsAble(ProbedModel m) => m.Pattern.Contains("negative-eigenvalues", StringComparison.Ordinal) || m.Pattern.Contains("mamba3", StringComparison.Ordinal) || m.Pattern.Contains("slstm", StringComparison.Ordinal);
    }

    /// <summary>Report 0 at equal FLOPs: the recurrent model beats attention to a window. Report 1 at equal bytes: it is at least level with attention to all.</summary>
    public static ClaimFinding Bytes(ClaimReports reports)
    {
        (ModelResult window, ModelResult recurrent) = Pair(reports.Comparison(0));
        (ModelResult global, ModelResult level) = Pair(reports.Comparison(1));
        string said = $"equal FLOPs ({Sci(reports.Comparison(0).Budget.Flops)}): {Told(recurrent)} against {Told(window)}; equal bytes ({Sentence.Bytes(level.BytesSeen)}): {Told(level)} against {Told(global)}, which spent {Sci(global.TrainFlops)} FLOPs to {Sci(level.TrainFlops)}";
        return new(said, TextFindings.IsTied(recurrent.BitsPerByteSeeds, window.BitsPerByteSeeds) ? Verdict.TooSmallToTell
            : recurrent.BitsPerByte < window.BitsPerByte && (level.BitsPerByte <= global.BitsPerByte || TextFindings.IsTied(level.BitsPerByteSeeds, global.BitsPerByteSeeds)) ? Verdict.Held : Verdict.DidNotHold);

        static (ModelResult Attention, ModelResult Recurrent) Pair(ComparisonReport report) =>
            (report.Models.First(m => m.Pattern.Contains("attention", StringComparison.Ordinal)), report.Models.First(m => !m.Pattern.Contains("attention", StringComparison.Ordinal)));
        static string Told(ModelResult m) => $"{m.Name} {Spread(m.BitsPerByteSeeds, Bits)}";
    }

    /// <summary>Time of a token and state against context: flat where the state is fixed, growing in proportion where every token is kept.</summary>
    public static ClaimFinding Decode(ClaimReports reports)
    {
        TextReport report = reports.Text();
        IReadOnlyList<double> axis = report.Models[0].Axis("token_ms");
        (double from, double to) = (axis[0], axis[^1]);
        string said = string.Join("; ", report.Models.Select(m => $"{m.Name}: {m.Mean("token_ms", from):0.000} ms and {Sentence.Bytes((long)m.Mean("state_bytes", from))} at {from / 1024:0}k tokens, {m.Mean("token_ms", to):0.000} ms and {Sentence.Bytes((long)m.Mean("state_bytes", to))} at {to / 1024:0}k"));
        double Grows(TextModel m, string quantity) => m.Mean(quantity, to) / m.Mean(quantity, from);
        TextModel[] caches = [.. report.Models.Where(m => Grows(m, "state_bytes") > 2)], bounded = [.. report.Models.Except(caches)];

        // A cache's time is that of reading it, plus the weights' that are read whatever the context: in proportion means within a factor of two between the longest two contexts.
        bool isLinear = caches.All(m => m.Mean("token_ms", to) / m.Mean("token_ms", axis[^2]) is var last && last > to / axis[^2] / 2 && last < to / axis[^2] * 2);
        return new(said, caches.Length > 0 && bounded.Length > 0 && isLinear && bounded.All(m => Grows(m, "token_ms") < 1.5) ? Verdict.Held : Verdict.DidNotHold);
    }

    /// <summary>Loss by attention layers is flat from 3:1 to 10:1 (within 1 % or the spread), and not above that without attention.</summary>
    public static ClaimFinding Ratio(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel model = report.Models[0];
        IReadOnlyList<double> counts = model.Axis("bits_per_byte");
        double all = counts[^1];
        string said = string.Join("; ", counts.Select(k => $"{k:0} of {all:0} layers attention: {Spread(model.At("bits_per_byte", k), Bits)} bits, recall gains {Spread(model.At("recall", k), Bits)}"));
        double[] flat = [.. counts.Where(k => k > 0 && (all - k) / k is >= 3 and <= 10)];
        (double low, double high) = (flat.Min(k => model.Mean("bits_per_byte", k)), flat.Max(k => model.Mean("bits_per_byte", k)));
        bool isFlat = high - low <= Math.Max(0.01 * low, flat.Max(k => Width(model.At("bits_per_byte", k))));
        return new(said, isFlat && flat.All(k => TextFindings.Compare(model.At("bits_per_byte", k), model.At("bits_per_byte", 0)) <= 0) ? Verdict.Held : Verdict.DidNotHold);
    }

    /// <summary>From worst to best: attention on bytes, recurrent on bytes, recurrent on byte pairs, attention on byte pairs; the last two may be level.</summary>
    public static ClaimFinding Granularity(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel attention = report.Models.First(m => m.Pattern.Contains("attention", StringComparison.Ordinal)), recurrent = report.Models.First(m => !m.Pattern.Contains("attention", StringComparison.Ordinal));
        double bytes = report.Task.Ticks.First(t => t.Name == "bytes").X, pairs = report.Task.Ticks.First(t => t.Name == "BPE").X;
        var said = new List<string>();
        var verdicts = new List<Verdict>();
        foreach ((string quantity, string at) in ((string, string)[])[("bits_at_equal_bytes", "equal bytes"), ("bits_at_equal_flops", "equal FLOPs")])
        {
            IReadOnlyList<double>[] order = [attention.At(quantity, bytes), recurrent.At(quantity, bytes), recurrent.At(quantity, pairs), attention.At(quantity, pairs)];
            said.Add($"{at}: attention {Spread(order[0], Bits)} on bytes and {Spread(order[3], Bits)} on byte pairs, Mamba-2 {Spread(order[1], Bits)} and {Spread(order[2], Bits)}");
            bool isAgainst = order.Zip(order.Skip(1)).Any(p => p.Second.Average() > p.First.Average() && !TextFindings.IsTied(p.First, p.Second));
            bool isOpen = order.Take(3).Zip(order.Skip(1)).Any(p => TextFindings.IsTied(p.First, p.Second));
            verdicts.Add(isAgainst ? Verdict.DidNotHold : isOpen ? Verdict.TooSmallToTell : Verdict.Held);
        }

        return new(string.Join("; ", said), verdicts.Contains(Verdict.DidNotHold) ? Verdict.DidNotHold : verdicts.Contains(Verdict.TooSmallToTell) ? Verdict.TooSmallToTell : Verdict.Held);
    }

    /// <summary>DNA: the recurrent model beats attention at equal data and the same width, and predicts better the more context it has.</summary>
    public static ClaimFinding Dna(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel recurrent = report.Models.First(m => !m.Pattern.Contains("attention", StringComparison.Ordinal));
        TextModel[] attention = [.. report.Models.Where(m => m != recurrent)];
        IReadOnlyList<double> contexts = recurrent.Axis("perplexity_by_context");
        (double from, double to) = (contexts[0], contexts[^1]);
        string said = string.Join("; ", report.Models.Select(m => $"{m.Name}: perplexity {string.Join(", ", m.Axis("perplexity").Select(p => $"{Spread(m.At("perplexity", p), Bits)} with {Count(p)} parameters"))}, {Spread(m.At("perplexity_by_context", from), Bits)} after {from:0} bases and {Spread(m.At("perplexity_by_context", to), Bits)} after {to / 1024:0}k"));
        int better = attention.Min(m => TextFindings.Compare(m.At("perplexity_by_context", from), recurrent.At("perplexity_by_context", from), DnaDoubt)), gains = TextFindings.Compare(recurrent.At("perplexity_by_context", to), recurrent.At("perplexity_by_context", from), DnaDoubt);
        return new(said, better < 0 || gains > 0 ? Verdict.DidNotHold : better > 0 && gains < 0 ? Verdict.Held : Verdict.TooSmallToTell);
    }

    /// <summary>Massive values by the paper's definition, ruinous to set to zero and harmless to set to their mean.</summary>
    public static ClaimFinding Massive(ClaimReports reports)
    {
        TextReport report = reports.Text();
        string said = string.Join("; ", report.Models.Where(m => m.Axis("ratio").Count > 0).Select(m => $"{m.Name}: largest value {Most(m, "ratio"):0.0} times the median, massive values {Most(m, "massive"):0.##}; the largest set to zero cost {Most(m, "values_zeroed"):0.000} bits per byte, to their mean {Most(m, "values_patched"):0.000}"));
        TextModel[] have = [.. report.Models.Where(m => m.Pattern.Contains("attention", StringComparison.Ordinal) && m.Axis("massive").Count > 0 && Most(m, "massive") >= 1)];
        return new(said, have.Length == 0 ? Verdict.TooSmallToTell : have.All(m => Most(m, "values_zeroed") > 1 && Most(m, "values_patched") < 0.1) ? Verdict.Held : Verdict.DidNotHold);

        static double Most(TextModel m, string quantity) => m.Axis(quantity).Max(x => m.Mean(quantity, x));
    }

    /// <summary>Votes for an answer count more than their number in attention, and more than in recurrent models; nothing is said where no model looks back.</summary>
    public static ClaimFinding Repetition(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel[] models = [.. report.Models.Where(m => m.Axis("votes").Count > 1)];
        IReadOnlyList<double> votes = models[0].Axis("votes");
        (double one, double most) = (votes[0], votes[^1]);
        double counted = Math.Log2(most / one);
        string said = string.Join("; ", models.Select(m => $"{m.Name}: odds of what came {most:0} times over what came once and last {Spread(m.At("votes", most), Bits)} bits ({Spread(m.At("votes", one), Bits)} at one each; counting adds {counted:0}), both answers together {Spread(m.At("either", most), Share)}; other text after {m.Axis("rest")[^1]:0} copies costs {Spread(m.At("rest", m.Axis("rest")[^1]), Bits)} bits per byte more"));
        TextModel[] looking = [.. models.Where(m => m.Mean("either", most) >= Learned)], attention = [.. looking.Where(m => m.Pattern.Contains("attention", StringComparison.Ordinal))];
        double Rise(TextModel m) => m.Mean("votes", most) - m.Mean("votes", one);
        return new(said, attention.Length == 0 ? Verdict.TooSmallToTell : attention.All(m => Rise(m) > counted) ? Verdict.Held : Verdict.DidNotHold);
    }

    // Accuracy rises with state at the difficulty that tells models of fixed state apart best: the most beats the least beyond the spread, and no step goes down beyond it.
    private static Verdict Rises(ProbeReport report, ProbedModel[] byState, Func<ProbedModel, int, IReadOnlyList<double>> accuracy)
    {
        if (byState.Length < 2)
        {
            return Verdict.TooSmallToTell;
        }

        int at = report.Difficulties().MaxBy(d => accuracy(byState[^1], d).DefaultIfEmpty().Average() - accuracy(byState[0], d).DefaultIfEmpty().Average());
        IReadOnlyList<double> least = accuracy(byState[0], at), most = accuracy(byState[^1], at);
        bool isApart = least.Count > 0 && most.Count > 0 && most.Min() > least.Max() && most.Average() - least.Average() > ProbeFindings.SingleSeedDoubt;
        bool isFalling = byState.Zip(byState.Skip(1)).Any(p => p.First.State[0] < p.Second.State[0]
            && accuracy(p.First, at).DefaultIfEmpty().Min() > accuracy(p.Second, at).DefaultIfEmpty().Max() + ProbeFindings.SingleSeedDoubt);
        return isFalling ? Verdict.DidNotHold : isApart ? Verdict.Held : Verdict.TooSmallToTell;
    }

    /// <summary>
    /// Bits lost to filler hardly at all (2 % or the spread) and state that does not grow, for recurrent models; a cache that grows k-fold. The best recurrent model at each k
    /// counts, since a short convolution of four tokens sees nothing but filler where k is above three, and one of as many bytes must be k times as long.
    /// </summary>
    public static ClaimFinding Filler(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel[] recurrent = [.. report.Models.Where(m => !m.Pattern.Contains("attention", StringComparison.Ordinal))];
        TextModel attention = report.Models.First(m => m.Name == "transformer");
        IReadOnlyList<double> axis = attention.Axis("bits_per_byte");
        (double from, double to) = (axis[0], axis[^1]);
        string said = string.Join("; ", report.Models.Select(m => $"{m.Name}: {string.Join(", ", axis.Select(k => Spread(m.At("bits_per_byte", k), Bits)))} bits at k = {string.Join(", ", axis)}, state {Times(m, "state_bytes")}, FLOPs {Times(m, "flops_per_byte")}, decoding {Times(m, "bytes_per_second")}"));
        bool isFlat = recurrent.All(m => m.Mean("state_bytes", to) == m.Mean("state_bytes", from)), grows = attention.Mean("state_bytes", to) > 0.9 * to / from * attention.Mean("state_bytes", from);
        TextModel Best(double k) => recurrent.MinBy(m => m.Mean("bits_per_byte", k))!;
        IReadOnlyList<double> first = Best(from).At("bits_per_byte", from), last = Best(to).At("bits_per_byte", to);
        return new(said, isFlat && grows && last.Average() - first.Average() <= Math.Max(0.02 * first.Average(), Width(first) + Width(last)) ? Verdict.Held : Verdict.DidNotHold);

        string Times(TextModel m, string quantity)
        {
            double ratio = m.Mean(quantity, to) / m.Mean(quantity, from);
            return ratio >= 1 ? $"x {Sentence.Ratio(ratio)}" : $"/ {Sentence.Ratio(1 / ratio)}";
        }
    }

    private static string Bits(double x) => $"{x:0.000}";

    private static string Count(double n) => n >= 1e6 ? $"{n / 1e6:0.##}M" : n >= 1e3 ? $"{n / 1e3:0.#}k" : $"{n:0}";

    private static string Sci(double x) => x.ToString("0.##e0", System.Globalization.CultureInfo.InvariantCulture);

    private static string Share(double x) => $"{100 * x:0.#} %";

    private static string Spread(IReadOnlyList<double> values, Func<double, string> told) => values.Count == 0 ? "diverged" : SeedFigures.Told(values, told);

    private static double Width(IReadOnlyList<double> values) => values.Count == 0 ? 0 : values.Max() - values.Min();
}
