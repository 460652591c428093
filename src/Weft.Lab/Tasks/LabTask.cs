using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// A synthetic task that tells architectures apart: a generator of examples, of a difficulty that can be turned up, and what of each is to be
/// predicted. Scoring follows from that (<see cref="TaskScore"/>). A task is one file and a row in <see cref="TaskTable"/>.
/// </summary>
public abstract class LabTask
{
    /// <summary>What it is called on the command line: mqar.</summary>
    public abstract string Name { get; }

    /// <summary>What it asks of a model, in a line.</summary>
    public abstract string Line { get; }

    /// <summary>Where it was published, what was found there, and known flaws of the source that are not repeated here.</summary>
    public abstract string Source { get; }

    /// <summary>What makes it harder: key-value pairs, letters to copy, bits.</summary>
    public abstract string Axis { get; }

    /// <summary>The number of tokens.</summary>
    public abstract int Vocabulary { get; }

    /// <summary>The difficulties of training examples, of which each batch draws one.</summary>
    public abstract IReadOnlyList<int> TrainOn { get; }

    /// <summary>The difficulties that are scored, from the easiest; the harder ones may be past all that was trained on.</summary>
    public abstract IReadOnlyList<int> ScoreOn { get; }

    /// <summary>The difficulty by which learning is followed and rates are compared.</summary>
    public int Main => MainOf(TrainOn, ScoreOn);

    /// <summary>The models that are compared unless told otherwise: presets' names, or patterns.</summary>
    public abstract IReadOnlyList<string> Models { get; }

    /// <summary>The models' width unless told otherwise.</summary>
    public virtual int Width => 64;

    /// <summary>The peak learning rates that are tried, unless told otherwise; none: rates around what suits each model's mixers.</summary>
    public virtual IReadOnlyList<double> Rates => [];

    /// <summary>The weight decays that are tried, each with every rate.</summary>
    public virtual IReadOnlyList<double> Decays { get; } = [0.1];

    /// <summary>Examples of a batch.</summary>
    public virtual int Batch => 32;

    /// <summary>Whether a model learns every next token of an example, as some sources do, and not only those that are asked, which alone are scored.</summary>
    public virtual bool LearnsAll => false;

    /// <summary>The examples of a training set of each difficulty, drawn anew from each seed, of which epochs come in shuffled order; null: no example comes twice.</summary>
    public virtual int? TrainingSet => null;

    /// <summary>The examples that a score is of.</summary>
    public virtual int TestSet => 256;

    /// <summary>Whether the share of answers' tokens that are right tells which rate is best, as where that is what the source reports, and not that of whole examples.</summary>
    public virtual bool CountsTokens => false;

    /// <summary>Whether examples of a difficulty can be made: what <see cref="TrainOn"/> and <see cref="ScoreOn"/> may be changed to.</summary>
    public virtual bool Takes(int difficulty) => TrainOn.Contains(difficulty) || ScoreOn.Contains(difficulty);

    /// <summary>The tokens of an example, the answer included.</summary>
    public abstract int Length(int difficulty);

    /// <summary>
    /// Makes an example: its <paramref name="tokens"/>, and at each position the token that is to be predicted there, after reading those up to
    /// it; -1 where nothing is asked. It must follow from <paramref name="random"/> alone.
    /// </summary>
    public abstract void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets);

    /// <summary>Makes an example that is scored: as in training, but where examples contain text, of text that is held out.</summary>
    public virtual void MakeHeldOut(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => Make(random, difficulty, tokens, targets);

    /// <summary>That difficulty where these are trained on and scored: the hardest that is trained on, unless told otherwise.</summary>
    public virtual int MainOf(IReadOnlyList<int> trainOn, IReadOnlyList<int> scoreOn) => trainOn.Max();
}
