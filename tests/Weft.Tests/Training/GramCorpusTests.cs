using System.Text;
using Weft.Training;

namespace Weft.Tests.Training;

public class GramCorpusTests
{
    private static int[] All(TokenSource source)
    {
        var tokens = new int[source.Length];
        source.Read(0, tokens);
        return tokens;
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    public void NothingIsLostAndEveryRangeKnowsItsBytes(int size)
    {
        using Corpus text = Corpus.FromBytes(Encoding.UTF8.GetBytes(SmallTokenizer.Text(700) + "ß\0ÿ"), "text");
        GramCorpus grams = GramCorpus.Cut(text, size, 300);
        int[] tokens = All(grams);
        Assert.Equal(text.Length, grams.BytesOf(0, grams.Length));
        Assert.Equal(text.TrainLength, grams.BytesOf(0, grams.TrainLength));
        Assert.Equal(text.HeldOutLength, grams.BytesOf(grams.TrainLength, grams.HeldOutLength));
        Assert.All(tokens, t => Assert.InRange(t, 0, 299));

        // What a token is follows from where it stands.
        var bytes = new byte[text.Length];
        text.Read(0, bytes.AsSpan());
        var spelling = new Dictionary<int, string>();
        int at = 0, spelled = 0;
        var ends = new List<int> { 0 };
        foreach (int token in tokens)
        {
            int length = token < 256 ? 1 : size;
            string here = Convert.ToHexString(bytes.AsSpan(at, length));
            Assert.Equal(spelling.TryAdd(token, here) ? here : spelling[token], here);
            Assert.True(token >= 256 || bytes[at] == token);
            spelled += token < 256 ? 1 : 0;
            ends.Add(at += length);
        }

        Assert.Equal(bytes.Length, at);
        Assert.Equal(spelling.Count, spelling.Values.Distinct().Count());
        Assert.Equal((double)spelled / bytes.Length, grams.SpelledShare, 12);
        var random = new Random(1);
        for (int i = 0; i < 200; i++)
        {
            int from = random.Next(tokens.Length + 1), to = random.Next(from, tokens.Length + 1);
            Assert.Equal(ends[to] - ends[from], grams.BytesOf(from, to - from));
        }
    }

    [Fact]
    public void TheVocabularyIsTheMostFrequentOfTheTrainingPartAtTheCuts()
    {
        // Training: "ab" 3 times, "cd" and "bc" twice, "ee" once; held out: "zz", which is then spelled, and what is frequent there alone.
        using Corpus text = Corpus.FromText("abcdabbcabcdbcee" + "zzzzzzzzzzzzab", "text");
        Assert.Equal(16, text.Length - 14);
        using Corpus halves = Corpus.FromBytes(Encoding.ASCII.GetBytes("abcdabbcabcdbceezzzzzzzzzzzzzzab"), "text", 0.5);
        Assert.Equal(16, halves.TrainLength);
        GramCorpus grams = GramCorpus.Cut(halves, 2, 258);
        Assert.Equal([256, 'c', 'd', 256, 257, 256, 'c', 'd', 257, 'e', 'e'], All(grams)[..11]);
        Assert.Equal(256, All(grams)[^1]);
        Assert.Equal([.. Enumerable.Repeat((int)'z', 14)], All(grams)[11..^1]);
    }

    [Fact]
    public void PartsAreCutEachFromItsBeginningAndEndInBytes()
    {
        using Corpus text = Corpus.FromBytes(Encoding.ASCII.GetBytes("abcabcabcaXabcabcabca"), "text", 0.5);
        GramCorpus grams = GramCorpus.Cut(text, 3);
        Assert.Equal(11, text.TrainLength);
        Assert.Equal([256, 256, 256, 'a', 'X', 256, 256, 256, 'a'], All(grams));
        Assert.Equal(4, grams.HeldOutLength);
    }

    [Fact]
    public void ReadingAllocatesNothingAndOtherCutsHaveOtherFingerprints()
    {
        using Corpus text = SmallTokenizer.Corpus();
        GramCorpus two = GramCorpus.Cut(text, 2), three = GramCorpus.Cut(text, 3);
        Assert.NotEqual(two.Fingerprint, three.Fingerprint);
        Assert.NotEqual(two.Fingerprint, GramCorpus.Cut(text, 2, 300).Fingerprint);
        Assert.Equal(two.Fingerprint, GramCorpus.Cut(text, 2).Fingerprint);
        var into = new int[100];
        Assert.Equal(0, Allocations.Least(() =>
        {
            two.Read(7, into);
            two.BytesOf(3, 900);
        }));
    }

    [Theory]
    [InlineData(1, 4096)]
    [InlineData(9, 4096)]
    [InlineData(2, 255)]
    [InlineData(2, 65537)]
    public void OtherSizesAreRefused(int size, int vocabulary)
    {
        using Corpus text = SmallTokenizer.Corpus();
        Refused.With(() => GramCorpus.Cut(text, size, vocabulary), $"{size}-grams", $"{vocabulary}", "2- to 8-grams");
    }
}
