using System.Diagnostics;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>How long something took.</summary>
/// <param name="Seconds">The median.</param>
/// <param name="Tokens">The tokens of it.</param>
/// <param name="Flops">The FLOPs counted of it.</param>
/// <param name="Breakdown">Where the time went, of runs between those that were profiled, which takes a little time itself.</param>
public sealed record Timing(double Seconds, int Tokens, long Flops, Breakdown Breakdown)
{
    /// <summary>Tokens a second.</summary>
    public double TokensPerSecond => Tokens / Seconds;
}

/// <summary>The parts of a training step's time, from 0 to 1.</summary>
public readonly record struct StepParts(double Forward, double Backward, double Update);

/// <summary>One model's speed on this machine.</summary>
/// <param name="Config">The model; its context is that of the measurements.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="Batch">The sequences of a training step.</param>
/// <param name="Training">A training step.</param>
/// <param name="Parts">What of it is forward, backward and update.</param>
/// <param name="Prefill">Reading a context by one sequence.</param>
/// <param name="Decode">A token after it.</param>
public sealed record BenchmarkResult(ModelConfig Config, long Parameters, int Batch, Timing Training, StepParts Parts, Timing Prefill, Timing Decode);

/// <summary>Training, prefill and decoding of a model on random bytes: how fast, and where the time goes.</summary>
public static class Benchmark
{
    private const int Turn = 32; // tokens decoded between two measurements, from the same state each time
    private const double Rate = 1e-4;

    /// <summary>Measures a model, each of the three for <paramref name="seconds"/> after half as long to warm up.</summary>
    /// <exception cref="InputException">The model cannot be made, or there is too little memory.</exception>
    public static BenchmarkResult Run(ModelConfig config, Device device, int batch, double seconds, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(device);
        var model = new LanguageModel(config, device, seed: 1);
        var measurement = new Measurement(device, seconds, cancel);
        Timing training = Train(model, batch, measurement, out StepParts parts);
        (Timing prefill, Timing decode) = Generate(model, measurement);
        return new BenchmarkResult(config, model.ParameterCount(), batch, training, parts, prefill, decode);
    }

    private static Timing Train(LanguageModel model, int batch, Measurement measurement, out StepParts parts)
    {
        Device device = model.Device;
        int context = model.Config.Context, count = checked(batch * context);
        int[] text = Random(model, count + 1);
        SequenceState state = model.NewState(batch);
        using var tape = new Tape(device);
        using var optimizer = new AdamW(model.Parameters(), new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1) });
        double forward = 0, backward = 0, update = 0;
        Timing timing = measurement.Of(count, state.Clear, () =>
        {
            long start = Stopwatch.GetTimestamp();
            Tensor losses = model.Loss(tape.Tokens(text.AsSpan(0, count), batch, context), tape.Tokens(text.AsSpan(1, count), batch, context), state);
            Tensor mean = Ops.Affine(Ops.Sum(losses), 1f / count);
            forward += Lap(ref start);
            tape.Backward(mean);
            tape.Reset();
            backward += Lap(ref start);
            optimizer.Update(Rate, Math.Min(1, 1 / optimizer.GradientNorm()));
            update += Lap(ref start);
        });
        double all = forward + backward + update;
        parts = new StepParts(forward / all, backward / all, update / all);
        return timing;

        double Lap(ref long start)
        {
            device.Synchronize();
            long before = start;
            start = Stopwatch.GetTimestamp();
            return device.Profile is null ? 0 : Stopwatch.GetElapsedTime(before, start).TotalSeconds; // a warm-up says little
        }
    }

    private static (Timing Prefill, Timing Decode) Generate(LanguageModel model, Measurement measurement)
    {
        byte[] text = Array.ConvertAll(Random(model, model.Config.Context), t => (byte)t);
        using var generator = new Generator(model);
        Timing prefill = measurement.Of(text.Length, generator.State.Clear, () => generator.Read(text));
        SequenceState start = generator.State.Fork();
        Timing decode = measurement.Of(Turn, () => start.CopyTo(generator.State), () =>
        {
            for (int i = 0; i < Turn; i++)
            {
                generator.Read(text.AsSpan(0, 1));
            }
        });
        Breakdown all = decode.Breakdown;
        return (prefill, new Timing(decode.Seconds / Turn, 1, decode.Flops / Turn, all with { Times = all.Times * Turn }));
    }

    private static int[] Random(LanguageModel model, int count)
    {
        var random = new RandomSource(1);
        var tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = random.NextInt(Math.Min(model.Config.Vocabulary, ModelConfig.Bytes));
        }

        return tokens;
    }

    /// <summary>Does things again and again and takes the time.</summary>
    private sealed class Measurement(Device device, double seconds, CancellationToken cancel)
    {
        /// <summary>Measures <paramref name="action"/>, before which each time <paramref name="prepare"/> runs, its time not taken.</summary>
        public Timing Of(int tokens, Action prepare, Action action)
        {
            // Half as long again before: code is compiled, and compiled better, and memory is sized.
            for (long start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start).TotalSeconds < seconds / 2;)
            {
                Once(prepare, action, null);
            }

            Once(prepare, action, null);
            List<double> times = [], profiled = [];
            var profile = new DeviceProfile();
            long before = device.Flops;
            for (long start = Stopwatch.GetTimestamp(); times.Count < 2 || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds;)
            {
                // In turn, so that both see the same machine.
                times.Add(Once(prepare, action, null));
                profiled.Add(Once(prepare, action, profile));
            }

            long flops = (device.Flops - before) / (times.Count + profiled.Count);
            times.Sort();
            double median = (times[(times.Count - 1) / 2] + times[times.Count / 2]) / 2;
            return new Timing(median, tokens, flops, new Breakdown(profile.Operations, profiled.Sum(), profiled.Count));
        }

        private double Once(Action prepare, Action action, DeviceProfile? profile)
        {
            cancel.ThrowIfCancellationRequested();
            prepare();
            device.Synchronize();
            device.Profile = profile;
            try
            {
                long start = Stopwatch.GetTimestamp();
                action();
                device.Synchronize();
                return Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
            finally
            {
                device.Profile = null;
            }
        }
    }
}
