using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>Whole models against the published architectures' reference code: logits, gradients, greedy continuation.</summary>
public sealed class ReferenceModelTests : IDisposable
{
    private const int EndOfText = 2; // which the reference never chooses

    private readonly CpuDevice device = new(2);

    public static TheoryData<string> Families => [.. ReferenceModel.All];

    public void Dispose() => device.Dispose();

    [Theory]
    [MemberData(nameof(Families))]
    public void LogitsAndGradientsEqualTheReference(string family)
    {
        ReferenceModel reference = ReferenceModel.Load(family, device);
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("hf", family, "expected.safetensors"));
        (int[] ids, int batch, int time) = Ids(expected, "input_ids");
        var targets = new int[ids.Length]; // the next token; none after the last
        for (int i = 0; i < ids.Length; i++)
        {
            targets[i] = (i + 1) % time == 0 ? -1 : ids[i + 1];
        }

        using var tape = new Tape(device);
        Tensor logits = reference.Model.Forward(tape.Tokens(ids, batch, time), reference.Model.NewState(batch));
        LawTools.Close(logits.ToArray(), ReferenceModel.Floats(expected, "logits"), 1e-5, "logits");

        Tensor loss = Ops.Affine(Ops.Sum(Ops.CrossEntropy(logits, tape.Tokens(targets, batch, time))), 1f / (batch * (time - 1)));
        LawTools.Close([loss.Scalar()], ReferenceModel.Floats(expected, "loss"), 1e-5, "loss");
        tape.Backward(loss);
        foreach (Parameter parameter in reference.Model.Parameters())
        {
            LawTools.Close(parameter.Tensor.Grad!.ToArray(), reference.Read(expected, "grad.", parameter), 1e-4, $"gradient of {parameter.Name}");
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void GreedyContinuationEqualsTheReference(string family)
    {
        ReferenceModel reference = ReferenceModel.Load(family, device);
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("hf", family, "expected.safetensors"));
        (int[] ids, int batch, int time) = Ids(expected, "input_ids");
        (int[] generated, _, int total) = Ids(expected, "generated");
        for (int b = 0; b < batch; b++)
        {
            byte[] prompt = [.. ids.AsSpan(b * time, time).ToArray().Select(i => (byte)i)];
            byte[] whole = [.. generated.AsSpan(b * total, total).ToArray().Select(i => (byte)i)];
            foreach (int piece in (int[])[time, 1, 8]) // read whole, byte by byte, in pieces
            {
                byte[] actual = [.. prompt, .. Continue(reference.Model, prompt, piece, total - time)];
                Assert.Equal(whole, actual);
            }
        }
    }

    private static List<byte> Continue(LanguageModel model, byte[] prompt, int piece, int count)
    {
        using var generator = new Generator(model);
        foreach (byte[] part in prompt.Chunk(piece))
        {
            generator.Read(part);
        }

        var result = new List<byte>();
        for (int i = 0; i < count; i++)
        {
            float[] logits = generator.Logits.ToArray();
            logits[EndOfText] = float.MinValue;
            byte next = (byte)Array.IndexOf(logits, logits.Max());
            generator.Read((byte[])[next]);
            result.Add(next);
        }

        return result;
    }

    private static (int[] Ids, int Batch, int Time) Ids(SafetensorsFile file, string name)
    {
        long[] shape = file.Info(name).Shape;
        return ([.. ReferenceModel.Integers(file, name).Select(i => (int)i)], (int)shape[0], (int)shape[1]);
    }
}
