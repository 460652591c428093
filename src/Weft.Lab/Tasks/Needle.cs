using System.Text;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>
/// A needle in a haystack (Kamradt, "Needle in a Haystack", 2023), in bytes: real text in which, at any depth, stands "The secret number of
/// Harrogate is 48213."; at the end "The secret number of Harrogate is " is asked. Training is on the text's training part, scoring on what is held out.
/// </summary>
/// <remarks>An example is so many bytes in all. The sentence begins where a word does.</remarks>
/// <param name="given">The haystack; null: the built-in text.</param>
internal sealed class Needle(Corpus? given = null) : LabTask
{
    private const int Digits = 5;
    private const int Most = 2048, MostText = 64 << 20; // bytes of an example, and of each part of the text that is held

    private static readonly byte[] Sentence = "The secret number of "u8.ToArray(), Is = " is "u8.ToArray();

    private static readonly byte[][] Towns = [.. ("Harrogate Aberdeen Bristol Coventry Dundee Exeter Falmouth Grimsby Hereford Inverness Jarrow Kendal Lancaster Margate Norwich Oxford "
        + "Penzance Quorn Ripon Salisbury Taunton Ulverston Ventnor Whitby Yarm Zennor Bath Carlisle Durham Ely Frome Glastonbury").Split(' ').Select(Encoding.ASCII.GetBytes)];

    // Both parts in memory: a generator that reads files would wait for them.
    private readonly Lazy<(byte[] Train, byte[] HeldOut)> text = new(() =>
    {
        Corpus corpus = given ?? Corpus.Default();
        byte[] train = new byte[Math.Min(corpus.TrainLength, MostText)], heldOut = new byte[Math.Min(corpus.HeldOutLength, MostText)];
        corpus.Read(0, train.AsSpan());
        corpus.Read(corpus.TrainLength, heldOut.AsSpan());
        return heldOut.Length > Most && train.Length > Most ? (train, heldOut)
            : throw new InputException($"{AtomicFile.Quote(corpus.Name)} is too short a haystack: give text of which more than {Most} bytes are held out, such as {Human.Bytes(Most * 12)}");
    });

    public override string Name => "needle";

    public override string Line => "tell a number that one sentence of a long text says";

    public override string Source => "G. Kamradt, \"Needle in a Haystack\" (2023); asked of pretrained models in natural language there, learned here; its single question is easier than it looks, since nothing else in the text resembles the sentence";

    public override string Axis => "bytes";

    public override int Vocabulary => 256;

    public override IReadOnlyList<int> TrainOn => [128, 192, 256];

    public override IReadOnlyList<int> ScoreOn => [128, 256, 512, 1024, Most];

    public override IReadOnlyList<string> Models => ["(attention[heads=8, positions=hard-alibi] swiglu)*2", "mamba2[state=64]*3", "gated-deltanet*2", "2*mamba2[state=64] attention"];

    public override IReadOnlyList<double> Rates => [2e-3, 5e-3]; // learning takes many steps: two rates leave time for them

    public override int Batch => 8;

    public override int Length(int difficulty) => difficulty;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => Make(text.Value.Train, random, tokens, targets);

    public override void MakeHeldOut(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) => Make(text.Value.HeldOut, random, tokens, targets);

    private static void Make(byte[] text, RandomSource random, Span<int> tokens, Span<int> targets)
    {
        byte[] town = Towns[random.NextInt(Towns.Length)];
        Span<byte> number = stackalloc byte[Digits];
        foreach (ref byte digit in number)
        {
            digit = (byte)('0' + random.NextInt(10));
        }

        int question = Sentence.Length + town.Length + Is.Length, needle = question + Digits + 2; // ". " after it
        int hay = tokens.Length - needle - 1 - question - Digits;                                 // an end of line before the question
        ReadOnlySpan<byte> from = text.AsSpan(random.NextInt(text.Length - hay + 1), hay);
        int depth = random.NextInt(hay + 1), word = from[..depth].LastIndexOf((byte)' ') + 1;
        Span<int> to = tokens;
        Write(from[..word], ref to);
        Say(town, number, ref to);
        Write(". "u8, ref to);
        Write(from[word..], ref to);
        Write("\n"u8, ref to);
        Say(town, number, ref to);
        targets.Fill(-1);
        tokens[^Digits..].CopyTo(targets[^(Digits + 1)..]);
    }

    private static void Say(scoped ReadOnlySpan<byte> town, scoped ReadOnlySpan<byte> number, ref Span<int> to)
    {
        Write(Sentence, ref to);
        Write(town, ref to);
        Write(Is, ref to);
        Write(number, ref to);
    }

    private static void Write(scoped ReadOnlySpan<byte> bytes, ref Span<int> to)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            to[i] = bytes[i];
        }

        to = to[bytes.Length..];
    }
}
