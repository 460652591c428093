using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>The laws that every mixer obeys, over <see cref="MixerTable"/>, with products of float32.</summary>
public class MixerLaws : IDisposable
{
    private readonly CpuDevice device;
    private readonly double tolerance;

    public MixerLaws() : this(Precision.Float32, 1e-5) { }

    /// <summary>The laws at a precision; <paramref name="tolerance"/>: of sequences that are cut where the sums differ.</summary>
    protected MixerLaws(Precision precision, double tolerance) => (device, this.tolerance) = (new(2, precision), tolerance);

    public void Dispose()
    {
        device.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void Split(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        const int batch = 2;
        int time = (2 * row.Grid) + 37;
        float[] x = LawTools.Gaussian((long)batch * time * row.Width, 5);
        MixerState whole = mixer.NewState(batch);
        float[] expected = LawTools.Mix(mixer, whole, x, batch, row.Width, [time]);
        int[][] splits =
        [
            [1, time - 1], [time - 1, 1], [time / 3, time / 3, time - (time / 3 * 2)], [.. Enumerable.Repeat(1, time)],
            [row.Grid + 1, row.Grid - 1, 37], [2, 3, time - 5],
        ];
        foreach (int[] pieces in splits)
        {
            MixerState state = mixer.NewState(batch);
            float[] actual = LawTools.Mix(mixer, state, x, batch, row.Width, pieces);
            string name = $"{block} in pieces of {string.Join(", ", pieces.Take(4))}";
            LawTools.Close(actual, expected, tolerance, name);
            SameState(state, whole, tolerance, name);
        }

        MixerState onGrid = mixer.NewState(batch);
        Assert.Equal(expected, LawTools.Mix(mixer, onGrid, x, batch, row.Width, [row.Grid, row.Grid, 37]));
        SameState(onGrid, whole, 0, $"{block} on the chunk grid");
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void TrainingComputesWhatInferenceDoes(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        const int batch = 2, first = 23, second = 50;
        float[] x = LawTools.Gaussian(batch * first * row.Width, 5), next = LawTools.Gaussian(batch * second * row.Width, 6);
        MixerState inferring = mixer.NewState(batch), training = mixer.NewState(batch);
        float[] expected = [.. LawTools.Mix(mixer, inferring, x, batch, row.Width, [first]), .. LawTools.Mix(mixer, inferring, next, batch, row.Width, [second])];

        // Recorded from a fresh state, then from the state that the tape holds, which at last moves off it.
        using var tape = new Tape(device);
        float[] actual = [.. mixer.Mix(tape.Of(x, new Shape(batch, first, row.Width)), training).ToArray(), .. mixer.Mix(tape.Of(next, new Shape(batch, second, row.Width)), training).ToArray()];
        training.Detach();
        tape.Reset();
        LawTools.Close(actual, expected, tolerance, block);
        SameState(training, inferring, tolerance, block);
        float[] more = LawTools.Gaussian(batch * row.Width, 7);
        LawTools.Close(LawTools.Mix(mixer, training, more, batch, row.Width, [1]), LawTools.Mix(mixer, inferring, more, batch, row.Width, [1]), tolerance, $"{block}: after leaving the tape");
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void SaveRestoreAndFork(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        const int batch = 3, first = 21, second = 14;
        float[] x = LawTools.Gaussian(batch * first * row.Width, 5), next = LawTools.Gaussian(batch * second * row.Width, 6), other = LawTools.Gaussian(batch * second * row.Width, 7);
        MixerState state = mixer.NewState(batch);
        LawTools.Mix(mixer, state, x, batch, row.Width, [first]);

        Dictionary<string, (Shape Shape, float[] Values)> saved = LawTools.Save(state);
        MixerState fork = mixer.NewState(batch);
        state.CopyTo(fork);
        LawTools.Mix(mixer, fork, other, batch, row.Width, [second]);
        Same(saved, LawTools.Save(state), $"{block}: a fork that went on touched its parent");

        MixerState restored = mixer.NewState(batch);
        LawTools.Mix(mixer, restored, other, batch, row.Width, [second]); // a used state is restored as well as a new one
        LawTools.Restore(restored, saved);
        float[] expected = LawTools.Mix(mixer, state, next, batch, row.Width, [5, second - 5]);
        Assert.Equal(expected, LawTools.Mix(mixer, restored, next, batch, row.Width, [5, second - 5]));
        Same(LawTools.Save(state), LawTools.Save(restored), $"{block}: restored and continued");

        state.Clear();
        MixerState fresh = mixer.NewState(batch);
        Assert.Equal(LawTools.Mix(mixer, fresh, x, batch, row.Width, [first]), LawTools.Mix(mixer, state, x, batch, row.Width, [first]));
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void DeclaredCostIsWhatIsMeasured(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        Assert.Equal(mixer.ParameterCount(), mixer.Cost(1, 0).Parameters);
        MixerState state = mixer.NewState(1);
        if (!row.Grows)
        {
            Assert.True(mixer.Cost(1, 0).StateBytes <= mixer.Cost(1, 100_000).StateBytes);
            Assert.Equal(mixer.Cost(1, 100_000).StateBytes, mixer.Cost(1, 200_000).StateBytes);
        }

        int context = 0;
        foreach (int tokens in new[] { 1, 1, 5, row.Grid, row.Grid + 3, 130, 1, 2 })
        {
            long before = device.Flops;
            LawTools.Mix(mixer, state, LawTools.Gaussian(tokens * row.Width, 5), 1, row.Width, [tokens]);
            Cost declared = mixer.Cost(tokens, context);
            Assert.True(declared.Flops == device.Flops - before, $"{block}: {tokens} tokens after {context}: {declared.Flops} FLOPs declared, {device.Flops - before} counted");
            context += tokens;
            Assert.True(declared.StateBytes == state.Bytes, $"{block} after {context}: {declared.StateBytes} state bytes declared, {state.Bytes} used");
        }

        // A batch costs its sequences.
        long start = device.Flops;
        LawTools.Mix(mixer, mixer.NewState(3), LawTools.Gaussian(3 * 20 * row.Width, 5), 3, row.Width, [20]);
        Assert.Equal(3 * mixer.Cost(20, 0).Flops, device.Flops - start);
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void Deterministic(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        int time = row.Grid + 70;
        float[] first = Gradients(device, row, time), again = Gradients(device, row, time);
        Assert.Equal(first, again);
        using var one = new CpuDevice(1, device.Precision);
        Assert.True(first.AsSpan().SequenceEqual(Gradients(one, row, time)), $"{block}: one thread gives other bits than two");
    }

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void StepsDoNotAllocate(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        MixerState state = mixer.NewState(2);
        using var tape = new Tape(device);
        float[] x = LawTools.Gaussian(2 * 40 * row.Width, 5), one = x[..(2 * row.Width)];
        void Train()
        {
            tape.Recording = true;
            state.Clear();
            tape.Backward(Ops.Sum(mixer.Mix(tape.Of(x, new Shape(2, 40, row.Width)), state)));
            tape.Reset();
        }

        void Decode()
        {
            tape.Recording = false;
            mixer.Mix(tape.Of(one, new Shape(2, 1, row.Width)), state);
            tape.Reset();
        }

        NoneAllocated(Train, "a training step");
        state.Clear();
        NoneAllocated(Decode, "decoding a token"); // a cache has room for these

        void NoneAllocated(Action action, string what)
        {
            long allocated = Allocations.Least(action);
            Assert.True(allocated == 0, $"{block}: {what} allocates {allocated} bytes");
        }
    }

    /// <summary>Gradients of sum(y c) for the input and all parameters, joined: a fingerprint of forward and backward.</summary>
    internal static float[] Gradients(CpuDevice device, MixerRow row, int time)
    {
        Mixer mixer = row.Create(device);
        using var tape = new Tape(device);
        Tensor x = device.Of(LawTools.Gaussian(2L * time * row.Width, 5), new Shape(2, time, row.Width)).WithGrad();
        Tensor y = mixer.Mix(Ops.Copy(x, tape), mixer.NewState(2));
        float[] output = y.ToArray();
        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(LawTools.Gaussian(output.Length, 6), y.Shape))));
        return [.. output, .. x.Grad!.ToArray(), .. mixer.Parameters().Where(p => p.Tensor.RequiresGrad).SelectMany(p => p.Tensor.Grad!.ToArray())];
    }

    internal static void SameState(MixerState actual, MixerState expected, double tolerance, string what)
    {
        Dictionary<string, (Shape Shape, float[] Values)> a = LawTools.Save(actual), e = LawTools.Save(expected);
        foreach ((string name, (Shape shape, float[] values)) in e)
        {
            Assert.Equal(shape, a[name].Shape);
            LawTools.Close(a[name].Values, values, tolerance, $"{what}: state {name}");
        }
    }

    private static void Same(Dictionary<string, (Shape Shape, float[] Values)> expected, Dictionary<string, (Shape Shape, float[] Values)> actual, string what)
    {
        foreach ((string name, (Shape _, float[] values)) in expected)
        {
            Assert.True(values.AsSpan().SequenceEqual(actual[name].Values), $"{what}: {name} differs");
        }
    }
}
