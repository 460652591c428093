namespace Weft.Models.Tokenizers;

/// <summary>What encoding a text writes to on the way, kept from text to text; one a thread.</summary>
internal sealed class Scratch
{
    private readonly Stack<Store<byte>> texts = new();
    private int textLimit = Store<byte>.DefaultLimit;

    /// <summary>The ids so far.</summary>
    public Store<int> Ids { get; } = new(1024);

    /// <summary>The parts of a text between added tokens.</summary>
    public Store<(int Start, int Length, int Id)> Segments { get; } = new();

    /// <summary>The same between those that are looked for in rewritten text.</summary>
    public Store<(int Start, int Length, int Id)> InnerSegments { get; } = new();

    /// <summary>The matches of a replacement.</summary>
    public Store<Piece> Matches { get; } = new();

    public Store<Piece> Pieces { get; } = new(1024);

    public Store<Piece> OtherPieces { get; } = new(1024);

    public RegexState Regex { get; } = new();

    public NormalizationState Normalization { get; } = new();

    public WordCache Words { get; } = new();

    public MergeState Merges { get; } = new();

    /// <summary>For each end of a token of the best path: its score, start and id.</summary>
    public Store<(double Score, int Start, int Id)> Path { get; } = new();

    /// <summary>The tokens of the best path, last first.</summary>
    public Store<(int Start, int End, int Id)> Backwards { get; } = new();

    /// <summary>A token as it is looked up.</summary>
    public Store<byte> Token { get; } = new();

    /// <summary>Sets how long a text may become on the way: untrusted replacements could double it again and again.</summary>
    public void Begin(int length)
    {
        textLimit = (int)Math.Min(Store<byte>.DefaultLimit, (64L * length) + (1 << 20));
        Ids.Clear();
    }

    /// <summary>An empty text to write to, until it is returned.</summary>
    public Store<byte> RentText()
    {
        Store<byte> text = texts.Count > 0 ? texts.Pop() : new Store<byte>(1024);
        text.Clear();
        text.Limit = textLimit;
        return text;
    }

    public void Return(Store<byte> text) => texts.Push(text);
}
