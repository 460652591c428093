using Weft.Models;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>
/// Prefill and decoding of models of 124 to 129 million random weights, with a vocabulary of 50,280 and tied embeddings. The Transformer's MLP
/// is SwiGLU with a hidden width of 2048: as many weights as one of 4 x 768 without a gate.
/// </summary>
internal static class GenerationBench
{
    private const int Width = 768, Piece = 16, Far = 1 << 20;

    public const int Vocabulary = 50280, Prompt = 2048;

    public static readonly (string Name, string Pattern, double PrefillGoal)[] Models =
    [
        ("mamba", "24*mamba[state=16, expand=2]", 8),
        ("mamba2", "24*mamba2[state=128, head-dim=64, expand=2]", 8),
        ("transformer", "12*(attention[heads=12] swiglu[hidden=2048])", 4),
    ];

    /// <summary>Tokens a second over a prompt, from an empty state to the logits after its last token, against llama.cpp's.</summary>
    public static void Prefill(int threads, string[] names, int rounds, LlamaCpp peer, Results results)
    {
        Numbers numbers = Numbers.All[^1];
        Console.WriteLine($"{numbers.Name}, B=1, T={Prompt}, logits of the last token; medians of {rounds} rounds; llama.cpp's in bf16 on {peer.Machine}, {peer.Date}");
        Console.WriteLine($"{"model",-14}{"weights",9}{"tokens/s",10}{"GFLOP/s",9}{"llama.cpp",11}{"over it",9}{"goal",6}");
        using Device device = numbers.Open(threads);
        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => (int)((i * 7919L) % Vocabulary))];
        foreach ((string name, string pattern, double goal) in Models.Where(m => Results.Wanted(m.Name, names)))
        {
            LanguageModel model = Build(device, name, pattern);
            using var tape = new Tape(device) { Recording = false };
            SequenceState state = model.NewState(1);
            double Read() => Results.Time(() =>
            {
                state.Clear();
                model.Next(tape.Tokens(prompt, 1, Prompt), state);
                device.Synchronize();
                tape.Reset();
            });

            Read();
            long before = device.Flops;
            double speed = Prompt / Results.Median(Enumerable.Range(0, rounds).Select(_ => Read()).ToArray()) * 1e3;
            double flops = (device.Flops - before) / (double)rounds / Prompt * speed / 1e9;
            double? over = peer.Prefill.TryGetValue(name, out double theirs) ? speed / theirs : null;
            Console.WriteLine($"{name,-14}{model.ParameterCount() / 1e6,8:0}M{speed,10:0}{flops,9:0}{(over is null ? "unknown" : $"{theirs:0}"),11}{over,9:0.00}{goal,6}");
            string row = $"prefill of {name}, {model.ParameterCount() / 1e6:0}M, T {Prompt}, {numbers.Name}";
            results.Add(row, speed, "tokens/s");
            if (over is { } ratio)
            {
                results.Add($"{row}: over llama.cpp on {peer.Machine}", ratio, "x", goal);
            }

            results.Add($"{row}: over llama.cpp on {LlamaCpp.Earlier.Machine}", speed / LlamaCpp.Earlier.Prefill[name], "x", goal);
            Free(model, state);
        }
    }

    /// <summary>
    /// Tokens a second one by one: the bytes read for a token (weights and state) over what a plain sum reads from memory in the same rounds;
    /// and the recurrent models' speed at position 1M over that at 0. States are not computed from that many tokens: each is given its
    /// position and random values of a plausible size, and what a token costs does not depend on values.
    /// </summary>
    public static void Decode(int threads, string[] names, int rounds, LlamaCpp peer, Results results)
    {
        Numbers numbers = Numbers.All[^1];
        rounds *= 5;
        Console.WriteLine($"{numbers.Name}, B=1; the Transformer after {Prompt} tokens; medians of {rounds} interleaved rounds of {Piece} tokens; llama.cpp's in bf16 after {Prompt} tokens on {peer.Machine}, {peer.Date}");
        Console.WriteLine($"{"model",-14}{"tokens/s",10}{"MB a token",12}{"GB/s",7}{"memory",8}{"of it",7}{"llama.cpp",11}{"over it",9}{"at 1M over 0",14}");
        using Device device = numbers.Open(threads);
        using Tensor memories = device.Zeros(new Shape(1 << 18, 1 << 10)); // a gigabyte: as long a reading as the tokens beside it
        device.SumOfSquares(memories);
        foreach ((string name, string pattern, _) in Models.Where(m => Results.Wanted(m.Name, names)))
        {
            LanguageModel model = Build(device, name, pattern);
            using var tape = new Tape(device) { Recording = false };
            bool recurrent = name != "transformer";
            SequenceState near = model.NewState(1), far = model.NewState(1);
            near.FillForMeasurement(recurrent ? 0 : Prompt, new RandomSource(2));
            far.FillForMeasurement(recurrent ? Far : Prompt, new RandomSource(2));
            double Speed(SequenceState state) => Piece * 1e3 / Results.Time(() =>
            {
                for (int i = 0; i < Piece; i++)
                {
                    model.Next(tape.Tokens([i], 1, 1), state);
                    device.Synchronize();
                    tape.Reset();
                }
            });

            Speed(near);
            Speed(far);
            long products = Products.Weights(model).Sum(w => w.Shape.Count);
            long weights = (products * numbers.WeightBytes) + ((model.ParameterCount() - products) * sizeof(float));
            (double Memory, double Near, double Far, double Rate)[] measured = [.. Enumerable.Range(0, rounds).Select(_ =>
            {
                double memory = memories.Bytes / Results.Time(() => device.SumOfSquares(memories)) / 1e6, speed = Speed(near);
                return (memory, speed, recurrent ? Speed(far) : speed, speed * (weights + near.Bytes) / 1e9);
            })];
            double speed = Results.Median(measured.Select(m => m.Near)), rate = Results.Median(measured.Select(m => m.Rate));
            double share = Results.Median(measured.Select(m => m.Rate / m.Memory)), length = Results.Median(measured.Select(m => m.Far / m.Near));
            double? over = peer.Decode.TryGetValue(name, out double theirs) ? speed / theirs : null;
            Console.WriteLine($"{name,-14}{speed,10:0.0}{rate / speed * 1e3,12:0}{rate,7:0.0}{Results.Median(measured.Select(m => m.Memory)),8:0.0}{share,7:0.00}"
                + $"{(over is null ? "unknown" : $"{theirs:0}"),11}{over,9:0.00}{(recurrent ? $"{length:0.00}" : ""),14}");
            string row = $"decode of {name}, {model.ParameterCount() / 1e6:0}M, {numbers.Name}";
            results.Add(row, speed, "tokens/s");
            if (over is { } ratio)
            {
                results.Add($"{row}: over llama.cpp on {peer.Machine}", ratio, "x");
            }

            results.Add($"{row}: bytes read over what memory gives", share, "x", 0.8);
            if (recurrent)
            {
                results.Add($"{row}: speed at 1M tokens over that at 0", length, "x", 0.97);
            }

            Free(model, near, far);
        }
    }

    public static LanguageModel Build(Device device, string name, string pattern) =>
        new(new ModelConfig { Name = name, Width = Width, Vocabulary = Vocabulary, Blocks = Pattern.Parse(pattern) }, device, seed: 1);

    public static void Free(LanguageModel model, params SequenceState[] states)
    {
        foreach (Parameter parameter in model.Parameters())
        {
            parameter.Tensor.Dispose();
        }

        foreach (IDisposable slot in states.SelectMany(s => s.Layers).SelectMany(l => l.Slots).OfType<IDisposable>())
        {
            slot.Dispose();
        }
    }
}
