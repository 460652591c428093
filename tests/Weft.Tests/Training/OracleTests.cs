using System.Text.Json;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Training;

namespace Weft.Tests.Training;

/// <summary>Thirty steps of AdamW against PyTorch's, from the same weights on the same batches.</summary>
public class OracleTests
{
    public static TheoryData<string> Families => [.. Directory.GetFiles(FixtureFiles.At("train"), "*.safetensors").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Families))]
    public void ThirtyStepsFollowTheReference(string family)
    {
        using var device = new CpuDevice(2);
        HuggingFaceFolder folder = HuggingFaceFolder.Open(FixtureFiles.At("hf", family));
        LanguageModel model = ModelFolder.Load(FixtureFiles.At("hf", family), device, learned: true);
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("train", $"{family}.safetensors"));
        WeightMap map = folder.Map(key => expected.ShapeOf("final." + key));
        long[] shape = expected.Info("batches").Shape;
        var tokens = new long[expected.Info("batches").Count];
        expected.ReadInt64("batches", tokens);
        int[] batches = Array.ConvertAll(tokens, t => (int)t);
        float[] rates = Floats("lr"), losses = Floats("losses"), norms = Floats("grad_norms");

        var reference = JsonSerializer.Deserialize<HashSet<string>>(expected.Metadata["decayed"])!;
        string[] decayed = [.. model.Parameters().Where(p => p.Decay).SelectMany(p => map.Of(p).Parts.Select(part => part.Key)).Distinct().Order(StringComparer.Ordinal)];
        // The reference lets everything decay that has two dimensions: also the RG-LRU's biases, which it holds by heads.
        Assert.Equal(reference.Where(k => !k.EndsWith("_bias", StringComparison.Ordinal)).Order(StringComparer.Ordinal), decayed);
        Parameter[] parameters = [.. model.Parameters().Select(p => p with { Decay = map.Of(p).Parts.All(part => reference.Contains(part.Key)) })];

        var options = new TrainingOptions
        {
            Budget = new Budget(BudgetKind.Steps, shape[0]),
            Rate = 2e-3,
            Schedule = new Schedule { Kind = ScheduleKind.Cosine, WarmUp = 1.0 / 6, Final = 0.1 },
            BatchSize = (int)shape[1],
            Context = (int)shape[2] - 1,
        };
        using var learner = new Learner(model, options.For(model.Config), parameters);
        int size = (int)(shape[1] * shape[2]);
        for (int step = 0; step < shape[0]; step++)
        {
            double rate = options.Rate.Value * options.Schedule.Factor(step, shape[0]);
            Assert.Equal(rates[step], rate, 1e-6 * rates[step]);
            double loss = learner.Backward(batches.AsSpan(step * size, size)), norm = learner.Update(rate);
            Assert.True(Math.Abs(loss - losses[step]) <= 1e-4 * losses[step], $"step {step}: loss {loss:R}, not {losses[step]:R}");
            Assert.True(Math.Abs(norm - norms[step]) <= 1e-3 * norms[step], $"step {step}: gradient norm {norm:R}, not {norms[step]:R}");
        }

        // Adam moves a weight as far by rounding errors, where its gradient is nothing else, as by any gradient (a head of qwen3-next forgets all
        // but 1e-8 of its state with every token, and what decides that learns from it): such weights, which are few, are not compared.
        Dictionary<string, Tensor> moments = learner.Optimizer.State.ToDictionary(s => s.Name, s => s.Tensor);
        Dictionary<string, float[]> variances = WeightLoader.Unmap(map, model, p => moments[$"variance.{p.Name}"].ToArray(), areGradients: true).ToDictionary(v => v.Key, v => v.Values);
        int noise = 0;
        foreach ((string key, _, float[] values) in WeightLoader.Unmap(map, model, p => p.Tensor.ToArray()))
        {
            float[] final = Floats("final." + key);
            for (int i = 0; i < final.Length; i++)
            {
                if (Math.Sqrt(variances[key][i]) < 1e-6 && Math.Abs(values[i] - final[i]) > 1e-3 * Math.Abs(final[i]))
                {
                    noise++;
                    values[i] = final[i];
                }
            }

            LawTools.Close(values, final, 1e-3, $"final {key}");
        }

        Assert.InRange(noise, 0, 0.002 * model.ParameterCount());

        float[] Floats(string name)
        {
            var values = new float[expected.Info(name).Count];
            expected.ReadFloat32(name, values);
            return values;
        }
    }
}
