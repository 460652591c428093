using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes of a <see cref="Hyena"/> mixer; the defaults are the authors' for language (safari, the Pile).</summary>
public sealed record HyenaOptions
{
    /// <summary>The gates and the value, less one: order - 1 long convolutions with a gate before each and one after the last.</summary>
    public int Order { get; init; } = 2;

    /// <summary>The taps of a filter: inputs further back than this are not seen. The filter is a function of position / length.</summary>
    public int Length { get; init; } = 1024;

    /// <summary>Hidden units of the network that makes the filters.</summary>
    public int FilterWidth { get; init; } = 64;

    /// <summary>What it is told of a position: the position, and cosines and sines of (features - 1) / 2 frequencies. Odd.</summary>
    public int Features { get; init; } = 33;

    /// <summary>What the arguments of its sines are multiplied by at first: the higher, the rougher the filter.</summary>
    public float Frequency { get; init; } = 14;

    /// <summary>Taps of the short convolution.</summary>
    public int Conv { get; init; } = 3;

    /// <summary>Tokens of a block of the convolution, a power of two: how it is computed, not what.</summary>
    public int Chunk { get; init; } = 128;
}

/// <summary>
/// Hyena (Poli et al., "Hyena Hierarchy: Towards Larger Convolutional Language Models", arXiv 2302.10866; definition 3.1, equations 4 to 7
/// and section 3.3 for the filters): long convolutions with filters that a small network makes from positions, and gates between them.
/// With N the order, all products elementwise:
/// <code>
/// x_0 .. x_{N-1}, v = shortconv(W_in u + b)                           a causal convolution of 3 taps each
/// v   = h_n * (x_n v) + D_n x_n v            n = N-1 .. 1             h_n * : causal convolution with a filter as long as the context
/// y   = W_out (x_0 v) + b
/// h(t) = exp(-|delta| t/L) W_3 s(W_2 s(W_1 s(W_0 z(t) + b_0) + b_1) + b_2),   s(a) = sin(w a),   all filters at once
/// z(t) = (t/L, cos and -sin of 2 pi f t/L),  f from 1e-4 to (features - 3) / 2
/// </code>
/// The state is every input of each long convolution, up to the filters' length.
/// </summary>
/// <remarks>
/// The authors' code also learns z, at a hundredth of the learning rate, and initialises all linear maps with a deviation of 0.02, which at
/// their width of 864 is what the maps of the model's width have here.
/// </remarks>
public sealed class Hyena : Mixer
{
    // The window of a channel falls to 1 % after 0.3 to 1.5 of the length (fast and slow decay).
    private const double Target = 0.01, FastDecay = 0.3, SlowDecay = 1.5;

    private readonly HyenaOptions o;
    private readonly Device device;
    private readonly int width, filters; // channels of all filters: (order - 1) d
    private readonly Tensor inProj, inBias, conv, convBias, outProj, outBias;
    private readonly Tensor[] weights, biases; // of the filters' network
    private readonly Tensor last, frequency, skip;
    private readonly Tensor positions, times, decays; // z [1,R,features], t/L [1,R,1] and -|delta| [filters]: constants
    private readonly int remembered; // R: inputs that a convolution remembers, the filters' length up to a whole number of blocks

    private Tensor? kept; // filters for inference [1,R,filters], of which the first rows are known
    private readonly Tensor[] views, onTape; // each filter [taps,d]: of the kept ones, and of those of a recording tape
    private int known;

    /// <summary>Makes the mixer with its initial weights.</summary>
    public Hyena(Builder builder, HyenaOptions options)
    {
        (o, device, width, filters) = (options, builder.Device, builder.Width, (options.Order - 1) * builder.Width);
        remembered = (o.Length + o.Chunk - 1) / o.Chunk * o.Chunk;
        int channels = (o.Order + 1) * width;
        inProj = LearnLinear(builder, "in_proj.weight", channels, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(channels), Initial.Zeros, decay: false);
        conv = Learn(builder, "conv.weight", new Shape(channels, o.Conv), Initial.Linear(o.Conv), decay: true);
        convBias = Learn(builder, "conv.bias", new Shape(channels), Initial.Uniform(1 / MathF.Sqrt(o.Conv)), decay: false);
        int[] inputs = [o.Features, o.FilterWidth, o.FilterWidth];
        weights = [.. inputs.Select((n, i) => Learn(builder, $"filter.{i}.weight", new Shape(o.FilterWidth, n), Initial.Normal(0.02f), decay: false))];
        biases = [.. inputs.Select((_, i) => Learn(builder, $"filter.{i}.bias", new Shape(o.FilterWidth), Initial.Zeros, decay: false))];
        last = Learn(builder, "filter.3.weight", new Shape(filters, o.FilterWidth), Initial.Normal(0.02f), decay: false);
        frequency = Learn(builder, "filter.frequency", new Shape(o.FilterWidth), (values, _) => values.Fill(o.Frequency), decay: false);
        skip = Learn(builder, "filter.skip", new Shape(filters), Initial.Normal(1), decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
        outBias = Learn(builder, "out_proj.bias", new Shape(width), Initial.Zeros, decay: false);
        (positions, times, decays) = Constants();
        (views, onTape) = (new Tensor[o.Order - 1], new Tensor[o.Order - 1]);
    }

    /// <summary>
    /// Options: <c>order</c> (2), <c>length</c> (the filters' taps, 1024: the longest context), <c>filter-width</c> (64), <c>features</c> (33),
    /// <c>frequency</c> (14), <c>conv</c> (3), <c>chunk</c> (an eighth of the length).
    /// </summary>
    public static Hyena Create(BlockOptions options, Builder builder)
    {
        var usual = new HyenaOptions();
        int length = options.Int("length", usual.Length, 1, 1 << 20);
        int chunk = options.Int("chunk", Ops.LongConvBlock(length), 16, 1 << 16), features = options.Int("features", usual.Features, 3, 1025);
        if (!int.IsPow2(chunk))
        {
            throw options.Refuse("chunk", "is not a power of two; 64, 128 and 256 are");
        }

        return features % 2 == 1
            ? new Hyena(builder, new HyenaOptions
            {
                Order = options.Int("order", usual.Order, 2, 8),
                Length = length,
                FilterWidth = options.Int("filter-width", usual.FilterWidth, 1, 4096),
                Features = features,
                Frequency = (float)options.Real("frequency", usual.Frequency, 1e-3, 1e3),
                Conv = options.Int("conv", usual.Conv, 2, 64),
                Chunk = chunk,
            })
            : throw options.Refuse("features", $"is even; a position and pairs of cosine and sine are an odd number, such as {features + 1}");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (HyenaState)state;
        Tape tape = x.Tape!;
        (Tensor u, Tensor tail) = Ops.CausalConv(Ops.Linear(x, inProj, inBias), conv, convBias, s.Conv.Before(tape), silu: false);
        s.Conv.After(tail);

        ReadOnlySpan<Tensor> h = Filters(tape, s.Inputs[0].Position, x.Shape[1]);
        Tensor d = Ops.Copy(skip, tape), v = u.Columns(o.Order * width, width);
        for (int n = o.Order - 1, i = 0; n > 0; n--, i++)
        {
            InputHistory inputs = s.Inputs[i];
            Tensor gated = Ops.Multiply(v, u.Columns(n * width, width));
            v = LongConvolution.Transformed(gated, h[i], Ops.Slice(d, 0, i * width, width), inputs.Before(tape), o.Chunk);
            inputs.Append(tape, gated);
        }

        return Ops.Linear(Ops.Multiply(v, u.Columns(0, width)), outProj, outBias);
    }

    /// <summary>
    /// Each filter [taps,d], as far as tokens up to the end of these ones' block see. While a tape records, they are computed; otherwise
    /// they are kept from the start of a sequence on, and taps are added as it grows: whole blocks, so that bits do not depend on when.
    /// </summary>
    private ReadOnlySpan<Tensor> Filters(Tape tape, long position, int tokens)
    {
        int taps = (int)Math.Min(remembered, (position + tokens + o.Chunk - 1) / o.Chunk * o.Chunk);
        if (tape.Recording)
        {
            known = 0; // weights are about to change
            Split(Network(tape, 0, taps).Reshape(new Shape(taps, filters)), onTape);
            return onTape;
        }

        known = position == 0 ? 0 : known;
        if (known < taps)
        {
            taps = Math.Min(remembered, Math.Max(taps, 2 * known));
            if (kept is null)
            {
                kept = device.Zeros(new Shape(1, remembered, filters));
                Split(kept.Reshape(new Shape(remembered, filters)), views);
            }

            long before = device.Flops;
            using var own = new Tape(device) { Recording = false };
            Ops.CopyTokens(Network(own, known, taps - known), 0, kept, known, taps - known);
            device.ForgetFlopsSince(before);
            known = taps;
        }

        return views;
    }

    private void Split(Tensor all, Tensor[] parts)
    {
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i] = all.Columns(i * width, width);
        }
    }

    private Tensor Network(Tape tape, int first, int taps)
    {
        Tensor z = Rows(positions), t = Rows(times);
        for (int i = 0; i < weights.Length; i++)
        {
            z = Ops.Sin(Ops.Multiply(Ops.Linear(z, weights[i], biases[i]), frequency));
        }

        return Ops.Multiply(Ops.Linear(z, last), Ops.Exp(Ops.Multiply(t, decays)));

        Tensor Rows(Tensor constant)
        {
            Tensor rows = tape.Empty(constant.Shape.With(1, taps));
            Ops.CopyTokens(constant, first, rows, 0, taps);
            return rows;
        }
    }

    private (Tensor Positions, Tensor Times, Tensor Decays) Constants()
    {
        int length = o.Length, bands = (o.Features - 1) / 2;
        float[] z = new float[(long)remembered * o.Features], t = new float[remembered], delta = new float[filters];
        Array.Fill(t, 1e30f); // past the length the window is zero
        for (int i = 0; i < length; i++)
        {
            t[i] = length == 1 ? 0 : (float)((double)i / (length - 1));
            z[i * o.Features] = t[i];
            for (int band = 0; band < bands; band++)
            {
                double f = bands == 1 ? 1e-4 : 1e-4 + ((bands - 1 - 1e-4) * band / (bands - 1)), angle = 2 * Math.PI * f * i / length;
                z[(i * o.Features) + 1 + band] = (float)Math.Cos(angle);
                z[(i * o.Features) + 1 + bands + band] = (float)-Math.Sin(angle);
            }
        }

        // The rates rise evenly over the channels, and within a channel over its filters.
        (double slow, double fast) = (Math.Log(Target) / SlowDecay, Math.Log(Target) / FastDecay);
        for (int i = 0; i < filters; i++)
        {
            int rank = (i % width * (o.Order - 1)) + (i / width);
            delta[i] = (float)(slow + ((fast - slow) * rank / Math.Max(1, filters - 1)));
        }

        return (device.Of(z, new Shape(1, remembered, o.Features)), device.Of(t, new Shape(1, remembered, 1)), device.Of(delta, new Shape(filters)));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new HyenaState(
        new StateTensor(device, "conv", new Shape(batch, o.Conv - 1, (o.Order + 1) * width)),
        [.. Enumerable.Range(1, o.Order - 1).Select(n => new InputHistory(device, $"inputs{n}", batch, width, remembered))]);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        int past = Math.Min(context, remembered), channels = (o.Order + 1) * width;
        return new Cost(
            Models.Cost.Linear(tokens, width, channels) + (2L * tokens * channels * o.Conv)
                + Ops.LongConvFlops(tokens, filters, remembered, o.Chunk, context, past)
                + Models.Cost.Linear(tokens, width, width),
            ParameterCount(),
            sizeof(float) * (((o.Conv - 1L) * channels) + (Math.Min((long)context + tokens, remembered) * filters)));
    }
}

/// <summary>What a <see cref="Hyena"/> mixer remembers.</summary>
public sealed class HyenaState : MixerState
{
    internal HyenaState(StateTensor conv, InputHistory[] inputs)
    {
        Conv = Keep(conv);
        Inputs = [.. inputs.Select(Keep)];
    }

    /// <summary>The short convolution's last inputs [B, 2, (order + 1) d], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>The inputs of each long convolution, in the order in which they come.</summary>
    public IReadOnlyList<InputHistory> Inputs { get; }
}
