using System.Globalization;

namespace Weft.Models.Tokenizers;

/// <summary>
/// The normalisation forms of Unicode Standard Annex 15, from the project's own table: the runtime's do nothing without a culture library.
/// </summary>
internal sealed class UnicodeNormalization
{
    private const int HangulFirst = 0xAC00, HangulCount = 11172, LeadFirst = 0x1100, VowelFirst = 0x1161, TailFirst = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    private static readonly Lazy<UnicodeNormalization> Shared = new(() => new UnicodeNormalization());

    private readonly Dictionary<int, byte> classes = [];
    private readonly Dictionary<int, int[]> canonical = [];
    private readonly Dictionary<int, int[]> compatible = [];
    private readonly Dictionary<(int, int), int> composed = [];

    private UnicodeNormalization()
    {
        using Stream stream = typeof(UnicodeNormalization).Assembly.GetManifestResourceStream("normalization.txt")!;
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
        {
            if (!line.StartsWith('#'))
            {
                foreach (string entry in line.Split(';', StringSplitOptions.RemoveEmptyEntries))
                {
                    Read(entry);
                }
            }
        }
    }

    /// <summary>The table, read when first needed.</summary>
    public static UnicodeNormalization Table => Shared.Value;

    /// <summary>Appends text in a form; false, and nothing appended, where the text is in it for sure.</summary>
    public bool Normalize(ReadOnlySpan<byte> text, bool compose, bool compatibility, Store<byte> to, NormalizationState state)
    {
        // Characters before these are the same in all of a kind's forms: Latin-1 composes nothing by itself but has compatible forms.
        int plain = Plain(text, compose && !compatibility ? 0x300 : 0x80);
        if (plain == text.Length)
        {
            return false;
        }
        state.Run.Clear();
        // The last plain character may yet be composed with a mark after it.
        int from = Math.Max(plain - 1, 0);
        while (from > 0 && (text[from] & 0xC0) == 0x80)
        {
            from--;
        }
        to.Add(text[..from]);
        for (int at = from; at < text.Length;)
        {
            int ascii = text[at..].IndexOfAnyExceptInRange((byte)0, (byte)0x7F) is var other and >= 0 ? other : text.Length - at;
            if (ascii > 1)
            {
                Flush(compose, to, state);
                to.Add(text.Slice(at, ascii - 1));
                at += ascii - 1;
            }
            int c = CodePoint.At(text, at, out int length);
            at += length;
            Decompose(c, compatibility, compose, to, state);
        }
        Flush(compose, to, state);
        return true;
    }

    // The length of the beginning that holds only characters before a limit, which is 80 or 300 (hexadecimal).
    private static int Plain(ReadOnlySpan<byte> text, int limit)
    {
        int at = 0;
        while (at < text.Length)
        {
            int ascii = text[at..].IndexOfAnyExceptInRange((byte)0, (byte)0x7F);
            if (ascii < 0)
            {
                return text.Length;
            }
            at += ascii;
            if (limit == 0x80 || CodePoint.At(text, at, out int length) >= limit)
            {
                return at;
            }
            at += length;
        }
        return at;
    }

    private void Read(string entry)
    {
        int[] numbers = [.. entry[2..].Split(' ').Select(n => int.Parse(n, NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
        int[] rest = numbers[1..];
        switch (entry[0])
        {
            case 'c':
                for (int c = numbers[1]; c <= numbers[2]; c++)
                {
                    classes[c] = (byte)numbers[0];
                }
                break;
            case 'k':
                compatible[numbers[0]] = rest;
                break;
            default:
                canonical[numbers[0]] = rest;
                if (entry[0] == 'd')
                {
                    composed[(rest[0], rest[1])] = numbers[0];
                }
                break;
        }
    }

    private byte Class(int c) => c < 0x300 ? (byte)0 : classes.GetValueOrDefault(c);

    private void Decompose(int c, bool compatibility, bool compose, Store<byte> to, NormalizationState state)
    {
        if (c >= 0xC0 || (compatibility && c >= 0xA0))
        {
            if (c is >= HangulFirst and < HangulFirst + HangulCount)
            {
                int s = c - HangulFirst;
                Add(LeadFirst + (s / (Vowels * Tails)), compose, to, state);
                Add(VowelFirst + (s % (Vowels * Tails) / Tails), compose, to, state);
                if (s % Tails != 0)
                {
                    Add(TailFirst + (s % Tails), compose, to, state);
                }
                return;
            }
            if (canonical.TryGetValue(c, out int[]? parts) || (compatibility && compatible.TryGetValue(c, out parts)))
            {
                foreach (int part in parts)
                {
                    Decompose(part, compatibility, compose, to, state);
                }
                return;
            }
        }
        Add(c, compose, to, state);
    }

    // A run is what may still change: a starter that composes and the marks after it.
    private void Add(int c, bool compose, Store<byte> to, NormalizationState state)
    {
        byte cls = Class(c);
        if (cls == 0 && state.Run.Count > 0)
        {
            if (!compose)
            {
                Flush(compose, to, state);
            }
            else
            {
                // Starters compose with starters only where nothing stands between them.
                Compose(state);
                if (state.Run.Count == 1 && Composed(state.Run[0].C, c) is var pair and > 0)
                {
                    state.Run[0].C = pair;
                    return;
                }
                Write(to, state);
            }
        }
        state.Run.Add((c, cls));
    }

    private void Flush(bool compose, Store<byte> to, NormalizationState state)
    {
        if (compose)
        {
            Compose(state);
        }
        else
        {
            Sort(state);
        }
        Write(to, state);
    }

    private static void Write(Store<byte> to, NormalizationState state)
    {
        foreach ((int c, byte _) in state.Run.Span)
        {
            CodePoint.Append(to, c);
        }
        state.Run.Clear();
    }

    // Marks in the order of their classes; those of one class keep theirs.
    private static void Sort(NormalizationState state)
    {
        Store<(int C, byte Class)> run = state.Run;
        bool sorted = true;
        for (int i = 1; i < run.Count && sorted; i++)
        {
            sorted = run[i].Class == 0 || run[i - 1].Class <= run[i].Class;
        }
        if (sorted)
        {
            return;
        }
        int first = run[0].Class == 0 ? 1 : 0;
        Store<long> keys = state.Keys;
        keys.Clear();
        for (int i = first; i < run.Count; i++)
        {
            // The class above, the place in the run below; code points need 21 bits between them.
            keys.Add(((long)run[i].Class << 55) | ((long)(i - first) << 21) | (uint)run[i].C);
        }
        keys.Span.Sort();
        for (int i = first; i < run.Count; i++)
        {
            run[i] = ((int)(keys[i - first] & 0x1FFFFF), (byte)(keys[i - first] >> 55));
        }
    }

    // Composes the first character of a run with those marks that nothing of their class or a higher one stands before.
    private void Compose(NormalizationState state)
    {
        Sort(state);
        Store<(int C, byte Class)> run = state.Run;
        if (run.Count < 2 || run[0].Class != 0)
        {
            return;
        }
        int kept = 1;
        byte blocking = 0;
        for (int i = 1; i < run.Count; i++)
        {
            (int c, byte cls) = run[i];
            if ((kept == 1 || blocking < cls) && Composed(run[0].C, c) is var pair and > 0)
            {
                run[0].C = pair;
                continue;
            }
            blocking = cls;
            run[kept++] = (c, cls);
        }
        run.Resize(kept);
    }

    private int Composed(int a, int b)
    {
        if (a is >= LeadFirst and < LeadFirst + Leads && b is >= VowelFirst and < VowelFirst + Vowels)
        {
            return HangulFirst + ((((a - LeadFirst) * Vowels) + b - VowelFirst) * Tails);
        }
        if (a is >= HangulFirst and < HangulFirst + HangulCount && (a - HangulFirst) % Tails == 0 && b is > TailFirst and < TailFirst + Tails)
        {
            return a + b - TailFirst;
        }
        return composed.GetValueOrDefault((a, b));
    }
}

/// <summary>What a normalisation writes to; one a thread.</summary>
internal sealed class NormalizationState
{
    /// <summary>Code points that may still be reordered or composed, with their combining classes.</summary>
    public Store<(int C, byte Class)> Run { get; } = new();

    /// <summary>Keys that sort them.</summary>
    public Store<long> Keys { get; } = new();
}
