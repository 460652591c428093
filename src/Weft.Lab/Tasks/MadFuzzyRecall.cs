using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// MAD's fuzzy in-context recall (Poli et al., arXiv 2403.17844, section 3.1): <see cref="MadRecall"/> with keys and values of one to three tokens,
/// all different within one.
/// </summary>
/// <remarks>
/// Sizes are uniform, then what has the size. Keys and values have tokens of their own, which shows where each ends. The last key is one of those that
/// were there. What is left of the length is padded at the front.
/// </remarks>
internal sealed class MadFuzzyRecall(int vocabulary = 16) : LabTask
{
    private const int Longest = 3;

    private readonly int pad = vocabulary - 1;
    private readonly int keys = (vocabulary - 1) / 2; // the tokens after them, up to the pad, are values

    public override string Name => "mad-fuzzy-recall";

    public override string Line => "recall: tell the value of each key that comes again, both of one to three tokens";

    public override string Source => "arXiv 2403.17844 (section 3.1): 128 tokens of 16, or 256, 512, 1024, a model each; the source tests keys of three tokens only and at times asks one that was not there, here tested as trained and always there";

    public override string Axis => "tokens";

    public override int Vocabulary => vocabulary;

    public override IReadOnlyList<int> TrainOn => [128, 256];

    public override IReadOnlyList<int> ScoreOn => [128, 256, 512, 1024];

    public override IReadOnlyList<string> Models => MadRecall.Compared;

    public override bool LearnsAll => true;

    public override int Length(int difficulty) => difficulty;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int pairs = tokens.Length / 2; // at most
        Span<int> told = stackalloc int[pairs], values = stackalloc int[pairs]; // the keys that have come, and the value of each
        targets.Fill(-1);
        int end = 0, count = 0;
        while (end + (4 * Longest) <= tokens.Length) // leaves room for the last pair
        {
            int key = Motif(random, 0, keys), at = told[..count].IndexOf(key);
            bool isTold = at >= 0;
            if (!isTold)
            {
                at = count++;
                (told[at], values[at]) = (key, Motif(random, keys, pad - keys));
            }

            Write(key, values[at], isTold, tokens, targets, ref end);
        }

        int last = random.NextInt(count);
        Write(told[last], values[last], true, tokens, targets, ref end);
        int left = tokens.Length - end;
        tokens[..end].CopyTo(tokens[left..]);
        targets[..end].CopyTo(targets[left..]);
        tokens[..left].Fill(pad);
        targets[..left].Fill(-1);
    }

    // One to three different tokens of a range of at most 64: eight bits each, 0 for none, the first lowest. Token t is t + 1.
    private static int Motif(RandomSource random, int from, int tokens)
    {
        int size = 1 + random.NextInt(Longest), code = 0;
        ulong used = 0;
        for (int i = 0; i < size;)
        {
            int token = random.NextInt(tokens);
            if ((used & (1UL << token)) == 0)
            {
                used |= 1UL << token;
                code |= (from + token + 1) << (8 * i++);
            }
        }

        return code;
    }

    private static void Write(int key, int value, bool isAsked, Span<int> tokens, Span<int> targets, ref int end)
    {
        for (; key > 0; key >>= 8)
        {
            tokens[end++] = (key & 255) - 1;
        }

        for (; value > 0; value >>= 8)
        {
            int token = (value & 255) - 1;
            targets[end - 1] = isAsked ? token : -1;
            tokens[end++] = token;
        }
    }
}
