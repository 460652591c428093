using System.Text;
using System.Text.RegularExpressions;
using Weft.Lab.Tasks;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

public class NeedleTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TheSentenceStandsInRealTextOnceAndItsNumberIsAsked(bool isHeldOut)
    {
        using Corpus corpus = Corpus.Default();
        byte[] train = new byte[corpus.TrainLength], heldOut = new byte[corpus.HeldOutLength];
        corpus.Read(0, train.AsSpan());
        corpus.Read(corpus.TrainLength, heldOut.AsSpan());
        var task = new Needle();
        var random = new RandomSource(3);
        var depths = new List<int>();
        foreach (int length in task.ScoreOn)
        {
            for (int i = 0; i < 20; i++)
            {
                int[] tokens = new int[task.Length(length)], targets = new int[tokens.Length];
                if (isHeldOut)
                {
                    task.MakeHeldOut(random, length, tokens, targets);
                }
                else
                {
                    task.Make(random, length, tokens, targets);
                }

                string text = Encoding.Latin1.GetString([.. tokens.Select(t => (byte)t)]);
                Match match = Assert.Single(Regex.Matches(text, @"The secret number of (\w+) is (\d{5})\. "));
                string end = $"\nThe secret number of {match.Groups[1]} is {match.Groups[2]}";
                Assert.EndsWith(end, text, StringComparison.Ordinal);
                string hay = string.Concat(text.AsSpan(0, match.Index), text.AsSpan(match.Index + match.Length))[..^end.Length];
                Assert.Equal(isHeldOut, heldOut.AsSpan().IndexOf(Encoding.Latin1.GetBytes(hay)) >= 0);
                Assert.Equal(!isHeldOut, train.AsSpan().IndexOf(Encoding.Latin1.GetBytes(hay)) >= 0);
                Assert.True(match.Index == 0 || text[match.Index - 1] == ' ');
                Assert.Equal(tokens[^5..], targets[^6..^1]);
                Assert.Equal(5, targets.Count(t => t >= 0));
                if (length == 2048)
                {
                    depths.Add(match.Index);
                }
            }
        }

        Assert.True(depths.Min() < 500 && depths.Max() > 1500, $"depths {depths.Min()} to {depths.Max()}");
    }

    [Fact]
    public void OwnTextIsTheHaystackAndMayNotBeTooShort()
    {
        using Corpus own = Corpus.FromText(string.Concat(Enumerable.Repeat("hay ", 10_000)));
        int[] tokens = new int[512], targets = new int[512];
        new Needle(own).Make(new RandomSource(1), 512, tokens, targets);
        Assert.Contains("hay hay hay", Encoding.Latin1.GetString([.. tokens.Select(t => (byte)t)]));
        using Corpus small = Corpus.FromText("a short text", "small.txt");
        Refused.With(() => new Needle(small).Make(new RandomSource(1), 512, tokens, targets), "small.txt", "too short", "2048");
    }
}
