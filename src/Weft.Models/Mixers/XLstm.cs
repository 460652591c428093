using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The mLSTM layer of xLSTM-7B (Beck et al., arXiv 2503.13427, section 2.1), which drops the convolution, the skip connection and the inner
/// width of <see cref="MLstm"/> and keeps its memory:
/// <code>
/// q, k, v, z = W_in x                                   q and k half as wide as v
/// I, F = cap tanh((W x + b) / cap)                      a gate a head each, between -cap and cap
/// h = memory(q, k, v, I, F)                             see <see cref="MatrixMemory"/>
/// out = W_out (norm(h) weight * sigmoid(z))             a layer norm a head
/// </code>
/// State: the memory C with its normaliser n, and the stabiliser m.
/// </summary>
public sealed class XLstm : Mixer
{
    private readonly XLstmOptions o;
    private readonly Device device;
    private readonly int width, keys, values, keyDim, valueDim;

    private readonly Tensor inProj;            // [2 K + 2 V, D]: q, k, v, z
    private readonly Tensor gates, gateBias;   // [2 H, D], [2 H]: input gates, forget gates
    private readonly Tensor norm;              // [V]
    private readonly Tensor outProj;           // [D, V]
    private readonly Tensor? inBias, normBias, outBias; // [2 K + 2 V], [V], [D]

    /// <summary>Makes the mixer; the heads must divide the widths of keys and values.</summary>
    public XLstm(Builder builder, XLstmOptions options)
    {
        (o, device, width, keys, values) = (options, builder.Device, builder.Width, options.KeyWidth, options.ValueWidth);
        (keyDim, valueDim) = (keys / o.Heads, values / o.Heads);
        inProj = LearnLinear(builder, "in_proj.weight", new Shape(2 * (keys + values), width), Initial.Normal(MathF.Sqrt(2f / (5 * width))));
        inBias = Bias("in_proj.bias", 2 * (keys + values));
        gates = LearnLinear(builder, "gates.weight", new Shape(2 * o.Heads, width), Initial.Zeros);
        gateBias = Learn(builder, "gates.bias", new Shape(2 * o.Heads), (bias, _) =>
        {
            for (int h = 0; h < o.Heads; h++)
            {
                bias[h] = o.InputBias;
                bias[o.Heads + h] = 3 + (3f * h / Math.Max(1, o.Heads - 1)); // forget gates from sigmoid(3) to sigmoid(6)
            }
        }, decay: false);
        norm = Learn(builder, "norm.weight", new Shape(values), Initial.Ones, decay: false);
        normBias = Bias("norm.bias", values);
        outProj = LearnLinear(builder, "out_proj.weight", new Shape(width, values), Initial.Normal(2 / (builder.Blocks * MathF.Sqrt(width))));
        outBias = Bias("out_proj.bias", width);

        Tensor? Bias(string name, int length) => o.Bias ? Learn(builder, name, new Shape(length), Initial.Zeros, decay: false) : null;
    }

    /// <summary>
    /// Options: <c>heads</c> (4), <c>qk-dim</c> (columns of all queries, and of all keys: half the width), <c>v-dim</c> (columns of all
    /// values: the width), <c>gate-cap</c> (15), <c>input-bias</c> (the input gates' initial bias, -10), <c>bias</c> (on the linear maps and
    /// the norm; false; the gates always have one), <c>epsilon</c> (added to the memory's divisor, 1e-6), <c>norm-epsilon</c> (1e-6),
    /// <c>chunk</c> (64).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the columns.</exception>
    public static XLstm Create(BlockOptions options, Builder builder)
    {
        int heads = options.Int("heads", 4, 1, 4096);
        return new XLstm(builder, new XLstmOptions
        {
            Heads = heads,
            KeyWidth = Columns("qk-dim", Math.Max(1, builder.Width / 2)),
            ValueWidth = Columns("v-dim", builder.Width),
            GateCap = (float)options.Real("gate-cap", 15, 1e-3, 1e6),
            InputBias = (float)options.Real("input-bias", -10, -100, 100),
            Bias = options.Flag("bias", false),
            Epsilon = (float)options.Real("epsilon", MatrixMemory.Epsilon, 1e-12, 1),
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-6, 1e-12, 1),
            Chunk = options.Int("chunk", 64, 1, 1024),
        });

        int Columns(string name, int usual)
        {
            int columns = options.Int(name, usual, 1, 1 << 18);
            return columns % heads == 0 ? columns
                : throw (options.IsGiven(name)
                    ? options.Refuse(name, $"is not divided by heads={heads}; give a multiple of it")
                    : options.Refuse("heads", $"does not divide {name} = {columns}; heads that do: {HeadSizes.Divisors(columns, 64)}"));
        }
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (XLstmState)state;
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, inProj, inBias), gate = Ops.SoftCap(Ops.Linear(x, gates, gateBias), o.GateCap);
        (Tensor h, Tensor memory, Tensor m) = MatrixMemory.Chunked(all.Columns(0, keys), all.Columns(keys, keys), all.Columns(2 * keys, values),
            gate.Columns(0, o.Heads), gate.Columns(o.Heads, o.Heads), before.Memory.Before(tape), before.M.Before(tape), o.Chunk, o.Epsilon);
        before.Memory.After(memory);
        before.M.After(m);

        Tensor y = Ops.LayerNorm(h, norm, o.NormEpsilon, valueDim);
        y = normBias is null ? y : Ops.Add(y, normBias);
        return Ops.Linear(Ops.Multiply(Ops.Sigmoid(all.Columns((2 * keys) + values, values)), y), outProj, outBias);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new XLstmState(device, new Shape(batch, o.Heads, keyDim, valueDim + 1), new Shape(batch, o.Heads));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, (2L * (keys + values)) + (2L * o.Heads))
            + ScalarDecay.Flops(tokens, o.Heads, o.Heads, keyDim, valueDim + 1, o.Chunk)
            + Models.Cost.Linear(tokens, values, width),
        ParameterCount(),
        sizeof(float) * (((long)keys * (valueDim + 1)) + o.Heads));
}

/// <summary>The sizes of an <see cref="XLstm"/> mixer; where there is a default, it is the authors'.</summary>
public sealed record XLstmOptions
{
    /// <summary>Heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Columns of all heads' queries, and of all their keys: a multiple of the heads.</summary>
    public required int KeyWidth { get; init; }

    /// <summary>Columns of all heads' values: a multiple of the heads.</summary>
    public required int ValueWidth { get; init; }

    /// <summary>What the gates' arguments stay below.</summary>
    public float GateCap { get; init; } = 15;

    /// <summary>The input gates' initial bias.</summary>
    public float InputBias { get; init; } = -10;

    /// <summary>Whether the linear maps and the norm have biases; the gates always have.</summary>
    public bool Bias { get; init; }

    /// <summary>What is added to the memory's divisor.</summary>
    public float Epsilon { get; init; } = MatrixMemory.Epsilon;

    /// <summary>What the norm adds to the variance.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;
}

/// <summary>What an <see cref="XLstm"/> mixer remembers.</summary>
public sealed class XLstmState : MixerState
{
    internal XLstmState(Device device, Shape memory, Shape m)
    {
        Memory = Keep(new StateTensor(device, "memory", memory));
        M = Keep(new StateTensor(device, "m", m));
    }

    /// <summary>C and, as its last column, n, both times exp(-m): [B,H,dk,dv+1].</summary>
    public StateTensor Memory { get; }

    /// <summary>The stabiliser m [B,H].</summary>
    public StateTensor M { get; }
}
