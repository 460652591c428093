using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// What batches and evaluations come from: a sequence of tokens, of which the first <see cref="TrainLength"/> are for training and the
/// <see cref="HeldOutLength"/> after them are held out. It knows how many bytes of text its tokens stand for, so that models with different
/// tokenizers are compared by bits per byte. Several threads may read at once.
/// </summary>
public abstract class TokenSource
{
    /// <summary>What to call it in messages and reports.</summary>
    public abstract string Name { get; }

    /// <summary>All tokens.</summary>
    public abstract long Length { get; }

    /// <summary>The tokens to train on: offsets 0 .. TrainLength - 1.</summary>
    public long TrainLength => Length - HeldOutLength;

    /// <summary>The tokens held out: offsets TrainLength .. Length - 1.</summary>
    public abstract long HeldOutLength { get; }

    /// <summary>Identifies the tokens and their parts, so that a run is not resumed on others.</summary>
    public abstract string Fingerprint { get; }

    /// <summary>The vocabulary that a model needs at least: one more than the highest token.</summary>
    public abstract int Vocabulary { get; }

    /// <summary>The token that is read but never asked for, neither in training nor when scored: what is not known; -1: none.</summary>
    public virtual int Masked => -1;

    /// <summary>What messages call many tokens.</summary>
    public virtual string Unit => "tokens";

    /// <summary>Fills <paramref name="tokens"/> with those from <paramref name="offset"/> on. Allocates nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the source.</exception>
    /// <exception cref="InputException">A file cannot be read.</exception>
    public abstract void Read(long offset, Span<int> tokens);

    /// <summary>The bytes of text that <paramref name="count"/> tokens from <paramref name="offset"/> on stand for. Allocates nothing.</summary>
    public abstract long BytesOf(long offset, long count);

    /// <summary>Checks that training windows of <paramref name="context"/> tokens and the one after each fit into the training part.</summary>
    /// <exception cref="InputException">They do not; the message says what would.</exception>
    public void RequireContext(int context)
    {
        if (context < 1)
        {
            throw new InputException($"a context of {context} {Unit} is too short: 1 is the least");
        }
        if (TrainLength < context + 1L)
        {
            throw new InputException(
                $"{AtomicFile.Quote(Name)} is too short for a context of {context}: that needs {context + 1L} training {Unit}, and of its {Length} {Unit} "
                + $"{TrainLength} are for training ({HeldOutLength} are held out); "
                + (TrainLength > 1 ? $"give more text, or a context of at most {TrainLength - 1}" : "give more text"));
        }
    }

    /// <summary>
    /// What the model in a folder reads of a text: tokens where the folder has a tokenizer (<see cref="ModelFolder.TokenizerFile"/>), else bytes.
    /// </summary>
    /// <param name="folder">A model of Weft's own or a published checkpoint.</param>
    /// <param name="text">The text; it stays the caller's.</param>
    /// <param name="progress">Called now and then with the bytes tokenised so far.</param>
    /// <param name="cancel">Gives up.</param>
    /// <exception cref="InputException">A published checkpoint has no tokenizer, or the tokenizer cannot be read.</exception>
    public static TokenSource Of(string folder, Corpus text, Action<long>? progress = null, CancellationToken cancel = default)
    {
        return ModelFolder.TokenizerOf(folder) is { } tokenizer
            ? TokenCorpus.Encode(text, tokenizer, AtomicFolder.PathOf(folder, ModelFolder.TokenizerFile), progress, cancel) : text;
    }

    /// <summary>Writes what must stand beside a model that learned from this, such as a tokenizer, into a folder that is being published.</summary>
    internal virtual void WriteBeside(string folder)
    {
    }
}
