using System.CommandLine;
using Weft.Cli.Progress;
using Weft.Lab;
using Weft.Lab.Report;
using Weft.Models;
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
    private readonly Option<string?> output = Settings.Text("--out", "RUN", "the folder to train into; where it holds an unfinished run of this command, it goes on");
    private readonly Option<int?> width = Settings.Whole("--width", "N", $"channels of the model (default: the preset's or file's; {Presets.DefaultWidth} for a pattern)", 1, 1 << 16);
    private readonly Option<Budget?> budget = Settings.Budget($"how long to train: 60s, 3e13flop or 20MB of text (default {DefaultBudget})");
    private readonly Option<int?> context = Settings.Context("the model's");
    private readonly Option<int?> batch = Settings.Whole("--batch", "N", $"sequences of a step (default: as many as make 512 bytes)", 1, 1 << 20);
    private readonly Option<double?> rate = Settings.Real("--rate", "R", "peak learning rate (default: what suits the model's blocks and width)", 0, 10);
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
        new Example("weft train a.txt b.txt --model my-model.json --budget 20MB --out run", "a model from a .json file, until it has read 20 MB"))
    {
        this.model.Required = true;
        output.Required = true;
        Add(this.files);
        foreach (Option option in (ReadOnlySpan<Option>)[this.model, output, this.width, this.budget, this.context, this.batch, this.rate, this.schedule, this.sweep, this.seed, threads, precision, this.profile])
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
        ModelConfig config = Presets.Resolve(given.GetRequiredValue(this.model)!, given.GetValue(this.width), BlockTable.Names);
        config = config with { Context = context ?? config.Context };
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
        using Device device = OpenDevice(given.GetValue(threads) ?? 0, given.GetValue(precision) ?? RunInfo.Read(path, config.Context)?.Options.Precision);
        Terminal.Out.WriteLine($"{corpus.Name}: {Human.Bytes(corpus.Length)}, {Human.Bytes(corpus.HeldOutLength)} of it held out");
        using TrainingRun run = Open(path, config, options, corpus, device, given.GetValue(this.sweep));
        Terminal.Out.WriteLine($"{config.Name}: {Human.Count(run.Model.ParameterCount())} parameters, budget {options.Budget}, rate {run.Trainer.Options.Rate:R}");
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

    private TrainingRun Open(string path, ModelConfig config, TrainingOptions options, Corpus corpus, Device device, bool sweep)
    {
        if (TrainingRun.Exists(path))
        {
            // The sweep was made when the run began.
            options = sweep ? options with { Rate = RunInfo.Read(path, config.Context)!.Options.Rate } : options;
            return TrainingRun.Resume(path, device, corpus, config, options);
        }
        TrainingRun run = TrainingRun.Create(path, new LanguageModel(config, device, options.Seed), corpus, options);
        if (!sweep)
        {
            return run;
        }
        run.Dispose(); // it was made so that a folder that will not do is refused before the sweep
        options = options with { Rate = Sweep(config, options, corpus, device) };
        return TrainingRun.Create(path, new LanguageModel(config, device, options.Seed), corpus, options);
    }

    private double Sweep(ModelConfig config, TrainingOptions options, Corpus corpus, Device device)
    {
        using ProgressView view = ProgressView.Start(Terminal, [config.Name], seeds: 1);
        (double rate, IReadOnlyList<SweepPoint> points) = RateSweep.Find(config, corpus, device, options, view.Report, Terminal.Cancel);
        string tried = string.Join(", ", points.Select(p => $"{p.Rate:R} {(double.IsFinite(p.BitsPerByte) ? $"{p.BitsPerByte:0.000}" : "diverged")}"));
        view.Report(new ComparisonProgress(0, config.Name, 0, ComparisonPhase.Sweeping, 1, 0, 0, double.NaN, 0, null, $"rates and bits/byte: {tried}"));
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
        string heldOut = run.History.Count > 0 ? $"{run.History[^1].BitsPerByte:0.000} bits/byte held out, " : "";
        Terminal.Out.WriteLine($"{heldOut}after {Human.Bytes(trainer.Bytes)} of text in {Human.Duration(trainer.Seconds)} "
            + $"({Human.Count(trainer.Bytes / trainer.Seconds)} tokens/s, {Human.Flops(trainer.Flops)} FLOPs)");
        Terminal.Out.WriteLine("To try it:");
        Terminal.Out.WriteLine($"  {ShellText.Join([Terminal.Program, "generate", run.Path, "--prompt", "The "])}");
    }
}
