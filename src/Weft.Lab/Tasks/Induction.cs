using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// Induction heads (Gu and Dao, "Mamba", arXiv 2312.00752, section 4.1.2): among random tokens a special one comes once, followed by a token that is
/// to be told when the special one comes again at the end.
/// </summary>
/// <remarks>One answer an example, of 16 tokens with the special one, as published; examples are short and of one length, and scored up to 64 times as long.</remarks>
internal sealed class Induction : LabTask
{
    private const int Letters = 15;
    private const int Special = Letters;

    public override string Name => "induction";

    public override string Line => "recall: tell what followed the special token when it came before";

    public override string Source => "arXiv 2312.00752: trained on 256 tokens, Mamba tells it up to 2^20, attention to twice the trained length; trained here on 64";

    public override string Axis => "tokens";

    public override int Vocabulary => Letters + 1;

    public override IReadOnlyList<int> TrainOn => [64];

    public override IReadOnlyList<int> ScoreOn => [64, 256, 1024, 4096];

    public override IReadOnlyList<string> Models => ["attention*2", "mamba*2", "mamba2*2", "gated-deltanet*2", "mamba2 attention"];

    public override int Length(int difficulty) => difficulty;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.NextInt(Letters);
        }

        int at = random.NextInt(tokens.Length - 2); // what follows is another token than the last
        targets.Fill(-1);
        (tokens[at], tokens[^1], targets[^1]) = (Special, Special, tokens[at + 1]);
    }
}
