using System.Text.Json;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

/// <summary>Thirty steps of AdamW against PyTorch's, from the same weights on the same batches.</summary>
public class OracleTests
{
    public static TheoryData<string> Families => [.. ReferenceModel.All.Where(f => File.Exists(FixtureFiles.At("train", $"{f}.safetensors")))];

    [Theory]
    [MemberData(nameof(Families))]
    public void ThirtyStepsFollowTheReference(string family)
    {
        using var device = new CpuDevice(2);
        ReferenceModel reference = ReferenceModel.Load(family, device);
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("train", $"{family}.safetensors"));
        long[] shape = expected.Info("batches").Shape;
        byte[] batches = [.. ReferenceModel.Integers(expected, "batches").Select(i => (byte)i)];
        float[] rates = ReferenceModel.Floats(expected, "lr"), losses = ReferenceModel.Floats(expected, "losses"), norms = ReferenceModel.Floats(expected, "grad_norms");

        string[] decayed = [.. reference.Model.Parameters().Where(p => p.Decay).SelectMany(reference.Keys).Order(StringComparer.Ordinal)];
        Assert.Equal(JsonSerializer.Deserialize<string[]>(expected.Metadata["decayed"])!.Order(StringComparer.Ordinal), decayed);

        var options = new TrainingOptions
        {
            Budget = new Budget(BudgetKind.Steps, shape[0]),
            Rate = 2e-3,
            Schedule = new Schedule { Kind = ScheduleKind.Cosine, WarmUp = 1.0 / 6, Final = 0.1 },
            BatchSize = (int)shape[1],
            Context = (int)shape[2] - 1,
        };
        using var learner = new Learner(reference.Model, options.For(reference.Model.Config));
        int size = (int)(shape[1] * shape[2]);
        for (int step = 0; step < shape[0]; step++)
        {
            double rate = options.Rate.Value * options.Schedule.Factor(step, shape[0]);
            Assert.Equal(rates[step], rate, 1e-6 * rates[step]);
            double loss = learner.Backward(batches.AsSpan(step * size, size)), norm = learner.Update(rate);
            Assert.True(Math.Abs(loss - losses[step]) <= 1e-4 * losses[step], $"step {step}: loss {loss:R}, not {losses[step]:R}");
            Assert.True(Math.Abs(norm - norms[step]) <= 1e-3 * norms[step], $"step {step}: gradient norm {norm:R}, not {norms[step]:R}");
        }

        foreach (Parameter parameter in reference.Model.Parameters())
        {
            LawTools.Close(parameter.Tensor.ToArray(), reference.Read(expected, "final.", parameter), 1e-3, $"final {parameter.Name}");
        }
    }
}
