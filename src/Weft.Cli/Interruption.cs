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

    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private int _signals;

    public Interruption() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
        _source.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _signals) == 1)
        {
            // Not on this thread: what the cancellation calls must not hold up a second signal.
            _ = _source.CancelAsync();
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
