namespace Weft.Lab.Tasks;

/// <summary>The tasks of <c>weft probe</c>: a row each.</summary>
public static class TaskTable
{
    /// <summary>All tasks, in the order of docs/tasks.md.</summary>
    public static IReadOnlyList<LabTask> All { get; } =
    [
        new Mqar(),
        new Induction(),
        new SelectiveCopy(),
        new MadRecall(),
        new MadFuzzyRecall(),
        new MadNoisyRecall(),
        new MadSelectiveCopy(),
        new MadCompression(),
        new MadMemorisation(),
    ];
}
