using System.Text.Json;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>The time mix of RWKV-4 within the reference's model, whose other parts are written out here: logits, and the gradients of its parameters.</summary>
public sealed class Rwkv4Tests : IDisposable
{
    private const float Epsilon = 1e-5f;

    private readonly CpuDevice device = new(2);
    private readonly SafetensorsFile weights = SafetensorsFile.Open(FixtureFiles.At("hf", "rwkv4", "model.safetensors"));

    public void Dispose()
    {
        weights.Dispose();
        device.Dispose();
    }

    [Fact]
    public void TheTimeMixIsTheReferences()
    {
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(FixtureFiles.At("hf", "rwkv4", "config.json")));
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("hf", "rwkv4", "expected.safetensors"));
        int width = config.RootElement.GetProperty("hidden_size").GetInt32(), layers = config.RootElement.GetProperty("num_hidden_layers").GetInt32();
        long[] shape = expected.Info("input_ids").Shape;
        (int batch, int time) = ((int)shape[0], (int)shape[1]);
        int[] ids = [.. ReferenceModel.Integers(expected, "input_ids").Select(i => (int)i)];
        int[] targets = [.. ids.Select((_, i) => (i + 1) % time == 0 ? -1 : ids[i + 1])];
        Mixer[] mixers = [.. Enumerable.Range(0, layers).Select(i => Load(i, width, layers))];

        using var tape = new Tape(device);
        Tensor x = Norm(Ops.Embed(Weight("embeddings.weight", width), tape.Tokens(ids, batch, time)), "blocks.0.pre_ln");
        for (int i = 0; i < layers; i++)
        {
            string block = $"blocks.{i}.";
            x = Ops.Add(x, mixers[i].Mix(Norm(x, block + "ln1"), mixers[i].NewState(batch)));
            x = Ops.Add(x, ChannelMix(Norm(x, block + "ln2"), block + "feed_forward."));
        }

        Tensor logits = Ops.Linear(Norm(x, "ln_out"), device.Of(ReferenceModel.Floats(weights, "head.weight"), new Shape((int)expected.Info("logits").Shape[2], width)));
        LawTools.Close(logits.ToArray(), ReferenceModel.Floats(expected, "logits"), 1e-5, "logits");

        tape.Backward(Ops.Affine(Ops.Sum(Ops.CrossEntropy(logits, tape.Tokens(targets, batch, time))), 1f / (batch * (time - 1))));
        for (int i = 0; i < layers; i++)
        {
            foreach (Parameter parameter in mixers[i].Parameters())
            {
                LawTools.Close(parameter.Tensor.Grad!.ToArray(), Read(expected, "grad.", i, parameter), 1e-4, $"gradient of {parameter.Name} in layer {i}");
            }
        }

        Tensor Norm(Tensor y, string name) => Ops.Add(Ops.LayerNorm(y, Weight(name + ".weight"), Epsilon), Weight(name + ".bias"));

        Tensor ChannelMix(Tensor y, string name)
        {
            Tensor key = Ops.Relu(Ops.Linear(Shift(y, name + "time_mix_key"), Weight(name + "key.weight", width)));
            Tensor value = Ops.Linear(Ops.Multiply(key, key), Weight(name + "value.weight", key.Shape.Columns));
            return Ops.Multiply(Ops.Sigmoid(Ops.Linear(Shift(y, name + "time_mix_receptance"), Weight(name + "receptance.weight", width))), value);
        }

        Tensor Shift(Tensor y, string name) => Ops.TokenShift(y, tape.Of([.. ReferenceModel.Floats(weights, "rwkv." + name).Select(mu => 1 - mu)], new Shape(1, width)), null).Y;
    }

    private Rwkv4 Load(int layer, int width, int layers)
    {
        var mixer = new Rwkv4(new Builder(device, new RandomSource(1), width, layers), width, layer);
        foreach (Parameter parameter in mixer.Parameters())
        {
            parameter.Tensor.Set(Read(weights, "", layer, parameter));
        }

        return mixer;
    }

    private static float[] Read(SafetensorsFile file, string prefix, int layer, Parameter parameter)
    {
        string[] names = parameter.Name == "time_mix" ? ["time_mix_key", "time_mix_value", "time_mix_receptance"] : [parameter.Name];
        return [.. names.SelectMany(n => ReferenceModel.Floats(file, $"{prefix}rwkv.blocks.{layer}.attention.{n}"))];
    }

    // A vector, or a matrix of rows of `columns`; with a gradient, so that one goes through it.
    private Tensor Weight(string name, int columns = 0)
    {
        float[] values = ReferenceModel.Floats(weights, "rwkv." + name);
        return device.Of(values, columns == 0 ? new Shape(values.Length) : new Shape(values.Length / columns, columns)).WithGrad();
    }
}
