using System.Text;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// A model reading and writing one sequence of bytes. Its <see cref="State"/> has always seen every byte that was read or generated, so it can
/// be saved, restored and forked between any two calls. A prompt of any length is read in pieces, in constant memory beside the state; after
/// the first bytes, generating allocates nothing on the managed heap.
/// </summary>
public sealed class Generator : IDisposable
{
    private const int Piece = 512; // bytes of a prompt that one pass reads

    private readonly LanguageModel model;
    private readonly Tape tape;
    private readonly int[] piece = new int[Piece];
    private readonly float[] logits;
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
    }

    /// <summary>What the model remembers of the bytes so far.</summary>
    public SequenceState State { get; }

    /// <summary>The logits of the next byte, after at least one has been read here.</summary>
    public ReadOnlySpan<float> Logits => hasRead
        ? logits.AsSpan(0, Math.Min(logits.Length, ModelConfig.Bytes)) // tokens past the bytes are no output
        : throw new InputException("there is nothing to continue: give a prompt of at least one byte (a state remembers what was read, not what comes next)");

    /// <summary>The memory of the passes, in bytes: it does not depend on how much is read.</summary>
    public long ArenaBytes => tape.ArenaBytes;

    /// <summary>Reads bytes: a prompt, or what a person said next.</summary>
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

            model.Next(tape.Tokens(piece.AsSpan(0, count), 1, count), State).Get(logits);
            tape.Reset();
            hasRead = true;
            bytes = bytes[count..];
        }
    }

    /// <summary>Chooses the next byte, reads it, and returns it.</summary>
    /// <exception cref="InputException">Nothing has been read yet, or the model is broken.</exception>
    public byte Next(Sampler sampler)
    {
        ArgumentNullException.ThrowIfNull(sampler);
        byte next = (byte)sampler.Next(Logits);
        Read(new ReadOnlySpan<byte>(in next));
        return next;
    }

    /// <summary>Frees the memory of the passes; the state lives on.</summary>
    public void Dispose() => tape.Dispose();
}

/// <summary>Text from a model, in one call.</summary>
public static class Generation
{
    /// <summary>
    /// The bytes that the model adds to a prompt, as they come. With a <paramref name="state"/> it goes on from there and advances it past the
    /// prompt and every byte returned.
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
        using var generator = new Generator(model, state);
        var sampler = new Sampler(options);
        generator.Read(prompt.Span);
        for (long i = 0; i < options.Tokens; i++)
        {
            yield return generator.Next(sampler);
        }
    }
}
