using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

/// <summary>The sizes of one case of a recurrence. Where there are no heads of keys, the channels are H dv.</summary>
/// <param name="KeyHeads">Heads of queries and keys, a divisor of <paramref name="Heads"/>.</param>
/// <param name="Decay">The mean of minus the log decay: 8 forgets at once, 0.001 hardly.</param>
/// <param name="Initial">Whether there is a state before the first token.</param>
public sealed record Sizes(int Batch, int Time, int Heads, int KeyHeads, int KeyWidth, int ValueWidth, double Decay = 0.3, bool Initial = true)
{
    public Shape Over(int columns) => new(Batch, Time, columns);

    public Shape State => new(Batch, Heads, KeyWidth, ValueWidth);

    public Shape OverChannels => Over(Heads * ValueWidth);

    public Shape ChannelState => new(Batch, Heads * ValueWidth);
}

/// <summary>
/// A recurrence under the laws: its inputs, its plain definition, its fast algorithm, and the definition once more in double precision,
/// written without the operations that it tests. Outputs are o, then the final states. An input named <c>initial</c>, or beginning so,
/// is left out where a case has no initial state.
/// </summary>
/// <param name="Name">The recurrence, and the form of it.</param>
/// <param name="Chunk">The chunk that the fast algorithm is run with.</param>
/// <param name="GroupedKeys">Whether several heads may share a head of keys.</param>
/// <param name="Draw">Random inputs of a case, by name.</param>
internal sealed record RecurrenceRow(
    string Name,
    int Chunk,
    bool GroupedKeys,
    Func<Sizes, Drawn> Draw,
    Func<Sizes, IReadOnlyDictionary<string, Tensor>, Tensor[]> Definition,
    Func<Sizes, IReadOnlyDictionary<string, Tensor>, Tensor[]> Fast,
    Func<Sizes, IReadOnlyDictionary<string, float[]>, double[][]> Double)
{
    public override string ToString() => Name;
}

/// <summary>Every recurrence of Weft, a row each or several: <see cref="RecurrenceLaws"/> runs over this table. A structure's rows are in its own part of this class.</summary>
internal static partial class RecurrenceTable
{
    public static IReadOnlyList<RecurrenceRow> Rows { get; } = [.. ScalarDecayRows, .. MatrixMemoryRows, .. TrapezoidRows, .. DeltaRuleRows, .. DiagonalRows, .. ChannelDecayRows, .. DeltaProductRows, .. ChannelDeltaRows, .. SelectiveScanRows, .. AttentionRows, .. TimeInvariantRows, .. LongConvolutionRows, .. GatedRecurrenceRows, .. MemoryGradientRows];

    /// <summary>The cases that every recurrence goes through, given its chunk c: lengths around the chunk, batches, odd and wide heads, grouped keys, decays near 0 and 1.</summary>
    public static Sizes[] Cases(RecurrenceRow row)
    {
        int c = row.Chunk, grouped = row.GroupedKeys ? 1 : 2;
        return
        [
            new(1, 1, 2, 2, 8, 8),
            new(3, 2, 2, grouped, 48, 80, Initial: false),
            new(1, Math.Max(1, c - 1), 2, 2, 8, 64, Decay: 0.001),
            new(3, c, 2, grouped, 16, 8, Decay: 8),
            new(1, c + 1, 1, 1, 80, 48),
            new(1, c + 1, 1, 1, 128, 128, Decay: 0.05),
            new(1, 257, 2, grouped, 8, 48, Decay: 0.01),
            new(1, 257, 1, 1, 64, 16, Decay: 2, Initial: false),
            new(1, 37, 2, 2, 7, 5, Decay: 30),
        ];
    }

    private static Tensor[] Both((Tensor O, Tensor Final) result) => [result.O, result.Final];

    /// <summary>
    /// Runs a matrix recurrence in double precision: <paramref name="step"/> advances the state [dk,dv] of one head by one token and
    /// returns what the token's output is at each value channel.
    /// </summary>
    private static double[][] OverHeads(Sizes s, IReadOnlyDictionary<string, float[]> x, Func<double[,], TokenOfHead, Func<int, double>> step)
    {
        var o = new double[s.Batch * s.Time * s.Heads * s.ValueWidth];
        var final = new double[s.State.Count];
        for (int b = 0; b < s.Batch; b++)
        {
            for (int h = 0; h < s.Heads; h++)
            {
                var state = new double[s.KeyWidth, s.ValueWidth];
                int at = ((b * s.Heads) + h) * state.Length;
                for (int i = 0; i < state.Length && x.TryGetValue("initial", out float[]? initial); i++)
                {
                    state[i / s.ValueWidth, i % s.ValueWidth] = initial[at + i];
                }

                for (int t = 0; t < s.Time; t++)
                {
                    int row = (b * s.Time) + t, key = (row * s.KeyHeads) + (h / (s.Heads / s.KeyHeads)), head = (row * s.Heads) + h;
                    Func<int, double> output = step(state, new TokenOfHead(head, key * s.KeyWidth, head * s.ValueWidth, h));
                    for (int j = 0; j < s.ValueWidth; j++)
                    {
                        o[(head * s.ValueWidth) + j] = output(j);
                    }
                }

                for (int i = 0; i < state.Length; i++)
                {
                    final[at + i] = state[i / s.ValueWidth, i % s.ValueWidth];
                }
            }
        }

        return [o, final];
    }
}

/// <summary>Where one token of one head lies in inputs over time, as offsets of first values: a head's number, its keys, its values.</summary>
/// <param name="Head">Its place in [B,T,H].</param>
/// <param name="Key">Its place in [B,T,Hk dk].</param>
/// <param name="Value">Its place in [B,T,H dv].</param>
/// <param name="HeadIndex">The head's number.</param>
internal readonly record struct TokenOfHead(int Head, int Key, int Value, int HeadIndex);

/// <summary>Random inputs by name, in order.</summary>
internal sealed class Drawn(ulong seed)
{
    private readonly RandomSource random = new(seed);

    public List<(string Name, Shape Shape, float[] Values)> Arrays { get; } = [];

    /// <summary>Standard normal values.</summary>
    public Drawn Gaussian(string name, Shape shape, float deviation = 1)
    {
        var values = new float[shape.Count];
        random.FillGaussian(values, deviation);
        return Add(name, shape, values);
    }

    /// <summary>Values uniform from <paramref name="low"/> to <paramref name="high"/>.</summary>
    public Drawn Uniform(string name, Shape shape, double low, double high)
    {
        var values = new float[shape.Count];
        random.FillUniform(values, (float)low, (float)high);
        return Add(name, shape, values);
    }

    /// <summary>Log decays: uniform from -2 <paramref name="mean"/> to 0.</summary>
    public Drawn Decay(string name, Shape shape, double mean) => Uniform(name, shape, -2 * mean, 0);

    /// <summary>Gaussian directions of length 1 in runs of <paramref name="width"/> values: the keys of delta rules.</summary>
    public Drawn Unit(string name, Shape shape, int width)
    {
        var values = new float[shape.Count];
        random.FillGaussian(values);
        for (int i = 0; i < values.Length; i += width)
        {
            float length = MathF.Sqrt(values.AsSpan(i, width).ToArray().Sum(x => x * x) + 1e-12f);
            for (int j = i; j < i + width; j++)
            {
                values[j] /= length;
            }
        }

        return Add(name, shape, values);
    }

    private Drawn Add(string name, Shape shape, float[] values)
    {
        Arrays.Add((name, shape, values));
        return this;
    }
}
