using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>A task with other difficulties, or learned with other weight decays: its examples, trained on and scored at those that a person chose.</summary>
public sealed class TaskVariant : LabTask
{
    private readonly LabTask task;
    private readonly int[] trainOn, scoreOn;

    /// <summary>Changes a task's difficulties and decays; null: its own. The difficulty by which learning is followed is scored in any case.</summary>
    /// <exception cref="InputException">The task has no examples of one of them.</exception>
    public TaskVariant(LabTask task, IReadOnlyList<int>? trainOn, IReadOnlyList<int>? scoreOn, IReadOnlyList<double>? decays = null)
    {
        ArgumentNullException.ThrowIfNull(task);
        this.task = task;
        foreach ((string option, IReadOnlyList<int>? given) in new[] { ("--train-on", trainOn), ("--score-on", scoreOn) })
        {
            if (given is not null && (given.Count == 0 || !given.All(task.Takes)))
            {
                throw new InputException($"{option} {string.Join(',', given)}: {task.Name} has no examples of {given.FirstOrDefault(d => !task.Takes(d))} {task.Axis}; its own are {string.Join(", ", task.TrainOn.Union(task.ScoreOn).Order())}");
            }
        }

        this.trainOn = [.. (trainOn ?? task.TrainOn).Distinct().Order()];
        Decays = decays ?? task.Decays;
        IReadOnlyList<int> scored = scoreOn ?? task.ScoreOn;
        this.scoreOn = [.. scored.Append(task.MainOf(this.trainOn, scored)).Distinct().Order()];
    }

    /// <inheritdoc/>
    public override string Name => task.Name;

    /// <inheritdoc/>
    public override string Line => task.Line;

    /// <inheritdoc/>
    public override string Source => task.Source;

    /// <inheritdoc/>
    public override string Axis => task.Axis;

    /// <inheritdoc/>
    public override int Vocabulary => task.Vocabulary;

    /// <inheritdoc/>
    public override IReadOnlyList<int> TrainOn => trainOn;

    /// <inheritdoc/>
    public override IReadOnlyList<int> ScoreOn => scoreOn;

    /// <inheritdoc/>
    public override int MainOf(IReadOnlyList<int> trainOn, IReadOnlyList<int> scoreOn) => task.MainOf(trainOn, scoreOn);

    /// <inheritdoc/>
    public override IReadOnlyList<string> Models => task.Models;

    /// <inheritdoc/>
    public override int Width => task.Width;

    /// <inheritdoc/>
    public override IReadOnlyList<double> Rates => task.Rates;

    /// <inheritdoc/>
    public override int Batch => task.Batch;

    /// <inheritdoc/>
    public override IReadOnlyList<double> Decays { get; }

    /// <inheritdoc/>
    public override int? TrainingSet => task.TrainingSet;

    /// <inheritdoc/>
    public override int TestSet => task.TestSet;

    /// <inheritdoc/>
    public override bool CountsTokens => task.CountsTokens;

    /// <inheritdoc/>
    public override bool LearnsAll => task.LearnsAll;

    /// <inheritdoc/>
    public override bool Takes(int difficulty) => task.Takes(difficulty);

    /// <inheritdoc/>
    public override int Length(int difficulty) => task.Length(difficulty);

    /// <inheritdoc/>
    public override void MakeHeldOut(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => task.MakeHeldOut(random, difficulty, tokens, targets);

    /// <inheritdoc/>
    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => task.Make(random, difficulty, tokens, targets);
}
