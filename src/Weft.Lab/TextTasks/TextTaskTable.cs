namespace Weft.Lab.TextTasks;

/// <summary>The tasks of <c>weft probe</c> that learn from a text: a row each.</summary>
public static class TextTaskTable
{
    /// <summary>All of them, in the order of docs/tasks.md.</summary>
    public static IReadOnlyList<TextTask> All { get; } =
    [
        new Filler(),
        new Granularity(),
        new Ratio(),
        new Dna(),
        new Massive(),
        new RepeatedText(),
        new LongDecode(),
    ];
}
