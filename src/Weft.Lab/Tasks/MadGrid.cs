using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// The grid of MAD (Poli et al., "Mechanistic Design and Scaling of Hybrid Architectures", arXiv 2403.17844): six tasks, each at a baseline and with
/// one thing changed at a time, a model trained anew for each. <see cref="MadProbe"/> runs it.
/// </summary>
public sealed class MadGrid
{
    /// <summary>What it is called on the command line, whichever of the grids is run.</summary>
    public const string Task = "mad";

    /// <summary>What it asks of a model, in a line.</summary>
    public const string Line = "recall, copying, compression and knowledge: the tokens right over six tasks, a model for each of their settings";

    /// <summary>Where it was published, and what differs here.</summary>
    public const string Source = "arXiv 2403.17844: 66 settings, best of three rates and two decays by the share of tokens right; hybrids lead in the mean of the six tasks, which goes with loss at scale. "
        + "Here learning rates warm up and fall as everywhere in Weft, answers are scored as if written freely, and learning ends where 99 % of the test's examples are right; what else differs stands with each task";

    private static readonly string[] Hardest = ["recall-v128", "noisy-recall-noise80", "selective-copy-copy96", "memorisation-v2048"];

    private static readonly MadScale Source66 = new(128, 128, 1280, [1e-4, 5e-4, 1e-3], [0, 0.1], n => 200 * ((n + 127) / 128), "200 epochs", Seeds: 1);
    private static readonly MadScale Reduced = new(64, 8, 128, [1e-3, 3e-3], [0.1], _ => 1200, "1200 steps", Seeds: 2);

    internal MadGrid(string name, string about, MadScale scale, IReadOnlyList<MadSetting> settings) => (Name, About, Scale, Settings) = (name, about, scale, settings);

    /// <summary>The six baselines and four of the hardest changes, reduced: about 15 minutes on two cores.</summary>
    public static MadGrid Mini { get; } = new("mini",
        "The mini grid: the six baselines and four of the hardest changes, of 66 settings. Reduced besides: models are 64 wide, not 128; a trial is 1200 steps of 8 examples (9600 of the 12,800 in a training set), "
            + "not 200 epochs in batches of 128; rates are 0.001 and 0.003 with a weight decay of 0.1, not three rates with two decays; a score is of 128 examples, not 1280. What is learned late, as recall is by attention, is not seen here.",
        Reduced, [.. All(Reduced).Where(s => s.Change.Length == 0 || Hardest.Contains(s.Name))]);

    /// <summary>All 66 settings at the source's size: days.</summary>
    public static MadGrid Full { get; } = new("full",
        "The full grid: all 66 settings of the source at its size: width 128, 200 epochs in batches of 128, the best of three rates and two weight decays, scores of 1280 examples.",
        Source66, [.. All(Source66)]);

    /// <summary>The models that are compared unless told otherwise: two mixers, each with an MLP, as the source's.</summary>
    public static IReadOnlyList<string> Models { get; } = ["(attention swiglu)*2", "(mamba2 swiglu)*2", "(gated-deltanet swiglu)*2", "mamba2 swiglu attention swiglu"];

    /// <summary>What it is called: mini or full.</summary>
    public string Name { get; }

    /// <summary>How it is trained, and what of the source's grid is reduced.</summary>
    public string About { get; }

    /// <summary>Its settings, those of a task together, its baseline first.</summary>
    public IReadOnlyList<MadSetting> Settings { get; }

    /// <summary>Trials of each model at its best rate unless told otherwise.</summary>
    public int Seeds => Scale.Seeds;

    internal MadScale Scale { get; }

    /// <summary>The grid of a name.</summary>
    /// <exception cref="InputException">There is none.</exception>
    public static MadGrid Find(string name)
    {
        MadGrid[] all = [Mini, Full];
        return all.FirstOrDefault(g => g.Name == name) ?? throw new InputException($"unknown grid {AtomicFile.Quote(name)}; {NearestNames.Hint(name, all.Select(g => g.Name))}");
    }

    // What a setting is made of: vocabulary, tokens, examples of the training set, % of noise, tokens to copy.
    private readonly record struct Shape(int V, int T, int N = 12800, int Noise = 20, int Copy = 16);

    private readonly record struct Variant(string Name, Func<Shape, Shape> Of);

    private static IEnumerable<MadSetting> All(MadScale scale)
    {
        Variant[] vocabularies = V(32, 64, 128), noisy = V(48, 80, 144), tokens = T(256, 512, 1024);
        Variant[] sets = [.. ((int[])[6400, 3200, 1600, 800]).Select(n => new Variant($"n {n}", s => s with { N = n }))];
        Variant[] noises = [.. ((int[])[40, 60, 80]).Select(n => new Variant($"noise {n} %", s => s with { Noise = n }))];
        Variant[] copies = [.. ((int[])[32, 64, 96]).Select(n => new Variant($"copy {n}", s => s with { Copy = n }))];
        return
        [
            .. Of("In-context recall", new(16, 128), s => (new MadRecall(s.V, s.T), s.V), [.. vocabularies, .. tokens, .. sets]),
            .. Of("Fuzzy in-context recall", new(16, 128), s => (new MadFuzzyRecall(s.V), s.T), [.. vocabularies, .. tokens, .. sets]),
            .. Of("Noisy in-context recall", new(32, 128), s => (new MadNoisyRecall(s.V, s.T), s.Noise), [.. noisy, .. tokens, .. sets, .. noises]),
            .. Of("Selective copying", new(16, 256), s => (new MadSelectiveCopy(s.V, s.T), s.Copy), [.. vocabularies, .. T(512, 1024), .. sets, .. copies]),
            .. Of("Compression", new(16, 32), s => (new MadCompression(s.V), s.T), [.. vocabularies, .. T(64, 128, 256), .. sets]),
            .. Of("Memorisation", new(256, 32, N: 256), s => (new MadMemorisation(s.V), s.V), V(512, 1024, 2048, 4096, 8192)),
        ];

        IEnumerable<MadSetting> Of(string title, Shape baseline, Func<Shape, (LabTask Task, int Difficulty)> make, Variant[] variants) =>
            variants.Prepend(new Variant("", s => s)).Select(v =>
            {
                Shape shape = v.Of(baseline);
                (LabTask task, int difficulty) = make(shape);
                return new MadSetting(title, v.Name, task, difficulty, shape.N, scale);
            });
    }

    private static Variant[] V(params int[] vocabularies) => [.. vocabularies.Select(n => new Variant($"V {n}", s => s with { V = n }))];

    private static Variant[] T(params int[] tokens) => [.. tokens.Select(n => new Variant($"T {n}", s => s with { T = n }))];
}
