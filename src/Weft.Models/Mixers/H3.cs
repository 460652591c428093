using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// H3, "hungry hungry hippos" (Fu et al., arXiv 2212.14052, algorithm 1): two state spaces with products between them, the first to shift
/// keys along, the second to remember what they met. For each head of w channels, as the authors' code computes it,
/// <code>
/// q, k, v = W u + bias
/// k       = shift(k): a learned causal filter, the shift SSM whose state is the last inputs
/// S_t     = SSM_diag(k_t v_t^T): on each of the w x w products, h = lambda h + k v, 2 Re(C h) + D k v
/// y_t     = S_t^T q_t;  out = W_o y + bias
/// </code>
/// With heads of one channel, the default, the products are of numbers: q * SSM_diag(shift(k) * v). SSM_diag is S4D by the bilinear rule and
/// starts as S4D-Lin; its B (ones) is part of C, as the shift's skip connection is part of the filter's last tap. A and dt are trained without
/// weight decay.
/// </summary>
public sealed class H3 : Mixer
{
    private readonly int width, heads, headDim, pairs, taps;

    private readonly Tensor inProj, inBias;     // [3 D, D], [3 D]: q, k, v
    private readonly Tensor shift;              // [D, taps]
    private readonly Tensor logReal, imaginary; // [N/2, heads]: A
    private readonly Tensor logStep;            // [heads]: log dt
    private readonly Tensor c;                  // [2, N/2, heads]
    private readonly Tensor skip;               // [heads]: D
    private readonly Tensor outProj, outBias;   // [D, D], [D]
    private readonly Tensor ones;               // [1, 1, w w]: repeats a head's parameters

    /// <summary>Makes the mixer; <paramref name="headDim"/> divides the width and <paramref name="states"/> is even.</summary>
    public H3(Builder builder, int states, int taps, int headDim, double minStep, double maxStep)
    {
        (width, heads, this.headDim, pairs, this.taps) = (builder.Width, builder.Width / headDim, headDim, states / 2, taps);
        float bound = 1 / MathF.Sqrt(width);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * width, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(3 * width), Initial.Uniform(bound), decay: false);
        shift = Learn(builder, "shift", new Shape(width, taps), Filter, decay: true);
        var shape = new Shape(pairs, heads);
        logReal = Learn(builder, "log_A_real", shape, static (values, _) => values.Fill(MathF.Log(0.5f)), decay: false);
        imaginary = Learn(builder, "A_imag", shape, StateSpace.Linear(heads), decay: false);
        logStep = Learn(builder, "log_dt", new Shape(heads), StateSpace.LogSteps(minStep, maxStep), decay: false);
        c = Learn(builder, "C", new Shape(2, pairs, heads), Initial.Normal(MathF.Sqrt(0.5f)), decay: true);
        skip = Learn(builder, "D", new Shape(heads), Initial.Normal(1), decay: true);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
        outBias = Learn(builder, "out_proj.bias", new Shape(width), Initial.Uniform(bound), decay: false);
        ones = builder.Device.Zeros(new Shape(1, 1, headDim * headDim));
        ones.Fill(1);

        // As a convolution's, within 1 / sqrt(taps), plus a standard normal skip connection.
        void Filter(Span<float> values, RandomSource random)
        {
            random.FillUniform(values, -1 / MathF.Sqrt(taps), 1 / MathF.Sqrt(taps));
            for (int i = taps - 1; i < values.Length; i += taps)
            {
                values[i] += random.NextGaussian();
            }
        }
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>shift</c> (taps: the shift SSM's states), <c>head-dim</c> w (1 in the code, 8 in the paper's language models),
    /// <c>dt-min</c> and <c>dt-max</c>, between which initial steps lie.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, N is odd, or the head width does not divide the model's.</exception>
    public static H3 Create(BlockOptions options, Builder builder)
    {
        int states = 2 * StateSpace.Pairs(options, 64), taps = options.Int("shift", 64, 2, 1024), headDim = options.Int("head-dim", 1, 1, 256);
        (double min, double max) = StateSpace.Steps(options);
        return builder.Width % headDim == 0 ? new H3(builder, states, taps, headDim, min, max)
            : throw options.Refuse("head-dim", $"does not divide width {builder.Width}; head widths that do: {HeadSizes.Divisors(builder.Width, 256)}");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (H3State)state;
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, inProj, inBias);
        Tensor q = all.Columns(0, width), v = all.Columns(2 * width, width);
        (Tensor k, Tensor last) = Ops.CausalConv(all.Columns(width, width), shift, null, s.Shift.Before(tape), silu: false);
        s.Shift.After(last);

        Tensor real = Ops.Affine(Ops.Exp(Ops.Copy(logReal, tape)), -1);
        (Tensor lambda, Tensor w) = Ops.Discretize(real, imaginary, logStep, c, Discretization.Bilinear);
        Tensor mixed = headDim == 1 ? Ops.Multiply(q, Remember(Ops.Multiply(k, v), lambda, w, skip)) : Heads();
        return Ops.Linear(mixed, outProj, outBias);

        Tensor Remember(Tensor kv, Tensor poles, Tensor read, Tensor d)
        {
            (Tensor y, Tensor h) = TimeInvariant.Fused(kv, poles, read, d, s.H.Before(tape));
            s.H.After(h);
            return y;
        }

        // Every product k_i v_j of a head runs through that head's state space.
        Tensor Heads()
        {
            int rows = x.Shape.Rows, squares = headDim * headDim;
            Shape byKey = new(rows, heads, headDim, 1), byValue = new(rows, heads, 1, headDim), flat = x.Shape.With(^1, heads * squares), poles = new(2, pairs, heads * squares);
            Tensor kv = Ops.Multiply(k.Reshape(byKey), Ops.Copy(v, tape).Reshape(byValue)).Reshape(flat);
            Tensor d = Ops.Multiply(ones, Ops.Copy(skip, tape).Reshape(new Shape(1, heads, 1))).Reshape(new Shape(heads * squares));
            Tensor y = Remember(kv, Repeat(lambda).Reshape(poles), Repeat(w).Reshape(poles), d).Reshape(new Shape(rows, heads, headDim, headDim));
            return Ops.SumTo(Ops.Multiply(y, Ops.Copy(q, tape).Reshape(byKey)), byValue).Reshape(x.Shape);
        }

        Tensor Repeat(Tensor perHead) => Ops.Multiply(perHead.Reshape(new Shape(2 * pairs, heads, 1)), ones);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) =>
        new H3State(inProj.Device, new Shape(batch, taps - 1, width), new Shape(batch, 2, pairs, width * headDim));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4L * width) + (2L * tokens * width * taps) + Ops.DiagonalSsmFlops(tokens, pairs, width * headDim),
        ParameterCount(),
        sizeof(float) * (((taps - 1L) * width) + (2L * pairs * width * headDim)));
}

/// <summary>What an <see cref="H3"/> mixer remembers.</summary>
public sealed class H3State : MixerState
{
    internal H3State(Device device, Shape shift, Shape h)
    {
        Shift = Keep(new StateTensor(device, "shift", shift));
        H = Keep(new StateTensor(device, "h", h));
    }

    /// <summary>The last keys [B, taps - 1, D], oldest first: the shift SSM's state.</summary>
    public StateTensor Shift { get; }

    /// <summary>The diagonal SSM's state [B,2,N/2,D w], real parts, then imaginary ones.</summary>
    public StateTensor H { get; }
}
