using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Tests.Tensors;

namespace Weft.Tests.Models;

/// <summary>The delta rule's two algorithms against each other and against the public reference's numbers.</summary>
public sealed class DeltaRuleTests : IDisposable
{
    private readonly CpuDevice device = new(2);
    private readonly Tape tape;

    public DeltaRuleTests() => tape = new Tape(device);

    public void Dispose()
    {
        tape.Dispose();
        device.Dispose();
    }

    /// <summary>batch, time, heads, key heads, dk, dv, decay (-1: none), initial state.</summary>
    public static TheoryData<int, int, int, int, int, int, double, bool> Shapes => new()
    {
        { 1, 1, 2, 1, 8, 8, 0.5, true },
        { 3, 2, 2, 2, 48, 80, 0.5, false },
        { 1, 63, 2, 1, 8, 64, 0, true },
        { 3, 64, 2, 2, 64, 8, -1, true },
        { 1, 65, 1, 1, 128, 128, 20, true },
        { 1, 257, 2, 1, 48, 80, 0.1, true },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void ChunkedEqualsScan(int batch, int time, int heads, int keyHeads, int dk, int dv, double decay, bool initial)
    {
        DeltaRuleReference x = DeltaRuleReference.Random(20, batch, time, heads, keyHeads, dk, dv, decay, initial);
        var shapes = new Dictionary<string, Shape>
        {
            ["q"] = new(batch, time, keyHeads * dk),
            ["k"] = new(batch, time, keyHeads * dk),
            ["v"] = new(batch, time, heads * dv),
            ["beta"] = new(batch, time, heads),
            ["g"] = new(batch, time, heads),
            ["initial_state"] = new(batch, heads, dk, dv),
        };
        var inputs = new Dictionary<string, float[]> { ["q"] = x.Q, ["k"] = x.K, ["v"] = x.V, ["beta"] = x.Beta };
        if (x.LogDecay is not null)
        {
            inputs["g"] = x.LogDecay;
        }

        if (x.Initial is not null)
        {
            inputs["initial_state"] = x.Initial;
        }

        float[] cotangent = LawTools.Gaussian(x.V.Length, 21), stateCotangent = LawTools.Gaussian(batch * heads * dk * dv, 22);
        Dictionary<string, float[]> expected = Run(false, inputs, shapes, keyHeads, (float)x.Scale, cotangent, stateCotangent);
        Dictionary<string, float[]> actual = Run(true, inputs, shapes, keyHeads, (float)x.Scale, cotangent, stateCotangent);
        foreach ((string name, float[] values) in expected)
        {
            LawTools.Close(actual[name], values, name.StartsWith("grad", StringComparison.Ordinal) ? 1e-4 : 1e-5, name);
        }
    }

    [Theory]
    [InlineData("delta_rule", false)]
    [InlineData("delta_rule", true)]
    [InlineData("gated_delta_rule", false)]
    [InlineData("gated_delta_rule", true)]
    public void EqualsThePublicReference(string fixture, bool chunked)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(AppContext.BaseDirectory, "Fixtures", "ops", $"{fixture}.safetensors"));
        const int batch = 2, time = 37, heads = 2, dk = 8, dv = 6;
        var shapes = new Dictionary<string, Shape>
        {
            ["q"] = new(batch, time, heads * dk),
            ["k"] = new(batch, time, heads * dk),
            ["v"] = new(batch, time, heads * dv),
            ["beta"] = new(batch, time, heads),
            ["g"] = new(batch, time, heads),
            ["initial_state"] = new(batch, heads, dk, dv),
        };
        Dictionary<string, float[]> inputs = shapes.Keys.Where(n => file.Contains($"in.{n}")).ToDictionary(n => n, n => Read($"in.{n}", shapes[n].Count));
        Dictionary<string, float[]> actual = Run(chunked, inputs, shapes, heads, 0.3535533905932738f, Read("do", shapes["v"].Count), Read("ds", shapes["initial_state"].Count));
        foreach ((string name, float[] values) in actual)
        {
            LawTools.Close(values, Read(name, values.Length), name.StartsWith("grad", StringComparison.Ordinal) ? 1e-4 : 1e-5, name);
        }

        float[] Read(string name, long count)
        {
            var values = new float[count];
            file.ReadFloat32(name, values);
            return values;
        }
    }

    /// <summary>Outputs, final state and gradients, under the fixtures' names.</summary>
    private Dictionary<string, float[]> Run(bool chunked, Dictionary<string, float[]> inputs, Dictionary<string, Shape> shapes, int keyHeads, float scale, float[] cotangent, float[] stateCotangent)
    {
        tape.Reset();
        Dictionary<string, Tensor> x = inputs.ToDictionary(i => i.Key, i => tape.Of(i.Value, shapes[i.Key]).WithGrad());
        Tensor? decay = x.GetValueOrDefault("g"), initial = x.GetValueOrDefault("initial_state");
        (Tensor o, Tensor final) = chunked
            ? DeltaRule.Chunked(x["q"], x["k"], x["v"], x["beta"], decay, initial, keyHeads, scale, 64)
            : DeltaRule.Scan(x["q"], x["k"], x["v"], x["beta"], decay, initial, keyHeads, scale);
        Tensor one = Ops.Sum(Ops.Multiply(o, tape.Of(cotangent, o.Shape))).Reshape(new Shape(1));
        Tensor two = Ops.Sum(Ops.Multiply(final, tape.Of(stateCotangent, final.Shape))).Reshape(new Shape(1));
        tape.Backward(Ops.Add(one, two));
        var results = x.ToDictionary(i => $"grad.{i.Key}", i => i.Value.Grad!.ToArray());
        results["out.o"] = o.ToArray();
        results["out.state"] = final.ToArray();
        return results;
    }
}
