using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Mixes information along time, x [B,T,D] -> [B,T,D], carrying a state from token to token: the part in which architectures differ.
/// There is one entry for training (from a fresh state), prefill and decoding: any number of tokens, the state explicit.
/// </summary>
public abstract class Mixer : Module
{
    /// <summary>Mixes <paramref name="x"/> [B,T,D] along T and advances <paramref name="state"/> past these T tokens.</summary>
    public abstract Tensor Mix(Tensor x, MixerState state);

    /// <summary>A state for <paramref name="batch"/> sequences, empty: as before the first token.</summary>
    public abstract MixerState NewState(int batch);

    /// <summary>
    /// What it takes to mix <paramref name="tokens"/> tokens of one sequence after <paramref name="context"/> earlier ones:
    /// forward FLOPs as the kernels count them, parameters, and the state's bytes after them.
    /// </summary>
    public abstract Cost Cost(int tokens, int context);
}

/// <summary>A price, exact: forward FLOPs (two per multiply-add of products, convolutions, attention and recurrences), parameters, state bytes.</summary>
public readonly record struct Cost(long Flops, long Parameters, long StateBytes)
{
    /// <summary>The sum of two prices.</summary>
    public static Cost operator +(Cost a, Cost b) => new(a.Flops + b.Flops, a.Parameters + b.Parameters, a.StateBytes + b.StateBytes);

    /// <summary>The same as the operator.</summary>
    public static Cost Add(Cost left, Cost right) => left + right;

    /// <summary>FLOPs of a linear map on <paramref name="tokens"/> tokens.</summary>
    public static long Linear(long tokens, long inputs, long outputs) => 2 * tokens * inputs * outputs;
}
