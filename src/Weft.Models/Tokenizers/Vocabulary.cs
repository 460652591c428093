using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>The tokens of a model, by text and by id.</summary>
internal sealed class Vocabulary
{
    /// <summary>Ids are smaller than this.</summary>
    public const int MaxIds = 1 << 24;

    private readonly ByteTable table = new();
    private int[] entryOf = [];

    /// <summary>The number of tokens.</summary>
    public int Count => table.Count;

    /// <summary>One more than the highest id.</summary>
    public int Ids => entryOf.Length;

    /// <summary>Length in bytes of the longest token.</summary>
    public int Longest { get; private set; }

    /// <summary>Adds a token; one that is there already takes the new id, as in the reference. Returns the number of its text.</summary>
    public int Add(ReadOnlySpan<byte> token, int id)
    {
        if (id is < 0 or >= MaxIds)
        {
            throw new InputException($"gives the token {Show(token)} the id {id}; ids are from 0 to {MaxIds - 1}");
        }
        Longest = Math.Max(Longest, token.Length);
        return table.Set(token, id);
    }

    /// <summary>Ends the building of a list, where every place is an id, though two may have the same text: the number of each place's text.</summary>
    public void Seal(ReadOnlySpan<int> texts)
    {
        entryOf = new int[texts.Length];
        for (int id = 0; id < texts.Length; id++)
        {
            entryOf[id] = texts[id] + 1;
        }
    }

    /// <summary>Ends the building: ids find their tokens from now on. Two tokens of one id are refused.</summary>
    public void Seal()
    {
        int ids = 0;
        for (int entry = 0; entry < table.Count; entry++)
        {
            ids = Math.Max(ids, table.Value(entry) + 1);
        }
        entryOf = new int[ids];
        for (int entry = 0; entry < table.Count; entry++)
        {
            ref int place = ref entryOf[table.Value(entry)];
            if (place != 0)
            {
                throw new InputException($"gives the tokens {Show(table.Key(place - 1))} and {Show(table.Key(entry))} the same id {table.Value(entry)}");
            }
            place = entry + 1;
        }
    }

    public bool TryGet(ReadOnlySpan<byte> token, out int id) => table.TryGet(token, out id);

    /// <summary>The text of an id; false where no token has it.</summary>
    public bool TryGetToken(int id, out ReadOnlySpan<byte> token)
    {
        bool found = (uint)id < (uint)entryOf.Length && entryOf[id] != 0;
        token = found ? table.Key(entryOf[id] - 1) : default;
        return found;
    }

    /// <summary>A token as a message shows it.</summary>
    public static string Show(ReadOnlySpan<byte> token) =>
        PatternText.Quote(System.Text.Encoding.UTF8.GetString(token[..Math.Min(token.Length, 200)]));
}
