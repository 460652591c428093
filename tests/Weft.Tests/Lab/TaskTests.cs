using Weft.Lab.Tasks;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Lab;

/// <summary>What holds of every task of <see cref="TaskTable"/>; then, for recall, selective copying and MAD's tasks, that examples contain their answers.</summary>
public sealed class TaskTests
{
    private const int Unwritten = -7;

    public static TheoryData<string> Names => [.. TaskTable.All.Select(t => t.Name)];

    [Fact]
    public void NamesAreDistinctWordsOfTheCommandLine()
    {
        Assert.Equal(TaskTable.All.Count, TaskTable.All.Select(t => t.Name).Distinct().Count());
        Assert.All(TaskTable.All, t => Assert.Matches("^[a-z0-9-]+$", t.Name));
        Assert.All(TaskTable.All, t => Assert.All([t.Line, t.Source, t.Axis], text => Assert.False(string.IsNullOrWhiteSpace(text))));
    }

    [Theory, MemberData(nameof(Names))]
    public void DifficultiesAscendAndModelsExist(string name)
    {
        LabTask task = Find(name);
        Assert.Equal(task.ScoreOn.Order().Distinct(), task.ScoreOn);
        Assert.Equal(task.TrainOn.Order().Distinct(), task.TrainOn);
        Assert.Contains(task.Main, task.ScoreOn);
        Assert.NotEmpty(task.Models);
        Assert.All(task.Models, m => Presets.Resolve(m, task.Width, [.. BlockTable.Names]));
    }

    [Theory, MemberData(nameof(Names))]
    public void AnExampleFollowsFromItsSeedAlone(string name)
    {
        LabTask task = Find(name);
        foreach (int difficulty in Difficulties(task))
        {
            (int[] tokens, int[] targets) = Example(task, difficulty, seed: 3);
            (int[] again, int[] targetsAgain) = Example(task, difficulty, seed: 3, buffer: 1);
            Assert.Equal(tokens, again);
            Assert.Equal(targets, targetsAgain);
            Assert.Contains(Enumerable.Range(4, 8), seed => !Example(task, difficulty, (ulong)seed).Targets.SequenceEqual(targets));
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void EveryTokenIsWrittenAndOfTheVocabularyAndSomethingIsAsked(string name)
    {
        LabTask task = Find(name);
        foreach (int difficulty in Difficulties(task))
        {
            for (ulong seed = 0; seed < 64; seed++)
            {
                (int[] tokens, int[] targets) = Example(task, difficulty, seed);
                Assert.All(tokens, t => Assert.InRange(t, 0, task.Vocabulary - 1));
                Assert.All(targets, t => Assert.InRange(t, -1, task.Vocabulary - 1));
                Assert.Contains(targets, t => t >= 0);
            }
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void MakingAnExampleAllocatesNothing(string name)
    {
        LabTask task = Find(name);
        var random = new RandomSource(5);
        foreach (int difficulty in Difficulties(task))
        {
            int[] tokens = new int[task.Length(difficulty)], targets = new int[tokens.Length];
            Assert.Equal(0, Allocations.Least(() => task.Make(random, difficulty, tokens, targets)));
        }
    }

    [Fact]
    public void MqarQueriesEachKeyOnceAtEvenPlacesMostlySoon()
    {
        LabTask task = Find("mqar");
        int soon = 0, late = 0;
        for (ulong seed = 0; seed < 50; seed++)
        {
            (int[] tokens, int[] targets) = Example(task, 8, seed);
            int[] asked = [.. Enumerable.Range(0, tokens.Length).Where(t => targets[t] >= 0)];
            Assert.All(asked, t => Assert.True(t >= 16 && t % 2 == 0));
            Assert.Equal(tokens[..16].Where((_, i) => i % 2 == 0).Order(), asked.Select(t => tokens[t]).Order());
            Assert.All(tokens[..16].Where((_, i) => i % 2 == 0), k => Assert.InRange(k, 1, 4095));
            Assert.All(tokens[..16].Where((_, i) => i % 2 == 1), v => Assert.InRange(v, 4096, 8191));
            soon += asked.Count(t => t < 72);
            late += asked.Count(t => t >= 72);
        }

        Assert.True(soon > 2 * late, $"{soon} in the nearer half, {late} in the other"); // 3.3 to 1 by the law; 1 to 1 were they uniform
    }

    [Fact]
    public void MqarContainsItsAnswers() => Solves("mqar", (tokens, t) => tokens[Array.IndexOf(tokens, tokens[t]) + 1]);

    [Fact]
    public void InductionContainsItsAnswer() => Solves("induction", (tokens, t) =>
    {
        Assert.Equal(15, tokens[t]);
        return tokens[Assert.Single(Enumerable.Range(0, t), i => tokens[i] == 15) + 1];
    });

    [Fact]
    public void SelectiveCopyContainsItsAnswers() => Solves("selective-copy", (tokens, t) =>
        tokens[..t].Where(x => x < 14).ElementAt(t - Array.IndexOf(tokens, 15)));

    [Fact]
    public void MadSelectiveCopyContainsItsAnswers() => SolvesMad("selective-copy", (vocabulary, tokens, t) =>
        tokens[..t].Where(x => x < vocabulary - 2).ElementAt(t - Array.IndexOf(tokens, vocabulary - 1) - 1));

    [Fact]
    public void MadCompressionContainsItsAnswers() => SolvesMad("compression", (vocabulary, tokens, t) => tokens[t - Array.IndexOf(tokens, vocabulary - 1)]);

    [Theory]
    [InlineData("recall")]
    [InlineData("noisy-recall")]
    public void MadRecallContainsItsAnswers(string kind) => SolvesMad(kind, (_, tokens, t) =>
        Assert.Single(Enumerable.Range(0, t).Where(i => i % 2 == 0 && tokens[i] == tokens[t]).Select(i => tokens[i + 1]).Distinct()));

    [Theory]
    [InlineData("mad-recall", 0)]
    [InlineData("mad-noisy-recall", 80)]
    public void MadRecallAsksEachKeyThatComesAgainAndHasItsShareOfNoise(string name, int noise)
    {
        LabTask task = Find(name);
        int difficulty = task.ScoreOn[^1], noisy = 0, keys = name == "mad-recall" ? 64 : 8;
        for (ulong seed = 0; seed < 100; seed++)
        {
            (int[] tokens, int[] targets) = Example(task, difficulty, seed);
            for (int i = 0; i < tokens.Length; i += 2)
            {
                bool isAgain = tokens[i] < keys && tokens.AsSpan(0, i).Contains(tokens[i]);
                Assert.Equal(isAgain ? tokens[i + 1] : -1, targets[i]);
                Assert.Equal(-1, targets[i + 1]);
                noisy += tokens[i] >= 2 * keys ? 1 : 0;
            }

            Assert.True(targets[^2] >= 0);
        }

        Assert.Equal(noise / 100.0, noisy / (100 * 62.0), 0.02);
    }

    // Reads pairs: the lower half of the tokens are keys', the last pads, others are values'. What was to be told before is read; the rest of the value is the answer.
    [Fact]
    public void MadFuzzyRecallContainsItsAnswers() => SolvesMad("fuzzy-recall", (vocabulary, tokens, t) =>
    {
        int keys = (vocabulary - 1) / 2;
        List<int>? key = null, value = null, answer = null;
        Dictionary<string, List<int>> told = [];
        for (int i = 0; i <= t; i++)
        {
            if (tokens[i] == vocabulary - 1)
            {
                Assert.True(i == 0 || tokens[i - 1] == vocabulary - 1, "padding is at the front only");
                continue;
            }

            if (tokens[i] < keys && (key is null || value!.Count > 0))
            {
                if (key is not null)
                {
                    told.TryAdd(string.Join(' ', key), value!);
                    Assert.Equal(told[string.Join(' ', key)], value);
                }

                (key, value) = ([], []);
            }

            (tokens[i] < keys ? key! : value!).Add(tokens[i]);
            Assert.All([key!, value!], m => Assert.True(m.Count <= 3 && m.Distinct().Count() == m.Count));
            answer = told.GetValueOrDefault(string.Join(' ', key!));
        }

        return answer![value!.Count];
    });

    [Fact]
    public void MadMemorisationHasOneValueAKeyInAllExamples()
    {
        LabTask task = Find("mad-memorisation");
        Dictionary<int, int> facts = [];
        foreach (int difficulty in task.ScoreOn)
        {
            for (ulong seed = 0; seed < 600; seed++)
            {
                (int[] tokens, int[] targets) = Example(task, difficulty, seed);
                for (int i = 0; i < tokens.Length; i += 2)
                {
                    Assert.InRange(tokens[i], 0, ((difficulty - 1) / 2) - 1);
                    Assert.Equal((2047, -1), (tokens[i + 1], targets[i]));
                    facts.TryAdd(tokens[i], targets[i + 1]);
                    Assert.Equal(facts[tokens[i]], targets[i + 1]);
                }
            }

            Assert.Equal((difficulty - 1) / 2, facts.Count);
        }

        Assert.Equal(facts.Count, facts.Values.Distinct().Count());
        Assert.Empty(facts.Values.Intersect(facts.Keys));
    }

    /// <summary>Lets a solver answer all that a task asks, each from an example's tokens up to where it is asked.</summary>
    private static void Solves(string name, Func<int[], int, int> solver) => Solves(Find(name), solver, seeds: 16);

    /// <summary>The same of one of MAD's tasks, and of every setting of its grid; the solver gets the vocabulary first.</summary>
    private static void SolvesMad(string kind, Func<int, int[], int, int> solver)
    {
        LabTask task = Find($"mad-{kind}");
        Solves(task, (tokens, t) => solver(task.Vocabulary, tokens, t), seeds: 16);
        Assert.All(MadGrid.Full.Settings.Where(s => s.Kind == kind), s => Solves(s, (tokens, t) => solver(s.Vocabulary, tokens, t), seeds: 3));
    }

    private static void Solves(LabTask task, Func<int[], int, int> solver, ulong seeds)
    {
        foreach (int difficulty in Difficulties(task))
        {
            for (ulong seed = 0; seed < seeds; seed++)
            {
                (int[] tokens, int[] targets) = Example(task, difficulty, seed);
                for (int t = 0; t < tokens.Length; t++)
                {
                    if (targets[t] >= 0)
                    {
                        Assert.Equal(targets[t], solver(tokens[..(t + 1)], t));
                    }
                }
            }
        }
    }

    private static LabTask Find(string name) => TaskTable.All.Single(t => t.Name == name);

    private static IEnumerable<int> Difficulties(LabTask task) => task.TrainOn.Union(task.ScoreOn);

    private static (int[] Tokens, int[] Targets) Example(LabTask task, int difficulty, ulong seed, int buffer = Unwritten)
    {
        int[] tokens = new int[task.Length(difficulty)], targets = new int[tokens.Length];
        tokens.AsSpan().Fill(buffer);
        targets.AsSpan().Fill(buffer);
        task.Make(new RandomSource(seed), difficulty, tokens, targets);
        return (tokens, targets);
    }
}
