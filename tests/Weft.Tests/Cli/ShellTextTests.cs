using System.Diagnostics;
using Weft.Cli;

namespace Weft.Tests.Cli;

public class ShellTextTests
{
    [Fact]
    public void AShellReadsTheSameWordsBack()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there is no sh on Windows");
        string[] words = ["plain", "", "two words", "(3*mamba2 attention)*4", "a\"b", "it's", "$HOME `x` \\n", "a!b", "ünï", "*", "~", "a;b|c&d", "#x", "a=b", "[window=64]"];
        using Process shell = WeftProgram.StartProgram("/bin/sh", ["-c", "printf '%s\\n' " + ShellText.Join(words)]);
        Assert.Equal(string.Join('\n', words) + "\n", WeftProgram.Finish(shell).Out);
    }

    [Theory]
    [InlineData("run-1/a_b.txt", "run-1/a_b.txt")]
    [InlineData("two words", "\"two words\"")]
    public void QuotesOnlyWhereNeeded(string word, string quoted) => Assert.Equal(quoted, ShellText.Quote(word));
}
