using static Weft.Lab.Report.Sentence;

namespace Weft.Lab.Report;

/// <summary>
/// Says in plain words what a comparison found. Each finding is one string, "Topic: sentences", made by fixed rules from the report's
/// figures alone: the same figures give the same words. A claim holds as far as the measurement goes; what is computed is called computed.
/// </summary>
public static class Findings
{
    /// <summary>With one seed, differences in bits per byte below this are taken for noise.</summary>
    public const double SingleSeedDoubt = 0.02;

    /// <summary>A second copy that saves less than this many bits per byte counts as not recalled, and two savings closer than this as equal.</summary>
    public const double RecallFloor = 0.05;

    /// <summary>Speeds within this ratio count as equal: they are timed once.</summary>
    public const double SpeedDoubt = 1.1;

    /// <summary>Derives the findings, the most important first.</summary>
    public static IReadOnlyList<string> Derive(ComparisonReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        ModelResult[] ranked = [.. report.Models.Where(m => double.IsFinite(m.BitsPerByte)).OrderBy(m => m.BitsPerByte)];
        List<string> findings = [];
        Compression(report, ranked, findings);
        Take(report, ranked, findings);
        Certainty(ranked, findings);
        AgainstCompressors(report, ranked, findings);
        Recall(report, findings);
        Decoding(report, findings);
        Memory(report, findings);
        TrainingSpeed(ranked, findings);
        NotMeasured(report, findings);
        return findings;
    }

    private static void Compression(ComparisonReport report, ModelResult[] ranked, List<string> findings)
    {
        if (ranked.Length == 0)
            findings.Add("Compression: No model ended with a usable result.");
        else if (ranked.Length == 1)
            findings.Add($"Compression: {ranked[0].Name} reaches {Score(ranked[0])} on held-out text, {ranked[0].BitsPerByte / 8:P0} of its size; no other model to compare it with.");
        else
            findings.Add($"Compression: {Winner(ranked)}");

        foreach (ModelResult m in report.Models)
        {
            int lost = m.BitsPerByteSeeds.Count(s => !double.IsFinite(s));
            if (!double.IsFinite(m.BitsPerByte))
                findings.Add($"Diverged: {m.Name} has no result, its training diverged; a lower learning rate (it was {m.LearningRate:G3}) is the first thing to try.");
            else if (lost > 0)
                findings.Add($"Diverged: {lost} of {m.BitsPerByteSeeds.Count} seeds of {m.Name} diverged; its mean leaves them out.");
        }
        if (ranked.Length > 1 && ranked.MinBy(m => m.TrainFlops)! is var least && ranked.Max(m => m.TrainFlops) > 1.05 * least.TrainFlops)
            findings.Add($"Unequal budgets: {least.Name} spent {least.TrainFlops:G3} training FLOPs, others up to {ranked.Max(m => m.TrainFlops):G3}; the results are not at equal cost.");
    }

    private static string Winner(ModelResult[] ranked)
    {
        ModelResult best = ranked[0], next = ranked[1];
        ModelResult[] tied = [.. ranked.Where(m => Tied(best, m))];
        double gap = next.BitsPerByte - best.BitsPerByte;
        int seeds = SeedCount(best, next);
        string text;
        if (tied.Length > 1)
        {
            text = $"Too close to call at this budget: {List(tied.Select(m => $"{m.Name} ({m.BitsPerByte:F3})"))} bits/byte on held-out text differ by at most {tied[^1].BitsPerByte - best.BitsPerByte:F3}, ";
            text += SeedCount(tied) > 1
                ? $"inside the spread between seeds (up to {tied.Max(Spread):F3})."
                : $"and with one seed differences below about {SingleSeedDoubt} should not be trusted.";
        }
        else
        {
            text = $"{best.Name} compresses best at this budget: {Score(best)} on held-out text, {best.BitsPerByte / 8:P0} of its size and {gap:F3} ahead of {next.Name} ({next.BitsPerByte:F3}). ";
            text += seeds > 1
                ? $"The gap is outside the seed spread: each of its seeds beats every seed of {next.Name}."
                : "With one seed the spread between seeds is unknown.";
        }
        ModelResult[] rest = [.. ranked.Except(tied).Where(m => tied.Length > 1 || m != next)];
        return rest.Length == 0 ? text : $"{text} Behind: {List(rest.Select(m => $"{m.Name} ({m.BitsPerByte:F3})"))}.";
    }

    private static void Take(ComparisonReport report, ModelResult[] ranked, List<string> findings)
    {
        ModelResult[] useful = [.. ranked.Where(m => BeatsGzip(m, report.Baselines))];
        if (report.Models.Count < 2 || useful.Length == 0)
            return;
        ModelResult best = useful[0];
        List<(string Who, string For)> advice = [(List(useful.Where(m => Tied(best, m)).Select(m => m.Name), "or"), "the smallest bits/byte")];

        if (LongestCommon(useful) is int context)
        {
            ModelResult fast = useful.MaxBy(m => At(m, context).TokensPerSecond)!;
            if (At(fast, context).TokensPerSecond > SpeedDoubt * useful.Where(m => m != fast).Select(m => At(m, context).TokensPerSecond).DefaultIfEmpty().Max())
                advice.Add((fast.Name, $"the fastest decoding at {Tokens(context)} tokens of context"));
            ModelResult small = useful.MinBy(m => At(m, context).StateBytes)!;
            if (useful.All(m => m == small || At(m, context).StateBytes > At(small, context).StateBytes))
                advice.Add((small.Name, $"the least memory per sequence at {Tokens(context)}"));
        }
        IEnumerable<(string Who, string Where)> recall =
            from range in Ranges(report.Context)
            let gains = useful.Where(m => m.Recall.Any(range.Chosen)).Select(m => (m.Name, Gain: MeanGain(m, range.Chosen))).ToArray()
            let most = gains.Select(g => g.Gain).DefaultIfEmpty().Max()
            where most >= RecallFloor
            select (List(gains.Where(g => most - g.Gain < RecallFloor).OrderByDescending(g => g.Gain).Select(g => g.Name), "or"), range.Where);
        advice.AddRange(recall.GroupBy(r => r.Who, r => r.Where).Select(r => (r.Key, $"repeating what it read {List(r)} the training context")));
        findings.Add($"Which to take: {string.Join("; ", advice.GroupBy(a => a.Who, a => a.For).Select(a => $"{a.Key} for {List(a)}{Price(a.Key)}"))}.");

        string Price(string name) => useful.FirstOrDefault(m => m.Name == name) is { } m && !Tied(best, m) ? $", at a cost of {m.BitsPerByte - best.BitsPerByte:F3} bits/byte" : "";
    }

    private static void AgainstCompressors(ComparisonReport report, ModelResult[] ranked, List<string> findings)
    {
        Baselines baselines = report.Baselines;
        (string Name, double Bits)[] rivals = [.. new[] { ("gzip -9", baselines.Gzip), ("Brotli 11", baselines.Brotli) }.Where(b => double.IsFinite(b.Item2))];
        if (rivals.Length == 0 || ranked.Length == 0)
            return;
        const string Nobody = "No model beats";
        string Who(double bits)
        {
            string[] winners = [.. ranked.Where(m => m.BitsPerByte < bits).Select(m => m.Name)];
            return winners.Length == 0 ? Nobody : report.Models.Count == 1 ? $"{winners[0]} beats"
                : winners.Length == report.Models.Count ? "Every model beats" : $"Only {List(winners)} {(winners.Length == 1 ? "beats" : "beat")}";
        }
        IEnumerable<string> said = rivals.GroupBy(r => Who(r.Bits), r => $"{r.Name} ({r.Bits:F3} bits/byte)").Select(g => $"{g.Key} {List(g, g.Key == Nobody ? "or" : "and")}.");
        string text = $"Compressors: {string.Join(" ", said)} They work on the same held-out text but start from nothing, while the models have read the training part.";
        if (ranked.Any(m => !BeatsGzip(m, baselines)))
            text += " A model that loses to gzip learned too little to be of use: give it a larger budget or another learning rate.";
        findings.Add(text);
    }

    private static void Recall(ComparisonReport report, List<string> findings)
    {
        foreach ((string where, Func<RecallPoint, bool> chosen) in Ranges(report.Context))
        {
            ModelResult[] models = [.. report.Models.Where(m => m.Recall.Any(chosen)).OrderByDescending(m => MeanGain(m, chosen))];
            if (models.Length == 0)
                continue;
            int[] distances = [.. models.SelectMany(m => m.Recall.Where(chosen)).Select(r => r.Distance).Distinct().Order()];
            string range = distances.Length == 1 ? Tokens(distances[0]) : $"{Tokens(distances[0])} to {Tokens(distances[^1])}";
            string gains = List(models.Select(m => $"{m.Name} {MeanGain(m, chosen):F2}{(distances.Length == 1 ? "" : $" ({Reach(m, chosen)})")}"));
            string text = $"Recall {where} the training context: Bits/byte saved on average when a passage comes again {range} bytes later: {gains}.";
            if (MeanGain(models[0], chosen) < RecallFloor)
                text += $" None recalls there: a saving below {RecallFloor} counts as none.";
            if (models.Any(m => MeanGain(m, chosen) < -RecallFloor))
                text += " Below zero, the second copy was predicted worse than the first: the model does not hold up that far into a text.";
            findings.Add(text);
        }
    }

    /// <summary>How far a model's recall reaches without a break.</summary>
    private static string Reach(ModelResult model, Func<RecallPoint, bool> chosen)
    {
        RecallPoint[] points = [.. model.Recall.Where(chosen).OrderBy(r => r.Distance)];
        int reached = points.TakeWhile(r => Gain(r) >= RecallFloor).Count();
        return reached == 0 ? $"below {RecallFloor} at once" : $"at least {RecallFloor} {(reached == points.Length ? "at every distance" : $"up to {Tokens(points[reached - 1].Distance)}")}";
    }

    private static void Decoding(ComparisonReport report, List<string> findings)
    {
        ModelResult[] models = [.. report.Models.Where(m => m.Decode.Count > 0)];
        int[] common = CommonContexts(models);
        if (common.Length == 0)
            return;
        int first = common[0], last = common[^1];
        ModelResult[] order = [.. models.OrderByDescending(m => At(m, last).TokensPerSecond)];
        ModelResult fast = order[0];
        double speed = At(fast, last).TokensPerSecond;
        string where = $"At {Tokens(last)} tokens of context{(models.Length > 1 ? ", the longest measured for all" : "")}";
        string text = $"Decoding: {where}, {fast.Name} writes {Figure(speed)} tokens/s";
        if (order.Length > 1)
            text += $", {List(order.Skip(1).Select(m => speed < SpeedDoubt * At(m, last).TokensPerSecond
                ? $"about as fast as {m.Name} ({Figure(At(m, last).TokensPerSecond)})"
                : $"{Ratio(speed / At(m, last).TokensPerSecond)} times {m.Name} ({Figure(At(m, last).TokensPerSecond)})"))}";
        text += ".";

        ModelResult ahead = models.MaxBy(m => At(m, first).TokensPerSecond)!;
        if (ahead != fast && At(ahead, first).TokensPerSecond > SpeedDoubt * At(fast, first).TokensPerSecond && speed > SpeedDoubt * At(ahead, last).TokensPerSecond)
        {
            int behind = common.Last(c => At(ahead, c).TokensPerSecond >= At(fast, c).TokensPerSecond);
            text += $" At {Tokens(first)} {ahead.Name} is faster ({Figure(At(ahead, first).TokensPerSecond)} tokens/s); {fast.Name} overtakes it between {Tokens(behind)} and {Tokens(common.First(c => c > behind))}.";
        }
        string[] slowed = [.. models.Select(m => (m.Name, Ratio: At(m, first).TokensPerSecond / At(m, last).TokensPerSecond)).Where(s => s.Ratio > 1.5).Select(s => $"{s.Name} slows down {Ratio(s.Ratio)} times")];
        if (slowed.Length > 0)
            text += $" From {Tokens(first)} to {Tokens(last)} {List(slowed)}.";
        findings.Add(text);
    }

    private static void Memory(ComparisonReport report, List<string> findings)
    {
        ModelResult[] models = [.. report.Models.Where(m => m.Decode.Count > 0)];
        int[] common = CommonContexts(models);
        if (common.Length == 0)
            return;
        int first = common[0], last = common[^1];
        ModelResult small = models.MinBy(m => At(m, last).StateBytes)!;
        string text = "Memory: " + string.Join("; ", models.OrderBy(m => At(m, last).StateBytes).Select(m =>
        {
            long from = At(m, first).StateBytes, to = At(m, last).StateBytes;
            string size = from == to ? $"{m.Name}'s state is {Bytes(to)} at every context measured" : $"{m.Name}'s grows from {Bytes(from)} at {Tokens(first)} to {Bytes(to)} at {Tokens(last)}";
            return to > 1.5 * At(small, last).StateBytes ? $"{size}, {Ratio((double)to / At(small, last).StateBytes)} times {small.Name}'s" : size;
        })) + ".";
        if (models.SelectMany(m => m.Decode).Max(d => d.Context) is int far && far > last && models.All(m => m.Decode.Any(d => d.Context == far)) && models.Any(m => At(m, far).StateBytes > At(m, last).StateBytes))
            text += $" Computed, not measured: at {Tokens(far)} they would hold {List(models.OrderBy(m => At(m, far).StateBytes).Select(m => $"{m.Name} {Bytes(At(m, far).StateBytes)}"))}.";
        findings.Add(text);
    }

    private static void TrainingSpeed(ModelResult[] ranked, List<string> findings)
    {
        if (ranked.Length < 2)
            return;
        ModelResult[] order = [.. ranked.OrderBy(m => m.TrainSeconds)];
        string text = $"Training: The budget took {List(order.Select(m => $"{m.Name} {Figure(m.TrainSeconds)} s ({Figure(m.TrainTokensPerSecond)} tokens/s)"))}.";
        double seconds = order[0].TrainSeconds;
        (string Name, double Bits)[] then = [.. ranked.Select(m => (m.Name, AtSecond(m, seconds))).Where(m => double.IsFinite(m.Item2)).OrderBy(m => m.Item2)];
        if (then.Length == ranked.Length)
        {
            string standing = List(then.Select(m => $"{m.Name} {m.Bits:F3}"));
            text += then[0].Name != ranked[0].Name && then[1].Bits - then[0].Bits >= SingleSeedDoubt
                ? $" At equal time ({Figure(seconds)} s) the order changes: {standing} bits/byte."
                : $" At equal time ({Figure(seconds)} s): {standing} bits/byte.";
        }
        findings.Add(text);
    }

    private static void Certainty(ModelResult[] ranked, List<string> findings)
    {
        if (ranked.Length == 0)
            return;
        int seeds = SeedCount(ranked);
        string text;
        if (seeds < 2)
        {
            text = $"One seed per model, so the spread between seeds is unknown and differences below about {SingleSeedDoubt} bits/byte should not be trusted; --seeds 3 measures it.";
        }
        else
        {
            // Two equal models: all orderings of their 2n results are equally likely, and two of them separate the models completely.
            double orderings = Enumerable.Range(1, seeds).Aggregate(1.0, (c, i) => c * (seeds + i) / i);
            text = $"{seeds} seeds per model, at most {ranked.Max(Spread):F3} bits/byte apart. If two models were equally good, one would still win with all its seeds about once in {orderings / 2:F0} comparisons.";
        }
        string[] falling = [.. ranked.Where(m => m.Curve.Count > 0 && LateGain(m) > SingleSeedDoubt).Select(m => m.Name)];
        if (falling.Length > 0)
            text += $" Still improving when the budget ended (by more than {SingleSeedDoubt} in its last fifth): {List(falling)}; a larger budget may change the order.";
        findings.Add($"How sure: {text} All of it holds for this corpus, budget and model size.");
    }

    private static void NotMeasured(ComparisonReport report, List<string> findings)
    {
        List<string> missing = [];
        if (report.Models.SelectMany(m => m.Decode).Where(d => !d.Measured).Select(d => d.Context).DefaultIfEmpty().Min() is int from && from > 0)
            missing.Add($"decode speed from {Tokens(from)} tokens of context on where drawn dashed (computed from shorter contexts)");
        if (report.Models.All(m => m.Decode.Count == 0))
            missing.Add("decode speed and state size");
        missing.Add(report.Models.All(m => m.Recall.Count == 0) ? "recall" : "the spread of recall between seeds");
        missing.Add("the spread of speeds between runs");
        if (!double.IsFinite(report.Baselines.Gzip) || !double.IsFinite(report.Baselines.Brotli))
            missing.Add("every compressor");
        missing.Add("other corpora, budgets and sizes");
        string text = string.Join("; ", missing);
        findings.Add($"Not measured: {char.ToUpperInvariant(text[0])}{text[1..]}.");
    }

    /// <summary>Whether <paramref name="other"/> cannot be told from the better <paramref name="best"/>: their seeds overlap or, with one seed, they are close.</summary>
    private static bool Tied(ModelResult best, ModelResult other)
    {
        if (best == other)
            return true;
        return SeedCount(best, other) > 1
            ? Finite(best).Max() >= Finite(other).Min()
            : other.BitsPerByte - best.BitsPerByte < SingleSeedDoubt;
    }

    private static double[] Finite(ModelResult m) => [.. m.BitsPerByteSeeds.Where(double.IsFinite)];

    private static int SeedCount(params ModelResult[] models) => models.Min(m => Finite(m).Length);

    private static double Spread(ModelResult m) => Finite(m) is { Length: > 0 } seeds ? seeds.Max() - seeds.Min() : 0;

    private static bool BeatsGzip(ModelResult m, Baselines b) => m.BitsPerByte < (double.IsFinite(b.Gzip) ? b.Gzip : 8);

    private static (string Where, Func<RecallPoint, bool> Chosen)[] Ranges(int context) =>
        [("within", r => r.Distance < context), ("past", r => r.Distance >= context)];

    /// <summary>Bits per byte that having read the passage before saves.</summary>
    private static double Gain(RecallPoint r) => r.First - r.Second;

    private static double MeanGain(ModelResult m, Func<RecallPoint, bool> chosen) => m.Recall.Where(chosen).Average(Gain);

    private static DecodePoint At(ModelResult m, int context) => m.Decode.First(d => d.Context == context);

    /// <summary>The contexts at which every one of the models was timed, ascending.</summary>
    private static int[] CommonContexts(ModelResult[] models) => models.Length == 0 ? [] :
        [.. models.Select(m => m.Decode.Where(d => d.Measured).Select(d => d.Context)).Aggregate((a, b) => a.Intersect(b)).Order()];

    private static int? LongestCommon(ModelResult[] models) =>
        models.All(m => m.Decode.Count > 0) && CommonContexts(models) is { Length: > 0 } common ? common[^1] : null;

    /// <summary>Bits per byte after some seconds of training: on straight lines between evaluations, the mean over seeds.</summary>
    private static double AtSecond(ModelResult m, double seconds) => Mean(m, c => c.Seconds, _ => seconds);

    /// <summary>Bits per byte won in the last fifth of the FLOPs.</summary>
    private static double LateGain(ModelResult m) =>
        Mean(m, c => c.Flops, run => 0.8 * run[^1].Flops) - Mean(m, c => c.Flops, run => run[^1].Flops);

    private static double Mean(ModelResult m, Func<CurvePoint, double> along, Func<CurvePoint[], double> at) => m.Curve
        .Where(c => double.IsFinite(c.BitsPerByte)).GroupBy(c => c.Seed)
        .Select(seed =>
        {
            CurvePoint[] run = [.. seed.OrderBy(along)];
            double x = at(run);
            int i = Array.FindIndex(run, c => along(c) >= x);
            if (i <= 0)
                return i < 0 ? run[^1].BitsPerByte : run[0].BitsPerByte;
            double t = (x - along(run[i - 1])) / (along(run[i]) - along(run[i - 1]));
            return run[i - 1].BitsPerByte + t * (run[i].BitsPerByte - run[i - 1].BitsPerByte);
        })
        .DefaultIfEmpty(double.NaN).Average();

    private static string Score(ModelResult m) => $"{m.BitsPerByte:F3} bits/byte";

    private static string Tokens(int n) => n >= 1024 && n % 1024 == 0 ? $"{n / 1024}k" : $"{n}";

    /// <summary>Three significant digits.</summary>
    private static string Figure(double x) =>
        x >= 1e6 ? $"{x / 1e6:G3}M" : x >= 1e4 ? $"{x / 1e3:G3}k" : x >= 100 ? $"{x:F0}" : $"{x:G3}";
}
