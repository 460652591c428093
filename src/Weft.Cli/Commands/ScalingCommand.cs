using System.CommandLine;
using System.Globalization;
using Weft.Cli.Progress;
using Weft.Lab.ScalingLaws;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft scaling: how the loss of architectures falls with training FLOPs, and which shape is best for its price.</summary>
internal sealed class ScalingCommand : WeftCommand
{
    private const int MostBudgets = 32;

    private readonly Argument<string[]> files = CorpusFiles.Argument(isOptional: true);
    private readonly Option<IReadOnlyList<string>?> models = Settings.Parsed<IReadOnlyList<string>?>("--models", "A,B",
        "families: presets, patterns or .json files, each at several widths (default transformer,mamba2)", ModelList.Split);
    private readonly Option<IReadOnlyList<double>?> budgets = Settings.Parsed<IReadOnlyList<double>?>("--budgets", "C1,C2",
        $"training FLOPs of a run (default {string.Join(',', ScalingOptions.DefaultBudgets.Select(b => b.ToString("0.##e0", CultureInfo.InvariantCulture)))}: about 15 minutes)", Budgets);
    private readonly Option<int?> sizes = Settings.Whole("--sizes", "N", $"sizes at each budget (default {new ScalingOptions().Sizes}), up to two more where the best is an end", 1, 32);
    private readonly Option<int?> seeds = Settings.Whole("--seeds", "N", "trainings at each budget and size (default 1)", 1, 100);
    private readonly Option<int?> context = Settings.Context($"{new ScalingOptions().Context}");
    private readonly Option<bool> noShapes = Settings.Switch("--no-shapes", "leave out the shapes of the first model of attention and MLPs");
    private readonly Option<double?> inference = Settings.Parsed<double?>("--inference", "F", "FLOPs a generated token may take, for the shape proposed: 2e7", text => Flops("--inference", text));
    private readonly Option<double?> slack = Settings.Real("--slack", "S", $"part of the loss that may be given for speed (default {new ScalingOptions().Slack})", 0, 1);
    private readonly Option<string?> output = Settings.Text("--out", "DIR", "folder for the report and the finished runs (default scaling)");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision();
    private readonly Option<bool> force = Settings.Switch("--force", "write over the report of something else");

    public ScalingCommand(Terminal terminal) : base(terminal, "scaling", "fit how the loss of models falls with training FLOPs, and find the best shape for its price",
        new Example("weft scaling", "what more compute buys two architectures, in 15 minutes"),
        new Example("weft scaling notes.txt --models transformer,hybrid", "on your own file, other families"),
        new Example("weft scaling notes.txt --models mamba2,\"(attention swiglu)*6\" --budgets 1e13,3e13,1e14,3e14", "hours: laws worth extrapolating"),
        new Example("weft scaling --models transformer --inference 5e5 --out shape", "the best shape of 5e5 FLOPs a token"))
    {
        Add(this.files);
        foreach (Option option in (ReadOnlySpan<Option>)[this.models, budgets, sizes, seeds, context, noShapes, inference, slack, output, threads, precision, force])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
    [
        "Each model is trained at several widths for every budget; the best make its curve. FLOPs are those that kernels count.",
        "Ctrl-C saves the finished runs; the same command goes on with the next.",
    ];

    protected override int Run(ParseResult given)
    {
        string[] files = CorpusFiles.Of(given, this.files);
        ScalingOptions defaults = new();
        ScalingOptions options = new()
        {
            Models = given.GetValue(this.models) ?? defaults.Models,
            Budgets = given.GetValue(this.budgets) ?? defaults.Budgets,
            Sizes = given.GetValue(sizes) ?? defaults.Sizes,
            Seeds = given.GetValue(seeds) ?? defaults.Seeds,
            Context = given.GetValue(context) ?? defaults.Context,
            Shapes = !given.GetValue(noShapes),
            Inference = given.GetValue(inference),
            Slack = given.GetValue(slack) ?? defaults.Slack,
            Out = given.GetValue(output) ?? "scaling",
            Force = given.GetValue(force),
            Threads = given.GetValue(threads) ?? defaults.Threads,
            Precision = given.GetValue(precision),
            Command = Terminal.Command,
        };
        IReadOnlyList<string> rows = Scaling.Rows(options); // a misspelt name is the likeliest mistake
        if (File.Exists(options.Out))
        {
            throw new InputException($"cannot write the report into {AtomicFile.Quote(options.Out)}: it is a file; give a folder");
        }

        OpenDevice(1, options.Precision).Dispose(); // for what it has to say: the study opens its own
        using Corpus corpus = files.Length == 0 ? Corpus.Default() : Corpus.Open(files);
        Terminal.Out.WriteLine($"{corpus.Name}: {Human.Bytes(corpus.Length)}, {Human.Bytes(corpus.HeldOutLength)} of it held out");
        ScalingReport report;
        try
        {
            using ProgressView view = ProgressView.Start(Terminal, rows, 1);
            report = Scaling.Run(corpus, options, view.Report, Terminal.Cancel);
        }
        catch (OperationCanceledException)
        {
            return Resumption.Tell(Terminal, "the finished runs are saved, the one under way begins again");
        }

        ScalingSummary.Write(report, Terminal, Path.GetFullPath(Path.Combine(options.Out, "report.html")));
        return 0;
    }

    private static double[] Budgets(string text)
    {
        double[] budgets = [.. text.Split(',').Select(word => Flops("--budgets", word))];
        return budgets.Length > MostBudgets ? throw new InputException($"--budgets has {budgets.Length}; give at most {MostBudgets}")
            : budgets.Distinct().Count() < budgets.Length ? throw new InputException($"--budgets {AtomicFile.Quote(text)} has one twice; to train several times, give --seeds")
            : budgets;
    }

    // 3e13, or 3e13flop as budgets are written elsewhere.
    private static double Flops(string option, string text)
    {
        string word = text.Trim();
        word = word.EndsWith("flops", StringComparison.OrdinalIgnoreCase) ? word[..^5] : word.EndsWith("flop", StringComparison.OrdinalIgnoreCase) ? word[..^4] : word;
        return double.TryParse(word, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out double flops) && flops >= 1 && double.IsFinite(flops) ? flops
            : throw new InputException($"{option} {AtomicFile.Quote(text)} is no number of FLOPs; write {(option == "--budgets" ? "them with commas between: --budgets 1e13,3e13" : "it so: --inference 2e7")}");
    }
}
