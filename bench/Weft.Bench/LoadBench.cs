using System.Globalization;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>
/// Loading a published checkpoint of 500 MB that is in the page cache: from its folder to a model that answers. The goal is a second; and no more
/// memory than the weights and a tenth.
/// </summary>
internal static class LoadBench
{
    private const double Goal = 500; // MB/s: 500 MB in a second
    private const int Width = 1024, Layers = 10, Vocabulary = 2048;

    public static void Run(int threads, string[] names, int rounds, Results results)
    {
        using Device device = Device.Open(threads, Precision.Float32);
        Console.WriteLine($"{device.Description}; medians of {rounds} rounds after one to warm up");
        Console.WriteLine($"{"weights",-10}{"MB",8}{"load ms",10}{"MB/s",10}{"memory MB",12}{"over weights",14}");
        bool isFresh = true; // what is freed the process keeps: only what it takes first is seen whole
        foreach ((SafetensorsType type, int layers) in new[] { (SafetensorsType.BF16, 2 * Layers), (SafetensorsType.F32, Layers) }.Where(t => Results.Wanted(t.Item1.ToString(), names)))
        {
            string folder = Directory.CreateTempSubdirectory("weft-load-").FullName;
            try
            {
                double megabytes = Write(folder, type, layers) / 1e6;
                double? taken = null;
                double seconds = Results.Median([.. Enumerable.Range(0, rounds + 1).Select(_ =>
                {
                    GC.Collect();
                    long before = Resident();
                    LanguageModel? model = null;
                    double ms = Results.Time(() =>
                    {
                        model = ModelFolder.Load(folder, device);
                        using var tape = new Tape(device) { Recording = false };
                        model.Next(tape.Tokens([1], 1, 1), model.NewState(1)).Get(new float[Vocabulary]);
                    });
                    taken ??= (Resident() - before) / 1e6;
                    foreach (Parameter parameter in model!.Parameters())
                    {
                        parameter.Tensor.Dispose();
                    }

                    return ms;
                }).Skip(1)]) / 1e3;
                Console.WriteLine($"{type,-10}{megabytes,8:0.0}{seconds * 1e3,10:0}{megabytes / seconds,10:0}{(isFresh ? $"{taken,12:0.0}{(taken / megabytes) - 1,14:0.0%}" : "")}");
                results.Add($"loading a checkpoint in {type}", megabytes / seconds, "MB/s", Goal);
                if (isFresh)
                {
                    results.Add($"memory that a checkpoint in {type} takes, over its bytes", taken!.Value / megabytes, "x", 1.1, atMost: true);
                }

                isFresh = false;
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    // What the process holds now, in bytes: nothing is freed between the end of loading and the look.
    private static long Resident()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    private static long Write(string folder, SafetensorsType type, int layers)
    {
        File.WriteAllText(Path.Combine(folder, "config.json"), string.Create(CultureInfo.InvariantCulture, $$"""
            {"model_type": "llama", "hidden_size": {{Width}}, "intermediate_size": 2816, "num_hidden_layers": {{layers}}, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 64, "vocab_size": {{Vocabulary}}, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}
            """));
        var entries = new List<SafetensorsEntry> { new("model.embed_tokens.weight", type, [Vocabulary, Width]), new("model.norm.weight", type, [Width]) };
        for (int i = 0; i < layers; i++)
        {
            foreach ((string name, long[] shape) in new (string, long[])[]
            {
                ("input_layernorm", [Width]), ("post_attention_layernorm", [Width]), ("self_attn.q_proj", [Width, Width]), ("self_attn.k_proj", [512, Width]),
                ("self_attn.v_proj", [512, Width]), ("self_attn.o_proj", [Width, Width]), ("mlp.gate_proj", [2816, Width]), ("mlp.up_proj", [2816, Width]), ("mlp.down_proj", [Width, 2816]),
            })
            {
                entries.Add(new SafetensorsEntry($"model.layers.{i}.{name}.weight", type, shape));
            }
        }

        using var file = new SafetensorsWriter(Path.Combine(folder, "model.safetensors"), entries);
        var random = new RandomSource(1);
        var piece = new float[1 << 18]; // the same again and again: no memory is left that loading could use
        random.FillGaussian(piece, 0.02f);
        foreach (SafetensorsEntry entry in entries)
        {
            for (long left = entry.Count; left > 0; left -= piece.Length)
            {
                file.Write(entry.Name, piece.AsSpan(0, (int)Math.Min(left, piece.Length)));
            }
        }

        file.Commit();
        return entries.Sum(e => e.ByteCount);
    }
}
