using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Weft.Models.Tokenizers;

/// <summary>Where a piece of bytes stands in its token.</summary>
[Flags]
internal enum Part
{
    Middle = 0, First = 1, Last = 2, Whole = 3,
}

/// <summary>
/// One step of decoding while it runs: tokens come in, whole or in parts, and go on to the next step as soon as nothing that may follow
/// can change them.
/// </summary>
internal abstract class DecodeStep
{
    /// <summary>What takes the output.</summary>
    public DecodeStep Next { get; set; } = null!;

    public abstract void Add(ReadOnlySpan<byte> bytes, Part part);

    /// <summary>No token follows.</summary>
    public virtual void End() => Next.End();
}

/// <summary>A decoder of the file: makes its step, and may rewrite a token by itself before any step runs.</summary>
internal abstract class TokenDecoding
{
    /// <summary>Whether a token's outcome depends on nothing but the token.</summary>
    public virtual bool IsPure => false;

    /// <summary>Appends a token rewritten, where <see cref="IsPure"/>.</summary>
    public virtual void Rewrite(ReadOnlySpan<byte> token, Scratch scratch, Store<byte> to) => throw new NotSupportedException();

    public virtual DecodeStep Step() => new WholeTokens(Rewrite);
}

/// <summary>A step that takes whole tokens, which it collects where they come in parts.</summary>
internal abstract class TokenStep : DecodeStep
{
    private readonly Store<byte> collected = new();

    public sealed override void Add(ReadOnlySpan<byte> bytes, Part part)
    {
        if (part == Part.Whole)
        {
            Token(bytes);
            return;
        }
        if ((part & Part.First) != 0)
        {
            collected.Clear();
        }
        collected.Add(bytes);
        if ((part & Part.Last) != 0)
        {
            Token(collected.Span);
        }
    }

    protected abstract void Token(ReadOnlySpan<byte> token);
}

/// <summary>Rewrites each token by itself.</summary>
internal sealed class WholeTokens(Action<ReadOnlySpan<byte>, Scratch, Store<byte>> rewrite) : TokenStep
{
    private readonly Scratch scratch = new();
    private readonly Store<byte> rewritten = new();

    protected override void Token(ReadOnlySpan<byte> token)
    {
        rewritten.Clear();
        rewrite(token, scratch, rewritten);
        Next.Add(rewritten.Span, Part.Whole);
    }
}

/// <summary>Puts a text in the place of every match within a token.</summary>
internal sealed class ReplaceDecoding(Matcher matcher, byte[] content) : TokenDecoding
{
    public override bool IsPure => true;

    public override void Rewrite(ReadOnlySpan<byte> token, Scratch scratch, Store<byte> to)
    {
        if (!matcher.Replace(token, content, scratch, to))
        {
            to.Add(token);
        }
    }
}

/// <summary>The bytes that a token's characters stand for, or its own where one stands for none. <see cref="TextDecoding"/> follows.</summary>
internal sealed class ByteLevelDecoding : TokenDecoding
{
    public override bool IsPure => true;

    public override void Rewrite(ReadOnlySpan<byte> token, Scratch scratch, Store<byte> to)
    {
        if (!ByteAlphabet.Read(token, to))
        {
            to.Add(token);
        }
    }
}

/// <summary>Bytes of many tokens as one text: what is no UTF-8 becomes U+FFFD, once for each maximal part that could have begun a character.</summary>
internal sealed class TextDecoding : TokenDecoding
{
    public override DecodeStep Step() => new TextStep();

    private sealed class TextStep : DecodeStep
    {
        private readonly byte[] waiting = new byte[8];
        private readonly Store<byte> repaired = new();
        private int count;
        private Part first = Part.First;

        public override void Add(ReadOnlySpan<byte> bytes, Part part)
        {
            // The waiting bytes begin a character: as many new ones as it may need decide about it.
            while (count > 0 && bytes.Length > 0)
            {
                waiting[count++] = bytes[0];
                bytes = bytes[1..];
                OperationStatus status = Rune.DecodeFromUtf8(waiting.AsSpan(0, count), out _, out int length);
                if (status == OperationStatus.NeedMoreData)
                {
                    continue;
                }
                Send(status == OperationStatus.Done ? waiting.AsSpan(0, length) : "\uFFFD"u8);
                int rest = count - length;
                waiting.AsSpan(length, rest).CopyTo(waiting);
                count = 0;
                if (rest > 0)
                {
                    // One byte that did not belong to the character: it begins the next.
                    byte again = waiting[0];
                    Complete([again]);
                }
            }
            if (count == 0)
            {
                Complete(bytes);
            }
        }

        public override void End()
        {
            if (count > 0)
            {
                Send("\uFFFD"u8);
                count = 0;
            }
            Next.Add([], first | Part.Last);
            Next.End();
        }

        // Sends bytes that begin a character, but for an unfinished one at the end.
        private void Complete(ReadOnlySpan<byte> bytes)
        {
            int end = bytes.Length;
            for (int back = 1; back <= Math.Min(3, bytes.Length); back++)
            {
                if ((bytes[^back] & 0xC0) != 0x80)
                {
                    if (Rune.DecodeFromUtf8(bytes[^back..], out _, out _) == OperationStatus.NeedMoreData)
                    {
                        end -= back;
                    }
                    break;
                }
            }
            bytes[end..].CopyTo(waiting);
            count = bytes.Length - end;
            bytes = bytes[..end];
            repaired.Clear();
            Send(CodePoint.Repair(bytes, repaired) ? repaired.Span : bytes);
        }

        private void Send(ReadOnlySpan<byte> bytes)
        {
            if (bytes.Length > 0)
            {
                Next.Add(bytes, first);
                first = Part.Middle;
            }
        }
    }
}

/// <summary>
/// Tokens such as &lt;0x61&gt; become their bytes: a run of them is one text where it is UTF-8 as a whole, otherwise each becomes U+FFFD.
/// </summary>
internal sealed class ByteFallbackDecoding : TokenDecoding
{
    public override DecodeStep Step() => new ByteStep();

    private sealed class ByteStep : TokenStep
    {
        private readonly Store<byte> run = new();
        private bool broken;
        private int whole;

        public override void End()
        {
            EndRun();
            base.End();
        }

        protected override void Token(ReadOnlySpan<byte> token)
        {
            if (!TryByte(token, out byte value))
            {
                EndRun();
                Next.Add(token, Part.Whole);
                return;
            }
            run.Add(value);
            if (!broken)
            {
                OperationStatus status = Rune.DecodeFromUtf8(run.Span[whole..], out _, out int length);
                whole += status == OperationStatus.Done ? length : 0;
                broken = status == OperationStatus.InvalidData;
            }
            if (broken)
            {
                SendReplacements();
            }
        }

        private void EndRun()
        {
            if (!broken && whole == run.Count)
            {
                if (run.Count > 0)
                {
                    Next.Add(run.Span, Part.Whole);
                }
            }
            else
            {
                SendReplacements();
            }
            run.Clear();
            (broken, whole) = (false, 0);
        }

        private void SendReplacements()
        {
            for (int i = 0; i < run.Count; i++)
            {
                Next.Add("\uFFFD"u8, Part.Whole);
            }
            run.Clear();
        }

        private static bool TryByte(ReadOnlySpan<byte> token, out byte value)
        {
            value = 0;
            // The reference's number may have a sign: <0x+A>.
            if (token.Length != 6 || !token.StartsWith("<0x"u8) || token[5] != '>')
            {
                return false;
            }
            int high = token[3] == '+' ? 0 : Digit(token[3]), low = Digit(token[4]);
            value = (byte)((high << 4) | (low & 15));
            return high >= 0 && low >= 0;
        }

        private static int Digit(byte b) => char.IsAsciiHexDigit((char)b) ? (b & 15) + (b > '9' ? 9 : 0) : -1;
    }
}

/// <summary>All tokens become one.</summary>
internal sealed class FuseDecoding : TokenDecoding
{
    public override DecodeStep Step() => new FuseStep();

    private sealed class FuseStep : DecodeStep
    {
        private Part first = Part.First;

        public override void Add(ReadOnlySpan<byte> bytes, Part part)
        {
            Next.Add(bytes, first);
            first = Part.Middle;
        }

        public override void End()
        {
            Next.Add([], first | Part.Last);
            Next.End();
        }
    }
}

/// <summary>Drops a character at the ends of each token, so many times at most.</summary>
internal sealed class StripDecoding(byte[] character, int start, int stop) : TokenDecoding
{
    public override bool IsPure => true;

    public override void Rewrite(ReadOnlySpan<byte> token, Scratch scratch, Store<byte> to)
    {
        for (int i = 0; i < start && token.StartsWith(character); i++)
        {
            token = token[character.Length..];
        }
        for (int i = 0; i < stop && token.EndsWith(character); i++)
        {
            token = token[..^character.Length];
        }
        to.Add(token);
    }

    public override DecodeStep Step() => stop > 0 ? base.Step() : new StartStep(character, start);

    // Needs no end of the token, which may be the end of all.
    private sealed class StartStep(byte[] character, int most) : DecodeStep
    {
        private int left;

        public override void Add(ReadOnlySpan<byte> bytes, Part part)
        {
            if ((part & Part.First) != 0)
            {
                left = most;
            }
            while (left > 0 && bytes.Length > 0)
            {
                bool drops = bytes.StartsWith(character);
                bytes = drops ? bytes[character.Length..] : bytes;
                left = drops ? left - 1 : 0;
            }
            Next.Add(bytes, part);
        }
    }
}

/// <summary>Marks become spaces, but for those of the first token, which are dropped where a prefix was put before the text.</summary>
internal sealed class MetaspaceDecoding(byte[] mark, bool dropsFirst) : TokenDecoding
{
    public override DecodeStep Step() => new MarkStep(mark, dropsFirst);

    private sealed class MarkStep(byte[] mark, bool drops) : DecodeStep
    {
        private readonly Store<byte> spaced = new();
        private bool dropping = drops;

        public override void Add(ReadOnlySpan<byte> bytes, Part part)
        {
            spaced.Clear();
            for (int at; (at = bytes.IndexOf(mark)) >= 0; bytes = bytes[(at + mark.Length)..])
            {
                spaced.Add(bytes[..at]);
                if (!dropping)
                {
                    spaced.Add((byte)' ');
                }
            }
            spaced.Add(bytes);
            dropping &= (part & Part.Last) == 0;
            Next.Add(spaced.Span, part);
        }
    }
}

/// <summary>A space before each token but the first, unless it begins with the prefix, which goes; and, if asked, spaces before punctuation.</summary>
internal sealed class WordPieceDecoding(byte[] prefix, bool cleanup) : TokenDecoding
{
    private static readonly (string From, string To)[] Cleaned =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"),
        (" 've", "'ve"), (" 're", "'re"),
    ];

    public override DecodeStep Step() => new PieceStep(prefix, cleanup);

    private sealed class PieceStep(byte[] prefix, bool cleanup) : TokenStep
    {
        private readonly Store<byte> spaced = new();
        private bool started;

        protected override void Token(ReadOnlySpan<byte> token)
        {
            spaced.Clear();
            if (started && token.StartsWith(prefix))
            {
                token = token[prefix.Length..];
            }
            else if (started)
            {
                spaced.Add((byte)' ');
            }
            spaced.Add(token);
            started = true;
            if (cleanup)
            {
                string text = Encoding.UTF8.GetString(spaced.Span);
                foreach ((string from, string to) in Cleaned)
                {
                    text = text.Replace(from, to, StringComparison.Ordinal);
                }
                spaced.Clear();
                spaced.Add(Encoding.UTF8.GetBytes(text));
            }
            Next.Add(spaced.Span, Part.Whole);
        }
    }
}

/// <summary>A suffix ends words: it becomes a space, and nothing in the last token.</summary>
internal sealed class SuffixDecoding(byte[] suffix) : TokenDecoding
{
    public override DecodeStep Step() => new SuffixStep(suffix);

    private sealed class SuffixStep(byte[] suffix) : TokenStep
    {
        private readonly TextMatcher matcher = new(suffix);
        private readonly Scratch scratch = new();
        private readonly Store<byte> held = new();
        private readonly Store<byte> replaced = new();
        private bool holds;

        public override void End()
        {
            Send([]);
            base.End();
        }

        protected override void Token(ReadOnlySpan<byte> token)
        {
            Send(" "u8);
            held.Add(token);
            holds = true;
        }

        private void Send(ReadOnlySpan<byte> content)
        {
            if (holds)
            {
                replaced.Clear();
                Next.Add(matcher.Replace(held.Span, content, scratch, replaced) ? replaced.Span : held.Span, Part.Whole);
            }
            held.Clear();
            holds = false;
        }
    }
}

/// <summary>Without a decoder, tokens stand side by side with spaces between them.</summary>
internal sealed class JoinDecoding : TokenDecoding
{
    public override DecodeStep Step() => new JoinStep();

    private sealed class JoinStep : DecodeStep
    {
        private bool started;

        public override void Add(ReadOnlySpan<byte> bytes, Part part)
        {
            if (started && (part & Part.First) != 0)
            {
                Next.Add(" "u8, Part.Whole);
            }
            started = true;
            Next.Add(bytes, part);
        }
    }
}
