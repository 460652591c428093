using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>
/// One setting of MAD's grid: a task at one vocabulary, length, share of noise or number of tokens to copy, learned from a training set of so many
/// examples, a model of its own. What makes the examples is one of the six MAD tasks of <see cref="TaskTable"/>.
/// </summary>
public sealed class MadSetting : LabTask
{
    private readonly LabTask task;
    private readonly int difficulty, examples;
    private readonly MadScale scale;

    internal MadSetting(string title, string change, LabTask task, int difficulty, int examples, MadScale scale)
    {
        (Title, Change, this.task, this.difficulty, this.examples, this.scale) = (title, change, task, difficulty, examples, scale);
        Kind = task.Name.StartsWith("mad-", StringComparison.Ordinal) ? task.Name[4..] : task.Name;
        Name = change.Length > 0 ? $"{Kind}-{change.Replace(" ", "", StringComparison.Ordinal).TrimEnd('%').ToLowerInvariant()}" : Kind;
    }

    /// <summary>Which of the six tasks it is of: noisy-recall.</summary>
    public string Kind { get; }

    /// <summary>That task as a heading.</summary>
    public string Title { get; }

    /// <summary>What differs from the task's baseline: V 128; empty for the baseline itself.</summary>
    public string Change { get; }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override string Line => task.Line;

    /// <inheritdoc/>
    public override string Source => task.Source;

    /// <inheritdoc/>
    public override string Axis => task.Axis;

    /// <inheritdoc/>
    public override int Vocabulary => task.Vocabulary;

    /// <inheritdoc/>
    public override IReadOnlyList<int> TrainOn => [difficulty];

    /// <inheritdoc/>
    public override IReadOnlyList<int> ScoreOn => [difficulty];

    /// <inheritdoc/>
    public override IReadOnlyList<string> Models => MadGrid.Models;

    /// <inheritdoc/>
    public override bool LearnsAll => task.LearnsAll;

    /// <inheritdoc/>
    public override bool CountsTokens => true;

    /// <inheritdoc/>
    public override int? TrainingSet => examples;

    /// <inheritdoc/>
    public override int TestSet => scale.TestSet;

    /// <inheritdoc/>
    public override int Width => scale.Width;

    /// <inheritdoc/>
    public override int Batch => scale.Batch;

    /// <inheritdoc/>
    public override IReadOnlyList<double> Rates => scale.Rates;

    /// <inheritdoc/>
    public override IReadOnlyList<double> Decays => scale.Decays;

    /// <summary>What a trial may spend unless told otherwise.</summary>
    public Budget Budget => new(BudgetKind.Steps, scale.Steps(examples));

    /// <inheritdoc/>
    public override int Length(int difficulty) => task.Length(difficulty);

    /// <inheritdoc/>
    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => task.Make(random, difficulty, tokens, targets);
}

/// <summary>At what size MAD's settings are run.</summary>
/// <param name="Width">The models' width.</param>
/// <param name="Batch">Examples of a step.</param>
/// <param name="TestSet">Examples of a score.</param>
/// <param name="Rates">Peak learning rates.</param>
/// <param name="Decays">Weight decays, each with every rate.</param>
/// <param name="Steps">Steps of a trial, by the examples of the training set.</param>
/// <param name="Told">The steps in words.</param>
/// <param name="Seeds">Trials at the best rate and decay unless told otherwise.</param>
internal sealed record MadScale(int Width, int Batch, int TestSet, IReadOnlyList<double> Rates, IReadOnlyList<double> Decays, Func<int, int> Steps, string Told, int Seeds);
