using System.Numerics;
using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// S5 (Smith et al., "Simplified state space layers for sequence modeling", arXiv 2208.04933): one complex state h for all channels, of half of
/// its 'state' numbers (the other half are their conjugates),
/// <code>
/// Lambda_bar, g = discretised Lambda, dt = exp(log_step)    zero-order hold: exp(dt Lambda), (Lambda_bar - 1) / Lambda  (equation 6)
/// h_t = Lambda_bar h_{t-1} + g (B x_t)                      equation 5; B complex
/// y_t = 2 Re(C h_t) + D x_t                                 C complex
/// out = u * sigmoid(W u + bias),  u = gelu(y)               the authors' "half_glu1"
/// </code>
/// Lambda starts as the eigenvalues of HiPPO-N (the normal part of HiPPO-LegS) of size state / blocks, repeated block by block, and B and C are
/// drawn in the basis of the original and turned into that of the eigenvectors (section 3.3 and appendix B.1). Its real part is kept below -1e-4
/// ("clip_eigs", which the authors advise for sequences without end). They train Lambda, B and dt at a lower rate, without weight decay.
/// </summary>
public sealed class S5 : Mixer
{
    private const float Slowest = 1e-4f; // the least decay

    private readonly int width, pairs;
    private readonly Discretization rule;

    private readonly Tensor real, imaginary; // [P]: Lambda
    private readonly Tensor logStep;         // [P]
    private readonly Tensor b;               // [2 P, D]: real parts, then imaginary ones
    private readonly Tensor c;               // [D, 2 P]: real parts, then minus the imaginary ones
    private readonly Tensor skip;            // [D]
    private readonly Tensor gate;            // [D, D]
    private readonly Tensor gateBias;        // [D]

    /// <summary>Makes the mixer; <paramref name="blocks"/> divides <paramref name="states"/> into an even number for each.</summary>
    public S5(Builder builder, int states, int blocks, Discretization rule, double minStep, double maxStep)
    {
        (width, pairs, this.rule) = (builder.Width, states / 2, rule);
        Hippo hippo = Hippo.LegS(states / blocks);
        float scale = 1 / MathF.Sqrt(states);
        var perState = new Shape(pairs);
        real = Learn(builder, "Lambda_re", perState, static (values, _) => values.Fill(-0.5f), decay: false);
        imaginary = Learn(builder, "Lambda_im", perState, (values, _) => hippo.FillFrequencies(values), decay: false);
        logStep = Learn(builder, "log_step", perState, StateSpace.LogSteps(minStep, maxStep), decay: false);
        b = Learn(builder, "B", new Shape(2 * pairs, width), (values, random) => InputMatrix(values, random, hippo, scale), decay: false);
        c = Learn(builder, "C", new Shape(width, 2 * pairs), (values, random) => OutputMatrix(values, random, hippo, scale), decay: true);
        skip = Learn(builder, "D", new Shape(width), Initial.Normal(1), decay: true);
        gate = LearnLinear(builder, "gate.weight", width, width);
        gateBias = Learn(builder, "gate.bias", new Shape(width), Initial.Zeros, decay: false);
    }

    /// <summary>Options: <c>state</c> (even), <c>blocks</c>, <c>rule</c> (zoh or bilinear), <c>dt-min</c> and <c>dt-max</c>, between which initial steps lie.</summary>
    /// <exception cref="InputException">An option is out of range, or the blocks do not divide the state into even parts.</exception>
    public static S5 Create(BlockOptions options, Builder builder)
    {
        int states = 2 * StateSpace.Pairs(options, 256), blocks = options.Int("blocks", DefaultBlocks(states), 1, 4096);
        if (states % (2 * blocks) != 0 || states / blocks > Hippo.Largest)
        {
            throw options.Refuse("blocks", $"does not divide the {states} states into even parts of at most {Hippo.Largest}; numbers that do: "
                + string.Join(", ", Enumerable.Range(1, states / 2).Where(n => states % (2 * n) == 0 && states / n <= Hippo.Largest).Take(6)));
        }

        (double min, double max) = StateSpace.Steps(options);
        bool hold = options.Choice("rule", "zoh", "zoh", "bilinear") == "zoh";
        return new S5(builder, states, blocks, hold ? Discretization.ZeroOrderHold : Discretization.Bilinear, min, max);

        // Eight, as in most of the paper's models, where that leaves even parts; else the most that does.
        static int DefaultBlocks(int states) => states % 16 == 0 ? 8 : states % 8 == 0 ? 4 : states % 4 == 0 ? 2 : 1;
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (StateSpaceState)state;
        Tape tape = x.Tape!;
        Tensor clipped = Ops.Affine(Ops.Relu(Ops.Affine(Ops.Copy(real, tape), -1, -Slowest)), -1, -Slowest);
        (Tensor lambda, Tensor gain) = Ops.Discretize(clipped, imaginary, logStep, null, rule);
        (Tensor h, Tensor last) = TimeInvariant.FusedStates(Ops.Linear(x, b), lambda, Ops.Affine(gain, 2), s.H.Before(tape)); // 2: the conjugates
        s.H.After(last);
        Tensor u = Ops.Gelu(Ops.Add(Ops.Linear(h, c), Ops.Multiply(x, skip)));
        return Ops.Multiply(u, Ops.Sigmoid(Ops.Linear(u, gate, gateBias)));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new StateSpaceState(b.Device, new Shape(batch, 2, pairs));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        (2 * Models.Cost.Linear(tokens, width, 2L * pairs)) + Ops.ComplexScanFlops(tokens, pairs, gain: true) + Models.Cost.Linear(tokens, width, width),
        ParameterCount(),
        sizeof(float) * 2L * pairs);

    /// <summary>V* B, B real and normal: rows of a block mix the rows of that block's B.</summary>
    private void InputMatrix(Span<float> values, RandomSource random, Hippo hippo, float scale)
    {
        int size = hippo.Size, half = size / 2;
        var drawn = new float[size];
        for (int block = 0; block < pairs / half; block++)
        {
            for (int column = 0; column < width; column++)
            {
                random.FillGaussian(drawn, scale);
                for (int p = 0; p < half; p++)
                {
                    Complex sum = 0;
                    for (int i = 0; i < size; i++)
                    {
                        sum += Complex.Conjugate(hippo.Vectors[i, p]) * drawn[i];
                    }

                    int row = (block * half) + p;
                    values[(row * width) + column] = (float)sum.Real;
                    values[((pairs + row) * width) + column] = (float)sum.Imaginary;
                }
            }
        }
    }

    /// <summary>C V, C complex and normal.</summary>
    private void OutputMatrix(Span<float> values, RandomSource random, Hippo hippo, float scale)
    {
        int size = hippo.Size, half = size / 2;
        var drawn = new float[2 * size];
        for (int row = 0; row < width; row++)
        {
            for (int block = 0; block < pairs / half; block++)
            {
                random.FillGaussian(drawn, scale);
                for (int p = 0; p < half; p++)
                {
                    Complex sum = 0;
                    for (int i = 0; i < size; i++)
                    {
                        sum += new Complex(drawn[i], drawn[size + i]) * hippo.Vectors[i, p];
                    }

                    int column = (block * half) + p;
                    values[(row * 2 * pairs) + column] = (float)sum.Real;
                    values[(row * 2 * pairs) + pairs + column] = -(float)sum.Imaginary;
                }
            }
        }
    }
}
