using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>The laws that every recurrence obeys, over <see cref="RecurrenceTable"/>.</summary>
public sealed class RecurrenceLaws : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <summary>Rows by cases: the row's index, the case's, and for the test's name what they are.</summary>
    public static TheoryData<int, int, string> Cases
    {
        get
        {
            var data = new TheoryData<int, int, string>();
            foreach ((int index, RecurrenceRow row) in RecurrenceTable.Rows.Index())
            {
                foreach ((int number, Sizes sizes) in RecurrenceTable.Cases(row).Index())
                {
                    data.Add(index, number, $"{row.Name} {sizes}");
                }
            }

            return data;
        }
    }

    public static TheoryData<int, string> All => [.. RecurrenceTable.Rows.Select((row, index) => (index, row.Name))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void FastIsTheDefinition(int index, int number, string name)
    {
        RecurrenceRow row = RecurrenceTable.Rows[index];
        Sizes sizes = RecurrenceTable.Cases(row)[number];
        Dictionary<string, float[]> expected = Gradients(device, row, sizes, row.Definition), actual = Gradients(device, row, sizes, row.Fast);
        foreach ((string what, float[] values) in expected)
        {
            LawTools.Close(actual[what], values, what.StartsWith('d') ? 1e-4 : 1e-5, $"{name}: {what}");
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public void TheDefinitionIsTheEquationInDoublePrecision(int index, string name)
    {
        RecurrenceRow row = RecurrenceTable.Rows[index];
        Against(row, new Sizes(2, 60, 2, row.GroupedKeys ? 1 : 2, 8, 6), row.Definition, 1e-5, name);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void LongRunsStayCloseToDoublePrecision(int index, string name)
    {
        RecurrenceRow row = RecurrenceTable.Rows[index];
        foreach (double decay in new[] { 1e-5, 0.05, 4 })
        {
            Against(row, new Sizes(1, 20_000, 1, 1, 8, 8, decay), row.Fast, 1e-4, $"{name}, mean log decay -{decay}");
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public void ThreadsDoNotChangeBits(int index, string name)
    {
        RecurrenceRow row = RecurrenceTable.Rows[index];
        var sizes = new Sizes(2, (5 * row.Chunk) + 3, 4, row.GroupedKeys ? 2 : 4, 16, 24);
        using CpuDevice one = new(1), three = new(3);
        Dictionary<string, float[]> expected = Gradients(device, row, sizes, row.Fast);
        foreach (CpuDevice other in new[] { one, three })
        {
            foreach ((string what, float[] values) in Gradients(other, row, sizes, row.Fast))
            {
                Assert.True(values.AsSpan().SequenceEqual(expected[what]), $"{name}: {what} differs with {other.Threads} threads");
            }
        }
    }

    private void Against(RecurrenceRow row, Sizes sizes, Func<Sizes, IReadOnlyDictionary<string, Tensor>, Tensor[]> run, double tolerance, string name)
    {
        var arrays = Inputs(row, sizes);
        double[][] expected = row.Double(sizes, arrays.ToDictionary(a => a.Name, a => a.Values));
        using var tape = new Tape(device) { Recording = false };
        Tensor[] actual = run(sizes, arrays.ToDictionary(a => a.Name, a => tape.Of(a.Values, a.Shape)));
        Assert.Equal(expected.Length, actual.Length);
        foreach ((int i, Tensor tensor) in actual.Index())
        {
            LawTools.Close(tensor.ToArray(), Array.ConvertAll(expected[i], x => (float)x), tolerance, $"{name}: output {i}");
        }
    }

    private static List<(string Name, Shape Shape, float[] Values)> Inputs(RecurrenceRow row, Sizes sizes) =>
        [.. row.Draw(sizes).Arrays.Where(a => sizes.Initial || !a.Name.StartsWith("initial", StringComparison.Ordinal))];

    /// <summary>Outputs, final states, and the gradients of a random weighting of both, by name.</summary>
    private static Dictionary<string, float[]> Gradients(CpuDevice device, RecurrenceRow row, Sizes sizes, Func<Sizes, IReadOnlyDictionary<string, Tensor>, Tensor[]> run)
    {
        using var tape = new Tape(device);
        Dictionary<string, Tensor> learned = Inputs(row, sizes).ToDictionary(a => a.Name, a => device.Of(a.Values, a.Shape).WithGrad());
        Tensor[] outputs = run(sizes, learned.ToDictionary(l => l.Key, l => Ops.Copy(l.Value, tape)));
        var result = new Dictionary<string, float[]>();
        Tensor? loss = null;
        foreach ((int i, Tensor output) in outputs.Index())
        {
            result[$"output {i}"] = output.ToArray();
            Tensor part = Ops.Sum(Ops.Multiply(output, tape.Of(LawTools.Gaussian(output.Shape.Count, (ulong)(30 + i)), output.Shape))).Reshape(new Shape(1));
            loss = loss is null ? part : Ops.Add(loss, part);
        }

        tape.Backward(loss!);
        foreach ((string name, Tensor tensor) in learned)
        {
            result[$"d{name}"] = tensor.Grad?.ToArray() ?? new float[tensor.Shape.Count];
            tensor.Dispose();
        }

        return result;
    }
}
