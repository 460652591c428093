using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// MAD's selective copying (Poli et al., "Mechanistic Design and Scaling of Hybrid Architectures", arXiv 2403.17844, section 3.1): tokens at random
/// places among blanks, then a copy token and as many blanks, at which they are to be told in order.
/// </summary>
internal sealed class MadSelectiveCopy(int vocabulary = 16, int length = 256) : LabTask
{
    private readonly int blank = vocabulary - 2, copy = vocabulary - 1; // the other tokens are letters

    public override string Name => "mad-selective-copy";

    public override string Line => "memory: tell tokens that came at random places among blanks, in order";

    public override string Source => "arXiv 2403.17844 (section 3.1): 16 tokens of 16 in 256, or 32, 64, 96; the source's places are not covered by its seed and put no blank after the last token, here they follow from the seed and are of equal chance";

    public override string Axis => "tokens to copy";

    public override int Vocabulary => vocabulary;

    public override IReadOnlyList<int> TrainOn => [16, 32];

    public override IReadOnlyList<int> ScoreOn => [16, 32, 64, 96];

    public override IReadOnlyList<string> Models => MadRecall.Compared;

    public override int Length(int difficulty) => length;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int stretch = tokens.Length - difficulty - 1;
        targets.Fill(-1);
        tokens[stretch] = copy;
        tokens[(stretch + 1)..].Fill(blank);
        SelectiveCopy.Scatter(random, tokens[..stretch], blank, letters: blank, targets[(stretch + 1)..]);
    }
}
