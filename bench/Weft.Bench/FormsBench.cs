using Weft.Models;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>One model with its weights in each form, decoding and reading a prompt in the same rounds; the forms differ in what they read and unpack.</summary>
internal static class FormsBench
{
    private const int Prompt = 512, Piece = 16, DecodeRounds = 3; // rounds of decoding to one of prefill
    private const double MemoryGoal = 0.8, PrefillGoal = 0.9;

    public static void Run(int threads, string[] names, int rounds, Results results)
    {
        Console.WriteLine($"B=1, decoding after {Prompt} tokens, prefill of {Prompt} with logits of the last; medians of {rounds} interleaved rounds, {DecodeRounds} times as many of decoding");
        Console.WriteLine($"{"model",-14}{"products",-10}{"weights",-10}{"MB a token",10}{"decode",9}{"GB/s",7}{"memory",8}{"of it",7}{"prefill",10}{"over float32",14}");
        foreach ((string name, string pattern, _) in GenerationBench.Models.Where(m => Results.Wanted(m.Name, names)))
        {
            // Products in bf16 differ from those in float32 by how they take float32 and bf16; levels of 8 and 4 bits are unpacked either way.
            Contestant[] contestants = [.. from n in Numbers.All from f in Enum.GetValues<WeightFormat>() where n == Numbers.All[0] || f <= WeightFormat.BFloat16 select new Contestant(n, f, name, pattern, threads)];
            using Device device = Device.Open(threads);
            using Tensor memories = device.Zeros(new Shape(1 << 17, 1 << 10)); // half a gigabyte
            double Memory() => memories.Bytes / Results.Time(() => device.SumOfSquares(memories)) / 1e6;
            Memory();
            foreach (Contestant contestant in contestants)
            {
                contestant.Decode();
                contestant.Prefill();
            }

            (double Memory, double[] Speeds)[] decoded =
                [.. Enumerable.Range(0, rounds * DecodeRounds).Select(_ => (Memory(), contestants.Select(c => c.Decode()).ToArray()))];
            double[][] read = [.. Enumerable.Range(0, rounds).Select(_ => contestants.Select(c => c.Prefill()).ToArray())];
            for (int i = 0; i < contestants.Length; i++)
            {
                int at = i;
                Contestant contestant = contestants[at];
                int first = Array.FindIndex(contestants, c => c.Numbers == contestant.Numbers);
                double speed = Results.Median(decoded.Select(d => d.Speeds[at])), memory = Results.Median(decoded.Select(d => d.Memory));
                double share = Results.Median(decoded.Select(d => d.Speeds[at] * contestant.Bytes / 1e9 / d.Memory));
                double prefill = Results.Median(read.Select(r => r[at])), over = Results.Median(read.Select(r => r[at] / r[first]));
                Console.WriteLine($"{name,-14}{contestant.Numbers.Name,-10}{contestant.Format.Word(),-10}{contestant.Bytes / 1e6,10:0}{speed,9:0.0}{speed * contestant.Bytes / 1e9,7:0.0}{memory,8:0.0}{share,7:0.00}{prefill,10:0}{over,14:0.00}");
                string row = $"{name}, products in {contestant.Numbers.Name}, weights in {contestant.Format.Word()}";
                bool isHeld = contestant.Format == WeightFormat.BFloat16;
                results.Add($"decode of {row}", speed, "tokens/s");
                results.Add($"decode of {row}: bytes read over what memory gives", share, "x", isHeld ? MemoryGoal : null);
                if (at != first)
                {
                    results.Add($"prefill of {row}, T {Prompt}: speed over weights in {WeightFormat.Float32.Word()}", over, "x", isHeld ? PrefillGoal : null);
                }
            }

            foreach (Contestant contestant in contestants)
            {
                contestant.Dispose();
            }
        }
    }

    /// <summary>The model in one form, on a device of its own.</summary>
    private sealed class Contestant : IDisposable
    {
        private readonly Device device;
        private readonly LanguageModel model;
        private readonly Tape tape;
        private readonly SequenceState near, fresh;
        private readonly int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => (int)(i * 7919L % GenerationBench.Vocabulary))];

        public Contestant(Numbers numbers, WeightFormat format, string name, string pattern, int threads)
        {
            (Numbers, Format) = (numbers, format);
            device = numbers.Open(threads);
            model = GenerationBench.Build(device, name, pattern);
            long products = Products.Weights(model).Sum(w => w.Shape.Count), others = model.ParameterCount() - products;
            if (format != WeightFormat.Float32)
            {
                model.Quantize(format);
            }

            tape = new Tape(device) { Recording = false };
            (near, fresh) = (model.NewState(1), model.NewState(1));
            near.FillForMeasurement(Prompt, new RandomSource(2));
            Bytes = near.Bytes + (format == WeightFormat.Float32 ? (products * numbers.WeightBytes) + (others * sizeof(float)) : model.WeightBytes);
        }

        public Numbers Numbers { get; }

        public WeightFormat Format { get; }

        /// <summary>What a token reads: weights and state.</summary>
        public long Bytes { get; }

        /// <summary>Tokens a second, one by one.</summary>
        public double Decode() => Piece * 1e3 / Results.Time(() =>
        {
            for (int i = 0; i < Piece; i++)
            {
                model.Next(tape.Tokens([i], 1, 1), near);
                device.Synchronize();
                tape.Reset();
            }
        });

        /// <summary>Tokens a second of a prompt.</summary>
        public double Prefill() => Prompt * 1e3 / Results.Time(() =>
        {
            fresh.Clear();
            model.Next(tape.Tokens(prompt, 1, Prompt), fresh);
            device.Synchronize();
            tape.Reset();
        });

        public void Dispose()
        {
            tape.Dispose();
            GenerationBench.Free(model, near, fresh);
            device.Dispose();
        }
    }
}
