using Weft.Models;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>One mixer with its default options, forward and backward over one long sequence, interleaved with Mamba-2.</summary>
internal static class MixerBench
{
    private const string Reference = "mamba2";

    /// <summary>How much more than Mamba-2's a mixer may cost; mixers that are sequential by nature, or attend to every token, have no goal.</summary>
    private static double? Goal(string name) => name switch
    {
        "rwkv7" => 2,
        "lstm" or "gru" or "slstm" or "swiglu" or "hyena" => null,
        _ when name.Contains("attention", StringComparison.Ordinal) && name != "linear-attention" => null,
        _ => 1.5,
    };

    public static void Run(Device device, string[] names, int width, int tokens, int rounds, Results results)
    {
        Console.WriteLine($"B=1, T={tokens}, d={width}; medians of {rounds} rounds, each with {Reference} beside it");
        Console.WriteLine($"{"mixer",-28}{"forward",10}{"backward",10}{"both",10}{"GFLOP/s",9}{"bw/fw",7}{"x mamba2",10}{"goal",6}");
        using Layer reference = new(device, Reference, width, tokens);
        reference.Forward();
        reference.Backward();
        IEnumerable<string> patterns = names.Where(n => n.Contains('[', StringComparison.Ordinal)); // blocks with options
        foreach (string name in BlockTable.Names.Where(n => Results.Wanted(n, names)).Concat(patterns))
        {
            using Layer layer = new(device, name, width, tokens);
            layer.Forward();
            layer.Backward();
            var times = new List<(double Forward, double Backward, double Other)>();
            long flops = 0;
            for (int round = 0; round < rounds; round++)
            {
                double other = reference.Forward() + reference.Backward();
                long before = device.Flops;
                times.Add((layer.Forward(), layer.Backward(), other));
                flops = device.Flops - before;
            }

            double forward = Results.Median(times.Select(t => t.Forward)), backward = Results.Median(times.Select(t => t.Backward));
            double both = Results.Median(times.Select(t => t.Forward + t.Backward)), ratio = Results.Median(times.Select(t => (t.Forward + t.Backward) / t.Other));
            Console.WriteLine($"{name,-28}{forward,8:0.0}ms{backward,8:0.0}ms{both,8:0.0}ms{flops / both / 1e6,9:0}{backward / forward,7:0.00}{ratio,10:0.00}{Goal(name),6}{(ratio > Goal(name) ? "  over" : "")}");
            string row = $"mixer {name}, d {width}, T {tokens}";
            results.Add($"{row}: forward and backward against {Reference}", ratio, "x", Goal(name), atMost: true);
            results.Add($"{row}: backward over forward", backward / forward, "x", 2.5, atMost: true);
        }
    }

    /// <summary>A mixer under training, with its input and the gradient of its output.</summary>
    private sealed class Layer : IDisposable
    {
        private readonly Mixer mixer;
        private readonly Tape tape;
        private readonly Tensor x, cotangent;
        private MixerState state;
        private Tensor? loss;

        public Layer(Device device, string name, int width, int tokens)
        {
            mixer = BlockTable.Create(Pattern.Parse(name)[0], 0, new Builder(device, new RandomSource(1), width, 8));
            tape = new Tape(device);
            var values = new float[tokens * width];
            new RandomSource(2).FillGaussian(values);
            x = device.Of(values, new Shape(1, tokens, width)).WithGrad();
            new RandomSource(3).FillGaussian(values);
            cotangent = device.Of(values, x.Shape);
            state = mixer.NewState(1);
        }

        public double Forward() => Results.Time(() =>
        {
            state.Clear();
            loss = Ops.Sum(Ops.Multiply(mixer.Mix(Ops.Copy(x, tape), state), cotangent));
        });

        public double Backward()
        {
            double time = Results.Time(() => tape.Backward(loss!));
            tape.Reset();
            return time;
        }

        public void Dispose()
        {
            tape.Dispose();
            x.Dispose();
            cotangent.Dispose();
            state.Clear();
            foreach (Parameter parameter in mixer.Parameters())
            {
                parameter.Tensor.Dispose();
            }
        }
    }
}
