using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>MAD's noisy in-context recall (Poli et al., arXiv 2403.17844, section 3.1): <see cref="MadRecall"/> of as many keys as values, with a share of the pairs replaced by noise tokens.</summary>
internal sealed class MadNoisyRecall(int vocabulary = 32, int length = 128) : LabTask
{
    private const int Noises = 16;

    private readonly int keys = (vocabulary - Noises) / 2;

    public override string Name => "mad-noisy-recall";

    public override string Line => "recall: tell the value of each key that comes again among pairs and noise";

    public override string Source => "arXiv 2403.17844 (section 3.1): a vocabulary of 32 with 16 of noise, which are 20, 40, 60 or 80 % of the tokens, a model each; here one model for all";

    public override string Axis => "% of noise";

    public override int Vocabulary => vocabulary;

    public override IReadOnlyList<int> TrainOn => [20, 40, 60, 80];

    public override IReadOnlyList<int> ScoreOn => [20, 40, 60, 80];

    public override IReadOnlyList<string> Models => MadRecall.Compared;

    public override bool LearnsAll => true;

    public override int Length(int difficulty) => length;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) =>
        MadRecall.Pairs(random, tokens, targets, keys, firstValue: keys, difficulty / 100.0, firstNoise: 2 * keys, Noises);
}
