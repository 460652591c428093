using System.Text;
using Weft.Lab.Tasks;

namespace Weft.Tests;

/// <summary>
/// The table of docs/tasks.md: a row a task. With WEFT_UPDATE_README=1 in the environment the test writes the table instead of comparing it.
/// </summary>
public class TasksPage
{
    private const string Begin = "<!-- tasks -->\n", End = "<!-- /tasks -->";

    [Fact]
    public void TasksAreWhatTheCodeHas()
    {
        string path = Path.Combine(Repository.Root, "docs", "tasks.md");
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
        var text = new StringBuilder("| task | what it asks | harder with more | trained on | scored on | models | source |\n|---|---|---|---|---|---|---|\n");
        foreach (LabTask task in TaskTable.All)
        {
            text.Append($"| `{task.Name}` | {task.Line} | {task.Axis} | {Listed(task.TrainOn)} | {Listed(task.ScoreOn)} | {string.Join(", ", task.Models.Select(m => $"`{m}`"))}; width {task.Width} | {task.Source.Replace("|", "\\|", StringComparison.Ordinal)} |\n");
        }

        return text.ToString();
    }

    private static string Listed(IReadOnlyList<int> numbers) => numbers.Count <= 6 ? string.Join(", ", numbers) : $"{numbers[0]}, {numbers[1]} ... {numbers[^1]}";
}
