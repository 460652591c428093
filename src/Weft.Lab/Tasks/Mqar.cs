using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// Multi-query associative recall (Arora et al., "Zoology", arXiv 2312.04927, section 4): pairs of a key and its value, each drawn without
/// replacement, then every key once more in any order, at which its value is to be told.
/// </summary>
/// <remarks>
/// The sequence has 16 tokens a pair: the pairs, then queries at even places, drawn by the power law p(i) ~ i^(a-1), a = 0.01, so that most come
/// soon; random tokens of the whole vocabulary between them. Keys are the lower half of the vocabulary but 0, values the upper.
/// </remarks>
internal sealed class Mqar : LabTask
{
    private const double Power = 0.01;
    private const int TokensPerPair = 16;

    public override string Name => "mqar";

    public override string Line => "recall: tell the value of each key that comes again";

    public override string Source => "arXiv 2312.04927 (section 4), 2402.18668 (figure 2): attention solves it, recurrent mixers as far as their state reaches; the sources' noise is not covered by their seed, here all follows from it";

    public override string Axis => "pairs";

    public override int Vocabulary => 8192;

    public override IReadOnlyList<int> TrainOn => [4, 8];

    public override IReadOnlyList<int> ScoreOn => [4, 8, 16, 32];

    public override int Batch => 64;

    public override IReadOnlyList<double> Rates => [0.001, 0.003, 0.01]; // of the published sweep, 1e-4 to 1e-2, the upper part

    public override IReadOnlyList<string> Models => ["attention*2", "mamba2[state=8]*2", "mamba2[state=64]*2", "gated-deltanet*2", "mamba2[state=16]*3 attention"];

    public override bool Takes(int difficulty) => difficulty is >= 1 and <= 64;

    public override int Length(int difficulty) => TokensPerPair * difficulty;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int half = Vocabulary / 2, context = 2 * difficulty, places = (tokens.Length - context) / 2;
        Span<int> keys = stackalloc int[difficulty], values = stackalloc int[difficulty];
        Distinct(random, keys, 1, half);
        Distinct(random, values, half, Vocabulary);
        targets.Fill(-1);
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.NextInt(Vocabulary);
        }

        for (int i = 0; i < difficulty; i++)
        {
            (tokens[2 * i], tokens[(2 * i) + 1]) = (keys[i], values[i]);
        }

        // Each key at an even place of its own: places are drawn by weight, and again where one is taken, which is without replacement.
        Span<double> sums = stackalloc double[places];
        Span<bool> taken = stackalloc bool[places];
        taken.Clear();
        double total = 0;
        for (int i = 0; i < places; i++)
        {
            sums[i] = total += Math.Pow(i + 1, Power - 1);
        }

        for (int i = 0; i < difficulty; i++)
        {
            int place;
            do
            {
                place = sums.BinarySearch<double, double>(random.NextDouble() * total);
                place = place < 0 ? ~place : place; // the first place whose sum is not less
            }
            while (taken[place]);
            taken[place] = true;
            int at = context + (2 * place);
            (tokens[at], targets[at]) = (keys[i], values[i]);
        }
    }

    private static void Distinct(RandomSource random, Span<int> drawn, int from, int to)
    {
        for (int i = 0; i < drawn.Length; i++)
        {
            do
            {
                drawn[i] = from + random.NextInt(to - from);
            }
            while (drawn[..i].Contains(drawn[i]));
        }
    }
}
