using Weft.Cli;

namespace Weft.Tests.Cli;

public class ModelListTests
{
    [Theory]
    [InlineData("transformer", "transformer")]
    [InlineData("a, b ,c", "a|b|c")]
    [InlineData("transformer,(3*mamba2 attention)*4,attention[window=64, heads=4]", "transformer|(3*mamba2 attention)*4|attention[window=64, heads=4]")]
    [InlineData("(a[x=1,y=2] b)*2,c", "(a[x=1,y=2] b)*2|c")]
    [InlineData("models/a.json,b", "models/a.json|b")]
    [InlineData("a)b,c", "a)b|c")] // left to the pattern's own parser
    public void SplitsAtCommasOutsideBrackets(string text, string models) =>
        Assert.Equal(models.Split('|'), ModelList.Split(text));

    [Theory]
    [InlineData("")]
    [InlineData("a,,b")]
    [InlineData("a,")]
    [InlineData("a,b,a")]
    public void RefusesGapsAndRepetitions(string text) => Refused.With(() => ModelList.Split(text), "--models");
}
