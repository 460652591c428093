using System.Text;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// A model reading and writing one sequence of tokens: bytes, where it has no tokenizer. Its <see cref="State"/> has always seen every token
/// that was read or generated, so it can be saved, restored and forked between any two calls. A prompt of any length is read in pieces, in
/// constant memory beside the state; after the first tokens, generating allocates nothing on the managed heap.
/// </summary>
public sealed class Generator : IDisposable
{
    private const int Piece = 512; // tokens of a prompt that one pass reads

    private readonly LanguageModel model;
    private readonly Tape tape;
    private readonly int[] piece = new int[Piece];
    private readonly float[] logits;
    private readonly int outputs; // tokens past the bytes are no output of a model that writes bytes
    private bool hasRead;

    /// <summary>Goes on where <paramref name="state"/> (of one sequence) stands, which it advances; from the beginning, where none is given.</summary>
    public Generator(LanguageModel model, SequenceState? state = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (state is not null && (state.Batch != 1 || !ReferenceEquals(state.Model, model)))
        {
            throw new ArgumentException("generation takes a state of one sequence of the same model", nameof(state));
        }

        this.model = model;
        State = state ?? model.NewState(1);
        tape = new Tape(model.Device) { Recording = false };
        logits = new float[model.Config.Vocabulary];
        outputs = model.ReadsBytes ? Math.Min(logits.Length, ModelConfig.Bytes) : logits.Length;
    }

    /// <summary>What the model remembers of the tokens so far.</summary>
    public SequenceState State { get; }

    /// <summary>The logits of the next token, after at least one has been read here.</summary>
    public ReadOnlySpan<float> Logits => hasRead ? logits.AsSpan(0, outputs)
        : throw new InputException($"there is nothing to continue: give a prompt of at least one {(model.ReadsBytes ? "byte" : "token")} (a state remembers what was read, not what comes next)");

    /// <summary>The memory of the passes, in bytes: it does not depend on how much is read.</summary>
    public long ArenaBytes => tape.ArenaBytes;

    /// <summary>Reads bytes, each as a token: a prompt for a model without a tokenizer, or what a person said next.</summary>
    /// <exception cref="InputException">A byte is not in the model's vocabulary.</exception>
    public void Read(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = Math.Min(bytes.Length, Piece);
            for (int i = 0; i < count; i++)
            {
                piece[i] = bytes[i] < logits.Length ? bytes[i]
                    : throw new InputException($"the prompt holds the byte {bytes[i]}, and the model's vocabulary ends at {logits.Length - 1}");
            }

            Read(count);
            bytes = bytes[count..];
        }
    }

    /// <summary>Reads tokens: a prompt, or what a person said next.</summary>
    /// <exception cref="InputException">A token is not in the model's vocabulary.</exception>
    public void Read(ReadOnlySpan<int> tokens)
    {
        while (!tokens.IsEmpty)
        {
            int count = Math.Min(tokens.Length, Piece);
            for (int i = 0; i < count; i++)
            {
                piece[i] = (uint)tokens[i] < (uint)logits.Length ? tokens[i]
                    : throw new InputException($"the prompt holds the token {tokens[i]}, and the model's vocabulary ends at {logits.Length - 1}");
            }

            Read(count);
            tokens = tokens[count..];
        }
    }

    /// <summary>Chooses the next token, reads it, and returns it.</summary>
    /// <exception cref="InputException">Nothing has been read yet, or the model is broken.</exception>
    public int Next(Sampler sampler)
    {
        ArgumentNullException.ThrowIfNull(sampler);
        int next = sampler.Next(Logits);
        Read(new ReadOnlySpan<int>(in next));
        return next;
    }

    /// <summary>Frees the memory of the passes; the state lives on.</summary>
    public void Dispose() => tape.Dispose();

    private void Read(int count)
    {
        model.Next(tape.Tokens(piece.AsSpan(0, count), 1, count), State).Get(logits);
        tape.Reset();
        hasRead = true;
    }
}

/// <summary>
/// Text in and text out of a <see cref="Generator"/>, as UTF-8: through the model's tokenizer, or byte by byte where it has none.
/// </summary>
public sealed class TextGenerator : IDisposable
{
    private readonly Generator generator;
    private readonly Tokenizer? tokenizer;
    private readonly int end;
    private readonly byte[] one = new byte[1];
    private TokenDecoder? decoder;
    private int lastRead = -1;

    /// <summary>Goes on where <paramref name="state"/> (of one sequence) stands, which it advances; from the beginning, where none is given.</summary>
    /// <exception cref="InputException">The model's tokenizer cannot be read.</exception>
    public TextGenerator(LanguageModel model, SequenceState? state = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        (tokenizer, end) = (model.Tokenizer, model.Config.EndOfText);
        generator = new Generator(model, state);
    }

    /// <summary>What the model remembers of the text so far.</summary>
    public SequenceState State => generator.State;

    /// <summary>Whether text may be read in any pieces: bytes may; a tokenizer makes other tokens of two halves of a word than of the word.</summary>
    public bool ReadsPieces => tokenizer is null;

    /// <summary>Whether the model has said that the text ends.</summary>
    public bool IsAtEnd { get; private set; }

    /// <summary>Reads a text: a prompt, or what a person said next. At the beginning of a sequence the tokenizer's special tokens are put around it.</summary>
    /// <exception cref="InputException">It holds what is not in the model's vocabulary.</exception>
    public void Read(ReadOnlySpan<byte> utf8)
    {
        if (tokenizer is null)
        {
            generator.Read(utf8);
            return;
        }

        int[] tokens = tokenizer.Encode(utf8, addSpecial: State.Position == 0);
        generator.Read(tokens);
        (lastRead, decoder) = (tokens is [.., int last] ? last : lastRead, null);
    }

    /// <summary>
    /// Chooses the next token and reads it. Returns the text that is certain with it, valid until the next call: none where a character is not
    /// whole yet, or the text is at its end. Bytes are returned as they come.
    /// </summary>
    /// <exception cref="InputException">Nothing has been read yet, or the model is broken.</exception>
    public ReadOnlySpan<byte> Next(Sampler sampler)
    {
        int next = generator.Next(sampler);
        if (next == end)
        {
            IsAtEnd = true;
            return [];
        }

        if (tokenizer is null)
        {
            one[0] = (byte)next;
            return one;
        }

        if (decoder is null)
        {
            decoder = tokenizer.NewDecoder(skipSpecial: true);
            decoder.Add(lastRead); // what is generated goes on from it, rather than begins a text
        }

        return decoder.Add(next);
    }

    /// <summary>Whatever is left of a character that was not finished.</summary>
    public ReadOnlySpan<byte> Finish() => decoder is null ? [] : decoder.Finish();

    /// <summary>Frees the memory of the passes; the state lives on.</summary>
    public void Dispose() => generator.Dispose();
}

/// <summary>Text from a model, in one call.</summary>
public static class Generation
{
    /// <summary>
    /// The bytes of the text that the model adds to a prompt, as they come: as many tokens as the options say, or until it ends the text. With a
    /// <paramref name="state"/> it goes on from there and advances it past the prompt and every token generated.
    /// </summary>
    /// <exception cref="InputException">The prompt is empty.</exception>
    public static IEnumerable<byte> Generate(this LanguageModel model, ReadOnlyMemory<byte> prompt, GenerationOptions? options = null, SequenceState? state = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (prompt.IsEmpty)
        {
            throw new InputException("the prompt is empty; give at least one byte to go on from");
        }

        return Stream(model, prompt, options ?? new GenerationOptions(), state);
    }

    /// <summary>The text that the model adds to a prompt; bytes that are no UTF-8 become U+FFFD. The state is treated as by the other overload.</summary>
    /// <exception cref="InputException">The prompt is empty.</exception>
    public static string Generate(this LanguageModel model, string prompt, GenerationOptions? options = null, SequenceState? state = null) =>
        Encoding.UTF8.GetString([.. model.Generate(Encoding.UTF8.GetBytes(prompt), options, state)]);

    private static IEnumerable<byte> Stream(LanguageModel model, ReadOnlyMemory<byte> prompt, GenerationOptions options, SequenceState? state)
    {
        using var generator = new TextGenerator(model, state);
        var sampler = new Sampler(options);
        generator.Read(prompt.Span);
        for (long i = 0; i < options.Tokens && !generator.IsAtEnd; i++)
        {
            foreach (byte b in generator.Next(sampler).ToArray())
            {
                yield return b;
            }
        }

        foreach (byte b in generator.Finish().ToArray())
        {
            yield return b;
        }
    }
}
