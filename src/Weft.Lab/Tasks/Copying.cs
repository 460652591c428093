using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// What the copying tasks share (Jelassi et al., "Repeat After Me", arXiv 2402.01032): strings of 26 letters, 0 to 25, drawn uniformly, and
/// special tokens. All that answers a question is asked, the full stop included.
/// </summary>
internal abstract class Copying : LabTask
{
    /// <summary>The letters: tokens 0 to 25.</summary>
    public const int Letters = 26;

    /// <summary>The token <c>$</c>, by which an example begins.</summary>
    public const int Begin = Letters;

    /// <summary>The token <c>|</c>, between its parts.</summary>
    public const int Bar = Letters + 1;

    /// <summary>The token <c>.</c>, by which an answer ends.</summary>
    public const int Stop = Letters + 2;

    /// <summary>The token <c>*</c>, which fills what is left.</summary>
    public const int Filler = Letters + 3;

    public override string Axis => "letters";

    public override int Vocabulary => Letters + 4;

    public override IReadOnlyList<int> TrainOn { get; } = [.. Enumerable.Range(5, 16)];

    public override IReadOnlyList<int> ScoreOn => [10, 20, 40, 80, 200];

    // Twice the longest that is trained on: whether copying was learned, not strings of some lengths.
    public override int MainOf(IReadOnlyList<int> trainOn, IReadOnlyList<int> scoreOn) => 2 * trainOn.Max();

    public override bool Takes(int difficulty) => difficulty is > PrefixCopy.Gram and <= 4096;

    // Copying takes two steps: gather the letters before, in narrow local heads (half of 16, which see 1 to 8 tokens), and find where they stood, in
    // wide heads that see all. Mamba-2's smaller state and MLP make the models equal in size.
    public override int Width => 128;

    public override IReadOnlyList<double> Rates => [0.0005, 0.0015, 0.004];

    public override IReadOnlyList<string> Models =>
    [
        "attention[heads=16, positions=hard-alibi] swiglu attention[heads=2, positions=none, qk-norm=head] swiglu",
        "(attention[heads=8, positions=hard-alibi] swiglu)*2",
        "(attention[heads=8, positions=alibi] swiglu)*2",
        "(attention[heads=8, positions=none] swiglu)*2",
        "(mamba2[state=64] swiglu[hidden=216])*2",
    ];

    /// <summary>Fills with letters.</summary>
    protected static void Draw(RandomSource random, Span<int> letters)
    {
        foreach (ref int letter in letters)
        {
            letter = random.NextInt(Letters);
        }
    }

    /// <summary>Writes an answer and its full stop from a position on, each asked of the position before; returns the position past them.</summary>
    protected static int Ask(ReadOnlySpan<int> answer, int from, Span<int> tokens, Span<int> targets)
    {
        answer.CopyTo(tokens[from..]);
        int end = from + answer.Length;
        tokens[end] = Stop;
        tokens[from..(end + 1)].CopyTo(targets[(from - 1)..]);
        return end + 1;
    }
}

/// <summary>The whole string again: <c>$s|s.</c></summary>
internal sealed class Copy : Copying
{
    public override string Name => "copy";

    public override string Line => "repeat a string of random letters";

    public override string Source => "arXiv 2402.01032: attention needs 100 times fewer examples than recurrent models at 300 letters and, with Hard-ALiBi, goes on to 1000; "
        + "what recurrent models learn ends about where training did. The source scores under teacher forcing";

    public override int Length(int difficulty) => (2 * difficulty) + 3;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        targets.Fill(-1);
        Span<int> text = tokens.Slice(1, difficulty);
        Draw(random, text);
        (tokens[0], tokens[difficulty + 1]) = (Begin, Bar);
        Ask(text, difficulty + 2, tokens, targets);
    }
}

/// <summary>
/// What follows an n-gram, to the end: <c>$g|s|answer.</c>, the n-gram g of three letters being once in s and not its end. Examples whose answer
/// is shorter are filled up.
/// </summary>
internal sealed class PrefixCopy : Copying
{
    /// <summary>The letters of the n-gram.</summary>
    public const int Gram = 3;

    public override string Name => "prefix-copy";

    public override string Line => "tell how a string of random letters goes on after three of them";

    public override string Source => "arXiv 2402.01032: the n-gram is told before the string, so that a recurrent model knows what to keep; the source scores under teacher forcing";

    public override int Length(int difficulty) => (2 * difficulty) + 4; // where g begins s

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        targets.Fill(-1);
        tokens.Fill(Filler);
        Span<int> text = tokens.Slice(Gram + 2, difficulty), gram;
        int at = random.NextInt(difficulty - Gram);
        do
        {
            Draw(random, text);
            gram = text.Slice(at, Gram);
        }
        while (text.IndexOf(gram) < at || text[(at + 1)..].IndexOf(gram) >= 0);

        (tokens[0], tokens[Gram + 1], tokens[Gram + difficulty + 2]) = (Begin, Bar, Bar);
        gram.CopyTo(tokens[1..]);
        Ask(text[(at + Gram)..], Gram + difficulty + 3, tokens, targets);
    }
}
