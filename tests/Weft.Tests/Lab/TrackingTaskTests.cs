using Weft.Lab.Tasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Lab;

/// <summary>Each task against a plain solver of its own, which answers from the tokens alone; the solvers against examples worked by hand.</summary>
public sealed class TrackingTaskTests
{
    private const string Letters = "abcdefghijklmnopqrstuvwxyz$|.*", Arithmetic = "01234+-*()=";

    public static TheoryData<string> Names => [.. Solvers.Keys];

    private static readonly Dictionary<string, Func<int[], int[]>> Solvers = new()
    {
        ["copy"] = Copied,
        ["prefix-copy"] = Continued,
        ["phonebook"] = LookedUp,
        ["parity"] = Parities,
        ["mod5"] = Values,
        ["mod5-brackets"] = BracketValues,
        ["s3"] = tokens => Products(tokens, ["012", "021", "102", "120", "201", "210"]),
        ["s5"] = tokens => Products(tokens, [.. from n in Enumerable.Range(0, 100_000) let s = $"{n:00000}" where s.Order().SequenceEqual("01234") select s]),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void EveryAnswerFollowsFromTheTokensByItsDefinition(string name)
    {
        LabTask task = TaskTable.All.Single(t => t.Name == name);
        var random = new RandomSource(17);
        foreach (int difficulty in task.TrainOn.Union(task.ScoreOn))
        {
            for (int i = 0; i < 8; i++)
            {
                int[] tokens = new int[task.Length(difficulty)], targets = new int[tokens.Length];
                Array.Fill(tokens, -1);
                task.Make(random, difficulty, tokens, targets);
                Assert.All(tokens.Concat(targets), t => Assert.InRange(t, -1, task.Vocabulary - 1));
                Assert.DoesNotContain(-1, tokens);
                Assert.Equal(Solvers[name](tokens), targets);
            }
        }
    }

    [Fact]
    public void SolversAreRightOnExamplesWorkedByHand()
    {
        Assert.Equal([-1, -1, -1, 0, 1, 28, -1], Copied(Read("$ab|ab.", Letters)));
        Assert.Equal([-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 3, 28, -1, -1], Continued(Read("$abc|xabcd|d.*", Letters)));
        Assert.Equal([2, 3, 2, 2], Parities([0, 1, 1, 0]));
        Assert.Equal([-1, 11 + 3, -1, 11 + 2, -1, 11 + 4], Values(Read("3+4*2=", Arithmetic)));
        Assert.Equal([-1, 11 + 4, -1, 11 + 0, -1, 11 + 2], Values(Read("4-4+2=", Arithmetic)));
        Assert.Equal(11 + 1, BracketValues(Read("(3+(4*2))=", Arithmetic))[^1]);
        Assert.Equal(11 + 3, BracketValues(Read("(3+(4*2))=", Arithmetic))[7]);
        Assert.Equal(11 + 4, BracketValues(Read("((3+4)*2)=", Arithmetic))[^1]);
        Assert.Equal([6 + 1, 6 + 3], Solvers["s3"]([1, 2])); // points 1 and 2 change places, then 0 and 1: 0 to 1, 1 to 2, 2 to 0
    }

    [Theory]
    [InlineData("copy")]
    [InlineData("prefix-copy")]
    public void ModelsThatCopyAreOfEqualSize(string name)
    {
        LabTask task = TaskTable.All.Single(t => t.Name == name);
        using CpuDevice device = new(1);
        long[] sizes = [.. task.Models.Select(m => new LanguageModel(Presets.Resolve(m, task.Width, BlockTable.Names) with { Vocabulary = task.Vocabulary }, device, 1).ParameterCount())];
        Assert.InRange(sizes.Max() / (double)sizes.Min(), 1, 1.1);
    }

    private static int[] Read(string text, string characters) => [.. text.Select(c => characters.IndexOf(c, StringComparison.Ordinal))];

    private static string Show(IEnumerable<int> tokens, string characters) => string.Concat(tokens.Select(t => t < 0 ? '.' : characters[t]));

    // Targets that ask for an answer, beginning at a position.
    private static int[] Asked(int length, int from, IEnumerable<int> answer)
    {
        int[] targets = new int[length];
        Array.Fill(targets, -1);
        answer.ToArray().CopyTo(targets, from);
        return targets;
    }

    private static int[] Copied(int[] tokens)
    {
        string text = Show(tokens, Letters);
        string[] parts = text.TrimStart('$').Split('|');
        return Asked(tokens.Length, text.IndexOf('|', StringComparison.Ordinal), Read(parts[0] + ".", Letters));
    }

    private static int[] Continued(int[] tokens)
    {
        string text = Show(tokens, Letters);
        string[] parts = text.TrimStart('$').Split('|');
        string[] around = parts[1].Split(parts[0]);
        Assert.Equal((3, 2), (parts[0].Length, around.Length)); // three letters, there once
        Assert.Equal(parts[1].Length, around[0].Length + 3 + around[1].Length);
        Assert.NotEmpty(around[1]);
        Assert.Equal($"{around[1]}.", parts[2].TrimEnd('*'));
        return Asked(tokens.Length, text.LastIndexOf('|'), Read($"{around[1]}.", Letters));
    }

    private static int[] LookedUp(int[] tokens)
    {
        string text = Show(tokens, Phonebook.Characters);
        string[] parts = text.Split("\n\n");
        Dictionary<string, string> book = parts[0].Split('\n').Select(line => line.Split(": ")).ToDictionary(pair => pair[0], pair => pair[1]); // throws where a name comes twice
        Assert.All(book, entry => Assert.Matches("^[A-Z][a-z]{3} [A-Z][a-z]{5}: [6-9][0-9]{9}$", $"{entry.Key}: {entry.Value}"));
        string[] shown = parts[1].Split('\n');
        Assert.Equal(2, shown.Distinct().Count());
        Assert.All(shown, line => Assert.Contains(line, parts[0].Split('\n')));
        string name = parts[2].Split(": ")[0];
        Assert.DoesNotContain(name, parts[1], StringComparison.Ordinal);
        return Asked(tokens.Length, text.LastIndexOf(' '), Read(book[name], Phonebook.Characters));
    }

    private static int[] Parities(int[] bits) => [.. bits.Select((_, i) => 2 + (bits[..(i + 1)].Sum() % 2))];

    private static int[] Values(int[] tokens)
    {
        string text = Show(tokens, Arithmetic);
        return [.. text.Select((c, i) => i % 2 == 0 ? -1 : 11 + Folded(text[..i]))];
    }

    // From left to right in whole numbers' classes modulo 5; C#'s remainder of a negative number is negative.
    private static int Folded(string text)
    {
        int value = text[0] - '0';
        for (int i = 1; i < text.Length; i += 2)
        {
            int digit = text[i + 1] - '0';
            value = (text[i] == '+' ? value + digit : text[i] == '-' ? value - digit : value * digit) % 5;
        }

        return (value + 5) % 5;
    }

    // Each bracket is replaced by its value when it closes.
    private static int[] BracketValues(int[] tokens)
    {
        string text = Show(tokens, Arithmetic);
        Assert.Equal('=', text[^1]);
        int[] targets = Asked(tokens.Length, 0, []);
        var open = new Stack<string>();
        string now = "";
        for (int i = 0; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '(':
                    open.Push(now);
                    now = "";
                    break;
                case ')':
                    Assert.True(now.Length is 1 or 3, now);
                    int value = Folded(now);
                    targets[i] = 11 + value;
                    now = open.Pop() + value;
                    break;
                case '=':
                    targets[i] = 11 + Folded(now);
                    break;
                default:
                    now += text[i];
                    break;
            }
        }

        Assert.Empty(open);
        return targets;
    }

    private static int[] Products(int[] tokens, string[] elements)
    {
        string places = string.Concat(elements[0].Order()), product = places;
        return [.. tokens.Select(t =>
        {
            product = string.Concat(product.Select(p => elements[t][p - '0']));
            return elements.Length + Array.IndexOf(elements, product);
        })];
    }
}
