
namespace Weft.Models.Tokenizers;

/// <summary>
/// Unigram: of all ways to write a word in tokens the one of the highest sum of scores, by dynamic programming over the ends of tokens.
/// A character without a token costs ten more than the worst token; neighbouring unknown characters are one token, or bytes.
/// </summary>
internal sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10;

    private readonly double[] scores;
    private readonly int unknownId;
    private readonly ByteTrie trie = new();
    private readonly double unknownScore;
    private readonly int[] byteTokens;

    /// <summary>Creates the model; -1 where no token is the unknown one.</summary>
    public UnigramModel(Vocabulary vocabulary, double[] scores, int unknownId, bool byteFallback)
        : base(vocabulary)
    {
        this.scores = scores;
        this.unknownId = unknownId;
        byteTokens = byteFallback ? ByteTokens(vocabulary) : [];
        unknownScore = (scores.Length > 0 ? scores.Min() : double.PositiveInfinity) - UnknownPenalty;
        for (int id = 0; id < vocabulary.Ids; id++)
        {
            if (vocabulary.TryGetToken(id, out ReadOnlySpan<byte> token) && token.Length > 0)
            {
                trie.Set(token, id);
            }
        }
    }

    protected override void EncodeNew(ReadOnlySpan<byte> word, Scratch scratch)
    {
        FindPath(word, scratch.Path);
        Store<(int Start, int End, int Id)> tokens = scratch.Backwards;
        tokens.Clear();
        for (int end = word.Length; end > 0;)
        {
            (double _, int start, int id) = scratch.Path[end];
            if (id == unknownId && tokens.Count > 0 && tokens[tokens.Count - 1].Id == unknownId)
            {
                tokens[tokens.Count - 1].Start = start;
            }
            else
            {
                tokens.Add((start, end, id));
            }
            end = start;
        }
        for (int i = tokens.Count - 1; i >= 0; i--)
        {
            (int start, int end, int id) = tokens[i];
            Write(word[start..end], id, scratch.Ids);
        }
    }

    private void FindPath(ReadOnlySpan<byte> word, Store<(double Score, int Start, int Id)> path)
    {
        path.Resize(word.Length + 1);
        path.Span.Fill((0, -1, -1));
        for (int start = 0, length; start < word.Length; start += length)
        {
            CodePoint.At(word, start, out length);
            double before = path[start].Score;
            bool single = false;
            int node = ByteTrie.Root;
            for (int end = start; end < word.Length && (node = trie.Child(node, word[end])) >= 0;)
            {
                end++;
                if (trie.Value(node) is var id and >= 0)
                {
                    Offer(ref path[end], before + scores[id], start, id);
                    single |= end - start == length;
                }
            }
            if (!single)
            {
                Offer(ref path[start + length], before + unknownScore, start, unknownId);
            }
        }
    }

    private static void Offer(ref (double Score, int Start, int Id) end, double score, int start, int id)
    {
        if (end.Start < 0 || score > end.Score)
        {
            end = (score, start, id);
        }
    }

    private void Write(ReadOnlySpan<byte> token, int id, Store<int> to)
    {
        if (id != unknownId)
        {
            to.Add(id);
        }
        else if (Vocabulary.TryGet(token, out int known))
        {
            to.Add(known);
        }
        else if (byteTokens.Length == 0 || !AddBytes(token, byteTokens, to))
        {
            to.Add(unknownId >= 0 ? unknownId : throw NoToken(token, "model.unk_id names none"));
        }
    }
}
