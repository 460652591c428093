using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>
/// SentencePiece's compiled normalisation: a double-array trie (Darts) of characters and the texts that replace them. As the reference does,
/// a cluster of fewer than six bytes is replaced whole by the rule of its shortest known prefix, any other character by character.
/// </summary>
internal sealed class CharsMap : Normalizer
{
    private const int ShortCluster = 6;

    private readonly uint[] trie;
    private readonly byte[] texts;

    /// <summary>Reads the map: the trie's length in bytes, its units, then texts that end with a zero byte each.</summary>
    public CharsMap(ReadOnlySpan<byte> map)
    {
        if (map.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(map) is var size && (size % 4 != 0 || size > map.Length - 4))
        {
            throw new InputException("holds no compiled character map: the length of its trie is wrong");
        }
        trie = new uint[size / 4];
        for (int i = 0; i < trie.Length; i++)
        {
            trie[i] = BinaryPrimitives.ReadUInt32LittleEndian(map[(4 + (4 * i))..]);
        }
        texts = map[(4 + (int)size)..].ToArray();
        if (!Utf8.IsValid(texts))
        {
            throw new InputException("holds no compiled character map: its texts are not UTF-8");
        }
    }

    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        char[] wide = ArrayPool<char>.Shared.Rent(text.Length);
        Utf8.ToUtf16(text, wide, out _, out int count);
        ReadOnlySpan<char> rest = wide.AsSpan(0, count);
        for (int at = 0; at < text.Length;)
        {
            int chars = StringInfo.GetNextTextElementLength(rest), length = Encoding.UTF8.GetByteCount(rest[..chars]);
            rest = rest[chars..];
            Cluster(text.Slice(at, length), to);
            at += length;
        }
        ArrayPool<char>.Shared.Return(wide);
        return text.Length > 0;
    }

    private void Cluster(ReadOnlySpan<byte> cluster, Store<byte> to)
    {
        if (cluster.Length < ShortCluster && Find(cluster, out ReadOnlySpan<byte> whole))
        {
            to.Add(whole);
            return;
        }
        for (int at = 0; at < cluster.Length;)
        {
            CodePoint.At(cluster, at, out int length);
            ReadOnlySpan<byte> character = cluster.Slice(at, length);
            to.Add(Find(character, out ReadOnlySpan<byte> text) ? text : character);
            at += length;
        }
    }

    // The text of the shortest key that the given one begins with.
    private bool Find(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> text)
    {
        text = default;
        uint node = 0;
        if (!Unit(node, out uint unit))
        {
            return false;
        }
        node ^= Offset(unit);
        foreach (byte b in key)
        {
            node ^= b;
            if (b == 0 || !Unit(node, out unit) || (unit & 0x800000FF) != b)
            {
                return false;
            }
            node ^= Offset(unit);
            if ((unit >> 8 & 1) != 0)
            {
                return Unit(node, out uint value) && Text(value & 0x7FFFFFFF, out text);
            }
        }
        return false;
    }

    private bool Text(uint start, out ReadOnlySpan<byte> text)
    {
        text = default;
        if (start > texts.Length)
        {
            return false;
        }
        text = texts.AsSpan((int)start);
        text = text.IndexOf((byte)0) is var end and >= 0 ? text[..end] : text;
        return text.Length == 0 || (text[0] & 0xC0) != 0x80;
    }

    private bool Unit(uint node, out uint unit)
    {
        unit = node < trie.Length ? trie[node] : 0;
        return node < trie.Length;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);
}
