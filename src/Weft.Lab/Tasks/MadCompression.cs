using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// MAD's compression (Poli et al., arXiv 2403.17844, section 3.1): random tokens and a compression token, after which all of them are to be told.
/// </summary>
/// <remarks>
/// MAD decodes the whole sequence, place by place, from the output at the one compression token, by a network apart. A language model alone tells
/// it itself: the compression token is read once for each token to tell, so that nothing comes in but that it is asked. States of fixed size are tested as
/// there; attention may look past the compression token, and is not.
/// </remarks>
internal sealed class MadCompression(int vocabulary = 16) : LabTask
{
    private readonly int letters = vocabulary - 1; // the last token is the compression token

    public override string Name => "mad-compression";

    public override string Line => "memory: tell all tokens of a random sequence, in order, after its end";

    public override string Source => "arXiv 2403.17844 (section 3.1): 32 tokens of 16, or 64, 128, 256; there a decoder apart tells them from the output at one token, here the model itself from what it holds, so attention is not forced to compress";

    public override string Axis => "tokens, with the compression token";

    public override int Vocabulary => vocabulary;

    public override IReadOnlyList<int> TrainOn => [32, 64];

    public override IReadOnlyList<int> ScoreOn => [32, 64, 128, 256];

    public override IReadOnlyList<string> Models => MadRecall.Compared;

    public override int Length(int difficulty) => 2 * (difficulty - 1);

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int data = difficulty - 1;
        for (int i = 0; i < data; i++)
        {
            (tokens[i], targets[i]) = (random.NextInt(letters), -1);
        }

        tokens[data..].Fill(letters);
        tokens[..data].CopyTo(targets[data..]);
    }
}
