using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// mLSTM, the block of xLSTM whose memory is a matrix (Beck et al., arXiv 2405.04517, section 2.3 and figure 10), as the authors' code
/// computes it. With I = expand x width inner columns in H heads,
/// <code>
/// x', z = W_in x                                    proj_up
/// c = silu(conv(x'))                                depthwise, causal, 4 taps
/// q, k = W_q c, W_k c,  v = W_v x'                  block-diagonal, blocks of 4 columns
/// I, F = W_i [q, k, v] + b_i, W_f [q, k, v] + b_f   a gate a head
/// h = memory(q, k, v, I, F)                         equations 19-27: see <see cref="MatrixMemory"/>
/// out = W_out ((norm(h) weight + skip c) silu(z))   a layer norm a head
/// </code>
/// State: the memory C with its normaliser n, the stabiliser m, and the last 3 inputs of the convolution.
/// </summary>
public sealed class MLstm : Mixer
{
    private readonly MLstmOptions o;
    private readonly Device device;
    private readonly int width, inner, headDim;

    private readonly Tensor inProj;                        // [2 I, D]: x', z
    private readonly Tensor convWeight, convBias;          // [I, K], [I]
    private readonly Tensor qWeight, kWeight, vWeight;     // [I / block, block, block]
    private readonly Tensor gatesQ, gatesK, gatesV, gates; // [2 H, I] each, [2 H]: input gates, forget gates
    private readonly Tensor norm, skip;                    // [I]
    private readonly Tensor outProj;                       // [D, I]

    /// <summary>Makes the mixer; the heads and the blocks must divide expand x width.</summary>
    public MLstm(Builder builder, MLstmOptions options)
    {
        (o, device, width, inner) = (options, builder.Device, builder.Width, options.Expand * builder.Width);
        (headDim, int blocks) = (inner / o.Heads, inner / o.Block);
        Initializer small = Initial.Normal(MathF.Sqrt(2f / (5 * width))), tap = Initial.Uniform(1 / MathF.Sqrt(o.Conv));
        inProj = LearnLinear(builder, "in_proj.weight", new Shape(2 * inner, width), small);
        convWeight = Learn(builder, "conv1d.weight", new Shape(inner, o.Conv), tap, decay: true);
        convBias = Learn(builder, "conv1d.bias", new Shape(inner), tap, decay: false);
        var block = new Shape(blocks, o.Block, o.Block);
        qWeight = Learn(builder, "q_proj.weight", block, small, decay: true);
        kWeight = Learn(builder, "k_proj.weight", block, small, decay: true);
        vWeight = Learn(builder, "v_proj.weight", block, small, decay: true);
        gatesQ = Learn(builder, "gates.q.weight", new Shape(2 * o.Heads, inner), Initial.Zeros, decay: true);
        gatesK = Learn(builder, "gates.k.weight", new Shape(2 * o.Heads, inner), Initial.Zeros, decay: true);
        gatesV = Learn(builder, "gates.v.weight", new Shape(2 * o.Heads, inner), Initial.Zeros, decay: true);
        gates = Learn(builder, "gates.bias", new Shape(2 * o.Heads), (values, random) =>
        {
            Initial.Normal(0.1f)(values[..o.Heads], random);
            for (int h = 0; h < o.Heads; h++)
            {
                values[h] += o.InputBias;
                values[o.Heads + h] = 3 + (3f * h / Math.Max(1, o.Heads - 1)); // forget gates from sigmoid(3) to sigmoid(6)
            }
        }, decay: false);
        norm = Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        skip = Learn(builder, "skip", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", new Shape(width, inner), Initial.Normal(2 / (builder.Blocks * MathF.Sqrt(width))));
    }

    /// <summary>
    /// Options: <c>heads</c> (4), <c>expand</c> (2), <c>qkv-block</c> (columns of a block of q, k and v's maps, 4), <c>conv</c> (taps),
    /// <c>input-bias</c> (the mean of the input gates' initial biases, 0; -10 in xLSTM-7B, arXiv 2503.13427), <c>chunk</c> (64),
    /// <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or does not divide the inner columns.</exception>
    public static MLstm Create(BlockOptions options, Builder builder)
    {
        var chosen = new MLstmOptions
        {
            Heads = options.Int("heads", 4, 1, 4096),
            Expand = options.Int("expand", 2, 1, 16),
            Block = options.Int("qkv-block", 4, 1, 4096),
            Conv = options.Int("conv", 4, 2, 64),
            InputBias = (float)options.Real("input-bias", 0, -100, 100),
            Chunk = options.Int("chunk", 64, 1, 1024),
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
        };
        int inner = chosen.Expand * builder.Width;
        return inner % chosen.Heads != 0 ? throw options.Refuse("heads", $"does not divide expand x width = {inner}; heads that do: {HeadSizes.Divisors(inner, 64)}")
            : inner % chosen.Block != 0 ? throw options.Refuse("qkv-block", $"does not divide expand x width = {inner}; blocks that do: {HeadSizes.Divisors(inner, 64)}")
            : new MLstm(builder, chosen);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (MLstmState)state;
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, inProj);
        Tensor values = all.Columns(0, inner), z = all.Columns(inner, inner);
        (Tensor c, Tensor tail) = Ops.CausalConv(values, convWeight, convBias, before.Conv.Before(tape), silu: true);
        before.Conv.After(tail);

        Tensor q = Ops.BlockLinear(c, qWeight), k = Ops.BlockLinear(c, kWeight), v = Ops.BlockLinear(values, vWeight);
        Tensor gate = Ops.Add(Ops.Add(Ops.Linear(q, gatesQ, gates), Ops.Linear(k, gatesK)), Ops.Linear(v, gatesV));
        (Tensor h, Tensor memory, Tensor m) = MatrixMemory.Chunked(q, k, v, gate.Columns(0, o.Heads), gate.Columns(o.Heads, o.Heads),
            before.Memory.Before(tape), before.M.Before(tape), o.Chunk);
        before.Memory.After(memory);
        before.M.After(m);

        Tensor y = Ops.Add(Ops.LayerNorm(h, norm, o.NormEpsilon, headDim), Ops.Multiply(c, skip));
        return Ops.Linear(Ops.SiluMul(z, y), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new MLstmState(device,
        new Shape(batch, o.Conv - 1, inner), new Shape(batch, o.Heads, headDim, headDim + 1), new Shape(batch, o.Heads));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 2 * inner)
            + (2L * tokens * o.Conv * inner)
            + (3 * Models.Cost.Linear(tokens, inner, o.Block + (2 * o.Heads)))
            + ScalarDecay.Flops(tokens, o.Heads, o.Heads, headDim, headDim + 1, o.Chunk)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (((o.Conv - 1L) * inner) + ((long)inner * (headDim + 1)) + o.Heads));
}

/// <summary>The sizes of an <see cref="MLstm"/> mixer; the defaults are the authors'.</summary>
public sealed record MLstmOptions
{
    /// <summary>Heads, H, a divisor of the inner columns.</summary>
    public int Heads { get; init; } = 4;

    /// <summary>Inner columns for each of the model's.</summary>
    public int Expand { get; init; } = 2;

    /// <summary>Columns of a block in the block-diagonal maps to queries, keys and values.</summary>
    public int Block { get; init; } = 4;

    /// <summary>Taps of the convolution.</summary>
    public int Conv { get; init; } = 4;

    /// <summary>The mean of the input gates' initial biases; their deviation is 0.1.</summary>
    public float InputBias { get; init; }

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the variance.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What an <see cref="MLstm"/> mixer remembers.</summary>
public sealed class MLstmState : MixerState
{
    internal MLstmState(Device device, Shape conv, Shape memory, Shape m)
    {
        Conv = Keep(new StateTensor(device, "conv", conv));
        Memory = Keep(new StateTensor(device, "memory", memory));
        M = Keep(new StateTensor(device, "m", m));
    }

    /// <summary>The last inputs of the convolution [B,K-1,I], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>C and, as its last column, n, both times exp(-m): [B,H,d,d+1].</summary>
    public StateTensor Memory { get; }

    /// <summary>The stabiliser m [B,H].</summary>
    public StateTensor M { get; }
}
