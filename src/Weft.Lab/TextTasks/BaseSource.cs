using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// The bases of a sequence that <see cref="Fasta"/> read, a token each: A, C, G, T are 0 to 3, all else, such as N, R, or the end of a record,
/// is 4, which is read but never asked for. A base counts as a byte of text, so that bits per byte are bits per base.
/// </summary>
internal sealed class BaseSource(Corpus letters) : TokenSource
{
    private const int Unknown = 4;
    private const string Bases = "ACGT";

    private static readonly int[] Tokens = [.. Enumerable.Range(0, 256).Select(c => Bases.IndexOf((char)c, StringComparison.Ordinal) is >= 0 and var token ? token : Unknown)];

    public override string Name => letters.Name;

    public override long Length => letters.Length;

    public override long HeldOutLength => letters.HeldOutLength;

    public override string Fingerprint => $"{letters.Fingerprint}-bases";

    public override int Vocabulary => Unknown + 1;

    public override int Masked => Unknown;

    public override string Unit => "bases";

    public override void Read(long offset, Span<int> tokens)
    {
        letters.Read(offset, tokens);
        foreach (ref int token in tokens)
        {
            token = Tokens[token];
        }
    }

    public override long BytesOf(long offset, long count) => letters.BytesOf(offset, count);

    /// <summary>The letters of a text that are masked, in their order, and how often each occurs; ends of records left out.</summary>
    public static IReadOnlyList<(char Letter, long Count)> MaskedLetters(Corpus letters)
    {
        var counts = new long[256];
        byte[] buffer = new byte[1 << 16];
        for (long at = 0; at < letters.Length; at += buffer.Length)
        {
            Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, letters.Length - at));
            letters.Read(at, piece);
            foreach (byte c in piece)
            {
                counts[c]++;
            }
        }

        return [.. Enumerable.Range(0, 256).Where(c => c != '\n' && Tokens[c] == Unknown && counts[c] > 0).Select(c => ((char)c, counts[c]))];
    }
}
