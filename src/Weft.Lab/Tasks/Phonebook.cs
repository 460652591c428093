using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// Looking up a number (Jelassi et al., "Repeat After Me", arXiv 2402.01032, section 4), in characters: lines <c>Bade Fogihu: 7012345678</c>, an
/// empty line, two of the lines once more as worked examples, an empty line, and the name of a third, whose ten digits are asked.
/// </summary>
/// <remarks>The 70 first names and 70 last names are made of syllables, so that all lines are equally long, many share a name, and no two share both.</remarks>
internal sealed class Phonebook : LabTask
{
    /// <summary>The characters, a token each.</summary>
    public const string Characters = "0123456789 :\nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    private const string Consonants = "bdfghklmnprstz", Vowels = "aeiou";
    private const int Names = 70; // of each list: one for each syllable
    private const int Digits = 10, LineLength = 24, Number = 13; // a line's characters, and where in it the number begins

    public override string Name => "phonebook";

    public override string Line => "tell the telephone number of one of many people";

    public override string Source => "arXiv 2402.01032: pretrained attention of 410M parameters is better than Mamba of 2.8B from 70 entries on";

    public override string Axis => "entries";

    public override int Vocabulary => Characters.Length;

    public override IReadOnlyList<int> TrainOn => [4, 7, 10];

    public override IReadOnlyList<int> ScoreOn => [10, 20, 40, 70, 100];

    public override IReadOnlyList<string> Models => ["(attention[heads=8, positions=hard-alibi] swiglu)*2", "(attention swiglu)*2", "(mamba2[state=64] swiglu[hidden=96])*2", "mamba2*2 attention"];

    public override int Batch => 16;

    public override int Length(int difficulty) => (LineLength * (difficulty + 3)) + 1; // two empty lines, and no end of line after the answer

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        targets.Fill(-1);
        Span<int> people = stackalloc int[difficulty];
        for (int i = 0; i < people.Length; i++)
        {
            do
            {
                people[i] = random.NextInt(Names * Names);
            }
            while (people[..i].Contains(people[i]));

            Write(people[i], random, tokens.Slice(LineLength * i, LineLength));
        }

        // Three different lines: two that are shown and the one that is asked.
        int first = random.NextInt(difficulty), second = random.NextInt(difficulty - 1), asked = random.NextInt(difficulty - 2);
        second += second >= first ? 1 : 0;
        asked += asked >= Math.Min(first, second) ? 1 : 0;
        asked += asked >= Math.Max(first, second) ? 1 : 0;
        int end = LineLength * difficulty, newLine = Token('\n');
        tokens[end] = newLine;
        tokens.Slice(LineLength * first, LineLength).CopyTo(tokens[(end + 1)..]);
        tokens.Slice(LineLength * second, LineLength).CopyTo(tokens[(end + 1 + LineLength)..]);
        tokens[end + 1 + (2 * LineLength)] = newLine;
        int last = end + 2 + (2 * LineLength);
        tokens.Slice(LineLength * asked, LineLength - 1).CopyTo(tokens[last..]);
        tokens.Slice(last + Number, Digits).CopyTo(targets[(last + Number - 1)..]);
    }

    private static void Write(int person, RandomSource random, Span<int> line)
    {
        (int first, int last) = Math.DivRem(person, Names);
        Syllable(first, line, isFirst: true);
        Syllable(((37 * first) + 11) % Names, line[2..], isFirst: false);
        line[4] = Token(' ');
        Syllable(last, line[5..], isFirst: true);
        Syllable(((23 * last) + 5) % Names, line[7..], isFirst: false);
        Syllable(((51 * last) + 29) % Names, line[9..], isFirst: false);
        (line[11], line[12]) = (Token(':'), Token(' '));
        for (int i = 0; i < Digits; i++)
        {
            line[Number + i] = i == 0 ? 6 + random.NextInt(4) : random.NextInt(10);
        }

        line[^1] = Token('\n');
    }

    private static void Syllable(int i, Span<int> to, bool isFirst)
    {
        char consonant = Consonants[i / Vowels.Length];
        (to[0], to[1]) = (Token(isFirst ? char.ToUpperInvariant(consonant) : consonant), Token(Vowels[i % Vowels.Length]));
    }

    private static int Token(char c) => Characters.IndexOf(c, StringComparison.Ordinal);
}
