using System.Numerics;
using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// S4 (Gu et al., "Efficiently modeling long sequences with structured state spaces", arXiv 2111.00396): a state space for each channel whose A is
/// diagonal plus low rank, with N/2 complex states (the other half are their conjugates),
/// <code>
/// h' = A h + B x,  A = diag(-exp(log_A_real) + i A_imag) - P P*      equation 6; with -P P* the real parts stay left (the authors' code)
/// h_t = A_bar h_{t-1} + B_bar x_t                                    bilinear, dt = exp(log_dt): equation 3
/// y_t = 2 Re(C . h_t) + D x_t
/// out = a * sigmoid(b),  a, b = W gelu(y) + bias                     the authors' block: GELU, then a GLU over channels
/// </code>
/// A, P and B start as HiPPO-LegS in the basis in which its normal part is diagonal (theorem 1), C normal, dt log-uniform in [0.001, 0.1]. Two modes
/// compute the same: <c>recurrent</c>, O(N) a token by the correction of rank one, and <c>convolution</c>, by blocks of tokens as products with the
/// state between them. On a processor the first is the faster one, and the default. The authors train A, P, B and dt at a rate of at most 1e-3, without weight decay.
/// </summary>
public sealed class S4 : Mixer
{
    private readonly int width, pairs, block; // block: tokens of a convolution; 0 for the recurrence

    private readonly Tensor logReal, imaginary; // [N/2, D]: the diagonal of A
    private readonly Tensor p, b, c;            // [2, N/2, D]: real parts, then imaginary ones
    private readonly Tensor logStep, skip;      // [D]: log dt, D
    private readonly GluOutput output;
    private readonly (Tensor States, Tensor Inputs) units;

    /// <summary>Makes the mixer, with the given number of states a channel (even); <paramref name="block"/> tokens are convolved together, 0 for the recurrence.</summary>
    public S4(Builder builder, int states, int block, double minStep, double maxStep)
    {
        (width, pairs, this.block) = (builder.Width, states / 2, block);
        Hippo hippo = Hippo.LegS(states);
        var shape = new Shape(pairs, width);
        logReal = Learn(builder, "log_A_real", shape, static (values, _) => values.Fill(MathF.Log(0.5f)), decay: false);
        imaginary = Learn(builder, "A_imag", shape, (values, _) => Fill(values, n => hippo.Frequencies[n]), decay: false);
        p = Learn(builder, "P", new Shape(2, pairs, width), (values, _) => FillParts(values, hippo.LowRank), decay: false);
        b = Learn(builder, "B", new Shape(2, pairs, width), (values, _) => FillParts(values, hippo.Input), decay: false);
        c = Learn(builder, "C", new Shape(2, pairs, width), Initial.Normal(MathF.Sqrt(0.5f)), decay: true);
        logStep = Learn(builder, "log_dt", new Shape(width), StateSpace.LogSteps(minStep, maxStep), decay: false);
        skip = Learn(builder, "D", new Shape(width), Initial.Normal(1), decay: true);
        output = Contain("output", new GluOutput(builder));
        units = block == 0 ? default : LowRankDiagonal.Units(builder.Device, states, block);
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>mode</c> (recurrent or convolution), <c>chunk</c> (the tokens of a convolution), <c>dt-min</c> and <c>dt-max</c>,
    /// between which initial steps lie.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, N is odd, or dt-min is above dt-max.</exception>
    public static S4 Create(BlockOptions options, Builder builder)
    {
        int states = 2 * StateSpace.Pairs(options, 64, Hippo.Largest), chunk = options.Int("chunk", 64, 1, 1024);
        (double min, double max) = StateSpace.Steps(options);
        return new S4(builder, states, options.Choice("mode", "recurrent", "recurrent", "convolution") == "convolution" ? chunk : 0, min, max);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (StateSpaceState)state;
        Tape tape = x.Tape!;
        Tensor real = Ops.Affine(Ops.Exp(Ops.Copy(logReal, tape)), -1);
        LowRankDiagonal system = LowRankDiagonal.Of(real, imaginary, logStep, p, b, c, skip);
        (Tensor y, Tensor h) = block == 0 ? system.Recurrent(x, s.H.Before(tape)) : system.Convolution(x, s.H.Before(tape), units);
        s.H.After(h);
        return output.Forward(y);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new StateSpaceState(p.Device, new Shape(batch, 2, pairs, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        (block == 0 ? LowRankDiagonal.RecurrentFlops(tokens, pairs, width) : LowRankDiagonal.ConvolutionFlops(tokens, pairs, width, block)) + output.Flops(tokens),
        ParameterCount(),
        sizeof(float) * 2L * pairs * width);

    // A row a state, the same for every channel.
    private void Fill(Span<float> values, Func<int, double> ofState)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)ofState(i / width);
        }
    }

    private void FillParts(Span<float> values, Complex[] ofState) =>
        Fill(values, n => n < pairs ? ofState[n].Real : ofState[n - pairs].Imaginary);
}
