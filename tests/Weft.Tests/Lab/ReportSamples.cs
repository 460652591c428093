using Weft.Lab;
using Weft.Lab.Report;

namespace Weft.Tests.Lab;

/// <summary>Made-up comparisons, shaped like real ones.</summary>
internal static class ReportSamples
{
    public const int Context = 512;
    private static readonly int[] Contexts = [1024, 4096, 16384, 65536, 262144];
    private static readonly int[] Distances = [256, 512, 1024, 2048, 4096, 8192, 16384];

    /// <summary>A Transformer, a Mamba-2 and a hybrid, with as many seeds as asked for.</summary>
    public static ComparisonReport Typical(int seeds = 3) => Report(
        Model("transformer", "(attention mlp)*6", seeds, 2.341, seconds: 74, parameters: 1_786_112, speed: 9800, slowdown: 2600, fixedBytes: 0, tokenBytes: 3072, recalls: 1.1, reach: 600, beyond: .55),
        Model("mamba2", "mamba2*8", seeds, 2.292, seconds: 96, parameters: 1_902_336, speed: 6100, slowdown: 1e9, fixedBytes: 1_114_112, tokenBytes: 0, recalls: .28, reach: 1500),
        Model("hybrid", "(3*mamba2 attention)*2", seeds, 2.268, seconds: 91, parameters: 1_874_944, speed: 6900, slowdown: 12_000, fixedBytes: 835_584, tokenBytes: 1024, recalls: .95, reach: 5000));

    public static ComparisonReport Report(params ModelResult[] models)
    {
        ComparisonReport report = new()
        {
            Created = new DateTimeOffset(2026, 3, 14, 15, 9, 26, TimeSpan.Zero),
            Corpus = new("sotu.txt", 2_000_000, 1_800_000, 200_000),
            Budget = new("3e13flop", 3e13),
            Context = Context,
            Seeds = models.Length == 0 ? 1 : models.Max(m => m.BitsPerByteSeeds.Count),
            Machine = new("AMD EPYC 9555", 2, 2, "AVX-512", "Linux 6.8", ".NET 10.0.1"),
            Command = "weft compare sotu.txt --models transformer,mamba2,hybrid --budget 3e13flop --context 512 --seeds 3",
            Models = models,
            Baselines = new(200_000, 4.412, 2.956, 2.561),
        };
        return report with { Findings = Findings.Derive(report) };
    }

    /// <summary>A model with just the final bits per byte of its seeds.</summary>
    public static ModelResult Model(string name, params double[] seeds) => new()
    {
        Name = name,
        Pattern = name,
        Parameters = 1_000_000,
        TrainFlops = 3e13,
        BytesSeen = 4_000_000,
        BitsPerByte = seeds.Any(double.IsFinite) ? seeds.Where(double.IsFinite).Average() : double.NaN,
        BitsPerByteSeeds = seeds,
        TrainSeconds = 80,
        TrainTokensPerSecond = 50_000,
        LearningRate = 2e-3,
    };

    private static ModelResult Model(string name, string pattern, int seeds, double bits, double seconds, long parameters, double speed, double slowdown, long fixedBytes, long tokenBytes, double recalls, double reach, double beyond = 0)
    {
        double Final(int seed) => Math.Round(bits + 0.006 * ((seed * 2 + name.Length) % 3 - 1), 4);
        const int evaluations = 14;
        return Model(name, [.. Enumerable.Range(0, seeds).Select(Final)]) with
        {
            Pattern = pattern,
            Parameters = parameters,
            TrainSeconds = seconds,
            TrainTokensPerSecond = 4_300_000 / seconds,
            BytesSeen = 4_300_000,
            Curve = [.. from seed in Enumerable.Range(0, seeds)
                        from i in Enumerable.Range(1, evaluations)
                        let part = Math.Pow((double)i / evaluations, 2)
                        select new CurvePoint(seed, 3e13 * part, (long)(4_300_000 * part), seconds * part, Math.Round(Final(seed) + 0.62 * (Math.Pow(part, -0.28) - 1) + 0.012 * Math.Sin(7 * i + seed) * (1 - part), 4))],
            Decode = [.. Contexts.Select(c => new DecodePoint(c, Math.Round(speed / (1 + c / slowdown), 1), fixedBytes + tokenBytes * c, c <= 65536))],
            Recall = [.. Distances.Select(d =>
            {
                double first = bits + .12 + (d >= Context ? beyond * Math.Log2(1.0 * d / Context) / 2 : 0);
                return new RecallPoint(d, Math.Round(first, 4), Math.Round(first - recalls / (1 + Math.Pow(d / reach, 2)) + (d >= Context ? .1 * beyond : 0), 4), 24);
            })],
        };
    }
}
