using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// A mixture of experts (Shazeer et al., arXiv 1701.06538): MLPs of which each token chooses a few by the scores of a router, and whose
/// outputs are summed with those scores as weights. Softmax scores, renormalised over the chosen or not, are Mixtral's (arXiv 2401.04088),
/// Jamba's, Granite's, Qwen's and MiniMax's; sigmoid scores with a correction for the choice and with groups of experts are DeepSeek-V3's
/// (arXiv 2412.19437, section 2.1.2) and Nemotron-H's. Only chosen experts are computed; see <see cref="ExpertsDefinition"/> for all of it plainly.
/// </summary>
public sealed class MixtureOfExperts : Mixer
{
    private readonly Tensor router;              // [E, D]
    private readonly Tensor? correction;         // [E]: added to sigmoid scores for the choice; balanced by hand, not by gradients
    private readonly Tensor up;                  // [E 2 hidden, D or latent]: each expert's gate, then its up; [E hidden, ..] without a gate
    private readonly Tensor down;                // [E D or latent, hidden]
    private readonly Tensor? latentIn, latentOut; // [latent, D], [D, latent]
    private readonly Tensor? latentInBias, latentOutBias;
    private readonly Mixer? shared;
    private readonly Tensor? sharedGate;         // [1, D]
    private readonly MixtureOptions options;
    private readonly int width, inner;

    /// <summary>Makes the experts and the router.</summary>
    public MixtureOfExperts(Builder builder, MixtureOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        (this.options, width) = (options, builder.Width);
        (int experts, int hidden, float gain) = (options.Routing.Experts, options.Hidden, 1 / MathF.Sqrt(builder.Blocks));
        inner = options.Latent == 0 ? width : options.Latent;
        router = Learn(builder, "router.weight", new Shape(experts, width), Initial.Linear(width), decay: true);
        correction = options.Routing.IsSigmoid ? Keep(builder, "router.correction", new Shape(experts), Initial.Zeros) : null;
        if (options.Latent > 0)
        {
            latentIn = LearnLinear(builder, "latent_in_proj.weight", inner, width);
            latentOut = LearnLinear(builder, "latent_out_proj.weight", width, inner);
            latentInBias = options.Bias ? Learn(builder, "latent_in_proj.bias", new Shape(inner), Initial.Zeros, decay: false) : null;
            latentOutBias = options.Bias ? Learn(builder, "latent_out_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
        }

        up = LearnExperts(builder, options.IsGated ? "experts.gate_up_proj.weight" : "experts.up_proj.weight", experts, options.IsGated ? 2 * hidden : hidden, inner);
        down = LearnExperts(builder, "experts.down_proj.weight", experts, inner, hidden, gain);
        if (options.Shared > 0)
        {
            shared = options.IsGated ? Contain("shared", new SwiGlu(builder, options.Shared, options.Activation, options.Bias))
                : Contain("shared", new Mlp(builder, options.Shared, options.Activation, options.Bias));
            sharedGate = options.HasSharedGate ? LearnLinear(builder, "shared_gate.weight", 1, width) : null;
        }
    }

    /// <summary>
    /// Options: <c>experts</c> (8), <c>active</c> (2), the hidden width of each <c>hidden</c> (together the active ones have swiglu's, unless given);
    /// <c>router</c> (softmax or sigmoid), <c>renormalise</c> (true: the weights of the chosen sum to <c>scale</c>), <c>scale</c> (1);
    /// <c>groups</c> (1) of experts, of which <c>active-groups</c> (1) are chosen from; <c>activation</c> (silu), <c>gated</c> (true);
    /// <c>latent</c> (0, none), a narrower width that experts work in; <c>shared</c> (0, none), the hidden width of an expert for all tokens,
    /// <c>shared-gate</c> (false), a sigmoid of one output that it is multiplied by; <c>bias</c> (false), of the latent maps and the shared expert.
    /// </summary>
    public static MixtureOfExperts Create(BlockOptions options, Builder builder) => new(builder, Read(options, builder.Width));

    /// <summary>Reads a block's options.</summary>
    internal static MixtureOptions Read(BlockOptions options, int width)
    {
        const int most = 1 << 20;
        int experts = options.Int("experts", 8, 1, 1 << 16), active = options.Int("active", 2, 1, 1 << 16);
        int groups = options.Int("groups", 1, 1, 1 << 16), activeGroups = options.Int("active-groups", 1, 1, 1 << 16);
        if (active > experts)
        {
            throw options.Refuse("active", $"is more than there are: experts={experts}");
        }

        if (groups > 1 && (experts % groups > 0 || experts < 2 * groups))
        {
            throw options.Refuse("groups", $"does not cut experts={experts} into equal groups of two or more");
        }

        if (activeGroups > groups || active > activeGroups * (experts / groups))
        {
            throw options.Refuse("active-groups", activeGroups > groups ? $"is more than there are: groups={groups}" : $"hold fewer experts, of groups of {experts / groups}, than active={active}");
        }

        var routing = new ExpertRouting(experts, active, options.Choice("router", "softmax", "softmax", "sigmoid") == "sigmoid", options.Flag("renormalise", true),
            (float)options.Real("scale", 1, 1e-6, 1e6), groups, activeGroups);
        int share = (SwiGlu.UsualHidden(width) + active - 1) / active;
        var mixture = new MixtureOptions(routing, options.Int("hidden", (share + 31) / 32 * 32, 1, most))
        {
            Activation = Activations.Read(options, Activation.Silu),
            IsGated = options.Flag("gated", true),
            Latent = options.Int("latent", 0, 0, most),
            Shared = options.Int("shared", 0, 0, most),
            HasSharedGate = options.Flag("shared-gate", false),
            Bias = options.Flag("bias", false),
        };
        if (mixture.HasSharedGate && mixture.Shared == 0)
        {
            throw options.Refuse("shared-gate", "gates nothing: give shared, the hidden width of the expert for all tokens");
        }

        if (mixture.Bias && mixture.Shared == 0 && mixture.Latent == 0)
        {
            throw options.Refuse("bias", "biases nothing: give shared or latent");
        }

        if (2L * experts * Math.Max(mixture.Hidden, Math.Max(mixture.Latent, width)) > int.MaxValue)
        {
            throw options.Refuse("experts", $"makes matrices of more than {int.MaxValue} rows: fewer or narrower experts do");
        }

        return mixture;
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        ExpertRoute route = Ops.RouteExperts(x, router, correction, options.Routing);
        Tensor rows = Ops.ExpertLinear(Ops.ToExperts(latentIn is null ? x : Ops.Linear(x, latentIn, latentInBias), route), up, route);
        int hidden = options.Hidden;
        rows = options.IsGated ? Activations.Gate(options.Activation, rows.Columns(0, hidden), rows.Columns(hidden, hidden)) : Activations.Apply(options.Activation, rows);
        Tensor y = Ops.FromExperts(Ops.ExpertLinear(rows, down, route), route);
        return WithShared(x, state, latentOut is null ? y : Ops.Linear(y, latentOut, latentOutBias));
    }

    /// <summary>The same by <see cref="ExpertsDefinition"/>, for tests.</summary>
    internal Tensor MixByDefinition(Tensor x, MixerState state)
    {
        Tensor input = latentIn is null ? x : Ops.Linear(x, latentIn, latentInBias);
        Tensor y = ExpertsDefinition.Run(x, input, router, correction, up, down, options);
        return WithShared(x, state, latentOut is null ? y : Ops.Linear(y, latentOut, latentOutBias));
    }

    private Tensor WithShared(Tensor x, MixerState state, Tensor y)
    {
        if (shared is null)
        {
            return y;
        }

        Tensor forAll = shared.Mix(x, state);
        return Ops.Add(y, sharedGate is null ? forAll : Ops.Multiply(forAll, Ops.Sigmoid(Ops.Linear(x, sharedGate))));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new NoState();

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        long flops = Models.Cost.Linear(tokens, width, options.Routing.Experts)
            + Models.Cost.Linear((long)tokens * options.Routing.Active, inner, (options.IsGated ? 3L : 2L) * options.Hidden)
            + (options.Latent == 0 ? 0 : Models.Cost.Linear(tokens, width, 2L * inner))
            + (shared?.Cost(tokens, context).Flops ?? 0) + (sharedGate is null ? 0 : Models.Cost.Linear(tokens, width, 1));
        return new(flops, ParameterCount(), 0);
    }
}

/// <summary>What experts there are and how tokens choose them.</summary>
/// <param name="Routing">The choice.</param>
/// <param name="Hidden">The hidden width of each expert.</param>
public sealed record MixtureOptions(ExpertRouting Routing, int Hidden)
{
    /// <summary>The activation of all experts.</summary>
    public Activation Activation { get; init; }

    /// <summary>Whether experts are gated (<see cref="SwiGlu"/>), or plain (<see cref="Mlp"/>).</summary>
    public bool IsGated { get; init; } = true;

    /// <summary>The width that experts work in, between two linear maps for all of them; 0: the model's, without the maps.</summary>
    public int Latent { get; init; }

    /// <summary>The hidden width of the expert that all tokens see besides; 0: there is none.</summary>
    public int Shared { get; init; }

    /// <summary>Whether the shared expert is multiplied by the sigmoid of a linear map with one output.</summary>
    public bool HasSharedGate { get; init; }

    /// <summary>Whether the latent maps and the shared expert have biases.</summary>
    public bool Bias { get; init; }
}
