using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// MAD's in-context recall (Poli et al., "Mechanistic Design and Scaling of Hybrid Architectures", arXiv 2403.17844, section 3.1): pairs of
/// a key and its value, with replacement; a key has one value in an example, which is to be told each time that the key comes again.
/// </summary>
internal sealed class MadRecall(int largest = 128, int length = 128) : LabTask
{
    private readonly int[] vocabularies = [.. ((int[])[16, 32, 64, 128]).Where(v => v <= largest)];

    public override string Name => "mad-recall";

    public override string Line => "recall: tell the value of each key that comes again among pairs";

    public override string Source => "arXiv 2403.17844 (section 3.1): vocabularies of 16, 32, 64, 128, a model each; hybrids lead in the mean of the six; here one model for all vocabularies";

    public override string Axis => "vocabulary, of which half are keys";

    public override int Vocabulary => largest;

    public override IReadOnlyList<int> TrainOn => vocabularies;

    public override IReadOnlyList<int> ScoreOn => vocabularies;

    public override IReadOnlyList<string> Models => Compared;

    public override bool LearnsAll => true;

    /// <summary>The models that MAD's tasks compare: two mixers, each with an MLP, as MAD's own.</summary>
    internal static IReadOnlyList<string> Compared { get; } =
        ["(attention swiglu)*2", "(mamba swiglu)*2", "(mamba2 swiglu)*2", "(gated-deltanet swiglu)*2", "mamba2 swiglu attention swiglu"];

    public override int Length(int difficulty) => length;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets) =>
        Pairs(random, tokens, targets, difficulty / 2, firstValue: largest / 2);

    /// <summary>
    /// Fills with pairs of <paramref name="keys"/> keys, from 0, and as many values; for a share of <paramref name="noisy"/> of them with two of the
    /// noise tokens. One pair at least is none of noise, and the last has a key that was there.
    /// </summary>
    internal static void Pairs(RandomSource random, Span<int> tokens, Span<int> targets, int keys, int firstValue, double noisy = 0, int firstNoise = 0, int noises = 0)
    {
        Span<int> values = stackalloc int[keys], told = stackalloc int[keys];
        values.Fill(-1);
        targets.Fill(-1);
        int pairs = tokens.Length / 2, certain = random.NextInt(pairs - 1), count = 0;
        for (int i = 0; i < pairs; i++)
        {
            Span<int> pair = tokens.Slice(2 * i, 2);
            if (i < pairs - 1 && i != certain && random.NextDouble() < noisy)
            {
                pair[0] = firstNoise + random.NextInt(noises);
                pair[1] = firstNoise + random.NextInt(noises);
                continue;
            }

            int key = i < pairs - 1 ? random.NextInt(keys) : told[random.NextInt(count)];
            if (values[key] >= 0)
            {
                targets[2 * i] = values[key];
            }
            else
            {
                values[key] = firstValue + random.NextInt(keys);
                told[count++] = key;
            }

            (pair[0], pair[1]) = (key, values[key]);
        }
    }
}
