using System.Text;
using System.Text.Json;
using Weft.Models.Tokenizers;
using Weft.Training;

namespace Weft.Tests.Tokenizers;

public class BpeTrainerTests
{
    private static byte[] Train(int vocabulary, params string[] texts)
    {
        var trainer = new BpeTrainer();
        foreach (string text in texts)
        {
            trainer.Add(Encoding.UTF8.GetBytes(text));
        }

        return trainer.Train(vocabulary);
    }

    private static string[] Merges(byte[] json)
    {
        using JsonDocument file = JsonDocument.Parse(json);
        return [.. file.RootElement.GetProperty("model").GetProperty("merges").EnumerateArray().Select(m => m.GetString()!)];
    }

    [Fact]
    public void TheMostFrequentPairMergesFirst()
    {
        // w e: 8 times; e st ...: after "es" (9) "est" (9) "lo" (7) "low" (7), as in the publication's example, whose word ends are spaces here.
        string text = string.Concat(Enumerable.Repeat("low ", 5)) + string.Concat(Enumerable.Repeat("lower ", 2)) + string.Concat(Enumerable.Repeat("newest ", 6)) + string.Concat(Enumerable.Repeat("widest ", 3));
        Assert.Equal(["e s", "es t"], Merges(Train(258, text)));
    }

    [Fact]
    public void EquallyFrequentPairsMergeInTheOrderOfTheirBytes() => Assert.Equal(["b a", "y x"], Merges(Train(300, "yx", "ba", "yx", "ba")));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void MergesAreThoseOfCountingAllPairsEachTime(int seed)
    {
        var random = new Random(seed);
        string text = string.Concat(Enumerable.Range(0, 400).Select(_ => new string([.. Enumerable.Range(0, random.Next(1, 9)).Select(_ => (char)('a' + random.Next(seed == 1 ? 1 : 3)))]) + ' '));
        Assert.Equal(Counted(text, 330), Merges(Train(330, text)));
    }

    // Byte pairs counted anew for each merge.
    private static List<string> Counted(string text, int vocabulary)
    {
        var words = new List<List<string>>();
        for (int at = 0; at < text.Length;)
        {
            int end = WordSplit.Gpt2.Next(Encoding.ASCII.GetBytes(text), at);
            words.Add([.. text[at..end].Select(c => c == ' ' ? "Ġ" : $"{c}")]);
            at = end;
        }

        var ids = Enumerable.Range(0, 256).ToDictionary(b => new Rune(ByteAlphabet.Of((byte)b)).ToString(), b => b);
        var merges = new List<string>();
        while (ids.Count < vocabulary)
        {
            var best = words.SelectMany(w => w.Zip(w.Skip(1))).GroupBy(p => p).Where(g => g.Count() > 1).OrderByDescending(g => g.Count()).ThenBy(g => ids[g.Key.First]).ThenBy(g => ids[g.Key.Second]).FirstOrDefault();
            if (best is null)
            {
                break;
            }

            (string left, string right) = best.Key;
            ids.TryAdd(left + right, ids.Count);
            if (!merges.Contains($"{left} {right}"))
            {
                merges.Add($"{left} {right}");
            }

            foreach (List<string> word in words)
            {
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i] == left && word[i + 1] == right)
                    {
                        word[i] += right;
                        word.RemoveAt(i + 1);
                    }
                }
            }
        }

        return merges;
    }

    [Fact]
    public void ATextComesBackAndTakesFewTokens()
    {
        using Corpus corpus = Corpus.Default();
        var text = new byte[300_000];
        corpus.Read(0, text);
        var trainer = new BpeTrainer();
        trainer.Add(text.AsSpan(0, 200_000));
        byte[] json = trainer.Train(2048);
        Tokenizer tokenizer = Tokenizer.Read(json, "trained");
        Assert.Equal(2048, tokenizer.VocabularySize);
        int[] ids = tokenizer.Encode(text.AsSpan(200_000), addSpecial: false);
        Assert.Equal(Encoding.UTF8.GetString(text.AsSpan(200_000)), tokenizer.Decode(ids));
        Assert.InRange(ids.Length, 15_000, 100_000 / 3);

        using Corpus small = Corpus.FromBytes(text.AsMemory(0, 50_000), "text");
        TokenCorpus tokens = TokenCorpus.Encode(small, json, "trained", TestContext.Current.CancellationToken);
        Assert.Equal(small.Length, tokens.BytesOf(0, tokens.Length));
    }

    [Fact]
    public void AnyTextCanBeLearnedFromAndComesBack()
    {
        var random = new Random(1);
        string text = new string('a', 5_000) + string.Concat(Enumerable.Range(0, 5_000).Select(_ => new Rune(random.Next(0xD800)))) + " \n\n  \t";
        byte[] json = Train(400, text);
        Tokenizer tokenizer = Tokenizer.Read(json, "trained");
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
        Assert.Equal(json, Train(400, text));
    }

    [Fact]
    public void BytesThatAreNoTextCanBeLearnedFrom()
    {
        var bytes = new byte[20_000];
        new Random(1).NextBytes(bytes);
        var trainer = new BpeTrainer();
        trainer.Add(bytes);
        Tokenizer tokenizer = Tokenizer.Read(trainer.Train(300), "trained");
        Assert.Equal(300, tokenizer.VocabularySize);
        Assert.NotEmpty(tokenizer.Encode(bytes));
    }

    [Fact]
    public void WithoutRepetitionsThereAreOnlyBytes() => Assert.Equal(256, Tokenizer.Read(Train(1000, "abcdefg"), "trained").VocabularySize);

    [Fact]
    public void AVocabularyWithoutAllBytesIsRefused() => Refused.With(() => new BpeTrainer().Train(255), "vocabulary of 255", "256");
}
