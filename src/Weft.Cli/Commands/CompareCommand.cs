using System.CommandLine;
using Weft.Cli.Progress;
using Weft.Lab;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft compare: which architecture suits these bytes, and what it costs.</summary>
internal sealed class CompareCommand : WeftCommand
{
    private readonly Argument<string[]> files = CorpusFiles.Argument(isOptional: true);
    private readonly Option<IReadOnlyList<string>?> models = Settings.Parsed<IReadOnlyList<string>?>("--models", "A,B,C",
        "presets, patterns or .json files (default transformer,mamba2,hybrid)", ModelList.Split);
    private readonly Option<Budget?> budget = Settings.Budget("training of each model: 60s, 3e13flop or 20MB (default: fits 6 minutes in all)");
    private readonly Option<int?> context = Settings.Context($"{new ComparisonOptions().Context}");
    private readonly Option<int?> seeds = Settings.Whole("--seeds", "N", "train each model N times and show the spread (default 1)", 1, 100);
    private readonly Option<bool> sweep = Settings.Switch("--sweep", "let each model find its own learning rate first; takes several times as long");
    private readonly Option<string?> output = Settings.Text("--out", "DIR", "folder for report.html and report.json (default: this one)");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision();

    public CompareCommand(Terminal terminal) : base(terminal, "compare", "train several models at the same cost on the same bytes, and report which suits them",
        new Example("weft compare", "which architecture suits text? three at equal cost, in 6 minutes"),
        new Example("weft compare notes.txt more.txt", "the same on your own files, read as one"),
        new Example("weft compare notes.txt --models mamba2,window,\"(3*mamba2 attention)*4\"", "other models: presets and patterns"),
        new Example("weft compare notes.txt --budget 10m --seeds 3 --out report", "longer, three seeds each, into a folder"))
    {
        Add(this.files);
        foreach (Option option in (ReadOnlySpan<Option>)[this.models, this.budget, context, this.seeds, this.sweep, output, threads, precision])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
        ["Every model gets the same training FLOPs; with a budget of bytes, the same bytes.", "Ctrl-C saves; the same command goes on from there."];

    protected override int Run(ParseResult given)
    {
        string[] files = CorpusFiles.Of(given, this.files);
        ComparisonOptions defaults = new();
        ComparisonOptions options = new()
        {
            Models = given.GetValue(this.models) ?? defaults.Models,
            Budget = given.GetValue(this.budget),
            Context = given.GetValue(context) ?? defaults.Context,
            Seeds = given.GetValue(this.seeds) ?? defaults.Seeds,
            Sweep = given.GetValue(this.sweep),
            Out = given.GetValue(output) ?? defaults.Out,
            Threads = given.GetValue(threads) ?? defaults.Threads,
            Precision = given.GetValue(precision),
            Command = Terminal.Command,
        };
        // Before the corpus is read and anything is written: a misspelt name is the likeliest mistake.
        string[] names = [.. options.Models.Select(m => Presets.Resolve(m, null, BlockTable.Names).Name)];
        if (File.Exists(options.Out))
        {
            throw new InputException($"cannot write the report into {AtomicFile.Quote(options.Out)}: it is a file; give a folder");
        }
        OpenDevice(1, options.Precision).Dispose(); // for what it has to say: the comparison opens its own
        using Corpus corpus = files.Length == 0 ? Corpus.Default() : Corpus.Open(files);
        Terminal.Out.WriteLine($"{corpus.Name}: {Human.Bytes(corpus.Length)}, {Human.Bytes(corpus.HeldOutLength)} of it held out");

        ComparisonReport report;
        try
        {
            using ProgressView view = ProgressView.Start(Terminal, names, options.Seeds);
            report = Comparison.Run(corpus, options, view.Report, Terminal.Cancel);
        }
        catch (OperationCanceledException)
        {
            return Resumption.Tell(Terminal);
        }
        ComparisonSummary.Write(report, Terminal, Path.GetFullPath(Path.Combine(options.Out, "report.html")));
        return 0;
    }
}
