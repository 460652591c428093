using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The time mixing of RWKV-6 "Finch" (Peng et al., arXiv 2404.05892, section 4.2; the authors' x060 code, whose initial values these
/// are). With x' the token before x,
/// <code>
/// m   = tanh(W_m1 (x + mu_x (x' - x)))                    the data-dependent token shift, equations 14 and 15:
/// x_i = x + (mu_i + W_i2 m_i) (x' - x)                    for i of r, k, v, w, g
/// r, k, v = W_r x_r, W_k x_k, W_v x_v
/// g   = -e^(w_0 + W_w2 tanh(W_w1 x_w))                    log decay per key channel, equation 16
/// S_t = diag(e^g_t) S_{t-1} + k_t v_t^T
/// o_t = (S_{t-1} + diag(u) k_t v_t^T)^T r_t               equation 19: a token reads the past, and itself through the bonus u
/// y   = W_o (groupnorm(o) * silu(W_g x_g))                the norm by head
/// </code>
/// Channel mixing is a block of its own. State: S, and the last token.
/// </summary>
public sealed class Rwkv6 : Mixer
{
    private const int Streams = 5; // r, k, v, w, g

    private readonly Rwkv6Options o;
    private readonly int width;

    private readonly Tensor mix, ones;               // [1, d]: mu_x, and the blend that is the token before
    private readonly Tensor mixDown;                 // [5 R, d]: W_m1
    private readonly Tensor[] mixUp, mixBase;        // [d, R], [d]: W_i2, mu_i
    private readonly Tensor receptance, key, value, gate, output; // [d, d]
    private readonly Tensor decayDown, decayUp, decayBase;        // [R', d], [d, R'], [d]: W_w1, W_w2, w_0
    private readonly Tensor bonus;                   // [d]: u
    private readonly Tensor norm, normBias;          // [d]

    /// <summary>Makes the layer with its initial weights, which follow the channel's place in the width and the layer's in the model.</summary>
    public Rwkv6(Builder builder, Rwkv6Options options)
    {
        (o, width) = (options, builder.Width);
        float along = options.Layer / (float)Math.Max(1, builder.Blocks - 1), rest = 1 - (options.Layer / (float)builder.Blocks);
        float depth = MathF.Pow((1f + options.Layer) / builder.Blocks, 0.7f);

        mix = Learn(builder, "mix_x", new Shape(1, width), Mu(rest, 0), decay: false);
        ones = builder.Device.Of([.. Enumerable.Repeat(1f, width)], new Shape(1, width));
        mixDown = Learn(builder, "mix_down", new Shape(Streams * o.MixRank, width), Initial.Zeros, decay: false);
        (mixUp, mixBase) = (new Tensor[Streams], new Tensor[Streams]);
        for (int i = 0; i < Streams; i++)
        {
            char name = "rkvwg"[i];
            mixUp[i] = Learn(builder, $"mix_up_{name}", new Shape(width, o.MixRank), Initial.Uniform(0.01f), decay: false);
            mixBase[i] = Learn(builder, $"mix_{name}", new Shape(width), Mu(name is 'r' or 'g' ? rest / 2 : rest, name == 'v' ? 0.3f * along : 0), decay: false);
        }

        // The authors' matrices are orthogonal; these have their variance.
        float gain = MathF.Sqrt(3);
        receptance = LearnLinear(builder, "receptance.weight", width, width, gain);
        key = LearnLinear(builder, "key.weight", width, width, 0.1f * gain);
        value = LearnLinear(builder, "value.weight", width, width, gain);
        gate = LearnLinear(builder, "gate.weight", width, width, 0.1f * gain);
        output = LearnLinear(builder, "output.weight", new Shape(width, width), Initial.Zeros);

        decayDown = Learn(builder, "decay_down", new Shape(o.DecayRank, width), Initial.Zeros, decay: false);
        decayUp = Learn(builder, "decay_up", new Shape(width, o.DecayRank), Initial.Uniform(0.01f), decay: false);
        decayBase = Learn(builder, "decay", new Shape(width), ByChannel(c => -6 + (5 * MathF.Pow(Place(c), 0.7f + (1.3f * along)))), decay: false);
        bonus = Learn(builder, "bonus", new Shape(width), ByChannel(c => (along * (1 - Place(c))) + ((((c + 1) % 3) - 1) * 0.1f)), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(width), ByChannel(_ => depth), decay: false);
        normBias = Learn(builder, "norm.bias", new Shape(width), Initial.Zeros, decay: false);

        Initializer Mu(float power, float less) => ByChannel(c => 1 - MathF.Pow(c / (float)width, power) - less);

        float Place(int c) => c / MathF.Max(1, width - 1); // from 0 to 1

        static Initializer ByChannel(Func<int, float> of) => (values, _) =>
        {
            for (int c = 0; c < values.Length; c++)
            {
                values[c] = of(c);
            }
        };
    }

    /// <summary>
    /// Options: <c>heads</c> or <c>head-dim</c>, which together make up the model's width (unless told heads of 64, or what of its halves
    /// divides the width into two or more), <c>mix-rank</c> (32), <c>decay-rank</c> (64), <c>chunk</c> (64),
    /// <c>norm-epsilon</c> (64e-5).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static Rwkv6 Create(BlockOptions options, Builder builder)
    {
        (int heads, int headDim) = HeadSizes.Read(options, builder.Width, 64);
        return new Rwkv6(builder, new Rwkv6Options(heads, headDim, Math.Min(options.Index, builder.Blocks - 1))
        {
            MixRank = options.Int("mix-rank", 32, 1, 1024),
            DecayRank = options.Int("decay-rank", 64, 1, 1024),
            Chunk = options.Int("chunk", 64, 1, 1024),
            NormEpsilon = (float)options.Real("norm-epsilon", 64e-5, 1e-12, 1),
        });
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (Rwkv6State)state;
        Tape tape = x.Tape!;
        (Tensor shifted, Tensor last) = Ops.TokenShift(x, Ops.Concat(Ops.Copy(mix, tape), ones, 0), s.Shift.Before(tape));
        s.Shift.After(last);
        Tensor low = Ops.Tanh(Ops.Linear(shifted.Columns(0, width), mixDown)), before = shifted.Columns(width, width);
        Tensor r = Ops.Linear(Shifted(0), receptance), k = Ops.Linear(Shifted(1), key), v = Ops.Linear(Shifted(2), value);
        Tensor decay = Ops.Affine(Ops.Exp(Ops.Linear(Ops.Tanh(Ops.Linear(Shifted(3), decayDown)), decayUp, decayBase)), -1);
        Tensor g = Ops.Linear(Shifted(4), gate);

        (Tensor y, Tensor memory) = ChannelDecay.Chunked(r, k, v, decay, bonus, s.Memory.Before(tape), o.Heads, chunk: o.Chunk);
        s.Memory.After(memory);
        Tensor normed = Ops.Add(Ops.LayerNorm(y, norm, o.NormEpsilon, o.HeadDim), normBias);
        return Ops.Linear(Ops.SiluMul(g, normed), output);

        Tensor Shifted(int i) => Ops.Lerp(x, before, Ops.Linear(low.Columns(i * o.MixRank, o.MixRank), mixUp[i], mixBase[i]));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new Rwkv6State(
        new StateTensor(mix.Device, "shift", new Shape(batch, 1, width)),
        new StateTensor(mix.Device, "memory", new Shape(batch, o.Heads, o.HeadDim, o.HeadDim)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, (5L * width) + (2L * Streams * o.MixRank) + (2L * o.DecayRank))
            + ChannelDecay.Flops(tokens, o.Heads, o.HeadDim, o.HeadDim, o.Chunk),
        ParameterCount(),
        sizeof(float) * (width + ((long)width * o.HeadDim)));
}

/// <summary>The sizes of an <see cref="Rwkv6"/> layer, and where in the model it is.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="HeadDim">A head's width N.</param>
/// <param name="Layer">The layer's number in the model, from 0: initial values depend on it.</param>
public sealed record Rwkv6Options(int Heads, int HeadDim, int Layer = 0)
{
    /// <summary>The rank of each of the token shift's five maps.</summary>
    public int MixRank { get; init; } = 32;

    /// <summary>The rank of the decay's map.</summary>
    public int DecayRank { get; init; } = 64;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the variance: the authors' 1e-5 times 8 squared, as their outputs are not divided by 8.</summary>
    public float NormEpsilon { get; init; } = 64e-5f;
}

/// <summary>What an <see cref="Rwkv6"/> layer remembers: d N + d floats a sequence.</summary>
public sealed class Rwkv6State : MixerState
{
    internal Rwkv6State(StateTensor shift, StateTensor memory) => (Shift, Memory) = (Keep(shift), Keep(memory));

    /// <summary>The last token's input [B,1,d].</summary>
    public StateTensor Shift { get; }

    /// <summary>S [B,H,N,N], keys by values.</summary>
    public StateTensor Memory { get; }
}
