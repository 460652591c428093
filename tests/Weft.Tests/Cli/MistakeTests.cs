namespace Weft.Tests.Cli;

public class MistakeTests
{
    [Theory]
    [InlineData("comprae", "there is no command 'comprae'", "nearest: compare", "weft --help")]
    [InlineData("--modles", "there is no option --modles")]
    [InlineData("compare --modles a", "there is no option --modles of weft compare", "nearest: --models", "weft compare --help")]
    [InlineData("compare --modles=a", "there is no option --modles of weft compare", "nearest: --models")]
    [InlineData("compare --out", "--out needs a value: --out DIR")]
    [InlineData("compare --out --sweep", "--out needs a value", "--sweep is an option")]
    [InlineData("compare --out a --out b", "--out is given twice")]
    [InlineData("compare --seeds two", "--seeds 'two' is not a whole number from 1 to 100")]
    [InlineData("compare --seeds 0", "--seeds '0' is not a whole number from 1 to 100")]
    [InlineData("compare --budget 20", "--budget '20' is not a budget", "60s", "20MB")]
    [InlineData("compare --models a,,b", "--models has an empty place")]
    [InlineData("compare --context 0", "--context '0' is not a whole number")]
    [InlineData("compare --threads 0", "--threads '0' is not a whole number")]
    [InlineData("compare -", "standard input", "save it to a file")]
    [InlineData("train", "FILE is missing", "weft train --help")]
    [InlineData("train a.txt --model hybrid", "--out RUN is missing")]
    [InlineData("train a.txt --out run", "--model M is missing")]
    [InlineData("train - --model hybrid --out run", "standard input")]
    [InlineData("train a.txt --model hybrid --out run --rate fast", "--rate 'fast' is not a number")]
    [InlineData("train a.txt --model hybrid --out run --rate NaN", "--rate 'NaN' is not a number")]
    [InlineData("train a.txt --model hybrid --out run --schedule cosin", "cosin", "cosine")]
    [InlineData("generate", "RUN is missing")]
    [InlineData("generate run --top-p 2", "--top-p '2' is not a number")]
    [InlineData("generate run more", "'more' is one word too many")]
    [InlineData("inspect", "RUN is missing")]
    [InlineData("models x y", "'y' is one word too many")]
    public void IsToldInOneLine(string line, params string[] says)
    {
        CommandResult result = WeftProgram.Run(line.Split(' '));
        Assert.Equal(2, result.Code);
        Assert.Empty(result.Out);
        OneLine.Is(result.Error, says);
    }
}

/// <summary>One clear line: <c>weft: ...</c>, which says these things and shows no stack trace.</summary>
internal static class OneLine
{
    public static void Is(string error, params string[] says)
    {
        Assert.StartsWith("weft: ", error);
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.EndsWith(Environment.NewLine, error);
        Assert.DoesNotContain("   at ", error);
        Assert.All(says, part => Assert.Contains(part, error));
    }
}
