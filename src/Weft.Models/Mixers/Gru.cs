using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The GRU (Cho et al., arXiv 1406.1078, equations 5 to 8), as torch.nn.GRU, whose reset gate is applied to what the state gives:
/// <code>
/// r, z, n = W x_t + b                              in_proj, for all tokens at once
/// r', z', n' = R h_{t-1} + b'                      token by token
/// n_t = tanh(n + sigmoid(r + r') n')
/// h_t = (1 - sigmoid(z + z')) n_t + sigmoid(z + z') h_{t-1}
/// out = h_t
/// </code>
/// With several heads R is block-diagonal: each head's gates read its own part of h, and heads run in parallel. State: h.
/// </summary>
public sealed class Gru : Mixer
{
    private readonly Device device;
    private readonly int width, heads;

    private readonly Tensor inProj, inBias;           // [3 d, d], [3 d]: r, z, n
    private readonly Tensor recurrent, recurrentBias; // R [H, d/H, 3 d/H], b' [H, 3 d/H]

    /// <summary>Makes the mixer with PyTorch's initial values, uniform within +-1 / sqrt(inputs); the heads must divide the width.</summary>
    public Gru(Builder builder, int heads)
    {
        (device, width, this.heads) = (builder.Device, builder.Width, heads);
        int each = width / heads;
        inProj = LearnLinear(builder, "in_proj.weight", 3 * width, width);
        inBias = Learn(builder, "in_proj.bias", new Shape(3 * width), Initial.Linear(width), decay: false);
        recurrent = Learn(builder, "recurrent.weight", new Shape(heads, each, 3 * each), Initial.Linear(each), decay: true);
        recurrentBias = Learn(builder, "recurrent.bias", new Shape(heads, 3 * each), Initial.Linear(each), decay: false);
    }

    /// <summary>Option: <c>heads</c>, the blocks of the recurrent matrix (1: dense).</summary>
    /// <exception cref="InputException">The heads do not divide the width.</exception>
    public static Gru Create(BlockOptions options, Builder builder) => new(builder, Lstm.ReadHeads(options, builder.Width, 1));

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (GruState)state;
        Tensor gates = Ops.Linear(x, inProj, inBias);
        (Tensor h, GatedStates final) = GatedRecurrence.Gru(gates.Columns(0, width), gates.Columns(width, width), gates.Columns(2 * width, width),
            recurrent, recurrentBias, new GatedStates(s.H.Before(x.Tape!)));
        s.H.After(final.H!);
        return h;
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new GruState(device, new Shape(batch, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 3 * width) + GatedRecurrence.Flops(tokens, width, heads, gates: 3), ParameterCount(), sizeof(float) * (long)width);
}

/// <summary>What a <see cref="Gru"/> mixer remembers.</summary>
public sealed class GruState : MixerState
{
    internal GruState(Device device, Shape shape) => H = Keep(new StateTensor(device, "h", shape));

    /// <summary>The output h [B,d], which the gates read.</summary>
    public StateTensor H { get; }
}
