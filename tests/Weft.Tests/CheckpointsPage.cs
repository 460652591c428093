using System.Text;
using Weft.Models.Checkpoints.HuggingFace;

namespace Weft.Tests;

/// <summary>
/// The table of families in docs/checkpoints.md: each family, and the pattern that its test checkpoint becomes. With WEFT_UPDATE_README=1 in
/// the environment the test writes the table instead of comparing it.
/// </summary>
public class CheckpointsPage
{
    private const string Begin = "<!-- families -->\n", End = "<!-- /families -->";

    [Fact]
    public void FamiliesAreWhatTheCodeReads()
    {
        string path = Path.Combine(Repository.Root, "docs", "checkpoints.md");
        string page = File.ReadAllText(path).ReplaceLineEndings("\n");
        int begin = page.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length, end = page.IndexOf(End, StringComparison.Ordinal);
        string made = page[..begin] + Table() + page[end..];
        if (Environment.GetEnvironmentVariable("WEFT_UPDATE_README") == "1")
        {
            File.WriteAllText(path, made);
            return;
        }

        Assert.Equal(made, page);
    }

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
