using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Mamba-3 (Lahoti et al., arXiv 2603.15569), as the authors' code computes it. With H heads of P channels, N states and rank R (1: SISO),
/// <code>
/// z, x, B, C, dt, A, lambda, angle = W_in u
/// B, C = norm(B) weight_B, norm(C) weight_C        over their N columns, instead of a convolution
/// dt = softplus(dt + dt_bias),  lambda = sigmoid(lambda)
/// a  = -dt max(f(A), 1e-4)                         a decay from the data; f(A) = A + 1 above 0, 1 / (1 - A) below, or softplus
/// rate = tanh(angle) / 2 turns                     shared by the heads
/// y  = trapezoid(B, C, x, rate, dt, a, lambda, D)  see <see cref="Trapezoid"/>: keys and queries with biases a head, turned
/// out = W_out (y silu(z))
/// </code>
/// With R &gt; 1 (MIMO) x and z are multiplied by R learned rows a head, and the R gated outputs add up by a third's weights.
/// State: u, the last token's keys, values and weight, the angles.
/// </summary>
public sealed class Mamba3 : Mixer
{
    private const float NormEpsilon = 1e-5f, SlowestDecay = 1e-4f;

    private readonly Mamba3Options o;
    private readonly Device device;
    private readonly int width, inner, heads, states, pairs; // states: R N, the columns of B and of C

    private readonly Tensor inProj;                // [2 inner + 2 R N + 3 H + S, D]: z, x, B, C, dt, A, lambda, angle
    private readonly Tensor dtBias, skip;          // [H]: the latter D
    private readonly Tensor biasB, biasC;          // [H,R,N]
    private readonly Tensor normB, normC;          // [N]
    private readonly Tensor? upX, upZ, down;       // [H,R,P], with R > 1
    private readonly Tensor outProj;               // [D, inner]

    /// <summary>Makes the mixer; the head width must divide expand x width, and some pair of states turn.</summary>
    public Mamba3(Builder builder, Mamba3Options options)
    {
        (o, device, width, inner, states) = (options, builder.Device, builder.Width, options.Expand * builder.Width, options.Rank * options.State);
        (heads, pairs) = (inner / o.HeadDim, o.Pairs);
        inProj = LearnLinear(builder, "in_proj.weight", (2 * inner) + (2 * states) + (3 * heads) + pairs, width);
        dtBias = Learn(builder, "dt_bias", new Shape(heads), Initial.StepBias(), decay: false);
        biasB = Learn(builder, "B_bias", new Shape(heads, o.Rank, o.State), Initial.Ones, decay: false);
        biasC = Learn(builder, "C_bias", new Shape(heads, o.Rank, o.State), Initial.Ones, decay: false);
        normB = Learn(builder, "B_norm.weight", new Shape(o.State), Initial.Ones, decay: false);
        normC = Learn(builder, "C_norm.weight", new Shape(o.State), Initial.Ones, decay: false);
        if (o.Rank > 1)
        {
            var rows = new Shape(heads, o.Rank, o.HeadDim);
            upX = Learn(builder, "mimo_x", rows, (values, _) => values.Fill(1f / o.Rank), decay: true);
            upZ = Learn(builder, "mimo_z", rows, Initial.Ones, decay: true);
            down = Learn(builder, "mimo_o", rows, (values, _) => values.Fill(1f / o.Rank), decay: true);
        }

        skip = Learn(builder, "D", new Shape(heads), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>head-dim</c> P, <c>expand</c>, <c>rank</c> R (1, 2 or 4), <c>rope-fraction</c> (of the states that turn, 0.5
    /// or 1), <c>decay</c> (f: heavy-tail, or softplus as in the paper), <c>chunk</c> (tokens, 64 / R); see <see cref="Mamba3Options"/>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, does not divide, or leaves nothing to turn.</exception>
    public static Mamba3 Create(BlockOptions options, Builder builder)
    {
        var usual = new Mamba3Options();
        int rank = int.Parse(options.Choice("rank", "1", "1", "2", "4"), System.Globalization.CultureInfo.InvariantCulture);
        var chosen = new Mamba3Options
        {
            State = options.Int("state", usual.State, 1, 4096),
            HeadDim = options.Int("head-dim", usual.HeadDim, 1, 4096),
            Expand = options.Int("expand", usual.Expand, 1, 16),
            Rank = rank,
            TurnAll = options.Choice("rope-fraction", "0.5", "0.5", "1") == "1",
            SoftplusDecay = options.Choice("decay", "heavy-tail", "heavy-tail", "softplus") == "softplus",
            Chunk = options.Int("chunk", usual.Chunk / rank, 1, 1024),
        };
        int inner = chosen.Expand * builder.Width;
        return inner % chosen.HeadDim != 0 ? throw options.Refuse("head-dim", $"does not divide expand x width = {inner}; head widths that do: {HeadSizes.Divisors(inner, 128)}")
            : chosen.State % 2 != 0 ? throw options.Refuse("state", "is odd, and states turn in pairs; use an even number, as a rule 128")
            : chosen.Pairs == 0 ? throw options.Refuse("state", "leaves no pair to turn with rope-fraction=0.5; use 4 or more, or rope-fraction=1")
            : new Mamba3(builder, chosen);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (Mamba3State)state;
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, inProj), z = all.Columns(0, inner);
        int at = 2 * (inner + states);
        Tensor b = Ops.RmsNorm(all.Columns(2 * inner, states), normB, NormEpsilon, o.State), c = Ops.RmsNorm(all.Columns((2 * inner) + states, states), normC, NormEpsilon, o.State);
        Tensor dt = Ops.Softplus(Ops.Add(all.Columns(at, heads), dtBias)), rate = Ops.Affine(Ops.Tanh(all.Columns(at + (3 * heads), pairs)), 0.5f);
        Tensor a = Ops.Multiply(dt, Ops.Affine(Decay(all.Columns(at + heads, heads)), -1));

        var inputs = new TrapezoidInputs(b, c, biasB, biasC, all.Columns(inner, inner), upX, rate, dt, a, Ops.Sigmoid(all.Columns(at + (2 * heads), heads)), skip);
        (Tensor y, TrapezoidState after) = Trapezoid.Chunked(inputs, before.Before(tape), o.Chunk);
        before.After(after);
        return Ops.Linear(o.Rank == 1 ? Ops.SiluMul(z, y) : Gated(tape, z, y), outProj);
    }

    // f(x), not under the slowest decay.
    private Tensor Decay(Tensor x)
    {
        Tensor rate = o.SoftplusDecay ? Ops.Softplus(x) : Ops.Add(Ops.Relu(x), Ops.Reciprocal(Ops.Affine(Ops.Relu(Ops.Affine(x, -1)), 1, 1)));
        return Ops.Affine(Ops.Relu(Ops.Affine(rate, 1, -SlowestDecay)), 1, SlowestDecay);
    }

    // sum over r of down_r y_r silu(up_r z).
    private Tensor Gated(Tape tape, Tensor z, Tensor y)
    {
        Shape rows = new(z.Shape[0], z.Shape[1], o.Rank, inner);
        Tensor gates = Ops.Multiply(Ops.Affine(z, 1).Reshape(rows.With(2, 1)), Rows(upZ!));
        Tensor gated = Ops.SiluMul(gates, y.Reshape(rows));
        return Ops.SumTo(Ops.Multiply(gated, Rows(down!)), rows.With(2, 1)).Reshape(z.Shape);

        Tensor Rows(Tensor weights) => Ops.Transpose(Ops.Copy(weights, tape), 0, 1).Reshape(new Shape(1, 1, o.Rank, inner));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new Mamba3State(device, o, batch, heads);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0])
            + Trapezoid.Flops(tokens, heads, o.State, o.HeadDim, pairs, o.Rank, o.Chunk)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (((long)inner * o.State) + ((long)heads * states) + inner + heads + (2L * heads * pairs)));
}

/// <summary>The sizes of a <see cref="Mamba3"/> mixer; the defaults are the authors'.</summary>
public sealed record Mamba3Options
{
    /// <summary>States of a channel, N, even.</summary>
    public int State { get; init; } = 128;

    /// <summary>Channels of a head, P.</summary>
    public int HeadDim { get; init; } = 64;

    /// <summary>Inner channels for each of the model's.</summary>
    public int Expand { get; init; } = 2;

    /// <summary>Keys, values and queries a token, R: 1, 2 or 4.</summary>
    public int Rank { get; init; } = 1;

    /// <summary>Whether all states turn, rather than half of them.</summary>
    public bool TurnAll { get; init; }

    /// <summary>
    /// Whether the decay is a softplus, as in the paper and the authors' code until June 2026; they replaced it because decays near 0 made training of a
    /// 2B model unstable at high rates. It is what lets a state be kept: below 0 it vanishes exponentially, the heavy tail only as 1 / |A|.
    /// </summary>
    public bool SoftplusDecay { get; init; }

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>The pairs of states that turn, S.</summary>
    public int Pairs => TurnAll ? State / 2 : State / 4;
}

/// <summary>What a <see cref="Mamba3"/> mixer remembers; see <see cref="TrapezoidState"/>.</summary>
public sealed class Mamba3State : MixerState
{
    internal Mamba3State(Device device, Mamba3Options o, int batch, int heads)
    {
        U = Keep(new StateTensor(device, "u", new Shape(batch, heads, o.State, o.HeadDim)));
        K = Keep(new StateTensor(device, "k", new Shape(batch, o.Rank, heads * o.State)));
        V = Keep(new StateTensor(device, "v", new Shape(batch, 1, heads * o.HeadDim)));
        Gamma = Keep(new StateTensor(device, "gamma", new Shape(batch, 1, heads)));
        Angle = Keep(new StateTensor(device, "angle", new Shape(batch, 2, heads, o.Pairs)));
    }

    /// <summary>The recurrent state without the last token's own part [B,H,N,P].</summary>
    public StateTensor U { get; }

    /// <summary>The last token's keys [B,R,H N].</summary>
    public StateTensor K { get; }

    /// <summary>The last token's x [B,1,H P].</summary>
    public StateTensor V { get; }

    /// <summary>The last token's lambda dt [B,1,H].</summary>
    public StateTensor Gamma { get; }

    /// <summary>The angles, in turns, in two parts [B,2,H,S].</summary>
    public StateTensor Angle { get; }

    internal TrapezoidState Before(Tape tape) => new(U.Before(tape), K.Before(tape), V.Before(tape), Gamma.Before(tape), Angle.Before(tape));

    internal void After(in TrapezoidState after)
    {
        U.After(after.U!);
        K.After(after.K!);
        V.After(after.V!);
        Gamma.After(after.Gamma!);
        Angle.After(after.Angle!);
    }
}
