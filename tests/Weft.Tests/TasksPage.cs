using System.Text;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;

namespace Weft.Tests;

/// <summary>
/// The tables of docs/tasks.md: a row a task.
/// </summary>
public class TasksPage
{
    [Fact]
    public void TasksAreWhatTheCodeHas() => WrittenTable.Check("tasks.md", "tasks", Table());

    private static string Table()
    {
        var text = new StringBuilder("| task | what it asks | harder with more | trained on | scored on | models | source |\n|---|---|---|---|---|---|---|\n");
        foreach (LabTask task in TaskTable.All)
        {
            text.Append($"| `{task.Name}` | {task.Line} | {task.Axis} | {Listed(task.TrainOn)} | {Listed(task.ScoreOn)} | {string.Join(", ", task.Models.Select(m => $"`{m}`"))}; width {task.Width} | {task.Source.Replace("|", "\\|", StringComparison.Ordinal)} |\n");
        }

        return text.ToString();
    }

    [Fact]
    public void TextTasksAreWhatTheCodeHas() => WrittenTable.Check("tasks.md", "text tasks", TextTable());

    private static string TextTable()
    {
        var text = new StringBuilder("| task | what it asks | varied | measured | models | source |\n|---|---|---|---|---|---|\n");
        foreach (TextTask task in TextTaskTable.All)
        {
            string axis = task.Ticks.Count > 0 ? $"{task.Axis}: {string.Join(", ", task.Ticks.OrderBy(t => t.Key).Select(t => t.Value))}" : task.Axis;
            text.Append($"| `{task.Name}` | {task.Line} | {axis} | {string.Join("; ", task.Quantities.Select(q => q.Title))} | {string.Join(", ", task.Models.Select(m => $"`{m}`"))}; width {task.Width} | {task.Source.Replace("|", "\\|", StringComparison.Ordinal)} |\n");
        }

        return text.ToString();
    }

    private static string Listed(IReadOnlyList<int> numbers) => numbers.Count <= 6 ? string.Join(", ", numbers) : $"{numbers[0]}, {numbers[1]} ... {numbers[^1]}";
}
