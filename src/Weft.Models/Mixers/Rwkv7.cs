using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes of a <see cref="Rwkv7"/> layer, and where in the model it is.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="HeadDim">A head's width N.</param>
/// <param name="Layer">The layer's number in the model, from 0: initial values depend on it.</param>
/// <param name="Chunk">Tokens computed together: how it is computed, not what.</param>
public sealed record Rwkv7Options(int Heads, int HeadDim, int Layer = 0, int Chunk = 64);

/// <summary>
/// The time mixing of RWKV-7 "Goose" (arXiv 2503.14456, section 4; the authors' x070 code, whose initial values these are). With
/// x' the token before x, and a learned mu per channel for each of r, k, v, w, a and g:
/// <code>
/// x_i   = x + mu_i (x' - x)                                     token shift
/// r, k, v = W_r x_r, W_k x_k, W_v x_v
/// g     = -e^-0.5 sigmoid(w_0 + W_w2 tanh(W_w1 x_w))            log decay per key channel, from -0.61 to 0
/// a     = sigmoid(a_0 + W_a2 W_a1 x_a)                          in-context learning rate per key channel
/// kappa = [k o k_k]_h / |[k o k_k]_h|,  k = k o (1 + (a - 1) o k_a)
/// S_t   = diag(e^g_t) S_{t-1} - (kappa_t o a_t)(kappa_t^T S_{t-1}) + k_t v_t^T
/// o_t   = S_t^T r_t
/// y     = W_o ((groupnorm(o) + (r . (k o r_k))_h v) o W_g2 sigmoid(W_g1 x_g))
/// </code>
/// Left out: the value residual, which blends a layer's v with the first layer's of the same token. Here a mixer sees what the block
/// before it gives, and its own past, not what another layer computed; the residual stream still carries the first layer's output.
/// </summary>
public sealed class Rwkv7 : Mixer
{
    private const float NormEpsilon = 64e-5f, LargestDecay = 0.60653066f; // e^-0.5

    private readonly Rwkv7Options options;
    private readonly int width;
    private readonly Tensor mix;                           // [6, d]: mu of r, k, v, w, a, g
    private readonly Tensor receptance, key, value, output; // [d, d]
    private readonly Tensor decayDown, decayUp, decayBase; // W_w1 [rank, d], W_w2 [d, rank], w_0 [d]
    private readonly Tensor rateDown, rateUp, rateBase;    // of a
    private readonly Tensor gateDown, gateUp;              // of g
    private readonly Tensor erase, blend, bonus;           // k_k, k_a, r_k [d]
    private readonly Tensor norm, normBias;                // [d]

    /// <summary>Makes the layer with its initial weights, which follow the channel's place in the width and in its head, and the layer's in the model.</summary>
    public Rwkv7(Builder builder, Rwkv7Options options)
    {
        this.options = options;
        width = builder.Width;
        float along = options.Layer / (float)Math.Max(1, builder.Blocks - 1), rest = 1 - (options.Layer / (float)builder.Blocks);
        float depth = MathF.Pow((1f + options.Layer) / builder.Blocks, 0.7f);
        int n = options.HeadDim;

        float[] powers = [0.2f, 0.7f, 0.7f, 0.9f, 0.9f, 0.2f];
        mix = Learn(builder, "mix", new Shape(6, width), ByChannel(c => 1 - MathF.Pow(c % width / (float)width, powers[c / width] * rest)), decay: false);
        receptance = LearnLinear(builder, "receptance.weight", width, width, 0.5f);
        key = LearnLinear(builder, "key.weight", width, width, 0.05f);
        value = LearnLinear(builder, "value.weight", width, width, 0.5f);
        output = LearnLinear(builder, "output.weight", new Shape(width, width), Initial.Zeros);
        (decayDown, decayUp) = LowRank("w", 2.5);
        decayBase = Learn(builder, "w0", new Shape(width), ByChannel(c => -5.5f + (6 * MathF.Pow(Place(c) + 0.5f, 1 + MathF.Pow(along, 0.3f))) + (2.5f * Zigzag(c))), decay: false);
        (rateDown, rateUp) = LowRank("a", 2.5);
        rateBase = Learn(builder, "a0", new Shape(width), ByChannel(c => -0.19f + (0.3f * Zigzag(c)) + (0.4f * Place(c))), decay: false);
        (gateDown, gateUp) = LowRank("g", 5);
        erase = Learn(builder, "k_k", new Shape(width), ByChannel(c => 0.71f - (0.1f * Place(c))), decay: false);
        blend = Learn(builder, "k_a", new Shape(width), ByChannel(_ => 1.02f), decay: false);
        bonus = Learn(builder, "r_k", new Shape(width), ByChannel(_ => -0.04f), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(width), ByChannel(_ => depth), decay: false);
        normBias = Learn(builder, "norm.bias", new Shape(width), Initial.Zeros, decay: false);

        // A channel's place in the width, from -0.5 to 0.5, and in its head, squared, from -1 to 1.
        float Place(int c) => (c / MathF.Max(1, width - 1)) - 0.5f;

        float Zigzag(int c)
        {
            float place = n == 1 ? 0 : ((c % n) - ((n - 1) / 2f)) / ((n - 1) / 2f);
            return place * MathF.Abs(place);
        }

        static Initializer ByChannel(Func<int, float> of) => (values, _) =>
        {
            for (int c = 0; c < values.Length; c++)
            {
                values[c] = of(c);
            }
        };

        // A map of low rank, about sqrt(d) times a factor in 32s, that starts at zero.
        (Tensor Down, Tensor Up) LowRank(string name, double factor)
        {
            int rank = Math.Max(32, (int)Math.Round(factor * Math.Sqrt(width) / 32) * 32);
            float gain = 0.1f * (rank > width ? MathF.Sqrt(rank / (float)width) : 1);
            return (Learn(builder, $"{name}1", new Shape(rank, width), Initial.Zeros, decay: false),
                Learn(builder, $"{name}2", new Shape(width, rank), Initial.Orthogonal(width, rank, gain), decay: false));
        }
    }

    /// <summary>
    /// Options: <c>heads</c> or <c>head-dim</c>, which together make up the model's width (unless told heads of 64, or what of its halves
    /// divides the width into two or more), <c>chunk</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static Rwkv7 Create(BlockOptions options, Builder builder)
    {
        (int heads, int headDim) = HeadSizes.Read(options, builder.Width, 64);
        return new Rwkv7(builder, new Rwkv7Options(heads, headDim, Math.Min(options.Index, builder.Blocks - 1), options.Int("chunk", 64, 1, 1024)));
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (Rwkv7State)state;
        Tape tape = x.Tape!;
        Shape byHead = new(x.Shape[0], x.Shape[1], options.Heads, options.HeadDim);

        (Tensor shifted, Tensor last) = Ops.TokenShift(x, mix, s.Shift.Before(tape));
        s.Shift.After(last);
        Tensor r = Ops.Linear(Shifted(0), receptance), k = Ops.Linear(Shifted(1), key), v = Ops.Linear(Shifted(2), value);
        Tensor g = Ops.Affine(Ops.Sigmoid(Ops.Linear(Ops.Tanh(Ops.Linear(Shifted(3), decayDown)), decayUp, decayBase)), -LargestDecay);
        Tensor a = Ops.Sigmoid(Ops.Linear(Ops.Linear(Shifted(4), rateDown), rateUp, rateBase));
        Tensor gate = Ops.Linear(Ops.Sigmoid(Ops.Linear(Shifted(5), gateDown)), gateUp);

        Tensor kappa = Ops.L2Norm(Ops.Multiply(k, erase), options.HeadDim, 1e-12f);
        k = Ops.Multiply(k, Ops.Affine(Ops.Multiply(Ops.Affine(a, 1, -1), blend), 1, 1));
        (Tensor o, Tensor memory) = ChannelDelta.ChunkedLowRank(r, k, v, Ops.Affine(kappa, -1), Ops.Multiply(kappa, a), g,
            s.Memory.Before(tape), options.Heads, chunk: options.Chunk);
        s.Memory.After(memory);

        Tensor present = Ops.SumTo(Ops.Multiply(Ops.Multiply(r, k), bonus).Reshape(byHead), byHead.With(^1, 1)); // (r . (k o r_k))_h
        Tensor direct = Ops.Multiply(present, v.Reshape(byHead)).Reshape(v.Shape);
        Tensor normed = Ops.Add(Ops.LayerNorm(o, norm, NormEpsilon, options.HeadDim), normBias);
        return Ops.Linear(Ops.Multiply(Ops.Add(normed, direct), gate), output);

        Tensor Shifted(int i) => shifted.Columns(i * width, width);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new Rwkv7State(
        new StateTensor(mix.Device, "shift", new Shape(batch, 1, width)),
        new StateTensor(mix.Device, "memory", new Shape(batch, options.Heads, options.HeadDim, options.HeadDim)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4L * width)
            + Models.Cost.Linear(tokens, width, 2L * (decayDown.Shape[0] + rateDown.Shape[0] + gateDown.Shape[0]))
            + ChannelDelta.Flops(tokens, options.Heads, options.HeadDim, options.HeadDim, lowRank: true, options.Chunk),
        ParameterCount(),
        sizeof(float) * (width + ((long)width * options.HeadDim)));
}

/// <summary>What a <see cref="Rwkv7"/> layer remembers, whatever the number of tokens: d (head width) + d floats a sequence.</summary>
public sealed class Rwkv7State : MixerState
{
    internal Rwkv7State(StateTensor shift, StateTensor memory) => (Shift, Memory) = (Keep(shift), Keep(memory));

    /// <summary>The last token's input [B,1,d].</summary>
    public StateTensor Shift { get; }

    /// <summary>S [B,H,N,N], keys by values: the transpose of the paper's.</summary>
    public StateTensor Memory { get; }
}
