using System.Text.Json;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>
/// Outputs, final states and gradients equal public references', by the plain definition and by the fast algorithm. The references are
/// the project's own, or those of a folder of the same layout that the environment variable <c>WEFT_FIXTURES</c> names. A file whose
/// operation <see cref="OracleTable"/> does not know is a failure.
/// </summary>
public sealed class OracleLaw : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    private static string Folder => FixtureFiles.At("ops");

    public static TheoryData<string, bool> Files
    {
        get
        {
            var data = new TheoryData<string, bool>();
            foreach (string name in Directory.EnumerateFiles(Folder, "*.safetensors").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal))
            {
                data.Add(name, false);
                data.Add(name, true);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void EqualsThePublicReference(string operation, bool fast)
    {
        Assert.True(OracleTable.Rows.TryGetValue(operation, out OracleTable.Row? row), $"no operation is known for {operation}.safetensors; known: {string.Join(", ", OracleTable.Rows.Keys.Order(StringComparer.Ordinal))}");
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(Folder, operation + ".safetensors"));
        using var tape = new Tape(device);
        using JsonDocument args = JsonDocument.Parse(file.Metadata.GetValueOrDefault("args", "{}"));

        Dictionary<string, Tensor> learned = file.Names.Where(n => n.StartsWith("in.", StringComparison.Ordinal))
            .ToDictionary(n => n[3..], n => device.Of(Read(n), ShapeOf(n)).WithGrad());
        (Tensor o, Tensor? state) = row.Run(new OracleInputs(learned.ToDictionary(l => l.Key, l => Ops.Copy(l.Value, tape)), args.RootElement), fast);
        Assert.Equal(ShapeOf("out.o"), o.Shape);
        LawTools.Close(o.ToArray(), Read("out.o"), 1e-5, "o");
        Tensor loss = Weighted(o, "do");
        if (file.Contains("out.state"))
        {
            Assert.Equal(ShapeOf("out.state"), state!.Shape);
            LawTools.Close(state.ToArray(), Read("out.state"), 1e-5, "state");
            loss = Ops.Add(loss, Weighted(state, "ds"));
        }

        tape.Backward(loss);
        string[] gradients = [.. file.Names.Where(n => n.StartsWith("grad.", StringComparison.Ordinal))];
        Assert.NotEmpty(gradients);
        foreach (string name in gradients)
        {
            LawTools.Close(learned[name[5..]].Grad!.ToArray(), Read(name), 1e-4, name);
        }

        Tensor Weighted(Tensor x, string cotangent) => Ops.Sum(Ops.Multiply(x, tape.Of(Read(cotangent), x.Shape))).Reshape(new Shape(1));

        float[] Read(string name)
        {
            var values = new float[ShapeOf(name).Count];
            file.ReadFloat32(name, values);
            return values;
        }

        Shape ShapeOf(string name)
        {
            int[] lengths = [.. file.Info(name).Shape.Select(l => checked((int)l))];
            return lengths.Length switch
            {
                1 => new Shape(lengths[0]),
                2 => new Shape(lengths[0], lengths[1]),
                3 => new Shape(lengths[0], lengths[1], lengths[2]),
                _ => new Shape(lengths[0], lengths[1], lengths[2], lengths[3]),
            };
        }
    }
}
