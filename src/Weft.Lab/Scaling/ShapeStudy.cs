using System.Diagnostics;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Lab.ScalingLaws;

/// <summary>
/// Trains shapes of one family at one budget, fits the conditional law of arXiv 2510.18245 to some of them, tells by the others how good it is, and
/// proposes a shape for an inference budget. As there, grouped queries are no variable of the law, since loss hardly follows them: they are tried.
/// </summary>
internal sealed class ShapeStudy(ScaledModel model, ModelConfig family, Device device, ScalingOptions options, double budget, CancellationToken cancel)
{
    private const int Context = 1024; // tokens before the one generated
    private const int Candidates = 13; // widths, and ratios, between those fitted
    private static readonly double[] Sizes = [0.25, 0.5, 0.71, 1, 1.41, 2, 4]; // of the shapes' parameters
    private const double MeasuredSeconds = 0.2;

    /// <summary>Trains and fits.</summary>
    /// <param name="train">Trains a model with a budget.</param>
    /// <param name="measures">Called before each measurement of speed.</param>
    public ShapeReport Run(Func<ModelConfig, double, ScalingRun> train, Action measures)
    {
        FrontierPoint? best = model.Frontier.FirstOrDefault(p => p.Budget == budget);
        if (best is null)
        {
            return new ShapeReport(model.Name, budget, options.Slack, [], null, null, null); // all diverged
        }

        ModelConfig own = SizeLadder.Scaled(family, best.Width);
        var plan = new ShapePlan(own, new LanguageModel(own, device, 1));
        var shapes = new List<ShapeResult>();
        foreach ((AttentionShape shape, string use) in plan.All())
        {
            ModelConfig config = plan.Config(shape);
            ScalingRun run = train(config, budget);
            measures();
            shapes.Add(new ShapeResult(shape, config.Blocks.ToString(), shape.Width / Math.Sqrt(run.NonEmbedding), plan.RatioOf(shape), use, run,
                Optimal(run.Parameters, run.Bytes, best), double.NaN, Measure(config)));
        }

        ShapeResult[] fitted = [.. shapes.Where(s => s.Use == "fit" && double.IsFinite(s.Run.BitsPerByte))];
        double[] x = [.. fitted.Select(s => s.X)], r = [.. fitted.Select(s => s.Ratio)], relative = [.. fitted.Select(s => s.Run.BitsPerByte / s.Optimal)];
        if (ShapeLaw.Fit(x, r, relative) is not { } law)
        {
            return new ShapeReport(model.Name, budget, options.Slack, shapes, null, null, null);
        }

        shapes = [.. shapes.Select(s => s with { Predicted = s.Optimal * law.At(s.X, s.Ratio) })];
        Scatter scatter = Scatter.Of(fitted.Select(s => Math.Log(s.Run.BitsPerByte / (s.Optimal * law.At(s.X, s.Ratio)))), fitted.Length - ShapeLaw.Free);
        ShapeLaw[] draws = scatter.Bootstrap([.. fitted.Select(s => law.At(s.X, s.Ratio))], 0, drawn => ShapeLaw.Fit(x, r, drawn)!);
        return new ShapeReport(model.Name, budget, options.Slack, shapes, law, Judge(shapes), Propose(plan, shapes, best, law, draws));
    }

    // By the family's own law, as Hoffmann et al. fit it; where there is none, the best loss at this budget.
    private double Optimal(double parameters, double bytes, FrontierPoint best) => model.Surface?.Law.At(parameters, bytes) ?? best.BitsPerByte;

    private static ShapeError? Judge(List<ShapeResult> shapes)
    {
        ShapeResult[] fitted = [.. shapes.Where(s => s.Use == "fit" && double.IsFinite(s.Run.BitsPerByte))], held = [.. shapes.Where(s => s.Use == "held out" && double.IsFinite(s.Run.BitsPerByte))];
        double mean = fitted.Average(s => s.Run.BitsPerByte / s.Optimal);
        return held.Length == 0 ? null : new ShapeError(Error(fitted, s => s.Predicted), Error(held, s => s.Predicted), Error(held, s => mean * s.Optimal), Ranks(held));

        static double Error(ShapeResult[] some, Func<ShapeResult, double> predicted) => Math.Sqrt(some.Average(s => Math.Pow((predicted(s) / s.Run.BitsPerByte) - 1, 2)));
    }

    // Spearman's correlation: that of the ranks.
    private static double Ranks(ShapeResult[] shapes)
    {
        double[] a = Of(s => s.Predicted), b = Of(s => s.Run.BitsPerByte);
        double mean = (shapes.Length - 1) / 2.0, square = a.Sum(v => (v - mean) * (v - mean));
        return square == 0 ? double.NaN : a.Zip(b, (u, v) => (u - mean) * (v - mean)).Sum() / square;

        double[] Of(Func<ShapeResult, double> value) => [.. shapes.Select(s => (double)shapes.Count(o => value(o) < value(s)))];
    }

    /// <summary>The shape of the least predicted loss that runs within the inference budget, within what was fitted; of grouped queries the fewest heads that the slack allows.</summary>
    private ShapeProposal? Propose(ShapePlan plan, List<ShapeResult> shapes, FrontierPoint best, ShapeLaw law, ShapeLaw[] draws)
    {
        ShapeResult[] fitted = [.. shapes.Where(s => s.Use == "fit")];
        ShapeResult usual = shapes.MinBy(s => Math.Abs(Math.Log(s.X / (best.Width / Math.Sqrt(s.Run.NonEmbedding)))) + Math.Abs(Math.Log(s.Ratio / 2)) + (10 * (s.Shape.Group - 1)))!;
        double trainingFlops = model.Surface is null ? budget : model.Frontier[^1].Budget;
        double perByte = usual.Run.Flops / usual.Run.Bytes / plan.FlopsPerToken(usual.Shape, options.Context / 2); // training's FLOPs over those of a token read
        double allowed = options.Inference ?? OwnFlops();
        double leastSize = model.Runs.Min(r => r.Parameters), mostSize = model.Runs.Max(r => r.Parameters);
        int shared = shapes.Where(s => s.Use == "grouped" && s.Run.BitsPerByte <= (1 + options.Slack) * Ungrouped(s)).Select(s => s.Shape.Group).DefaultIfEmpty(1).Max();
        double penalty = shared == 1 ? 1 : shapes.Where(s => s.Shape.Group == shared).Select(s => s.Run.BitsPerByte / Ungrouped(s)).First();

        var candidates = from size in model.Surface is null ? [1] : Sizes
                         from w in Between(fitted.Min(s => s.Shape.Width * Math.Sqrt(size)), fitted.Max(s => s.Shape.Width * Math.Sqrt(size)))
                         from ratio in Between(fitted.Min(s => s.Ratio), fitted.Max(s => s.Ratio))
                         let shape = plan.Make(w, ratio, shared, size)
                         where plan.FlopsPerToken(shape, Context) <= allowed
                         select shape;
        foreach ((AttentionShape shape, double _) in candidates.Distinct().Select(s => (s, Loss(s, law))).Where(c => double.IsFinite(c.Item2)).OrderBy(c => c.Item2).ThenBy(c => plan.FlopsPerToken(c.s, Context)))
        {
            // Exactly: other mixers of the family cost too.
            ModelConfig config = plan.Config(shape);
            var built = new LanguageModel(config, device, 1);
            if (built.Cost(1, Context).Flops > allowed)
            {
                continue;
            }

            return new ShapeProposal(shape, config.Blocks.ToString(), built.ParameterCount(), X(shape), plan.RatioOf(shape), allowed, trainingFlops,
                Scatter.Interval(Loss(shape, law), draws.Select(d => Loss(shape, d))), Measure(config));
        }

        return null;

        double OwnFlops()
        {
            ModelConfig own = SizeLadder.Scaled(family, model.Frontier[^1].Width);
            return model.Surface is null ? shapes.Max(s => s.Cost.FlopsPerToken) : new LanguageModel(own, device, 1).Cost(1, Context).Flops;
        }

        double Ungrouped(ShapeResult grouped) => usual.Run.BitsPerByte * (grouped.Predicted / usual.Predicted); // of the same width and ratio, but for roundings

        double Inner(AttentionShape s) => usual.Run.NonEmbedding * InBlocks(s) / InBlocks(usual.Shape);

        double InBlocks(AttentionShape s) => plan.FlopsPerToken(s, 0) - (2.0 * s.Width * family.Vocabulary);

        double X(AttentionShape s) => s.Width / Math.Sqrt(Inner(s));

        // NaN outside what the laws were fitted to.
        double Loss(AttentionShape s, ShapeLaw by)
        {
            double parameters = Inner(s) + ((family.TieEmbeddings ? 1.0 : 2) * s.Width * family.Vocabulary), bytes = trainingFlops / (perByte * plan.FlopsPerToken(s, options.Context / 2));
            double x = X(s), ratio = plan.RatioOf(s);
            bool isInside = x >= 0.99 * fitted.Min(f => f.X) && x <= 1.01 * fitted.Max(f => f.X) && ratio >= 0.99 * fitted.Min(f => f.Ratio) && ratio <= 1.01 * fitted.Max(f => f.Ratio)
                && (model.Surface is null || (parameters >= 0.99 * leastSize && parameters <= 1.01 * mostSize));
            return isInside ? Optimal(parameters, bytes, best) * by.At(x, ratio) * penalty : double.NaN;
        }
    }

    private static IEnumerable<double> Between(double low, double high) => Enumerable.Range(0, Candidates).Select(i => low * Math.Pow(high / low, i / (Candidates - 1.0)));

    private InferenceCost Measure(ModelConfig config)
    {
        cancel.ThrowIfCancellationRequested();
        var built = new LanguageModel(config, device, 1);
        Cost cost = built.Cost(1, Context);
        return new InferenceCost(cost.Flops, cost.StateBytes, Context, DecodeSpeed.Measure(built, [Context], cancel)[0].TokensPerSecond, Prefill(built));
    }

    // The tokens a second of reading a context at once, the median of a few.
    private static double Prefill(LanguageModel built)
    {
        int[] text = new int[Context];
        var random = new RandomSource(1);
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = random.NextInt(built.Config.Vocabulary);
        }

        SequenceState state = built.NewState(1);
        using var tape = new Tape(built.Device) { Recording = false };
        var times = new List<double>();
        long start = Stopwatch.GetTimestamp();
        while (times.Count < 3 || Stopwatch.GetElapsedTime(start).TotalSeconds < MeasuredSeconds)
        {
            long before = Stopwatch.GetTimestamp();
            state.Clear();
            built.Next(tape.Tokens(text, 1, Context), state);
            built.Device.Synchronize();
            tape.Reset();
            times.Add(Stopwatch.GetElapsedTime(before).TotalSeconds);
        }

        times.Sort();
        return Context / times[times.Count / 2];
    }
}
