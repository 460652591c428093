using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The LSTM (Hochreiter and Schmidhuber, Neural Computation 9(8), 1997, with the forget gates of Gers et al., 2000), as torch.nn.LSTM:
/// <code>
/// i, f, g, o = W x_t + b + R h_{t-1}        in_proj for all tokens at once, R token by token
/// c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
/// h_t = sigmoid(o) tanh(c_t)
/// out = h_t
/// </code>
/// With several heads R is block-diagonal: each head's gates read its own part of h, and heads run in parallel. State: h and c.
/// </summary>
public sealed class Lstm : Mixer
{
    private readonly Device device;
    private readonly int width, heads;

    private readonly Tensor inProj, inBias; // [4 d, d], [4 d]: i, f, g, o
    private readonly Tensor recurrent;      // R [H, d/H, 4 d/H]

    /// <summary>Makes the mixer with PyTorch's initial values, uniform within +-1 / sqrt(inputs); the heads must divide the width.</summary>
    public Lstm(Builder builder, int heads)
    {
        (device, width, this.heads) = (builder.Device, builder.Width, heads);
        int each = width / heads;
        inProj = LearnLinear(builder, "in_proj.weight", 4 * width, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(4 * width), Initial.Linear(width), decay: false);
        recurrent = Learn(builder, "recurrent.weight", new Shape(heads, each, 4 * each), Initial.Linear(each), decay: true);
    }

    /// <summary>Option: <c>heads</c>, the blocks of the recurrent matrix (1: dense).</summary>
    /// <exception cref="InputException">The heads do not divide the width.</exception>
    public static Lstm Create(BlockOptions options, Builder builder) => new(builder, ReadHeads(options, builder.Width, 1));

    /// <summary>The option <c>heads</c> of gated recurrences.</summary>
    internal static int ReadHeads(BlockOptions options, int width, int usual)
    {
        int heads = options.Int("heads", usual, 1, 4096);
        return width % heads == 0 ? heads : throw options.Refuse("heads", $"does not divide width {width}; heads that do: {HeadSizes.Divisors(width, 64)}");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (LstmState)state;
        Tensor gates = Ops.Linear(x, inProj, inBias);
        (Tensor h, GatedStates final) = GatedRecurrence.Lstm(gates.Columns(0, width), gates.Columns(width, width), gates.Columns(2 * width, width), gates.Columns(3 * width, width),
            recurrent, bias: null, new GatedStates(s.H.Before(x.Tape!), s.C.Before(x.Tape!)));
        s.H.After(final.H!);
        s.C.After(final.C!);
        return h;
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new LstmState(device, new Shape(batch, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4 * width) + GatedRecurrence.Flops(tokens, width, heads), ParameterCount(), sizeof(float) * 2L * width);
}

/// <summary>What an <see cref="Lstm"/> mixer remembers.</summary>
public sealed class LstmState : MixerState
{
    internal LstmState(Device device, Shape shape) => (H, C) = (Keep(new StateTensor(device, "h", shape)), Keep(new StateTensor(device, "c", shape)));

    /// <summary>The output h [B,d], which the gates read.</summary>
    public StateTensor H { get; }

    /// <summary>The cell c [B,d].</summary>
    public StateTensor C { get; }
}
