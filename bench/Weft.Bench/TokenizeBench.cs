using System.Buffers;
using System.Text;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>
/// Text to ids and back on one thread: the built-in English corpus with the reference's small tokenizers of every kind, or with a tokenizer
/// of one's own. The goal is for the kinds at the byte level.
/// </summary>
internal static class TokenizeBench
{
    private const double Goal = 5;

    public static void Run(string[] names, FileInfo? file, FileInfo? text, int rounds, Results results)
    {
        string root = Repository();
        byte[] corpus = ReadBytes(text?.FullName ?? Path.Combine(root, "data", "sotu.txt"));
        string fixtures = Path.Combine(root, "tests", "Weft.Tests", "Fixtures", "tokenizers");
        (string Name, string Path)[] tokenizers = file is not null ? [(file.Name, file.FullName)]
            : [.. Directory.GetDirectories(fixtures).Order().Select(d => (Path.GetFileName(d), Path.Combine(d, "tokenizer.json"))).Where(t => Results.Wanted(t.Item1, names))];
        Console.WriteLine($"{corpus.Length / 1e6:0.0} MB of text, one thread; medians of {rounds} rounds");
        Console.WriteLine($"{"tokenizer",-24}{"bytes/token",12}{"encode MB/s",13}{"decode MB/s",13}{"stream MB/s",13}{"load ms",9}");
        foreach ((string name, string path) in tokenizers)
        {
            Tokenizer tokenizer = null!;
            double load = Results.Time(() => tokenizer = Tokenizer.Load(path));
            var ids = new ArrayBufferWriter<int>(corpus.Length);
            int[] all = tokenizer.Encode(corpus);
            string decoded = tokenizer.Decode(all);
            int bytes = Encoding.UTF8.GetByteCount(decoded);
            double Speed(int size, Action action) => size / 1e3 / Results.Median(Enumerable.Range(0, rounds).Select(_ => Results.Time(action)));
            double encode = Speed(corpus.Length, () =>
            {
                ids.ResetWrittenCount();
                tokenizer.Encode(corpus, true, ids);
            });
            double decode = Speed(bytes, () => tokenizer.Decode(all));
            double stream = Speed(bytes, () =>
            {
                TokenDecoder decoder = tokenizer.NewDecoder();
                foreach (int id in all)
                {
                    decoder.Add(id);
                }
                decoder.Finish();
            });
            Console.WriteLine($"{name,-24}{(double)corpus.Length / all.Length,12:0.00}{encode,13:0.0}{decode,13:0.0}{stream,13:0.0}{load,9:0}");
            bool promised = name is "gpt2-bytelevel" or "llama3-split" or "qwen2-split-nfc";
            results.Add($"tokenizer {name}: encoding", encode, "MB/s", promised ? Goal : null);
            results.Add($"tokenizer {name}: decoding", decode, "MB/s", promised ? Goal : null);
        }
    }

    private static byte[] ReadBytes(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (IOException e)
        {
            throw new InputException($"{path} cannot be read: {e.Message}", e);
        }
    }

    // The build's outputs lie within the repository.
    private static string Repository()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Weft.slnx")))
        {
            folder = folder.Parent;
        }
        return folder?.FullName ?? throw new InputException("the repository's data and fixtures are not found from here; run this within it");
    }
}
