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
internal sealed class MadFuzzyRecall : LabTask
{
    private const int Keys = 7;
    private const int Values = 8;
    private const int Pad = Keys + Values;
    private const int Longest = 3;

    public override string Name => "mad-fuzzy-recall";

    public override string Line => "recall: tell the value of each key that comes again, both of one to three tokens";

    public override string Source => "arXiv 2403.17844 (section 3.1): 128 tokens of 16, or 256, 512, 1024, a model each; the source tests keys of three tokens only and at times asks one that was not there, here tested as trained and always there";

    public override string Axis => "tokens";

    public override int Vocabulary => Pad + 1;

    public override IReadOnlyList<int> TrainOn => [128, 256];

    public override IReadOnlyList<int> ScoreOn => [128, 256, 512, 1024];

    public override IReadOnlyList<string> Models => MadRecall.Compared;

    public override bool LearnsAll => true;

    public override int Length(int difficulty) => difficulty;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        const int KeyCodes = 1 << (4 * Longest);
        Span<short> values = stackalloc short[KeyCodes]; // by the code of a key, that of its value; 0 where it has not come
        Span<short> told = stackalloc short[Keys + (Keys * (Keys - 1)) + (Keys * (Keys - 1) * (Keys - 2))];
        values.Clear();
        targets.Fill(-1);
        int end = 0, count = 0;
        while (end + (4 * Longest) <= tokens.Length) // leaves room for the last pair
        {
            short key = Motif(random, 0, Keys);
            bool isTold = values[key] != 0;
            if (!isTold)
            {
                values[key] = Motif(random, Keys, Values);
                told[count++] = key;
            }

            Write(key, values[key], isTold, tokens, targets, ref end);
        }

        short last = told[random.NextInt(count)];
        Write(last, values[last], true, tokens, targets, ref end);
        int pad = tokens.Length - end;
        tokens[..end].CopyTo(tokens[pad..]);
        targets[..end].CopyTo(targets[pad..]);
        tokens[..pad].Fill(Pad);
        targets[..pad].Fill(-1);
    }

    // One to three different tokens of a range: four bits each, 0 for none, the first lowest. Token t is t + 1, which fits: there are 15.
    private static short Motif(RandomSource random, int from, int tokens)
    {
        int size = 1 + random.NextInt(Longest), code = 0, used = 0;
        for (int i = 0; i < size;)
        {
            int token = from + random.NextInt(tokens);
            if ((used & (1 << token)) == 0)
            {
                used |= 1 << token;
                code |= (token + 1) << (4 * i++);
            }
        }

        return (short)code;
    }

    private static void Write(int key, int value, bool isAsked, Span<int> tokens, Span<int> targets, ref int end)
    {
        for (; key > 0; key >>= 4)
        {
            tokens[end++] = (key & 15) - 1;
        }

        for (; value > 0; value >>= 4)
        {
            int token = (value & 15) - 1;
            targets[end - 1] = isAsked ? token : -1;
            tokens[end++] = token;
        }
    }
}
