using System.Text.Json.Serialization;
using Weft.Models;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// A question about architectures that is asked on a text: each model is trained under one or several conditions (how the text is cut into
/// tokens, what is put between them, how many layers are attention), and then measured. A task is one file and a row in
/// <see cref="TextTaskTable"/>; learning rates, seeds, going on after an interruption, the report and its charts follow from that.
/// </summary>
public abstract class TextTask
{
    /// <summary>What it is called on the command line: filler.</summary>
    public abstract string Name { get; }

    /// <summary>What it asks of a model, in a line.</summary>
    public abstract string Line { get; }

    /// <summary>Where it was published, what was found there, and known flaws of the source that are not repeated here.</summary>
    public abstract string Source { get; }

    /// <summary>What the horizontal axis of its charts is, unless a quantity says otherwise: tokens a byte, attention layers.</summary>
    public abstract string Axis { get; }

    /// <summary>The names of points on the axis that are no numbers: 2 is "2-grams"; none where the numbers speak.</summary>
    public virtual IReadOnlyDictionary<double, string> Ticks { get; } = new Dictionary<double, string>();

    /// <summary>The models that are compared unless told otherwise: presets' names, or patterns.</summary>
    public abstract IReadOnlyList<string> Models { get; }

    /// <summary>The models' width unless told otherwise.</summary>
    public virtual int Width => 128;

    /// <summary>What is measured, a chart of the report each, the most important first.</summary>
    public abstract IReadOnlyList<Quantity> Quantities { get; }

    /// <summary>What budgets are made equal: FLOPs or bytes of text (<see cref="BudgetKind.Data"/>).</summary>
    public abstract BudgetKind Equal { get; }

    /// <summary>
    /// Whether each condition has a learning-rate sweep of its own; else a model's first condition has one, whose best rate all take: for
    /// conditions that leave the model as it is.
    /// </summary>
    public virtual bool SweepsEach => false;

    /// <summary>
    /// Whether models are trained before they are measured; else their first weights are, from each seed, and no rate is looked for: for what does
    /// not depend on weights, such as the time of a step.
    /// </summary>
    public virtual bool Trains => true;

    /// <summary>The text where a person names no file; null: a file must be named.</summary>
    public virtual Corpus? DefaultText() => Corpus.Default();

    /// <summary>Opens what a person named; here the files' bytes, one after the other.</summary>
    /// <exception cref="Tensors.InputException">A file cannot be read, or is not of the kind that the task needs.</exception>
    public virtual Corpus Open(IReadOnlyList<string> files) => Corpus.Open(files);

    /// <summary>What a report must say of a text, such as what of it was masked; null for nothing.</summary>
    public virtual string? About(Corpus text) => null;

    /// <summary>The conditions that a model is trained under, the cheapest first.</summary>
    /// <param name="text">What is learned.</param>
    /// <param name="model">The model as it was asked for; reading bytes.</param>
    /// <param name="budget">What a training may spend, of the kind <see cref="Equal"/> unless a person gave another.</param>
    public abstract IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget);

    /// <summary>Measures a trained model: names a quantity, where on the axis, and its value, as often as there is something to say.</summary>
    public abstract void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel);

    /// <summary>What the figures say, in plain words, each "Topic: sentences", besides what is said of every quantity.</summary>
    public virtual IEnumerable<string> Findings(TextReport report) => [];
}

/// <summary>Which values of a quantity are good.</summary>
public enum Better
{
    /// <summary>Low ones: bits, bytes, time.</summary>
    Lower,

    /// <summary>High ones: speed, accuracy.</summary>
    Higher,

    /// <summary>Neither is better: it describes.</summary>
    Neither,
}

/// <summary>Something measured, and a chart of the report.</summary>
/// <param name="Name">Its name in report.json and for <see cref="TextTask.Measure"/>: bits_per_byte.</param>
/// <param name="Title">The chart's heading: Bits per byte.</param>
/// <param name="Note">What a reader must know to read the chart, one or two sentences.</param>
/// <param name="Better">Which values are good.</param>
public sealed record Quantity(string Name, string Title, string Note, Better Better)
{
    /// <summary>The unit: bits, bytes, FLOPs, tokens/s, share (0 to 1, shown in %), or empty for a plain number.</summary>
    public string Unit { get; init; } = "";

    /// <summary>The horizontal axis where it is not the task's.</summary>
    public string? Axis { get; init; }

    /// <summary>The named points of an axis that is its own; null where they are the task's, or numbers.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<Tick>? Ticks { get; init; }

    /// <summary>Whether values are spread over powers of ten.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>Whether points of the axis are spread over powers of two.</summary>
    public bool HasLogarithmicAxis { get; init; }

    /// <summary>Whether it is a time or a speed, which another run on the same machine does not repeat to the digit.</summary>
    public bool IsTime { get; init; }
}

/// <summary>One training of a model.</summary>
/// <param name="Name">What is said while it runs, and in tables: k = 4.</param>
/// <param name="X">Where it stands on the axis.</param>
/// <param name="Model">The model; its vocabulary and context follow from the source and <see cref="Context"/>.</param>
/// <param name="Source">What it learns from.</param>
/// <param name="Budget">What it may spend.</param>
public sealed record Condition(string Name, double X, ModelConfig Model, TokenSource Source, Budget Budget)
{
    /// <summary>The tokens of a training sequence.</summary>
    public int Context { get; init; } = 256;

    /// <summary>The sequences of a step; null for as many as make about 512 tokens.</summary>
    public int? Batch { get; init; }
}

/// <summary>A trained model, to be measured.</summary>
/// <param name="Model">The model.</param>
/// <param name="Condition">How it was trained.</param>
/// <param name="Text">The text that it was trained on a part of.</param>
/// <param name="BitsPerByte">Held out, windows as long as the training's.</param>
/// <param name="Flops">Counted FLOPs of the training.</param>
/// <param name="Bytes">Bytes of text that it learned from.</param>
/// <param name="Seconds">Seconds of the training.</param>
public sealed record TrainedText(LanguageModel Model, Condition Condition, Corpus Text, double BitsPerByte, double Flops, long Bytes, double Seconds);
