using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// MAD's memorisation (Poli et al., arXiv 2403.17844, section 3.1): keys of which each has one value in all examples; after a key and an insert token
/// its value is to be told, which is in no example and must be learned by heart.
/// </summary>
/// <remarks>
/// A difficulty is the vocabulary that MAD would have: half of it, less the insert token, are keys. The facts of an easier one are among those of a
/// harder one, so that one model learns them all, those of the easiest in each batch.
/// </remarks>
internal sealed class MadMemorisation(int largest = 2048) : LabTask
{
    private const ulong Seed = 12345; // of the facts: no example's seed changes them

    private readonly int[] vocabularies = [.. ((int[])[256, 512, 1024, 2048, 4096, 8192]).Where(v => v <= largest)];
    private readonly int[] values = Facts(largest);

    public override string Name => "mad-memorisation";

    public override string Line => "knowledge: tell the value that each key has in all examples";

    public override string Source => "arXiv 2403.17844 (section 3.1): vocabularies of 256 to 8192, a model each, from 256 examples; here to 2048 by one model";

    public override string Axis => "vocabulary, of which half are keys";

    public override int Vocabulary => largest;

    public override IReadOnlyList<int> TrainOn => vocabularies;

    public override IReadOnlyList<int> ScoreOn => vocabularies;

    // Facts lie in the channels' mixers, so these have them.
    public override IReadOnlyList<string> Models => ["(attention swiglu)*2", "(mamba2 swiglu)*2", "mamba2*4", "attention*4"];

    public override int Length(int difficulty) => 32;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        for (int i = 0; i < tokens.Length; i += 2)
        {
            int key = random.NextInt((difficulty - 1) / 2);
            (tokens[i], tokens[i + 1]) = (key, largest - 1);
            (targets[i], targets[i + 1]) = (-1, values[key]);
        }
    }

    // Each key's value: the other half of the vocabulary in an order drawn once (Fisher and Yates).
    private static int[] Facts(int vocabulary)
    {
        int keys = (vocabulary - 1) / 2;
        int[] values = [.. Enumerable.Range(keys, keys)];
        var random = new RandomSource(Seed);
        for (int i = keys - 1; i > 0; i--)
        {
            int other = random.NextInt(i + 1);
            (values[i], values[other]) = (values[other], values[i]);
        }

        return values;
    }
}
