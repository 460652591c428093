using System.Buffers.Binary;
using System.Reflection;
using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

public sealed class DeviceProfileTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <summary>Every kernel of the operation set.</summary>
    private static IEnumerable<MethodInfo> Kernels => typeof(CpuDevice).GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        .Where(m => m.IsVirtual && m.GetBaseDefinition() is { IsAbstract: true } kernel && kernel.DeclaringType == typeof(Device) && !m.IsSpecialName)
        .Where(m => m.Name is not ("AllocateMemory" or "FreeMemory" or "Synchronize" or "Upload" or "Download" or "MeasureCeilings"));

    [Fact]
    public void EveryKernelMeasuresItself()
    {
        Assert.True(Kernels.Count() > 60, $"{Kernels.Count()} kernels found");
        int measure = typeof(Device).GetMethod("Measure", BindingFlags.Instance | BindingFlags.NonPublic)!.MetadataToken;
        Assert.All(Kernels, kernel => Assert.True(Calls(kernel, measure), $"{kernel.Name} does not begin with Measure"));
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void SumsAreTheDevicesCounts(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        using var tape = new Tape(device);
        float[] x = LawTools.Gaussian(2 * 40 * row.Width, 5);
        Step(); // what depends on weights alone is computed once
        device.Profile = new DeviceProfile();
        long before = device.Flops;
        Step();
        long counted = device.Flops - before;
        IReadOnlyList<OperationProfile> operations = device.Profile.Operations;
        Assert.True(counted == operations.Sum(o => o.Flops), $"{block}: {counted} FLOPs counted, {operations.Sum(o => o.Flops)} in operations");
        Assert.All(operations, o => Assert.True(o is { Calls: > 0, Seconds: >= 0, Bytes: > 0 }, $"{o}"));
        Assert.Equal(operations.OrderByDescending(o => o.Seconds).Select(o => o.Name), operations.Select(o => o.Name));

        device.Profile.Clear();
        Assert.Empty(device.Profile.Operations);
        Step();
        Assert.Equal(operations.OrderBy(o => o.Name, StringComparer.Ordinal).Select(Counted), device.Profile.Operations.OrderBy(o => o.Name, StringComparer.Ordinal).Select(Counted));

        static (string, long, long, long) Counted(OperationProfile o) => (o.Name, o.Calls, o.Flops, o.Bytes);

        void Step()
        {
            tape.Backward(Ops.Sum(mixer.Mix(tape.Of(x, new Shape(2, 40, row.Width)), mixer.NewState(2))));
            tape.Reset();
        }
    }

    [Fact]
    public void CallsAndBytesAreTheOperands()
    {
        using var tape = new Tape(device);
        Tensor a = tape.Of(new float[6 * 8], new Shape(6, 8)), b = tape.Of(new float[8 * 5], new Shape(8, 5)), c = tape.Empty(new Shape(6, 5));
        device.Profile = new DeviceProfile();
        device.MatMul(a, false, b, false, null, c, accumulate: false);
        device.MatMul(a, false, b, false, null, c, accumulate: true);
        OperationProfile product = Assert.Single(device.Profile.Operations);
        Assert.Equal(("MatMul", 2, 2 * 2 * 6 * 8 * 5, ((2 * (48 + 40)) + (3 * 30)) * sizeof(float)), (product.Name, product.Calls, product.Flops, product.Bytes));
    }

    [Fact]
    public void OfNestedOperationsTheOutermostCounts()
    {
        Tensor x = device.Zeros(new Shape(100));
        device.Profile = new DeviceProfile();
        using (device.Measure([x], "Outer"))
        {
            device.Fill(x, 1);
            device.CountFlops(7);
            device.Fill(x, 2);
        }

        device.Fill(x, 3);
        Dictionary<string, OperationProfile> operations = device.Profile.Operations.ToDictionary(o => o.Name);
        Assert.Equal(2, operations.Count);
        Assert.Equal((1, 7, 400), (operations["Outer"].Calls, operations["Outer"].Flops, operations["Outer"].Bytes));
        Assert.Equal(1, operations["Fill"].Calls);
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void ProfilingAllocatesNothing(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        MixerState state = mixer.NewState(1);
        using var tape = new Tape(device) { Recording = false };
        float[] x = LawTools.Gaussian(row.Width, 5);
        device.Profile = new DeviceProfile();
        long allocated = Allocations.Least(() =>
        {
            mixer.Mix(tape.Of(x, new Shape(1, 1, row.Width)), state);
            tape.Reset();
        });
        Assert.True(allocated == 0, $"{block}: decoding a token allocates {allocated} bytes while it is profiled");
        Assert.NotEmpty(device.Profile.Operations);
    }

    [Fact]
    public void CeilingsAreOfBothKinds()
    {
        long flops = device.Flops;
        IReadOnlyList<Ceiling> ceilings = device.MeasureCeilings();
        Assert.Equal(flops, device.Flops);
        Assert.All(ceilings, c => Assert.True(double.IsFinite(c.PerSecond) && c.PerSecond > 0, c.ToString()));
        Assert.Equal([CeilingKind.Flops, CeilingKind.Bytes], ceilings.Select(c => c.Kind).Distinct());
    }

    // Whether a method's code holds a call of another of the same module.
    private static bool Calls(MethodInfo method, int token)
    {
        const byte Call = 0x28;
        byte[] code = method.GetMethodBody()!.GetILAsByteArray()!;
        return Enumerable.Range(0, code.Length - 4).Any(i => code[i] == Call && BinaryPrimitives.ReadInt32LittleEndian(code.AsSpan(i + 1)) == token);
    }
}
