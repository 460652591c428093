using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Bench;

/// <summary>What a model multiplies activations by.</summary>
internal static class Products
{
    /// <summary>The weights [out, in] of the linear maps, from the first block to the head, which is the embedding's.</summary>
    public static IEnumerable<Tensor> Weights(LanguageModel model) =>
        model.Parameters().Where(p => p.Name.EndsWith("_proj.weight", StringComparison.Ordinal)).Append(model.Parameters().First()).Select(p => p.Tensor);
}

/// <summary>A precision to measure in: how a device of it is opened, and the bytes of a weight that its products read.</summary>
internal sealed record Numbers(string Name, int WeightBytes, Func<int, Device> Open)
{
    /// <summary>All there are, float32 first, the fastest last.</summary>
    public static IReadOnlyList<Numbers> All { get; } =
    [
        new("float32", sizeof(float), threads => Device.Open(threads)),
        new("bf16", sizeof(float) / 2, threads => Device.Open(threads, Precision.BFloat16)),
    ];
}

/// <summary>
/// A training step (forward, backward, clipping and AdamW, as <see cref="Trainer"/> makes them) and its matrix products alone: the three of
/// every linear map, head included, of the same weights and on activations of the same shapes. Both take turns, in every precision.
/// </summary>
internal static class StepBench
{
    private const int Width = 512, Time = 2048;
    private const double ProductsGoal = 0.6, PrecisionGoal = 2.5;

    private static readonly (string Name, string Pattern)[] Models =
    [
        ("transformer", "(attention swiglu)*8"),
        ("mamba2", "8*mamba2[state=128, head-dim=64]"),
    ];

    public static void Run(int threads, string[] names, int rounds, Results results)
    {
        Console.WriteLine($"8 layers, d={Width}, vocabulary 256, B=1, T={Time}; medians of {rounds} interleaved rounds");
        Console.WriteLine($"{"model",-14}{"numbers",-10}{"step",9}{"products",11}{"GFLOP/s",9}{"share",8}{"with inner products",21}{"x float32",11}");
        foreach ((string name, string pattern) in Models.Where(m => Results.Wanted(m.Name, names)))
        {
            var config = new ModelConfig { Name = name, Width = Width, Blocks = Pattern.Parse(pattern), Context = Time };
            Contestant[] contestants = [.. Numbers.All.Select(n => new Contestant(config, n.Open(threads)))];
            foreach (Contestant contestant in contestants)
            {
                contestant.Step();
                contestant.Step();
                contestant.Products();
            }

            (double Step, double Products)[][] times =
                [.. Enumerable.Range(0, rounds).Select(_ => contestants.Select(c => (c.Step(), c.Products())).ToArray())];
            for (int i = 0; i < contestants.Length; i++)
            {
                int at = i;
                (Contestant contestant, string numbers) = (contestants[at], Numbers.All[at].Name);
                double step = Results.Median(times.Select(t => t[at].Step)), products = Results.Median(times.Select(t => t[at].Products));
                double share = Results.Median(times.Select(t => t[at].Products / t[at].Step));
                double all = share * contestant.StepFlops / contestant.ProductFlops;
                double gain = Results.Median(times.Select(t => t[0].Step / t[at].Step));
                Console.WriteLine($"{name,-14}{numbers,-10}{step,7:0}ms{products,9:0}ms{contestant.ProductFlops / products / 1e6,9:0}{share,8:0.00}{all,21:0.00}{gain,11:0.00}");
                string row = $"step of {name}, 8 layers, d {Width}, T {Time}, {numbers}";
                results.Add($"{row}: its matrix products alone over it", share, "x", ProductsGoal);
                results.Add($"{row}: all its counted FLOPs at the products' rate over it", all, "x");
                results.Add($"{row}: counted FLOPs", contestant.StepFlops / step / 1e6, "GFLOP/s");
                if (at > 0)
                {
                    results.Add($"{row}: speed over {Numbers.All[0].Name}", gain, "x", PrecisionGoal);
                }
            }

            foreach (Contestant contestant in contestants)
            {
                contestant.Dispose();
            }
        }
    }

    /// <summary>A model in training on a device of its own, and what its products need.</summary>
    private sealed class Contestant : IDisposable
    {
        private readonly Device device;
        private readonly LanguageModel model;
        private readonly Corpus corpus = Corpus.Default();
        private readonly Trainer trainer;
        private readonly Tensor[] weights;
        private readonly Dictionary<int, Tensor> inputs = [];    // [T, columns] by columns: x, dy
        private readonly Dictionary<Shape, Tensor> outputs = []; // y and dx [T, columns], dW [out, in]

        public Contestant(ModelConfig config, Device device)
        {
            this.device = device;
            model = new LanguageModel(config, device, seed: 1);
            trainer = new Trainer(model, corpus, new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1000), BatchSize = 1, MicroBatch = 1 });
            weights = [.. Bench.Products.Weights(model)];
            var random = new RandomSource(2);
            foreach (Shape shape in weights.Select(w => w.Shape))
            {
                outputs.TryAdd(shape, device.Zeros(shape));
                foreach (int columns in (int[])[shape[0], shape[1]])
                {
                    var values = new float[Time * columns];
                    random.FillGaussian(values);
                    inputs.TryAdd(columns, device.Of(values, new Shape(Time, columns)));
                    outputs.TryAdd(inputs[columns].Shape, device.Zeros(inputs[columns].Shape));
                }
            }

            ProductFlops = weights.Sum(w => 3 * Cost.Linear(Time, w.Shape[1], w.Shape[0]));
        }

        public long ProductFlops { get; }

        public long StepFlops { get; private set; }

        public double Step()
        {
            long before = device.Flops;
            double time = Results.Time(() => trainer.Step());
            StepFlops = device.Flops - before;
            return time;
        }

        /// <summary>y = x W^T for each linear map; then, from the last to the first, dx = dy W and dW = dy^T x. Tensors of the same shape share memory.</summary>
        public double Products() => Results.Time(() =>
        {
            foreach (Tensor weight in weights)
            {
                device.MatMul(inputs[weight.Shape[1]], false, weight, true, null, outputs[new Shape(Time, weight.Shape[0])], false);
            }

            foreach (Tensor weight in weights.Reverse())
            {
                Tensor x = inputs[weight.Shape[1]], dy = inputs[weight.Shape[0]];
                device.MatMul(dy, false, weight, false, null, outputs[x.Shape], false);
                device.MatMul(dy, true, x, false, null, outputs[weight.Shape], false);
            }
        });

        public void Dispose()
        {
            trainer.Dispose();
            corpus.Dispose();
            foreach (Tensor tensor in model.Parameters().Select(p => p.Tensor).Concat(inputs.Values).Concat(outputs.Values))
            {
                tensor.Dispose();
            }

            device.Dispose();
        }
    }
}
