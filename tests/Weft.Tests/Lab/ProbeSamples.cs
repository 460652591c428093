using Weft.Lab.Report;
using Weft.Lab.Tasks;

namespace Weft.Tests.Lab;

/// <summary>Made-up probes, shaped like real ones.</summary>
internal static class ProbeSamples
{
    public const long Budget = 96_000;
    private static readonly double[] Rates = [1e-3, 3e-3, 1e-2];

    /// <summary>Attention solves the task, a small state does not, a larger one goes further, a hybrid is quick; one model diverges.</summary>
    public static ProbeReport Typical(int seeds = 2) => Report(
        Model("attention", "attention*2", [16_384, 32_768, 65_536, 131_072], 3e-3, Seeds(seeds, i => Trial(3e-3, i, 30_000 + (2000 * i), 1, .995, .98, .93 - (.02 * i)))),
        Model("mamba2[state=16]", "mamba2[state=16]*2", [18_432, 18_432, 18_432, 18_432], 1e-2, Seeds(seeds, i => Trial(1e-2, i, null, .9, .41 + (.04 * i), .06, 0))),
        Model("mamba2[state=64]", "mamba2[state=64]*2", [67_584, 67_584, 67_584, 67_584], 3e-3, Seeds(seeds, i => Trial(3e-3, i, 72_000, 1, .99, .62 + (.03 * i), .11))),
        Model("hybrid", "mamba2[state=16] attention", [17_408, 25_600, 41_984, 74_752], 3e-3, Seeds(seeds, i => Trial(3e-3, i, 24_000 + (8000 * i), 1, .994, .985, .94 - (.03 * i)))),
        Model("lost", "rwkv7*2", [9216, 9216, 9216, 9216], 1e-3, Seeds(seeds, i => Diverged(1e-3, i))));

    public static ProbeReport Report(params ProbedModel[] models) => Of("mqar", "pairs", models);

    public static ProbeReport Of(string task, string axis, params ProbedModel[] models)
    {
        ProbeReport report = new()
        {
            Task = new(task, "recall: tell the value of each key that comes again", "arXiv 2312.04927 (section 4)", axis, [4, 8], 8),
            Budget = "3000steps",
            Seeds = models.Select(m => m.Trials.Count).DefaultIfEmpty(1).Max(),
            Machine = new("AMD EPYC 9555", 2, 2, "AVX-512", "Linux 6.8", ".NET 10.0.1"),
            Command = $"weft probe {task} --budget 3000steps --seeds 2",
            Models = models,
        };
        return report with { Findings = ProbeFindings.Of(report) };
    }

    public static Trial[] Seeds(int count, Func<int, Trial> make) => [.. Enumerable.Range(0, count).Select(make)];

    /// <summary>A model whose sweep was best at <paramref name="rate"/>.</summary>
    public static ProbedModel Model(string name, string pattern, long[] state, double rate, params Trial[] trials) =>
        new(name, pattern, 64, 620_000 + (1000 * name.Length), state, rate, [.. Rates.Select(r => r > 3e-3 && name == "lost" ? Diverged(r, 0) : Sweep(r, Math.Abs(Math.Log(r / rate))))], trials);

    /// <summary>A trial that scores so at 4, 8, 16 and 32 pairs.</summary>
    public static Trial Trial(double rate, int seed, long? solved, params double[] exact)
    {
        long samples = solved ?? Budget;
        double main = exact[1];
        TrialPoint[] curve = [.. Enumerable.Range(1, (int)(samples / 4000)).Select(i => Look(i * 4000, main / (1 + Math.Exp((0.6 * samples - (4000 * i)) / 5000.0))))];
        return new(rate, seed, samples, solved, 2e9 * samples, samples / 900.0, false, [.. curve, Look(samples, main)],
            [.. exact.Select((e, i) => new TaskAccuracy(4 << i, 64 << i, e, Math.Sqrt(e), 4 * (1 - e)))]);
    }

    public static Trial Diverged(double rate, int seed) => new(rate, seed, 320, null, 1e11, 2, true, [Look(320, 0)], []);

    private static Trial Sweep(double rate, double off) => new(rate, 0, 24_000, null, 5e13, 30, false, [Look(24_000, .8 / (1 + off))], []);

    private static TrialPoint Look(long samples, double exact) => new(samples, 2e9 * samples, exact, Math.Sqrt(exact), 8 * (1 - exact));
}
