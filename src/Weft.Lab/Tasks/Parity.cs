using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// Parity: at each bit, whether the ones so far are even (token 2) or odd (3). The smallest automaton that a recurrence whose transitions have
/// only positive eigenvalues cannot follow (arXiv 2411.12537, theorem 1).
/// </summary>
internal sealed class Parity : StateTracking
{
    /// <summary>The answer where the ones are even in number; the next token is that where they are odd.</summary>
    public const int Even = 2;

    public override string Name => "parity";

    public override string Line => "tell at each bit whether the ones so far are odd in number";

    public override string Source => "arXiv 2411.12537, 2603.15569: of the last parity alone, scaled so that chance is 0, trained on 3 to 40 and scored on 40 to 256 bits: Mamba-2 0.9, "
        + "Mamba-3 100, Gated DeltaNet with negative eigenvalues 100";

    public override int Vocabulary => 4;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int odd = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.NextInt(2);
            odd ^= tokens[i];
            targets[i] = Even + odd;
        }
    }
}
