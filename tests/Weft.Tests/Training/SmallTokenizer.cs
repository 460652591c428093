using System.Text;
using System.Text.Json;
using Weft.Models.Tokenizers;

namespace Weft.Tests.Training;

/// <summary>A byte-level tokenizer of 48 tokens, small enough for the models in Fixtures/hf, and text that it knows.</summary>
internal static class SmallTokenizer
{
    private static readonly string[] Merges = ["t h", "th e", "Ġ the", "i n", "a n", "an d", "Ġ and", "Ġ in", "e r"];

    /// <summary>Writes its tokenizer.json; returns the path.</summary>
    public static string Write(TemporaryFolder folder, string name = "tokenizer.json")
    {
        string[] tokens = [.. "abcdefghijklmnopqrstuvwxyz0123456789.".Select(c => $"{c}"), "Ġ", "Ċ", .. Merges.Select(m => m.Replace(" ", "", StringComparison.Ordinal))];
        Assert.Equal(48, tokens.Length);
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteString("version", "1.0");
            json.WriteStartObject("pre_tokenizer");
            json.WriteString("type", "ByteLevel");
            json.WriteBoolean("add_prefix_space", false);
            json.WriteBoolean("use_regex", true);
            json.WriteEndObject();
            json.WriteStartObject("decoder");
            json.WriteString("type", "ByteLevel");
            json.WriteEndObject();
            json.WriteStartObject("model");
            json.WriteString("type", "BPE");
            json.WriteStartObject("vocab");
            for (int i = 0; i < tokens.Length; i++)
            {
                json.WriteNumber(tokens[i], i);
            }

            json.WriteEndObject();
            json.WriteStartArray("merges");
            foreach (string merge in Merges)
            {
                json.WriteStringValue(merge);
            }

            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return folder.Write(name, stream.ToArray());
    }

    /// <summary>Writes the tokenizer of plain bytes.</summary>
    public static string WriteBytes(TemporaryFolder folder)
    {
        using var stream = new MemoryStream();
        Tokenizer.WriteBytes(stream);
        return folder.Write("bytes.json", stream.ToArray());
    }

    /// <summary>Lines of words that it has tokens for.</summary>
    public static string Text(int lines = 400) => string.Concat(Enumerable.Range(0, lines).Select(i => $"{i % 97} is in the {i % 7}. and then there was another winter {i * 31 % 101}.\n"));

    /// <summary>The text as a corpus.</summary>
    public static Weft.Training.Corpus Corpus(int lines = 400) => Weft.Training.Corpus.FromBytes(Encoding.UTF8.GetBytes(Text(lines)), "text");
}
