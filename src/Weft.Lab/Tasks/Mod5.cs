using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// What the tasks of arithmetic modulo 5 share (Deletang et al., "Neural Networks and the Chomsky Hierarchy", arXiv 2207.02098): digits, signs
/// and an equals sign, an even number of tokens in all.
/// </summary>
internal abstract class Modulo5 : StateTracking
{
    /// <summary>The digits are tokens 0 to 4.</summary>
    public const int Modulus = 5;

    /// <summary>The token of plus; minus and times follow.</summary>
    public const int Plus = 5;

    /// <summary>The token of an opening bracket; the closing one follows.</summary>
    public const int Open = 8;

    /// <summary>The token of the equals sign, by which an example ends.</summary>
    public const int EqualsSign = 10;

    /// <summary>The answer of 0; those of 1 to 4 follow.</summary>
    public const int Answer = 11;

    public override int Vocabulary => Answer + Modulus;

    public override IReadOnlyList<int> TrainOn { get; } = [.. Enumerable.Range(2, (Longest / 2) - 1).Select(i => 2 * i)];

    public override bool Takes(int difficulty) => difficulty is >= 4 and <= 1 << 12 && difficulty % 2 == 0;

    /// <summary>What a sign's token makes of two values, 0 to 4.</summary>
    protected static int Apply(int left, int sign, int right) => (sign - Plus) switch
    {
        0 => (left + right) % Modulus,
        1 => (left - right + Modulus) % Modulus,
        _ => left * right % Modulus,
    };
}

/// <summary>Without brackets, from left to right: 3+4*2= is 4. At each sign the value of all before it is asked.</summary>
internal sealed class Mod5 : Modulo5
{
    public override string Name => "mod5";

    public override string Line => "tell the value of 3+4*2-... modulo 5, from left to right";

    public override string Source => "arXiv 2207.02098, 2603.15569: of the last value alone, scaled so that chance is 0, trained to 40 and scored to 256: Mamba-2 47.8, Mamba-3 98.5, "
        + "Gated DeltaNet with negative eigenvalues 99.3";

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        (int value, int sign) = (0, Plus);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = random.NextInt(Modulus);
            value = Apply(value, sign, tokens[i]);
            sign = i + 2 == tokens.Length ? EqualsSign : Plus + random.NextInt(3);
            (tokens[i + 1], targets[i], targets[i + 1]) = (sign, -1, Answer + value);
        }
    }
}

/// <summary>With brackets around every operation, or around a digit: ((3+4)*(2))=. At each closing one the value between, at the end that of all.</summary>
internal sealed class Mod5Brackets : Modulo5
{
    public override string Name => "mod5-brackets";

    public override string Line => "tell the value of ((3+4)*2) modulo 5, and of each bracket in it";

    public override string Source => "arXiv 2207.02098, 2603.15569: of the last value alone, scaled so that chance is 0, trained to 40 and scored to 256: Mamba-2 0.9, Mamba-3 87.8, "
        + "Gated DeltaNet with negative eigenvalues 93.5. Brackets nest, so no finite automaton follows all";

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        targets.Fill(-1);
        int value = Expression(random, tokens[..^1], targets);
        (tokens[^1], targets[^1]) = (EqualsSign, Answer + value);
    }

    // Fills an odd number of tokens; returns their value.
    private static int Expression(RandomSource random, Span<int> tokens, Span<int> targets)
    {
        if (tokens.Length == 1)
        {
            return tokens[0] = random.NextInt(Modulus);
        }

        // (left sign right), both odd in length; of three tokens (digit).
        int value;
        if (tokens.Length == 3)
        {
            value = Expression(random, tokens.Slice(1, 1), targets[1..]);
        }
        else
        {
            int left = 1 + (2 * random.NextInt((tokens.Length - 3) / 2)), sign = Plus + random.NextInt(3);
            tokens[left + 1] = sign;
            int first = Expression(random, tokens.Slice(1, left), targets[1..]);
            value = Apply(first, sign, Expression(random, tokens[(left + 2)..^1], targets[(left + 2)..]));
        }

        (tokens[0], tokens[^1], targets[tokens.Length - 1]) = (Open, Open + 1, Answer + value);
        return value;
    }
}
