using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>
/// Analytic gradients equal numeric ones: for the input, every parameter and the initial state, of a loss that depends on the
/// output and on the final state. Numeric derivatives are central differences of fourth order, along the analytic gradient and
/// along single coordinates (the largest, and random ones).
/// </summary>
public sealed class GradientLaw : IDisposable
{
    private const int Batch = 2, Before = 6, Time = 19;
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void Gradients(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        From(row, block, Before);
        if (row.LearnedStart)
        {
            From(row, block, 0); // what is learned of the start is reached from there only
        }
    }

    private void From(MixerRow row, string block, int before)
    {
        Mixer mixer = row.Create(device);
        MixerState start = mixer.NewState(Batch);
        LawTools.Mix(mixer, start, LawTools.Gaussian(Batch * before * row.Width, 3), Batch, row.Width, before == 0 ? [] : [before]);

        Tensor x = device.Of(LawTools.Gaussian(Batch * Time * row.Width, 5), new Shape(Batch, Time, row.Width)).WithGrad();
        var inputs = new List<(string Name, Tensor Tensor)> { ("the input", x) };
        inputs.AddRange(mixer.Parameters().Where(p => p.Tensor.RequiresGrad).Select(p => (p.Name, p.Tensor)));
        inputs.AddRange((before == 0 ? [] : start.Slots).SelectMany(s => s.Tensors).Select(t => ("the initial state's " + t.Name, t.Tensor.WithGrad())));

        using var tape = new Tape(device);
        MixerState state = mixer.NewState(Batch);
        double loss = Loss(backward: true);
        float[][] gradients = [.. inputs.Select(i => i.Tensor.Grad?.ToArray() ?? new float[i.Tensor.Shape.Count])];
        foreach (((string name, Tensor tensor), float[] gradient) in inputs.Zip(gradients))
        {
            if (row.LearnedStart && before > 0 && gradient.All(g => g == 0))
            {
                continue;
            }

            Assert.True(gradient.Any(g => g != 0), $"{block}: no gradient reaches {name}");
            double length = Math.Sqrt(gradient.Sum(g => (double)g * g));
            Check(name, tensor, [.. gradient.Select(g => (float)(g / length))], length, 0.02f, 2e-3 * length);

            double largest = gradient.Max(Math.Abs);
            var random = new RandomSource(9);
            int[] coordinates = [.. Enumerable.Range(0, gradient.Length).OrderByDescending(i => Math.Abs(gradient[i])).Take(2), random.NextInt(gradient.Length), random.NextInt(gradient.Length)];
            foreach (int i in coordinates)
            {
                var direction = new float[gradient.Length];
                direction[i] = 1;
                Check($"{name}[{i}]", tensor, direction, gradient[i], 0.03f, 0.01 * largest + (2e-6 * Math.Abs(loss)));
            }
        }

        void Check(string name, Tensor tensor, float[] direction, double analytic, float step, double tolerance)
        {
            float h = row.Sharp ? step / 10 : step;
            float[] values = tensor.ToArray();
            double At(float distance)
            {
                tensor.Set([.. values.Zip(direction, (v, d) => v + (distance * d))]);
                return Loss(backward: false);
            }

            double numeric = ((8 * (At(h) - At(-h))) - (At(2 * h) - At(-2 * h))) / (12 * h);
            tensor.Set(values);
            Assert.True(Math.Abs(numeric - analytic) <= tolerance, $"{block}: the derivative by {name} is {numeric:g6} by differences and {analytic:g6} by the tape (tolerance {tolerance:g3})");
        }

        double Loss(bool backward)
        {
            tape.Recording = true;
            if (before == 0)
            {
                state.Clear();
            }
            else
            {
                state.Follow(start, tape);
            }

            Tensor y = mixer.Mix(Ops.Copy(x, tape), state);
            Tensor weight = tape.Of(LawTools.Gaussian(y.Shape.Count, 6), y.Shape);
            double value = Dot(y, weight);
            Tensor total = Ops.Sum(Ops.Multiply(y, weight));
            foreach (StateSlot slot in state.Slots)
            {
                foreach ((string _, Tensor tensor) in slot.Tensors)
                {
                    Tensor w = tape.Of(LawTools.Gaussian(tensor.Shape.Count, 7), tensor.Shape);
                    value += Dot(tensor, w);
                    total = Ops.Add(total.Reshape(new Shape(1)), Ops.Sum(Ops.Multiply(tensor, w)).Reshape(new Shape(1)));
                }
            }

            if (backward)
            {
                tape.Backward(total.Reshape(new Shape(1)));
            }

            tape.Reset();
            return value;
        }
    }

    private static double Dot(Tensor a, Tensor b) => a.ToArray().Zip(b.ToArray(), (p, q) => (double)p * q).Sum();
}
