namespace Weft.Tensors;

/// <summary>
/// Something a person gave (a file, an option, a pattern, a checkpoint) is wrong. The message is one line that says what was wrong,
/// where, and what would do; programs print it on stderr and exit with code 2.
/// </summary>
public sealed class InputException : Exception
{
    /// <summary>Creates the exception with its one-line message.</summary>
    public InputException(string message) : base(message) { }

    /// <summary>Creates the exception with its one-line message and the failure it explains.</summary>
    public InputException(string message, Exception inner) : base(message, inner) { }
}
