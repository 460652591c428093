using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The Transformer block of Zamba2 (Glorioso et al., arXiv 2411.15242, section 2 and figure 2), whose weights several blocks of a model have
/// in common; each has its own adapters of low rank (Hu et al., arXiv 2106.09685) and its own last map. It joins nothing to its input:
/// <code>
/// n = norm(x)                                   x: the stream and, behind it, the embedded tokens (the option with-embedding)
/// q, k, v = W n + B_q A_q n, ..                 the B A: this block's own
/// a = W_o softmax(q k^T / sqrt(d_h / 2)) v      causal; queries and keys perhaps turned by rotary positions
/// g, u = W_gu m + B A m,  m = norm(a)
/// y = W_y W_down (gelu(g) u)                    W_y: this block's own
/// </code>
/// State: the keys and values of all tokens, as of attention; each block has its own.
/// </summary>
public sealed class SharedTransformer : Mixer
{
    private readonly SharedTransformerOptions o;
    private readonly Device device;
    private readonly int width, inputs, queries, keys;
    private readonly Common common;
    private readonly Tensor? qkvDown;          // [3 rank, inputs]: A of q, k and v
    private readonly Tensor? qUp, kUp, vUp;    // [H d_h, rank], [H_kv d_h, rank]: B
    private readonly Tensor? mlpDown, mlpUp;   // [rank, D], [2 hidden, rank]
    private readonly Tensor linear;            // [D, D]

    /// <summary>Makes the mixer; the first of its number makes the weights that the others have in common with it.</summary>
    public SharedTransformer(Builder builder, SharedTransformerOptions options)
    {
        (o, device, width, inputs) = (options, builder.Device, builder.Width, builder.Inputs);
        (queries, keys) = (o.Sizes.Heads * o.Sizes.HeadDim, o.Sizes.KeyHeads * o.Sizes.HeadDim);
        string name = Common.NameOf(o.Number);
        common = builder.Shared.TryGetValue(name, out Module? made) ? (Common)made : Contain("shared", new Common(builder, o));
        builder.Shared[name] = common;
        if (o.AttentionAdapters)
        {
            qkvDown = LearnLinear(builder, "qkv_adapter_in.weight", 3 * o.AdapterRank, inputs);
            qUp = LearnUp("q_adapter.weight", queries);
            kUp = LearnUp("k_adapter.weight", keys);
            vUp = LearnUp("v_adapter.weight", keys);
        }

        if (o.AdapterRank > 0)
        {
            mlpDown = LearnLinear(builder, "mlp_adapter_in.weight", o.AdapterRank, width);
            mlpUp = LearnUp("mlp_adapter.weight", 2 * o.Hidden);
        }

        linear = LearnLinear(builder, "linear.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));

        // Zeros: an adapter begins as nothing.
        Tensor LearnUp(string adapter, int outputs) => LearnLinear(builder, adapter, new Shape(outputs, o.AdapterRank), Initial.Zeros);
    }

    /// <summary>
    /// Options: <c>number</c> (blocks of one number have their weights in common; 0), <c>heads</c>, <c>kv-heads</c>, <c>head-dim</c> as
    /// attention's, of the columns read; <c>rope-theta</c> (10000; 0: no positions) and its scaling, as attention's; <c>hidden</c> (4 x the
    /// width) and <c>activation</c> (gelu) of the MLP, <c>bias</c> (of its maps; false), <c>adapter-rank</c> (0: no adapters),
    /// <c>attention-adapters</c> (on queries, keys and values too; false), <c>norm-epsilon</c>.
    /// </summary>
    public static SharedTransformer Create(BlockOptions options, Builder builder)
    {
        (int heads, int keyHeads, int headDim) = Attention.ReadHeads(options, builder.Inputs);
        float theta = Attention.ReadTheta(options, 10000, headDim);
        var chosen = new SharedTransformerOptions
        {
            Number = options.Int("number", 0, 0, Pattern.MaxBlocks),
            Sizes = new AttentionOptions(heads, keyHeads, headDim, MathF.Sqrt(2f / headDim), 0),
            Theta = theta,
            Scaling = theta > 0 ? Attention.ReadScaling(options) : default,
            Hidden = options.Int("hidden", 4 * builder.Width, 1, 1 << 20),
            Activation = Activations.Read(options, Activation.Gelu),
            Bias = options.Flag("bias", false),
            AdapterRank = options.Int("adapter-rank", 0, 0, 4096),
            AttentionAdapters = options.Flag("attention-adapters", false),
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
        };
        if (chosen.AttentionAdapters && chosen.AdapterRank == 0)
        {
            throw options.Refuse("attention-adapters", "needs an adapter-rank above 0");
        }

        return builder.Shared.TryGetValue(Common.NameOf(chosen.Number), out Module? made) && !((Common)made).Fits(chosen, builder.Inputs)
            ? throw options.Refuse("number", "is a block's of other sizes; blocks of one number have their weights in common")
            : new SharedTransformer(builder, chosen);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        TokenCache cache = ((AttentionState)state).Cache;
        Tensor n = Ops.RmsNorm(x, common.Norm, o.NormEpsilon), all = Ops.Linear(n, common.Qkv);
        Tensor q = all.Columns(0, queries), k = all.Columns(queries, keys), v = all.Columns(queries + keys, keys);
        if (qkvDown is not null)
        {
            Tensor low = Ops.Linear(n, qkvDown);
            q = Ops.Add(q, Ops.Linear(low.Columns(0, o.AdapterRank), qUp!));
            k = Ops.Add(k, Ops.Linear(low.Columns(o.AdapterRank, o.AdapterRank), kUp!));
            v = Ops.Add(v, Ops.Linear(low.Columns(2 * o.AdapterRank, o.AdapterRank), vUp!));
        }

        (q, k) = (Turned(q, cache.Position), Turned(k, cache.Position));
        Tensor a = Ops.Attention(q, k, v, cache.Before(x.Tape!), o.Sizes, cache.Position);
        cache.Append(x.Tape!, k, v);

        Tensor m = Ops.RmsNorm(Ops.Linear(a, common.Output), common.MlpNorm, o.NormEpsilon), both = Ops.Linear(m, common.GateUp, common.GateUpBias);
        both = mlpDown is null ? both : Ops.Add(both, Ops.Linear(Ops.Linear(m, mlpDown), mlpUp!));
        Tensor hidden = Activations.Gate(o.Activation, both.Columns(0, o.Hidden), both.Columns(o.Hidden, o.Hidden));
        return Ops.Linear(Ops.Linear(hidden, common.Down, common.DownBias), linear);
    }

    private Tensor Turned(Tensor x, long position) => o.Theta > 0 ? Ops.Rope(x, o.Sizes.HeadDim, position, o.Theta, scaling: o.Scaling) : x;

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new AttentionState(device, batch, o.Sizes);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        int attentionRank = o.AttentionAdapters ? o.AdapterRank : 0;
        return new Cost(
            Models.Cost.Linear(tokens, inputs, queries + (2 * keys) + (3 * attentionRank))
                + Models.Cost.Linear(tokens, attentionRank, queries + (2 * keys))
                + o.Sizes.Flops(tokens, context)
                + Models.Cost.Linear(tokens, queries, width)
                + Models.Cost.Linear(tokens, width, (3 * o.Hidden) + o.AdapterRank)
                + Models.Cost.Linear(tokens, o.AdapterRank, 2 * o.Hidden)
                + Models.Cost.Linear(tokens, width, width),
            ParameterCount(),
            2L * (context + tokens) * keys * sizeof(float));
    }

    /// <summary>The weights that blocks of one number have in common; they are the first one's parameters.</summary>
    private sealed class Common : Module
    {
        private readonly SharedTransformerOptions made;

        public Common(Builder builder, SharedTransformerOptions options)
        {
            (int width, int queries) = (builder.Width, options.Sizes.Heads * options.Sizes.HeadDim);
            made = options;
            Norm = Learn(builder, "norm.weight", new Shape(builder.Inputs), Initial.Ones, decay: false);
            Qkv = LearnLinear(builder, "qkv_proj.weight", queries + (2 * options.Sizes.KeyHeads * options.Sizes.HeadDim), builder.Inputs);
            Output = LearnLinear(builder, "out_proj.weight", width, queries);
            MlpNorm = Learn(builder, "mlp_norm.weight", new Shape(width), Initial.Ones, decay: false);
            GateUp = LearnLinear(builder, "gate_up_proj.weight", 2 * options.Hidden, width);
            GateUpBias = options.Bias ? Learn(builder, "gate_up_proj.bias", new Shape(2 * options.Hidden), Initial.Zeros, decay: false) : null;
            Down = LearnLinear(builder, "down_proj.weight", width, options.Hidden);
            DownBias = options.Bias ? Learn(builder, "down_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
        }

        public Tensor Norm { get; }                // [inputs]

        public Tensor Qkv { get; }                 // [(H + 2 H_kv) d_h, inputs]

        public Tensor Output { get; }              // [D, H d_h]

        public Tensor MlpNorm { get; }             // [D]

        public Tensor GateUp { get; }              // [2 hidden, D]

        public Tensor? GateUpBias { get; }         // [2 hidden]

        public Tensor Down { get; }                // [D, hidden]

        public Tensor? DownBias { get; }           // [D]

        public static string NameOf(int number) => $"shared-transformer {number}";

        public bool Fits(SharedTransformerOptions o, int inputs) =>
            o.Sizes == made.Sizes && o.Hidden == made.Hidden && o.Bias == made.Bias && inputs == Norm.Shape.Columns;
    }
}

/// <summary>What a <see cref="SharedTransformer"/> mixer is made by.</summary>
public sealed record SharedTransformerOptions
{
    /// <summary>Blocks of one number have their weights in common.</summary>
    public int Number { get; init; }

    /// <summary>Heads, their width and scale.</summary>
    public required AttentionOptions Sizes { get; init; }

    /// <summary>The base of the rotary angles; 0: no rotary positions.</summary>
    public float Theta { get; init; }

    /// <summary>How the rotary frequencies were changed for longer contexts.</summary>
    public RopeScaling Scaling { get; init; }

    /// <summary>The hidden width of the MLP.</summary>
    public required int Hidden { get; init; }

    /// <summary>The activation of the MLP's gate.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>Whether the MLP's maps have biases.</summary>
    public bool Bias { get; init; }

    /// <summary>The rank of the adapters; 0: none.</summary>
    public int AdapterRank { get; init; }

    /// <summary>Whether queries, keys and values have adapters too.</summary>
    public bool AttentionAdapters { get; init; }

    /// <summary>What the norms add to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}
