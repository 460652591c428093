using System.Text;

namespace Weft.Models.Tokenizers;

/// <summary>
/// Decodes ids one by one: text comes out as soon as no later id can change it, so that what came out, put together, is what
/// <see cref="Tokenizer.Decode(ReadOnlySpan{int}, bool)"/> gives for all ids at once. A character is never split. For one sequence and one thread.
/// </summary>
public sealed class TokenDecoder
{
    private const int MaxPending = 256 << 20;

    private readonly Tokenizer tokenizer;
    private readonly bool skipSpecial;
    private readonly DecodeStep first;
    private readonly Store<byte> output = new(256) { Limit = MaxPending };

    internal TokenDecoder(Tokenizer tokenizer, IEnumerable<TokenDecoding> decoders, bool skipSpecial)
    {
        (this.tokenizer, this.skipSpecial) = (tokenizer, skipSpecial);
        DecodeStep next = new Output(output);
        foreach (TokenDecoding decoder in decoders.Reverse())
        {
            DecodeStep step = decoder.Step();
            step.Next = next;
            next = step;
        }
        first = next;
    }

    /// <summary>Takes an id; returns the UTF-8 text that is certain now and was not before, valid until the next call. Ids without a token are passed over.</summary>
    public ReadOnlySpan<byte> Add(int id)
    {
        output.Clear();
        Append(id);
        return output.Span;
    }

    /// <summary>Takes an id; returns the text that is certain now and was not before.</summary>
    public string AddText(int id) => Encoding.UTF8.GetString(Add(id));

    /// <summary>No id follows: returns the rest of the text, valid until the next call. The decoder is of no use any more.</summary>
    public ReadOnlySpan<byte> Finish()
    {
        output.Clear();
        first.End();
        return output.Span;
    }

    /// <summary>No id follows: returns the rest of the text.</summary>
    public string FinishText() => Encoding.UTF8.GetString(Finish());

    internal ReadOnlySpan<byte> All(ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
        {
            Append(id);
        }
        first.End();
        return output.Span;
    }

    private void Append(int id)
    {
        if ((!skipSpecial || !tokenizer.IsSpecial(id)) && tokenizer.Decoded.TryGet(id, out ReadOnlySpan<byte> token))
        {
            first.Add(token, Part.Whole);
        }
    }

    private sealed class Output(Store<byte> to) : DecodeStep
    {
        public override void Add(ReadOnlySpan<byte> bytes, Part part) => to.Add(bytes);

        public override void End()
        {
        }
    }
}

/// <summary>Every token after those decoders that look at nothing but the token.</summary>
internal sealed class DecodedTokens
{
    private readonly Store<byte> text = new();
    private readonly int[] ends;
    private readonly bool[] known;

    public DecodedTokens(Tokenizer tokenizer, TokenDecoding[] pure)
    {
        var scratch = new Scratch();
        var now = new Store<byte>();
        var next = new Store<byte>();
        ends = new int[tokenizer.VocabularySize];
        known = new bool[ends.Length];
        for (int id = 0; id < ends.Length; id++)
        {
            if (tokenizer.TryGetText(id, out ReadOnlySpan<byte> token))
            {
                now.Clear();
                now.Add(token);
                foreach (TokenDecoding decoder in pure)
                {
                    next.Clear();
                    decoder.Rewrite(now.Span, scratch, next);
                    (now, next) = (next, now);
                }
                text.Add(now.Span);
                known[id] = true;
            }
            ends[id] = text.Count;
        }
    }

    public bool TryGet(int id, out ReadOnlySpan<byte> token)
    {
        bool found = (uint)id < (uint)ends.Length && known[id];
        int start = found && id > 0 ? ends[id - 1] : 0;
        token = found ? text.Span[start..ends[id]] : default;
        return found;
    }
}
