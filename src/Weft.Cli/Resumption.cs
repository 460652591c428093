namespace Weft.Cli;

/// <summary>What a person is told when a run was interrupted: the same command goes on.</summary>
internal static class Resumption
{
    /// <summary>Says how to go on; returns the exit code of an interrupted program.</summary>
    public static int Tell(Terminal terminal, string saved = "everything so far is saved")
    {
        terminal.Error.WriteLine($"weft: stopped; {saved}. To go on:");
        terminal.Error.WriteLine($"  {terminal.Again}");
        return Interruption.ExitCode;
    }
}
