using System.Text;
using System.Text.Json;

namespace Weft.Models.Tokenizers;

/// <summary>Writes the tokenizer.json of byte-level tokens: GPT-2's words where there are merges, else any text whole.</summary>
internal static class ByteLevelFile
{
    /// <summary>The table of the 256 bytes, ids 0 to 255, to which longer tokens are added.</summary>
    public static ByteTable Bytes()
    {
        var tokens = new ByteTable();
        for (int b = 0; b < 256; b++)
        {
            tokens.Set([(byte)b], b);
        }
        return tokens;
    }

    /// <summary>Writes a file of <paramref name="tokens"/>, whose ids are their entries, and the pairs of them that merge, in order.</summary>
    public static void Write(Stream stream, ByteTable tokens, IReadOnlyCollection<(int Left, int Right)> merges)
    {
        using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" });
        writer.WriteStartObject();
        writer.WriteString("version", "1.0");
        foreach (string none in (string[])["truncation", "padding"])
        {
            writer.WriteNull(none);
        }
        writer.WriteStartArray("added_tokens");
        writer.WriteEndArray();
        writer.WriteNull("normalizer");
        foreach (string part in (string[])["pre_tokenizer", "decoder"])
        {
            writer.WriteStartObject(part);
            writer.WriteString("type", "ByteLevel");
            writer.WriteBoolean("add_prefix_space", false);
            writer.WriteBoolean("trim_offsets", true);
            writer.WriteBoolean("use_regex", merges.Count > 0);
            writer.WriteEndObject();
        }
        writer.WriteNull("post_processor");
        writer.WriteStartObject("model");
        writer.WriteString("type", "BPE");
        foreach (string none in (string[])["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"])
        {
            writer.WriteNull(none);
        }
        foreach (string no in (string[])["fuse_unk", "byte_fallback", "ignore_merges"])
        {
            writer.WriteBoolean(no, false);
        }
        var text = new Store<byte>();
        writer.WriteStartObject("vocab");
        for (int id = 0; id < tokens.Count; id++)
        {
            writer.WriteNumber(Written(id), id);
        }
        writer.WriteEndObject();
        writer.WriteStartArray("merges");
        foreach ((int left, int right) in merges)
        {
            writer.WriteStringValue($"{Written(left)} {Written(right)}");
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.WriteEndObject();

        string Written(int id)
        {
            text.Clear();
            ByteAlphabet.Write(tokens.Key(id), text);
            return Encoding.UTF8.GetString(text.Span);
        }
    }
}
