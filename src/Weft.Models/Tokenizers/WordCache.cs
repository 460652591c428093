namespace Weft.Models.Tokenizers;

/// <summary>
/// The ids of words met before. A word has one place, by its hash, and takes it from the word there; when the texts or ids fill their
/// memory, everything is forgotten. What is found never depends on what was.
/// </summary>
internal sealed class WordCache
{
    /// <summary>Longest word kept, in bytes.</summary>
    public const int MaxWord = 48;

    private const int Slots = 1 << 15, TextBytes = 1 << 20, IdCount = 1 << 18;

    private Slot[] slots = [];
    private byte[] text = [];
    private int[] ids = [];
    private int textUsed, idsUsed;

    private record struct Slot(ulong Hash, int Text, int Ids, int Length, int Count);

    /// <summary>Appends a word's ids; false where it is not known.</summary>
    public bool TryAdd(ReadOnlySpan<byte> word, ulong hash, Store<int> to)
    {
        if (slots.Length == 0)
        {
            slots = new Slot[Slots];
            text = new byte[TextBytes];
            ids = new int[IdCount];
        }
        ref Slot slot = ref slots[hash & (Slots - 1)];
        if (slot.Hash != hash || slot.Length != word.Length || !word.SequenceEqual(text.AsSpan(slot.Text, slot.Length)))
        {
            return false;
        }
        if (slot.Count == 1)
        {
            to.Add(ids[slot.Ids]);
        }
        else
        {
            to.Add(ids.AsSpan(slot.Ids, slot.Count));
        }
        return true;
    }

    /// <summary>Keeps the ids of a word that is not longer than <see cref="MaxWord"/> and not empty.</summary>
    public void Keep(ReadOnlySpan<byte> word, ulong hash, ReadOnlySpan<int> of)
    {
        if (textUsed + word.Length > text.Length || idsUsed + of.Length > ids.Length)
        {
            Array.Clear(slots);
            textUsed = idsUsed = 0;
        }
        word.CopyTo(text.AsSpan(textUsed));
        of.CopyTo(ids.AsSpan(idsUsed));
        slots[hash & (Slots - 1)] = new Slot(hash, textUsed, idsUsed, word.Length, of.Length);
        textUsed += word.Length;
        idsUsed += of.Length;
    }
}
