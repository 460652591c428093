using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// The word problem of a group of permutations (Merrill et al., "The Illusion of State in State-Space Models", arXiv 2404.08819): the tokens are
/// permutations, and at each their product so far is asked, the first being applied first.
/// </summary>
/// <remarks>
/// A permutation's number is its place in lexicographic order, so 0 is the identity; answers are those numbers plus the group's order. Past four points (S5) the
/// group is not solvable, and no recurrence of a fixed depth with diagonal transitions follows it.
/// </remarks>
internal sealed class WordProblem : StateTracking
{
    private readonly int points, order;
    private readonly int[] products; // [later, sooner]

    /// <summary>All permutations of so many points.</summary>
    public WordProblem(int points)
    {
        this.points = points;
        int[][] elements = [.. Permutations(points)];
        order = elements.Length;
        Dictionary<int, int> numbers = elements.Index().ToDictionary(e => Key(e.Item), e => e.Index);
        products = [.. elements.SelectMany(_ => elements, (later, sooner) => numbers[Key(sooner.Select(p => later[p]))])];
    }

    public override string Name => $"s{points}";

    public override string Line => $"tell the product so far of permutations of {points} points";

    public override string Source => points > 4
        ? "arXiv 2404.08819: recurrences of diagonal transitions, and attention, need a depth that grows with the length; 2502.10297: products of reflections do not"
        : "arXiv 2404.08819, 2411.12537: the smallest group whose order of factors matters; recurrences of positive diagonal transitions do not follow it past the lengths trained on";

    public override int Vocabulary => 2 * order;

    public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
    {
        int product = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.NextInt(order);
            product = products[(tokens[i] * order) + product];
            targets[i] = order + product;
        }
    }

    private static int Key(IEnumerable<int> permutation) => permutation.Aggregate(0, (key, p) => (key * 16) + p);

    // In lexicographic order: each first point, then the permutations of the others.
    private static IEnumerable<int[]> Permutations(int points) => points == 0
        ? [[]]
        : Enumerable.Range(0, points).SelectMany(first => Permutations(points - 1).Select(rest => (int[])[first, .. rest.Select(p => p < first ? p : p + 1)]));
}
