using System.CommandLine;
using System.Diagnostics;
using Weft.Cli.Progress;
using Weft.Lab;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft train: one model into a folder, which the same command goes on with.</summary>
internal sealed class TrainCommand : WeftCommand
{
    private const string DefaultBudget = "5m";
    private static readonly TrainingOptions Defaults = new() { Budget = Budget.Parse(DefaultBudget) };

    private readonly Argument<string[]> files = CorpusFiles.Argument(isOptional: false);
    private readonly Option<string?> model = Settings.Text("--model", "M", "a preset (weft models lists them), a pattern, or a model's .json file");
    private readonly Option<string?> from = Settings.Text("--from", "DIR",
        "in place of --model: go on from the model of a folder, published or a run");
    private readonly Option<string?> output = Settings.Text("--out", "RUN", "the folder to train into; where it holds an unfinished run of this command, it goes on");
    private readonly Option<int?> width = Settings.Whole("--width", "N", $"channels of the model (default: the preset's or file's; {Presets.DefaultWidth} for a pattern)", 1, 1 << 16);
    private readonly Option<Budget?> budget = Settings.Budget($"how long to train: 60s, 3e13flop or 20MB of text (default {DefaultBudget})");
    private readonly Option<int?> context = Settings.Context("the model's");
    private readonly Option<int?> batch = Settings.Whole("--batch", "N", $"sequences of a step (default: as many as make 512 tokens)", 1, 1 << 20);
    private readonly Option<double?> rate = Settings.Real("--rate", "R", "peak learning rate (default: what suits the model's blocks and width; with --from a tenth of it)", 0, 10);
    private readonly Option<ScheduleKind?> schedule = Settings.Parsed<ScheduleKind?>("--schedule", "S",
        "how the rate goes: cosine, wsd or constant (default cosine)", text => TrainingOptions.ParseSchedule(text));
    private readonly Option<bool> sweep = Settings.Switch("--sweep", "find the learning rate first, by short trainings; takes about twice as long");
    private readonly Option<int?> seed = Settings.Seed("of the initial weights and the data's order");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision(", or the run's");
    private readonly Option<bool> profile = Settings.Profile("at the end");

    public TrainCommand(Terminal terminal) : base(terminal, "train", "train one model on files, into a folder",
        new Example("weft train notes.txt --model hybrid --out run", "train a preset; Ctrl-C saves, the same command goes on"),
        new Example("weft train notes.txt --model \"(3*mamba2 attention)*4\" --width 256 --out run", "a pattern of blocks, wider"),
        new Example("weft train a.txt b.txt --model my-model.json --budget 20MB --out run", "a model from a .json file, until it has read 20 MB"),
        new Example("weft train notes.txt --from mamba-130m-hf --out run", "go on training a published checkpoint, on these files"))
    {
        output.Required = true;
        Add(this.files);
        foreach (Option option in (ReadOnlySpan<Option>)[this.model, this.from, output, this.width, this.budget, this.context, this.batch, this.rate, this.schedule, this.sweep, this.seed, threads, precision, this.profile])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
        ["The run saves itself. Stopped at any moment, the same command goes on, to the same weights as if never stopped."];

    protected override int Run(ParseResult given)
    {
        string[] files = CorpusFiles.Of(given, this.files);
        string path = given.GetRequiredValue(output)!;
        int? context = given.GetValue(this.context);
        ulong seed = (ulong)(given.GetValue(this.seed) ?? 0);
        string? from = given.GetValue(this.from);
        ModelConfig? config = Model(given, from, path, context);
        TrainingOptions options = Defaults with
        {
            Budget = given.GetValue(this.budget) ?? Defaults.Budget,
            Context = context,
            BatchSize = given.GetValue(this.batch),
            Rate = given.GetValue(this.rate),
            Schedule = Defaults.Schedule with { Kind = given.GetValue(this.schedule) ?? Defaults.Schedule.Kind },
            Seed = seed,
        };
        using Corpus corpus = Corpus.Open(files);
        RunInfo? before = RunInfo.Read(path, config?.Context ?? 0);
        StartingPoint? start = from is null ? null : StartingPoint.Of(from);
        using Device device = OpenDevice(given.GetValue(threads) ?? 0, given.GetValue(precision) ?? before?.Options.Precision);
        Terminal.Out.WriteLine($"{corpus.Name}: {Human.Bytes(corpus.Length)}, {Human.Bytes(corpus.HeldOutLength)} of it held out");
        if (before is null)
        {
            TrainingRun.RequireVacant(path); // before anything takes long
        }
        TokenSource source = before is not null || from is not null ? Tokens(before is null ? from! : path, corpus) : corpus;
        using TrainingRun run = before is not null
            // The sweep was made when the run began.
            ? TrainingRun.Resume(path, device, source, config, given.GetValue(this.sweep) ? options with { Rate = before.Options.Rate } : options, start)
            : Start(path, () => config is null ? ModelFolder.Load(from!, device, learned: true) : new LanguageModel(config, device, seed), options, source, start, given.GetValue(this.sweep));
        Terminal.Out.WriteLine($"{run.Model.Config.Name}: {Human.Count(run.Model.ParameterCount())} parameters, budget {options.Budget}, rate {run.Trainer.Options.Rate:R}");
        if (run.Trainer.IsDone)
        {
            Terminal.Out.WriteLine($"{path} is finished already: {run.Trainer.Steps} steps");
        }
        else if (!(given.GetValue(this.profile) ? TrainProfiled(run) : Train(run)))
        {
            if (run.Trainer.Steps == 0)
            {
                throw new OperationCanceledException();
            }
            return Resumption.Tell(Terminal);
        }
        Summarise(run);
        return 0;
    }

    // The model to begin with; null where a folder has it: the one to go on from, or the run's own.
    private ModelConfig? Model(ParseResult given, string? from, string path, int? context)
    {
        int? width = given.GetValue(this.width);
        if (given.GetValue(this.model) is string model)
        {
            if (from is not null)
            {
                throw new InputException("--model and --from exclude each other: --from takes the model of its folder; leave one of them out");
            }
            ModelConfig config = Presets.Resolve(model, width, BlockTable.Names);
            return config with { Context = context ?? config.Context };
        }
        if (width is not null)
        {
            throw new InputException("--width is part of what --model describes; a model that is there already keeps its own: leave --width out");
        }
        return from is not null || TrainingRun.Exists(path) ? null
            : throw new InputException($"--model M is missing: {this.model.Description}; or --from DIR, to go on from a model; see weft train --help");
    }

    // What the model in a folder reads of the corpus: bytes, or tokens by its tokenizer.
    private TokenSource Tokens(string folder, Corpus corpus)
    {
        long said = Stopwatch.GetTimestamp();
        TokenSource source = TokenSource.Of(folder, corpus, Tell, Terminal.Cancel);
        if (source is TokenCorpus tokens)
        {
            Terminal.Out.WriteLine($"{Human.Count(tokens.Length)} tokens, {corpus.Length / (double)tokens.Length:0.00} bytes each, in {Human.Bytes(tokens.MemoryBytes)} of memory");
        }
        return source;

        void Tell(long bytes)
        {
            if (Stopwatch.GetElapsedTime(said).TotalSeconds > 5)
            {
                said = Stopwatch.GetTimestamp();
                Terminal.Out.WriteLine($"tokenising: {bytes / (double)corpus.Length:0%}");
            }
        }
    }

    private TrainingRun Start(string path, Func<LanguageModel> begin, TrainingOptions options, TokenSource source, StartingPoint? start, bool sweep)
    {
        TrainingRun run = TrainingRun.Create(path, begin(), source, options, start);
        if (!sweep)
        {
            return run;
        }
        run.Dispose(); // it was made so that what will not do is refused before the sweep
        options = options with { Rate = Sweep(begin, options with { Rate = run.Trainer.Options.Rate }, source, run.Model.Config.Name) };
        return TrainingRun.Create(path, begin(), source, options, start);
    }

    private double Sweep(Func<LanguageModel> begin, TrainingOptions options, TokenSource source, string name)
    {
        using ProgressView view = ProgressView.Start(Terminal, [name], seeds: 1);
        (double rate, IReadOnlyList<SweepPoint> points) = RateSweep.Find(begin, source, options, view.Report, Terminal.Cancel);
        string tried = string.Join(", ", points.Select(p => $"{p.Rate:R} {(double.IsFinite(p.BitsPerByte) ? $"{p.BitsPerByte:0.000}" : "diverged")}"));
        view.Report(new ComparisonProgress(0, name, 0, ComparisonPhase.Sweeping, 1, 0, 0, double.NaN, 0, null, $"rates and bits/byte: {tried}"));
        return rate;
    }

    private bool TrainProfiled(TrainingRun run)
    {
        Trainer trainer = run.Trainer;
        IReadOnlyList<Ceiling> ceilings = run.Model.Device.MeasureCeilings();
        (long steps, double seconds) = (trainer.Steps, trainer.Seconds);
        trainer.Profile = new DeviceProfile();
        bool isDone = Train(run);
        (steps, seconds) = (trainer.Steps - steps, trainer.Seconds - seconds);
        if (steps > 0)
        {
            Terminal.Out.WriteLine($"ceilings: {ProfileTable.Describe(ceilings)}");
            ProfileTable.Write(Terminal.Console, $"a step of {run.Model.Config.Name}, mean of {steps}", new Breakdown(trainer.Profile.Operations, seconds, steps), ceilings);
            Terminal.Out.WriteLine(ProfileTable.Note);
        }
        return isDone;
    }

    // Returns whether the run is finished; it is not when it was interrupted.
    private bool Train(TrainingRun run)
    {
        string name = run.Model.Config.Name;
        using ProgressView view = ProgressView.Start(Terminal, [name], seeds: 1);
        RunProgress progress = new(run);
        view.Report(progress.Now(run.Trainer.Steps > 0 ? $"going on after step {run.Trainer.Steps} of {run.Trainer.TotalSteps}" : null));
        bool isDone = run.Run(
            step =>
            {
                if (progress.Add(step) is ComparisonProgress now)
                {
                    view.Report(now);
                }
            },
            Terminal.Cancel);
        view.Report(progress.Now() with { Phase = isDone ? ComparisonPhase.Done : ComparisonPhase.Training });
        return isDone;
    }

    private void Summarise(TrainingRun run)
    {
        Trainer trainer = run.Trainer;
        string before = run.Start is not null && run.History is [{ Step: 0 } first, ..] ? $" (at first {first.BitsPerByte:0.000})" : "";
        string heldOut = run.History.Count > 0 ? $"{run.History[^1].BitsPerByte:0.000} bits/byte held out{before}, " : "";
        Terminal.Out.WriteLine($"{heldOut}after {Human.Bytes(trainer.Bytes)} of text in {Human.Duration(trainer.Seconds)} "
            + $"({Human.Count(trainer.Tokens / trainer.Seconds)} tokens/s, {Human.Flops(trainer.Flops)} FLOPs)");
        Terminal.Out.WriteLine("To try it:");
        Terminal.Out.WriteLine($"  {ShellText.Join([Terminal.Program, "generate", run.Path, "--prompt", "The "])}");
    }
}
