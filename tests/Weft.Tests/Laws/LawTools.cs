using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Laws;

/// <summary>What the laws share: inputs, runs and comparisons.</summary>
internal static class LawTools
{
    public static float[] Gaussian(long count, ulong seed, float deviation = 1)
    {
        var values = new float[count];
        new RandomSource(seed).FillGaussian(values, deviation);
        return values;
    }

    /// <summary>Mixes x [B,T,D] in pieces of the given lengths, without recording, and returns the outputs joined: [B,T,D].</summary>
    public static float[] Mix(Mixer mixer, MixerState state, float[] x, int batch, int width, IEnumerable<int> pieces)
    {
        int time = x.Length / batch / width, at = 0;
        var result = new float[x.Length];
        using var tape = new Tape(mixer.Parameters().First().Tensor.Device) { Recording = false };
        foreach (int piece in pieces)
        {
            var part = new float[batch * piece * width];
            for (int b = 0; b < batch; b++)
            {
                Array.Copy(x, ((b * time) + at) * width, part, b * piece * width, piece * width);
            }

            float[] y = mixer.Mix(tape.Of(part, new Shape(batch, piece, width)), state).ToArray();
            for (int b = 0; b < batch; b++)
            {
                Array.Copy(y, b * piece * width, result, ((b * time) + at) * width, piece * width);
            }

            at += piece;
            tape.Reset();
        }

        Assert.Equal(time, at);
        return result;
    }

    /// <summary>RMS(error) / RMS(reference): how the laws measure a difference.</summary>
    public static double Error(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        Assert.Equal(expected.Length, actual.Length);
        double error = 0, reference = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (!float.IsFinite(actual[i]))
            {
                return double.PositiveInfinity;
            }

            double d = (double)actual[i] - expected[i];
            error += d * d;
            reference += (double)expected[i] * expected[i];
        }

        return error == 0 ? 0 : Math.Sqrt(error / Math.Max(reference, 1e-30));
    }

    public static void Close(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance, string what)
    {
        double error = Error(actual, expected);
        Assert.True(error <= tolerance, $"{what}: RMS(error)/RMS(reference) is {error:g3}, more than {tolerance:g3}");
    }

    /// <summary>All arrays of a state, by name.</summary>
    public static Dictionary<string, (Shape Shape, float[] Values)> Save(MixerState state) =>
        state.Slots.SelectMany(s => s.Save()).ToDictionary(a => a.Name, a => (a.Shape, a.Values));

    public static void Restore(MixerState state, Dictionary<string, (Shape Shape, float[] Values)> saved)
    {
        foreach (StateSlot slot in state.Slots)
        {
            slot.Restore(name => saved[name]);
        }
    }
}
