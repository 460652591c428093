using System.Text;

namespace Weft.Models;

/// <summary>
/// Writes a stream of bytes as text while it comes: a character is written when its last byte is there, never in halves, and bytes that are no
/// UTF-8 as U+FFFD. <see cref="Dispose"/> writes what is left of a character that was never finished.
/// </summary>
public sealed class Utf8TextWriter : IDisposable
{
    private readonly TextWriter writer;
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();
    private readonly char[] characters = new char[Encoding.UTF8.GetMaxCharCount(1)];

    /// <summary>Writes to <paramref name="writer"/>, which stays open.</summary>
    public Utf8TextWriter(TextWriter writer) => this.writer = writer;

    /// <summary>Adds a byte, and writes the characters that it completes.</summary>
    public void Write(byte value) => Write(new ReadOnlySpan<byte>(in value), flush: false);

    /// <summary>Adds bytes, and writes the characters that they complete.</summary>
    public void Write(ReadOnlySpan<byte> values)
    {
        foreach (byte value in values)
        {
            Write(value);
        }
    }

    /// <summary>Writes the rest of an unfinished character, as U+FFFD, and flushes.</summary>
    public void Dispose()
    {
        Write([], flush: true);
        writer.Flush();
    }

    private void Write(ReadOnlySpan<byte> bytes, bool flush)
    {
        int count = decoder.GetChars(bytes, characters, flush);
        if (count > 0)
        {
            writer.Write(characters, 0, count);
        }
    }
}
