using Weft.Models;
using Weft.Tensors;

namespace Weft.Lab;

/// <summary>How well a model predicts what follows texts that it has read side by side.</summary>
internal static class Continuations
{
    /// <summary>
    /// The loss, in nats, of each byte of each of <paramref name="continuations"/>, one after the other, which are of one length: a row a sequence of
    /// <paramref name="state"/>, which has read all of the text before but its <paramref name="last"/> byte, and then all but the last of the continuation.
    /// </summary>
    public static float[] Nats(LanguageModel model, Tape tape, SequenceState state, byte[] last, byte[][] continuations)
    {
        int rows = last.Length, length = continuations[0].Length;
        int[] inputs = [.. continuations.SelectMany((c, i) => c.Take(length - 1).Prepend(last[i])).Select(b => (int)b)], targets = [.. continuations.SelectMany(c => c).Select(b => (int)b)];
        float[] losses = model.Loss(tape.Tokens(inputs, rows, length), tape.Tokens(targets, rows, length), state).ToArray();
        tape.Reset();
        return losses;
    }
}
