using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Weft.Tests.Cli;

/// <summary>WEFT_ISA as a person meets it, each in a process of its own.</summary>
public class InstructionSetTests
{
    [Theory]
    [InlineData("avx1024", "is no instruction set that weft knows")]
    [InlineData("missing", "which this machine lacks; it has ")]
    public void WhatWillNotDoIsRefusedInOneLine(string word, string says)
    {
        string asked = word == "missing" ? AdvSimd.IsSupported ? "avx2" : "neon" : word;
        CommandResult result = WeftProgram.RunWith("WEFT_ISA", asked, "info");
        Assert.Equal(2, result.Code);
        OneLine.Is(result.Error, $"WEFT_ISA={asked} ", says, ": give one of these, or none for the best (");
    }

    [Fact]
    public void InfoShowsWhatThereIsAndWhatIsUsed()
    {
        string narrow = AdvSimd.IsSupported ? "neon" : "sse";
        CommandResult forced = WeftProgram.RunWith("WEFT_ISA", narrow, "info");
        Assert.Equal(0, forced.Code);
        Assert.Contains($"; in use: {narrow}, forced by WEFT_ISA", forced.Out);
        Assert.Contains(", the best here", WeftProgram.RunWith("WEFT_ISA", "", "info").Out);
    }

    [Fact]
    public void AMachineWithoutAvx2SaysSoOnceAndTrains()
    {
        Assert.SkipUnless(X86Base.IsSupported, "only x64 has AVX2 to lack");
        using TemporaryFolder folder = new();
        string text = folder.Write("text.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 400).Select(i => $"{i} "))));
        string[] line = ["train", text, "--model", "swiglu", "--width", "8", "--context", "16", "--batch", "1", "--threads", "1", "--budget", "3steps", "--out", folder["run"]];
        CommandResult result = WeftProgram.RunWith("DOTNET_EnableAVX2", "0", line);
        Assert.True(result.Code == 0, result.Error);
        OneLine.Is(result.Error, "this machine has no AVX2", "slower");
    }
}
