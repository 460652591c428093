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
        new Copy(),
        new PrefixCopy(),
        new Phonebook(),
        new Needle(),
        new Parity(),
        new Mod5(),
        new Mod5Brackets(),
        new WordProblem(points: 3),
        new WordProblem(points: 5),
    ];
}
