namespace Weft.Lab.ScalingLaws;

/// <summary>Fits a family's runs: the best size at each budget, L(C) of those, and L(N, D) of all.</summary>
internal sealed class LawFits
{
    private const double Delta = 1e-3; // Huber's, as Hoffmann et al. have it
    private const double Beyond = 10;  // times the largest budget: how far the band is drawn
    private const int BandPoints = 24, LeastForFloor = 4, LeastKinds = 3, SurfaceFree = 5;

    private readonly PowerLaw[] draws;

    /// <summary>Fits; the same runs and seed give the same fits, and families of different seeds independent draws.</summary>
    public LawFits(IReadOnlyList<ScalingRun> runs, ulong seed)
    {
        ScalingRun[] sound = [.. runs.Where(r => double.IsFinite(r.BitsPerByte))];
        Frontier = [.. sound.GroupBy(r => r.Budget).OrderBy(g => g.Key).Select(g => Best([.. g]))];
        (Surface, Scatter around) = OfSurface(sound, (2 * seed) + 1);
        (Compute, draws) = OfCompute(Frontier, Seeds(sound).With(around), 2 * seed);
    }

    public IReadOnlyList<FrontierPoint> Frontier { get; }

    public FittedLaw? Compute { get; }

    public FittedLaw? Surface { get; }

    /// <summary>This family's loss over another's, by their laws; null where one has none.</summary>
    public Estimate? RatioTo(LawFits other, double flops) => Compute is null || other.Compute is null ? null
        : Scatter.Interval(Compute.Law.At(flops) / other.Compute.Law.At(flops), draws.Zip(other.draws, (a, b) => a.At(flops) / b.At(flops)));

    private static FrontierPoint Best(ScalingRun[] runs)
    {
        ScalingRun[][] sizes = [.. runs.GroupBy(r => r.Width).OrderBy(g => g.Key).Select(g => g.ToArray())];
        ScalingRun[] best = sizes.MinBy(s => s.Average(r => r.BitsPerByte))!;
        return new FrontierPoint(best[0].Budget, best.Average(r => r.Flops), best[0].Width, best[0].Parameters, best[0].Bytes, best.Average(r => r.BitsPerByte),
            best != sizes[0] && best != sizes[^1]);
    }

    /// <summary>How far the mean over seeds of one budget and size is off, from how far seeds lie apart.</summary>
    private static Scatter Seeds(ScalingRun[] runs)
    {
        double squares = 0;
        int freedom = 0;
        foreach (IGrouping<(double, int), ScalingRun> cell in runs.GroupBy(r => (r.Budget, r.Width)))
        {
            double[] logs = [.. cell.Select(r => Math.Log(r.BitsPerByte))];
            double mean = logs.Average();
            squares += logs.Sum(l => (l - mean) * (l - mean)) / logs.Length;
            freedom += logs.Length - 1;
        }

        return freedom == 0 ? default : new Scatter(Math.Sqrt(squares / freedom), freedom);
    }

    private static (FittedLaw?, Scatter) OfSurface(ScalingRun[] runs, ulong seed)
    {
        double[] n = [.. runs.Select(r => (double)r.Parameters)], d = [.. runs.Select(r => (double)r.Bytes)], losses = [.. runs.Select(r => r.BitsPerByte)];
        if (runs.Length <= SurfaceFree || n.Distinct().Count() < LeastKinds || d.Distinct().Count() < LeastKinds)
        {
            return default;
        }

        double[][] x = [n, d];
        PowerLaw law = PowerLaw.Fit(x, losses, delta: Delta);
        double[] expected = [.. n.Select((_, i) => law.At(n[i], d[i]))];
        Scatter scatter = Scatter.Of(expected.Select((e, i) => Math.Log(losses[i] / e)), runs.Length - SurfaceFree);
        PowerLaw[] draws = scatter.Bootstrap(expected, seed, drawn => PowerLaw.Fit(x, drawn, delta: Delta, near: law));
        LawParameter[] parameters =
        [
            Judged("E", law.Floor, draws.Select(l => l.Floor)),
            Judged("A", law.Terms[0].Scale, draws.Select(l => l.Terms[0].Scale)),
            Judged("alpha", law.Terms[0].Exponent, draws.Select(l => l.Terms[0].Exponent)),
            Judged("B", law.Terms[1].Scale, draws.Select(l => l.Terms[1].Scale)),
            Judged("beta", law.Terms[1].Exponent, draws.Select(l => l.Terms[1].Exponent)),
        ];
        return (new FittedLaw("L(N, D) = E + A / N^alpha + B / D^beta", law, runs.Length, scatter.Sigma, scatter.Freedom, parameters, []), scatter);
    }

    /// <summary>L(C) of the best sizes, and its draws, with what is known of their scatter besides.</summary>
    internal static (FittedLaw? Law, PowerLaw[] Draws) OfCompute(IReadOnlyList<FrontierPoint> frontier, Scatter known, ulong seed)
    {
        if (frontier.Count < 2)
        {
            return (null, []);
        }

        bool hasFloor = frontier.Count >= LeastForFloor; // with three, E would take the last freedom: any curve could be drawn through them
        double[] flops = [.. frontier.Select(p => p.Flops)], losses = [.. frontier.Select(p => p.BitsPerByte)];
        PowerLaw law = PowerLaw.Fit([flops], losses, hasFloor);
        double[] expected = [.. flops.Select(c => law.At(c))];
        Scatter scatter = Scatter.Of(expected.Select((e, i) => Math.Log(losses[i] / e)), frontier.Count - (hasFloor ? 3 : 2)).With(known);
        PowerLaw[] draws = scatter.Bootstrap(expected, seed, drawn => PowerLaw.Fit([flops], drawn, hasFloor, near: law));
        var parameters = new List<LawParameter>();
        if (hasFloor)
        {
            parameters.Add(Judged("E", law.Floor, draws.Select(l => l.Floor)));
        }

        parameters.Add(Judged("A", law.Terms[0].Scale, draws.Select(l => l.Terms[0].Scale)));
        parameters.Add(Judged("alpha", law.Terms[0].Exponent, draws.Select(l => l.Terms[0].Exponent)));
        double from = flops[0], to = Beyond * flops[^1];
        BandPoint[] band = [.. Enumerable.Range(0, BandPoints).Select(i => from * Math.Pow(to / from, i / (BandPoints - 1.0)))
            .Select(c => new BandPoint(c, Scatter.Interval(law.At(c), draws.Select(l => l.At(c)))))];
        return (new FittedLaw(hasFloor ? "L(C) = E + A C^-alpha" : "L(C) = A C^-alpha", law, frontier.Count, scatter.Freedom > 0 ? scatter.Sigma : double.NaN, scatter.Freedom, parameters, band), draws);
    }

    private static LawParameter Judged(string name, double value, IEnumerable<double> draws)
    {
        Estimate estimate = Scatter.Interval(value, draws);
        return new(name, estimate, estimate.Low > 0.05 * value && estimate.High - estimate.Low < value);
    }
}
