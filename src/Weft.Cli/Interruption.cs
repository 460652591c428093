using System.Runtime.InteropServices;

namespace Weft.Cli;

/// <summary>
/// Ctrl-C and the request to terminate. The first cancels <see cref="Token"/>, on which a run saves itself and ends; the second ends the
/// process at once, which costs only what was done since the last save.
/// </summary>
internal sealed class Interruption : IDisposable
{
    /// <summary>The exit code of a program that was interrupted: 128 + SIGINT.</summary>
    public const int ExitCode = 130;

    private readonly CancellationTokenSource source = new();
    private readonly PosixSignalRegistration[] registrations;
    private int signals;

    public Interruption() => registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in registrations)
        {
            registration.Dispose();
        }
        source.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref signals) == 1)
        {
            // Not on this thread: what the cancellation calls must not hold up a second signal.
            _ = source.CancelAsync();
            return;
        }
        if (!Console.IsOutputRedirected)
        {
            Console.Out.Write("\u001b[?25h"); // the cursor, which a live view hides
            Console.Out.WriteLine();
        }
        Environment.Exit(ExitCode);
    }
}
