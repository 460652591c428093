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
        // Name, parameters, state, and a description of some words.
        Assert.All(BlockTable.Names, name =>
            Assert.Contains(lines, l => l.StartsWith($"  {name} ", StringComparison.Ordinal) && l.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length > 6));
    }
}
