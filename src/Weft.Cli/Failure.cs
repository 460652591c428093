using Weft.Tensors;

namespace Weft.Cli;

/// <summary>What went wrong, as one line and an exit code.</summary>
internal static class Failure
{
    /// <summary>What a person gave is wrong.</summary>
    public const int BadInput = 2;

    /// <summary>It failed while it ran.</summary>
    public const int AtRunTime = 1;

    /// <summary>Writes the line, <c>weft: ...</c>, and returns the exit code. With WEFT_DEBUG=1 the whole exception follows.</summary>
    public static int Report(Exception failure, TextWriter error)
    {
        Exception e = failure is AggregateException { InnerExceptions: [Exception only] } ? only : failure;
        (string message, int code) = e switch
        {
            InputException => (e.Message, BadInput),
            OperationCanceledException => ("interrupted", Interruption.ExitCode),
            IOException or UnauthorizedAccessException => (e.Message, AtRunTime),
            OutOfMemoryException => ("out of memory; a smaller width, context or batch needs less", AtRunTime),
            ArithmeticException => (e.Message, AtRunTime), // a loss that is not a finite number
            _ => ($"internal error: {e.GetType().Name}: {e.Message}; WEFT_DEBUG=1 shows where, please report it", AtRunTime),
        };
        if (IsDiskFull(e))
        {
            message = $"{message.TrimEnd('.')}; free space or choose another --out";
        }
        error.WriteLine($"weft: {OneLine(message)}");
        if (Environment.GetEnvironmentVariable("WEFT_DEBUG") is "1")
        {
            error.WriteLine(failure);
        }
        return code;
    }

    private static bool IsDiskFull(Exception? e)
    {
        const int NoSpace = 28;                                  // ENOSPC
        const int DiskFull = unchecked((int)0x80070070);         // ERROR_DISK_FULL
        const int HandleDiskFull = unchecked((int)0x80070027);   // ERROR_HANDLE_DISK_FULL
        for (; e is not null; e = e.InnerException)
        {
            if (e is IOException { HResult: NoSpace or DiskFull or HandleDiskFull })
            {
                return true;
            }
        }
        return false;
    }

    private static string OneLine(string text) => string.Concat(text.ReplaceLineEndings(" ").Select(c => char.IsControl(c) ? '?' : c));
}
