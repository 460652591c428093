using System.Text;
using Weft.Models.Checkpoints.HuggingFace;

namespace Weft.Tests;

/// <summary>
/// The table of families in docs/checkpoints.md: each family, and the pattern that its test checkpoint becomes.
/// </summary>
public class CheckpointsPage
{
    [Fact]
    public void FamiliesAreWhatTheCodeReads() => WrittenTable.Check("checkpoints.md", "families", Table());

    private static string Table()
    {
        var text = new StringBuilder("| model_type | class | the pattern of its test checkpoint |\n|---|---|---|\n");
        ILookup<Family, HuggingFaceFolder> folders = Directory.GetDirectories(Path.Combine(AppContext.BaseDirectory, "Fixtures", "hf")).Order(StringComparer.Ordinal)
            .Select(HuggingFaceFolder.Open).ToLookup(f => f.Family);
        foreach (Family family in Families.All.OrderBy(f => f.ModelType, StringComparer.Ordinal))
        {
            HuggingFaceFolder? folder = folders[family].FirstOrDefault();
            text.Append($"| `{family.ModelType}` | {family.Architecture} | {(folder is null ? "" : $"`{folder.Model.Blocks}`")} |\n");
        }

        return text.ToString();
    }
}
