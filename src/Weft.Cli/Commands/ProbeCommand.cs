using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using Weft.Cli.Progress;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft probe: what an architecture can learn to do, on tasks made for telling.</summary>
internal sealed class ProbeCommand : WeftCommand
{
    private const int MostNumbers = 32, MostDifficulties = 1024;

    private readonly Argument<string?> task = new("TASK") { Description = "the task; a list of all unless given", Arity = ArgumentArity.ZeroOrOne };
    private readonly Argument<string[]> files = new("FILE") { Arity = ArgumentArity.ZeroOrMore, Description = "the text, for tasks that learn from one (default: one that is built in)" };
    private readonly Option<IReadOnlyList<string>?> models = Settings.Parsed<IReadOnlyList<string>?>("--models", "A,B,C", "presets, patterns or .json files (default: the task's)", ModelList.Split);
    private readonly Option<Budget?> budget = Settings.Budget("training of each trial at most: 1000steps, 1e12flop or 60s (default: fits 15 minutes in all)");
    private readonly Option<int?> seeds = Settings.Whole("--seeds", "N", $"trials of each model at its best rate (default {new ProbeOptions().Seeds})", 1, 100);
    private readonly Option<IReadOnlyList<double>?> rates = Settings.Parsed<IReadOnlyList<double>?>("--rates", "R1,R2", "peak learning rates to try (default: four around what suits each model)", text => Numbers("--rates", text, 1e-12, "above 0", "0.001,0.003"));
    private readonly Option<IReadOnlyList<double>?> decays = Settings.Parsed<IReadOnlyList<double>?>("--decays", "D1,D2", "weight decays to try with each rate (default: the task's)", text => Numbers("--decays", text, 0, "of 0 or more", "0,0.1"));
    private readonly Option<IReadOnlyList<int>?> trainOn = Settings.Parsed<IReadOnlyList<int>?>("--train-on", "N1,N2-N3", "difficulties to learn from (default: the task's)", text => Difficulties("--train-on", text));
    private readonly Option<IReadOnlyList<int>?> scoreOn = Settings.Parsed<IReadOnlyList<int>?>("--score-on", "N1,N2-N3", "difficulties to score (default: the task's)", text => Difficulties("--score-on", text));
    private readonly Option<int?> width = Settings.Whole("--width", "W", "the models' width (default: the task's)", 1, 1 << 16);
    private readonly Option<string?> output = Settings.Text("--out", "DIR", "folder for the report and the finished trials (default probe-TASK)");
    private readonly Option<string?> grid = Settings.Text("--grid", "G", $"of {MadGrid.Task}: mini (15 minutes on 2 cores; the default) or full ({MadGrid.Full.Settings.Count} settings as published: weeks)");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision();
    private readonly Option<bool> force = Settings.Switch("--force", "write over the report of something else");

    public ProbeCommand(Terminal terminal) : base(terminal, "probe", "train several models on a task that tells architectures apart, and report what each can do",
        new Example("weft probe mqar", "which architectures recall what they read? in 15 minutes"),
        new Example("weft probe", "the tasks there are"),
        new Example("weft probe filler notes.txt", "a task that learns from a text: what do empty tokens cost?"),
        new Example("weft probe mad --grid mini", "six tasks at several settings, and their mean"),
        new Example("weft probe mqar --models attention*2,mamba2*2,\"mamba2 attention\"", "other models: presets and patterns, at one width"),
        new Example("weft probe mqar --budget 5000steps --seeds 3 --rates 0.001,0.003 --out mqar-long", "longer, two rates, three seeds, into a folder"))
    {
        Add(task);
        Add(files);
        foreach (Option option in (ReadOnlySpan<Option>)[this.models, budget, seeds, rates, decays, trainOn, scoreOn, width, output, grid, threads, precision, force])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
    [
        "Each model is trained at every rate; at the best, from the other seeds too. Generated tasks end where they are solved.",
        "Ctrl-C saves the finished trials; the same command goes on with the next.",
    ];

    protected override int Run(ParseResult given)
    {
        if (given.GetValue(this.task) is not { } name)
        {
            return List();
        }

        string[] texts = CorpusFiles.Of(given, files);
        LabTask? task = TaskTable.All.FirstOrDefault(t => t.Name == name.Trim());
        TextTask? textTask = TextTaskTable.All.FirstOrDefault(t => t.Name == name.Trim());
        MadGrid? mad = name.Trim() == MadGrid.Task ? MadGrid.Find(given.GetValue(grid) ?? MadGrid.Mini.Name) : null;
        if (task is null && textTask is null && mad is null)
        {
            throw new InputException($"unknown task {AtomicFile.Quote(name)}; {NearestNames.Hint(name, [.. TaskTable.All.Select(t => t.Name), .. TextTaskTable.All.Select(t => t.Name), MadGrid.Task])}; weft probe lists them");
        }

        if (mad is null && given.GetValue(grid) is not null)
        {
            throw new InputException($"--grid is of {MadGrid.Task}; {name.Trim()} has none");
        }

        if (textTask is null && texts.Length > 0)
        {
            throw new InputException($"{name.Trim()} makes its own examples and learns from no file; {AtomicFile.Quote(texts[0])} is one word too many");
        }

        if (given.GetValue(trainOn) is not null || given.GetValue(scoreOn) is not null || given.GetValue(decays) is not null)
        {
            task = new TaskVariant(task ?? throw new InputException($"{name.Trim()} {(mad is null ? "learns from a text" : "is a grid of settings")}, not a task of examples; leave --train-on, --score-on and --decays out"),
                given.GetValue(trainOn), given.GetValue(scoreOn), given.GetValue(decays));
        }

        ProbeOptions defaults = new();
        ProbeOptions options = new()
        {
            Models = given.GetValue(this.models) ?? task?.Models ?? textTask?.Models ?? MadGrid.Models,
            Budget = given.GetValue(budget),
            Seeds = given.GetValue(seeds) ?? mad?.Seeds ?? defaults.Seeds,
            Rates = given.GetValue(rates),
            Width = given.GetValue(width),
            Out = given.GetValue(output) ?? $"probe-{name.Trim()}",
            Force = given.GetValue(force),
            Threads = given.GetValue(threads) ?? defaults.Threads,
            Precision = given.GetValue(precision),
            Command = Terminal.Command,
        };
        string[] names = [.. options.Models.Select(m => Presets.Resolve(m, null, BlockTable.Names).Name)]; // a misspelt name is the likeliest mistake
        if (File.Exists(options.Out))
        {
            throw new InputException($"cannot write the report into {AtomicFile.Quote(options.Out)}: it is a file; give a folder");
        }

        OpenDevice(1, options.Precision).Dispose(); // for what it has to say: the probe opens its own
        try
        {
            if (task is not null)
            {
                Generated(task, options, names);
            }
            else if (mad is not null)
            {
                OnGrid(mad, options, names);
            }
            else
            {
                OnText(textTask!, texts, options, names);
            }
        }
        catch (OperationCanceledException)
        {
            return Resumption.Tell(Terminal, "what is finished is saved, what was under way begins again");
        }

        return 0;
    }

    private void Generated(LabTask task, ProbeOptions options, IReadOnlyList<string> names)
    {
        Terminal.Out.WriteLine($"{task.Name}: {task.Line}; trained on {Listed(task.TrainOn)} {task.Axis}, scored on {Listed(task.ScoreOn)}");
        ProbeReport report;
        using (ProgressView view = ProgressView.StartProbe(Terminal, names, isOnText: false))
        {
            report = Probe.Run(task, options, view.Report, Terminal.Cancel);
        }

        ProbeSummary.Write(report, Terminal, ReportPath(options));
    }

    private void OnGrid(MadGrid grid, ProbeOptions options, IReadOnlyList<string> names)
    {
        Terminal.Out.WriteLine($"{MadGrid.Task}: {MadGrid.Line}");
        Terminal.Out.WriteLine(grid.About);
        TextReport report;
        using (ProgressView view = ProgressView.StartProbe(Terminal, names, isOnText: false))
        {
            report = MadProbe.Run(grid, options, view.Report, Terminal.Cancel);
        }

        ProbeSummary.Write(report, Terminal, ReportPath(options));
    }

    private void OnText(TextTask task, string[] files, ProbeOptions options, IReadOnlyList<string> names)
    {
        using Corpus text = files.Length > 0 ? task.Open(files) : task.DefaultText() ?? throw new InputException($"{task.Name} needs a text to learn from: weft probe {task.Name} FILE");
        Terminal.Out.WriteLine($"{task.Name}: {task.Line}");
        Terminal.Out.WriteLine($"{text.Name}: {Human.Bytes(text.Length)}, {Human.Bytes(text.HeldOutLength)} of it held out{(task.About(text) is { } about ? $". {about}" : "")}");
        TextReport report;
        using (ProgressView view = ProgressView.StartProbe(Terminal, names, isOnText: true))
        {
            report = TextProbe.Run(task, text, options, view.Report, Terminal.Cancel);
        }

        ProbeSummary.Write(report, Terminal, ReportPath(options));
    }

    private static string ReportPath(ProbeOptions options) => Path.GetFullPath(Path.Combine(options.Out, "report.html"));

    private int List()
    {
        Table table = Tables.New("task", "what it asks", "varied");
        foreach (LabTask task in TaskTable.All)
        {
            table.AddRow(Tables.Cells(task.Name, task.Line, task.Axis));
        }

        table.AddRow(Tables.Cells(MadGrid.Task, MadGrid.Line, "--grid mini or full"));
        foreach (TextTask task in TextTaskTable.All)
        {
            table.AddRow(Tables.Cells(task.Name, task.Trains ? $"on a text: {task.Line}" : task.Line, task.Axis));
        }

        Terminal.Console.Write(table);
        Terminal.Out.WriteLine($"'weft probe {TaskTable.All[0].Name}' trains the task's own models and scores them from easy to hard; --models names others.");
        return 0;
    }

    private static string Listed(IReadOnlyList<int> numbers) => numbers.Count <= 6 ? string.Join(", ", numbers) : $"{numbers[0]}, {numbers[1]} ... {numbers[^1]}";

    // Whole numbers with commas between; A-B stands for all from A to B.
    private static int[] Difficulties(string option, string text)
    {
        var numbers = new List<int>();
        foreach (string word in text.Split(','))
        {
            string[] ends = word.Split('-');
            int to = 0;
            if (ends.Length > 2 || !int.TryParse(ends[0].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int from) || from == 0
                || !int.TryParse(ends[^1].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out to) || to < from)
            {
                throw new InputException($"{option} {AtomicFile.Quote(text)} are not whole numbers above 0, or ranges of them, with commas between: {option} 4,8,10-20");
            }

            if (to - from >= MostDifficulties - numbers.Count)
            {
                throw new InputException($"{option} {AtomicFile.Quote(text)} are too many difficulties; give at most {MostDifficulties}");
            }

            numbers.AddRange(Enumerable.Range(from, to - from + 1));
        }

        return [.. numbers];
    }

    private static double[] Numbers(string option, string text, double least, string range, string example)
    {
        double[] numbers = [.. text.Split(',').Select(word => double.TryParse(word.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && number >= least && number <= 10 ? number
            : throw new InputException($"{option} {AtomicFile.Quote(text)} are not numbers {range}, at most 10, with commas between: {option} {example}"))];
        return numbers.Length > MostNumbers ? throw new InputException($"{option} has {numbers.Length} numbers; give at most {MostNumbers}")
            : numbers.Distinct().Count() < numbers.Length ? throw new InputException($"{option} {AtomicFile.Quote(text)} has a number twice; to train several times, give --seeds")
            : numbers;
    }
}
