using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>A measurement during a run: where the run stood, its training loss there, and the held-out bits per byte.</summary>
/// <param name="Step">The steps done.</param>
/// <param name="Bytes">The bytes of text learned from.</param>
/// <param name="Flops">The training FLOPs counted.</param>
/// <param name="Seconds">The seconds spent in steps.</param>
/// <param name="Loss">The step's training loss, in nats a token; of step 0 that of the first batch.</param>
/// <param name="BitsPerByte">Held-out bits per byte; see <see cref="Evaluation"/>.</param>
public readonly record struct EvaluationPoint(long Step, long Bytes, long Flops, double Seconds, double Loss, double BitsPerByte);

/// <summary>
/// Training into a folder that can be gone on with. The folder holds the model (<c>config.json</c>, <c>model.safetensors</c>), the
/// optimiser's moments (<c>optimizer.safetensors</c>), the tokenizer if it reads tokens (<c>tokenizer.json</c>) and all else that the next step depends on (<c>training.json</c>: options, step, data
/// position, corpus fingerprint, measurements so far), published together: a run killed at any moment, and resumed as often as it takes, ends
/// with the same bytes of model and moments as one never stopped. (Times differ, and with a budget of seconds the number of steps follows
/// from them, once.) Until its first step is done a run leaves nothing on the disk.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    private const string MomentsFile = "optimizer.safetensors";

    private readonly List<EvaluationPoint> history = [];
    private AtomicFolder? folder; // taken at the first checkpoint
    private double checkpointed;  // Trainer.Seconds then

    private TrainingRun(string path, Trainer trainer, StartingPoint? start, AtomicFolder? folder = null) =>
        (Path, Trainer, Start, this.folder) = (path, trainer, start, folder);

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>What trains.</summary>
    public Trainer Trainer { get; }

    /// <summary>What is trained.</summary>
    public LanguageModel Model => Trainer.Model;

    /// <summary>The model that the run went on from; null where it began with random weights.</summary>
    public StartingPoint? Start { get; }

    /// <summary>
    /// The measurements so far, as <see cref="TrainingOptions.Evaluations"/> asks for them; in a run with a <see cref="Start"/>, one before the
    /// first step comes before.
    /// </summary>
    public IReadOnlyList<EvaluationPoint> History => history;

    /// <summary>The training seconds from one checkpoint to the next; how often changes no result.</summary>
    public double CheckpointSeconds { get; set; } = 30;

    /// <summary>The steps from one checkpoint to the next, in addition; 0 for seconds alone.</summary>
    public long CheckpointSteps { get; set; }

    /// <summary>Whether a folder holds a run that can be resumed.</summary>
    public static bool Exists(string path) => File.Exists(AtomicFolder.PathOf(path, TrainingRecord.FileName));

    /// <summary>
    /// Starts a run in a folder that holds neither a run nor a model, and need not exist; with a <paramref name="start"/>, of a model that was
    /// loaded from there to learn more (<see cref="ModelFolder.Load"/>).
    /// </summary>
    /// <exception cref="InputException">It holds one, or the trainer refuses model, source or options.</exception>
    public static TrainingRun Create(string path, LanguageModel model, TokenSource source, TrainingOptions options, StartingPoint? start = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        RequireVacant(path);
        return new TrainingRun(path, new Trainer(model, source, options.For(model.Config, hasLearned: start is not null)), start);
    }

    /// <summary>
    /// Goes on with a run. The source must be the run's; a model configuration, options or a start that are given must be the run's too.
    /// </summary>
    /// <exception cref="InputException">The folder holds no sound run, or the run is of another source, model, start or options; the message says which.</exception>
    public static TrainingRun Resume(
        string path, Device device, TokenSource source, ModelConfig? model = null, TrainingOptions? options = null, StartingPoint? start = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (!Exists(path))
        {
            throw new InputException($"there is no run to resume in {AtomicFile.Quote(path)}: it has no {TrainingRecord.FileName}");
        }

        AtomicFolder folder = AtomicFolder.Open(path);
        Trainer? trainer = null;
        try
        {
            TrainingRecord record = TrainingRecord.Load(System.IO.Path.Combine(path, TrainingRecord.FileName));
            if (record.Corpus != source.Fingerprint)
            {
                throw Refused(path, $"it was trained on {AtomicFile.Quote(record.CorpusName)}, not on {AtomicFile.Quote(source.Name)} (the bytes, the held-out part or the tokenizer differ)");
            }

            if (start is not null && start != record.Start)
            {
                throw Refused(path, $"it began with {(record.Start is null ? "random weights" : AtomicFile.Quote(record.Start.Name))}, not with "
                    + $"{AtomicFile.Quote(start.Name)}{(start.Name == record.Start?.Name ? " as it is now" : "")}; leave that away, or start another run");
            }

            LanguageModel loaded = ModelFolder.Load(path, device, learned: true);
            if (model is not null && model != loaded.Config)
            {
                throw Refused(path, $"its model is {AtomicFile.Quote(loaded.Config.Name)} ({loaded.Config.Blocks}, width {loaded.Config.Width}), "
                    + $"not {AtomicFile.Quote(model.Name)} ({model.Blocks}, width {model.Width})");
            }

            TrainingOptions asked = (options?.For(loaded.Config, hasLearned: record.Start is not null) ?? record.Options) with { Precision = device.Precision };
            if (asked.DifferenceFrom(record.Options) is { } difference)
            {
                throw Refused(path, $"{difference}; leave the options away, or start another run");
            }

            if (record.Model != ModelFolder.Fingerprint(loaded))
            {
                throw Refused(path, $"its {ModelFolder.WeightsFile} was changed since the checkpoint");
            }

            trainer = new Trainer(loaded, source, record.Options);
            TensorFile.Load(System.IO.Path.Combine(path, MomentsFile), trainer.Optimizer.State);
            trainer.Restore(record.Steps, record.TotalSteps, record.Position, record.Bytes, record.Flops, record.Seconds, record.FirstSeconds);
            var run = new TrainingRun(path, trainer, record.Start, folder);
            run.history.AddRange(record.History);
            run.Checkpointed();
            return run;
        }
        catch
        {
            trainer?.Dispose();
            folder.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Trains until the budget is spent, measuring and making checkpoints on the way, or until it is asked to stop; then makes a last
    /// checkpoint. Returns whether the run is finished.
    /// </summary>
    /// <exception cref="TrainingDivergedException">The loss or gradient is not finite; it names the last good checkpoint, which is kept.</exception>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public bool Run(Action<StepResult>? afterEachStep = null, CancellationToken stop = default)
    {
        while (!Trainer.IsDone && !stop.IsCancellationRequested)
        {
            double? before = Trainer.Steps == 0 && Start is not null && Trainer.Options.Evaluations > 0 ? HeldOut() : null;
            StepResult result = Trainer.Step();
            if (before is { } bits)
            {
                history.Add(new EvaluationPoint(0, 0, 0, 0, result.Loss, bits));
            }

            if (IsTimeToEvaluate)
            {
                history.Add(new EvaluationPoint(Trainer.Steps, Trainer.Bytes, Trainer.Flops, Trainer.Seconds, result.Loss, HeldOut()));
            }

            if (Trainer.Steps == 1 || Trainer.IsDone || Trainer.Seconds - checkpointed >= CheckpointSeconds
                || (CheckpointSteps > 0 && Trainer.Steps % CheckpointSteps == 0))
            {
                Checkpoint();
            }

            afterEachStep?.Invoke(result);
        }

        if (!Trainer.IsDone && Trainer.Steps > 0)
        {
            Checkpoint();
        }

        return Trainer.IsDone;
    }

    /// <summary>Publishes model, moments and the rest together, in place of the checkpoint before.</summary>
    /// <exception cref="InputException">The disk is full, or fails; the checkpoint before is still there.</exception>
    public void Checkpoint()
    {
        bool isFirst = folder is null;
        if (folder is null)
        {
            RequireVacant(Path);
            folder = AtomicFolder.Open(Path);
        }

        folder.Publish(writing =>
        {
            ModelFolder.Write(Model, writing);
            if (isFirst)
            {
                // What never changes: a file that a later version does not contain stays.
                Trainer.Source.WriteBeside(writing);
                Start?.WriteOrigin(writing);
            }

            TensorFile.Save(System.IO.Path.Combine(writing, MomentsFile), Trainer.Optimizer.State);
            new TrainingRecord
            {
                Model = ModelFolder.Fingerprint(Model),
                Corpus = Trainer.Source.Fingerprint,
                CorpusName = Trainer.Source.Name,
                Start = Start,
                Options = Trainer.Options,
                Steps = Trainer.Steps,
                TotalSteps = Trainer.TotalSteps,
                Position = Trainer.Position,
                Bytes = Trainer.Bytes,
                Flops = Trainer.Flops,
                Seconds = Trainer.Seconds,
                FirstSeconds = Trainer.FirstSeconds,
                History = history,
            }.Save(System.IO.Path.Combine(writing, TrainingRecord.FileName));
        });
        Checkpointed();
    }

    /// <summary>Frees the memory of training and gives the folder up, without a checkpoint; the model lives on.</summary>
    public void Dispose()
    {
        Trainer.Dispose();
        folder?.Dispose();
    }

    // The k-th of n measurements falls on the part (k/n)^2 of all steps: the curve is steep at first.
    private bool IsTimeToEvaluate => Due(Trainer.Steps) > Due(Trainer.Steps - 1);

    private long Due(long step) => (long)(Trainer.Options.Evaluations * Math.Sqrt(Math.Min(1, step / (double)Trainer.TotalSteps)));

    // Held-out bits per byte now.
    private double HeldOut()
    {
        double bits = Evaluation.HeldOut(Model, Trainer.Source, Trainer.Context, atMost: Trainer.Options.EvaluationBytes).BitsPerByte;
        return double.IsFinite(bits) ? bits
            : throw new TrainingDivergedException(Trainer.Steps, "the held-out loss is not finite", "the model on held-out text", Trainer.LastCheckpoint);
    }

    private void Checkpointed()
    {
        checkpointed = Trainer.Seconds;
        Trainer.LastCheckpoint = $"{AtomicFile.Quote(Path)} at step {Trainer.Steps}";
    }

    /// <summary>Checks that a run can start in a folder, as <see cref="Create"/> does: for those who have much to do before.</summary>
    /// <exception cref="InputException">It holds a run, a model or a tokenizer already, or is a file.</exception>
    public static void RequireVacant(string path)
    {
        if (File.Exists(path))
        {
            throw new InputException($"cannot train into {AtomicFile.Quote(path)}: it is a file; give a folder");
        }

        string? held = Exists(path) ? "run: resume it, or give another folder" : Holds(ModelFolder.ConfigFile) ? "model: give another folder"
            : Holds(ModelFolder.TokenizerFile) ? "tokenizer, which a model here would be taken to read by: give another folder" : null;
        if (held is not null)
        {
            throw new InputException($"{AtomicFile.Quote(path)} already holds a {held}");
        }

        bool Holds(string name) => File.Exists(AtomicFolder.PathOf(path, name));
    }

    private static InputException Refused(string path, string reason) => new($"cannot resume the run in {AtomicFile.Quote(path)}: {reason}");
}
