using System.Text;

namespace Weft.Cli;

/// <summary>
/// Passes text on to a terminal without its control characters (line breaks and tabs excepted), which become U+FFFD: what a model says
/// shall be read, and not move the cursor or retitle the window.
/// </summary>
internal sealed class PrintableWriter(TextWriter writer) : TextWriter
{
    public override Encoding Encoding => writer.Encoding;

    public override void Write(char value) => writer.Write(char.IsControl(value) && value is not ('\n' or '\t') ? '\uFFFD' : value);

    public override void Flush() => writer.Flush();
}
