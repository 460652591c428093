using System.Diagnostics;
using Weft.Cli;

namespace Weft.Tests.Cli;

/// <summary>What a command line did.</summary>
public sealed record CommandResult(int Code, string Out, string Error);

/// <summary>Runs weft: within this process, or as one of its own.</summary>
internal static class WeftProgram
{
    /// <summary>The program's file, beside the tests.</summary>
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "weft.exe" : "weft");

    /// <summary>Runs it within this process.</summary>
    public static CommandResult Run(params string[] args)
    {
        StringWriter output = new(), error = new();
        int code = CommandLine.Run(args, output, error);
        return new CommandResult(code, output.ToString(), error.ToString());
    }

    /// <summary>Runs it within this process, with bytes piped in, or so that it is cancelled.</summary>
    public static CommandResult Run(byte[]? input, CancellationToken cancel, params string[] args)
    {
        StringWriter output = new(), error = new();
        Terminal terminal = new(output, error, input is null ? null : new MemoryStream(input)) { Cancel = cancel, Args = args };
        return new CommandResult(CommandLine.Run(args, terminal), output.ToString(), error.ToString());
    }

    /// <summary>Starts it as a process; its output is read by the caller.</summary>
    public static Process Start(params string[] args) => StartProgram(Path, args);

    /// <summary>Runs it as a process with one environment variable set, and the choice of instruction set to itself.</summary>
    public static CommandResult RunWith(string variable, string value, params string[] args)
    {
        ProcessStartInfo start = new(Path, args) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.Environment.Remove("WEFT_ISA");
        start.Environment[variable] = value;
        return Finish(Process.Start(start)!);
    }

    /// <summary>Starts any program with its output redirected.</summary>
    public static Process StartProgram(string program, IEnumerable<string> args, string? workingDirectory = null) => Process.Start(new ProcessStartInfo(program, args)
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        WorkingDirectory = workingDirectory ?? "",
        UseShellExecute = false,
    })!;

    /// <summary>Starts it as a process and kills that after a while; null if it was killed before its end.</summary>
    public static CommandResult? RunOrKill(TimeSpan after, params string[] args)
    {
        using Process process = Start(args);
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(after))
        {
            process.Kill();
            process.WaitForExit();
            return null;
        }
        return new CommandResult(process.ExitCode, output.Result, error.Result);
    }

    /// <summary>Waits for a process and reads what it wrote.</summary>
    public static CommandResult Finish(Process process)
    {
        using (process)
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> error = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
            {
                process.Kill(entireProcessTree: true);
                Assert.Fail($"it does not end: {process.StartInfo.FileName} {string.Join(' ', process.StartInfo.ArgumentList)}");
            }
            process.WaitForExit();
            return new CommandResult(process.ExitCode, output.Result, error.Result);
        }
    }
}
