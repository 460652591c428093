using Weft.Models;

namespace Weft.Tests.Cli;

public class ModelsCommandTests
{
    [Fact]
    public void ListsEveryPresetAndDescribesEveryBlock()
    {
        CommandResult result = WeftProgram.Run("models");
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Code);
        Assert.All(Presets.All, p => Assert.Contains(p.Name, result.Out));
        string[] lines = result.Out[result.Out.IndexOf("  block ", StringComparison.Ordinal)..].Split('\n');
        // Name, parameters, FLOPs, state, and a description of some words.
        Assert.All(BlockTable.Names, name =>
            Assert.Contains(lines, l => l.StartsWith($"  {name} ", StringComparison.Ordinal) && l.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length > 6));
    }

    [Fact]
    public void TellsAllAboutOne()
    {
        CommandResult block = WeftProgram.Run("models", "gated-deltanet");
        Assert.Equal((0, ""), (block.Code, block.Error));
        Assert.All(new[] { BlockTable.Of("gated-deltanet").Equation, BlockTable.Of("gated-deltanet").Source, "negative-eigenvalues=false", "swiglu" }, text => Assert.Contains(text, block.Out));
        CommandResult model = WeftProgram.Run("models", "transformer");
        Assert.Equal((0, ""), (model.Code, model.Error));
        Assert.Contains("(attention[head-dim=32] swiglu)*4", model.Out);
    }

    [Fact]
    public void AnUnknownNameGivesTheNearest()
    {
        CommandResult result = WeftProgram.Run("models", "gated-deltnet");
        Assert.Equal(2, result.Code);
        Assert.Contains("gated-deltanet", Assert.Single(result.Error.Trim().Split('\n')));
    }
}
