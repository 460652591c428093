using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Training;

namespace Weft.Tests.Models;

/// <summary>Experts: chosen, grouped and combined as the definition says, and no others touched.</summary>
public sealed class MixtureOfExpertsTests : IDisposable
{
    private const int Width = 24;

    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("moe")]
    [InlineData("moe[experts=5, active=5, hidden=20]")]
    [InlineData("moe[experts=16, active=1, renormalise=false, activation=gelu]")]
    [InlineData("moe[experts=6, active=2, scale=1.5, shared=40, shared-gate]")]
    [InlineData("moe[experts=12, active=4, hidden=24, router=sigmoid, groups=4, active-groups=2, scale=2.5, activation=relu2, gated=false, latent=16, shared=32, bias]")]
    [InlineData("moe[experts=12, active=3, router=sigmoid, renormalise=false, groups=3, active-groups=1]")]
    [InlineData("moe[experts=8, groups=2, active-groups=2, activation=gelu-tanh, gated=false]")]
    public void EqualsItsDefinition(string block)
    {
        foreach (int time in new[] { 1, 2, 3, 70 })
        {
            var mixer = (MixtureOfExperts)new MixerRow(block, Width, 16).Create(device);
            float[] x = LawTools.Gaussian(2 * time * Width, 5);
            (float[] expected, float[][] slopes) = Run(mixer, x, time, mixer.MixByDefinition);
            (float[] actual, float[][] gradients) = Run(mixer, x, time, mixer.Mix);
            LawTools.Close(actual, expected, 1e-5, $"{block}, {time} tokens");
            foreach (((float[] gradient, float[] slope), int i) in gradients.Zip(slopes).Select((p, i) => (p, i)))
            {
                if (slope.Any(s => Math.Abs(s) > 1e-4)) // one token's renormalised weight of one expert has no slope but rounding's
                {
                    LawTools.Close(gradient, slope, 1e-4, $"{block}, {time} tokens: gradient {i}");
                }
            }
        }
    }

    [Fact]
    public void UnchosenExpertsHaveNoGradientAndAreNotRead()
    {
        Mixer mixer = new MixerRow("moe[experts=16, active=2, hidden=32]", Width, 16).Create(device);
        Dictionary<string, Tensor> weights = mixer.Parameters().ToDictionary(p => p.Name, p => p.Tensor);
        float[] x = LawTools.Gaussian(2 * 3 * Width, 5), router = weights["router.weight"].ToArray();
        int[] chosen = [.. x.Chunk(Width).SelectMany(token => Enumerable.Range(0, 16).OrderByDescending(e => Dot(router, e, token)).Take(2)).Distinct()];
        Assert.InRange(chosen.Length, 2, 12);

        // What is not read may hold anything.
        foreach (string name in new[] { "experts.gate_up_proj.weight", "experts.down_proj.weight" })
        {
            float[] values = weights[name].ToArray();
            int each = values.Length / 16;
            foreach (int expert in Enumerable.Range(0, 16).Except(chosen))
            {
                values.AsSpan(expert * each, each).Fill(float.NaN);
            }

            weights[name].Set(values);
        }

        (float[] y, float[][] gradients) = Run(mixer, x, 3, mixer.Mix);
        Assert.All(y, v => Assert.True(float.IsFinite(v)));
        Assert.All(gradients.SelectMany(g => g), v => Assert.True(float.IsFinite(v)));
        foreach (string name in new[] { "experts.gate_up_proj.weight", "experts.down_proj.weight" })
        {
            float[][] each = [.. weights[name].Grad!.ToArray().Chunk((int)weights[name].Shape.Count / 16)];
            Assert.All(Enumerable.Range(0, 16), e => Assert.Equal(chosen.Contains(e), each[e].Any(g => g != 0)));
        }

        static double Dot(float[] rows, int row, float[] x) => x.Select((v, i) => (double)v * rows[(row * Width) + i]).Sum();
    }

    [Theory]
    [InlineData("moe[experts=6, active=2, hidden=8]")]
    [InlineData("moe[experts=6, active=2, hidden=8, router=sigmoid, groups=3, active-groups=1]")]
    public void OfEqualExpertsTheFirstAreChosen(string block)
    {
        Mixer mixer = new MixerRow(block, Width, 16).Create(device);
        Dictionary<string, Tensor> weights = mixer.Parameters().ToDictionary(p => p.Name, p => p.Tensor);
        weights["router.weight"].Fill(0);
        if (weights.TryGetValue("router.correction", out Tensor? correction))
        {
            correction.Fill(0);
        }

        Run(mixer, LawTools.Gaussian(2 * 5 * Width, 5), 5, mixer.Mix);
        float[][] gradients = [.. weights["experts.down_proj.weight"].Grad!.ToArray().Chunk(Width * 8)];
        Assert.Equal([true, true, false, false, false, false], gradients.Select(g => g.Any(v => v != 0)));
    }

    [Theory]
    [InlineData(WeightFormat.BFloat16)]
    [InlineData(WeightFormat.Int8)]
    [InlineData(WeightFormat.Int4)]
    public void HeldExpertsAreTheirRoundedWeights(WeightFormat format)
    {
        var row = new MixerRow("moe[experts=4, hidden=64, shared=32]", 32, 16);
        Mixer quantized = row.Create(device), rounded = row.Create(device);
        foreach ((Parameter q, Parameter r) in quantized.Parameters().Zip(rounded.Parameters()).Where(p => p.First.IsQuantizable))
        {
            q.Tensor.Quantize(format);
            r.Tensor.Set(q.Tensor.ToArray());
        }

        Assert.Equal(["experts.gate_up_proj.weight", "experts.down_proj.weight", "shared.gate_up_proj.weight", "shared.down_proj.weight"],
            quantized.Parameters().Where(p => p.Tensor.Format == format).Select(p => p.Name));
        float[] x = LawTools.Gaussian(2 * 50 * 32, 5);
        Assert.Equal(LawTools.Mix(quantized, quantized.NewState(2), x, 2, 32, [50]), LawTools.Mix(quantized, quantized.NewState(2), x, 2, 32, [16, 3, 31]));
        foreach (int[] pieces in new int[][] { [50], [1, 2, 47] })
        {
            LawTools.Close(LawTools.Mix(quantized, quantized.NewState(2), x, 2, 32, pieces), LawTools.Mix(rounded, rounded.NewState(2), x, 2, 32, pieces), 1e-5, format.ToString());
        }
    }

    [Fact]
    public void TheCorrectionIsStoredAndNotLearned()
    {
        Mixer mixer = new MixerRow("moe[experts=4, router=sigmoid]", Width, 16).Create(device);
        Tensor correction = mixer.Parameters().Single(p => p.Name == "router.correction").Tensor;
        float[] before = correction.ToArray();
        Run(mixer, LawTools.Gaussian(2 * 9 * Width, 5), 9, mixer.Mix);
        using var optimizer = new AdamW(mixer.Parameters(), new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1), Decay = 0.1 });
        optimizer.Update(0.1, 1);
        Assert.Equal(before, correction.ToArray());
        Assert.DoesNotContain(optimizer.State, s => s.Name.Contains("correction", StringComparison.Ordinal));
    }

    // Outputs, and gradients of their weighted sum by the input and the parameters.
    private (float[] Y, float[][] Gradients) Run(Mixer mixer, float[] x, int time, Func<Tensor, MixerState, Tensor> mix)
    {
        using var tape = new Tape(device);
        Tensor input = device.Of(x, new Shape(2, time, Width)).WithGrad();
        Tensor[] learned = [.. mixer.Parameters().Select(p => p.Tensor).Where(t => t.RequiresGrad)];
        foreach (Tensor tensor in learned)
        {
            tensor.ClearGrad();
        }

        Tensor y = mix(Ops.Copy(input, tape), mixer.NewState(2));
        float[] values = y.ToArray();
        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(LawTools.Gaussian(values.Length, 6), y.Shape))));
        return (values, [input.Grad!.ToArray(), .. learned.Select(t => t.Grad!.ToArray())]);
    }
}
