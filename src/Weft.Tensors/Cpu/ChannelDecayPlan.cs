namespace Weft.Tensors.Cpu;

/// <summary>A channel-decay recurrence as its jobs see it: addresses, distances between rows, sizes, and the segment of chunks in hand.</summary>
internal unsafe struct ChannelDecayPlan
{
    public readonly Strided Q, K, V, G, O;
    public readonly float* Bonus, State;
    public readonly int Time, Heads, Dk, Dv, Chunk;
    public readonly float Scale;
    public readonly bool OfValues;

    /// <summary>The states before chunks, <see cref="Slots"/> of each head: a chunk's is at its number modulo that.</summary>
    public float* States;
    public int Slots;

    /// <summary>The chunks in hand: First .. End - 1, at most Segment.</summary>
    public int First, End, Segment;

    /// <summary>Scratch, so many floats a worker.</summary>
    public float* Work;
    public long WorkEach;

    // The backward pass's own: the outputs' gradient, the targets, the gradient of each head's state after the segment in hand (then
    // before it), those of the states after chunks, and the bonus's gradients, a row [H dk] for each chunk.
    public Strided DO, DQ, DK, DV, DG;
    public float* DState, DStates, DBonus;

    /// <summary>Whether the initial state's gradient is wanted.</summary>
    public bool ToInitial;

    public ChannelDecayPlan(in ChannelDecayInputs x, Tensor? o, Tensor? state)
    {
        (Q, K, V, G, O) = (new Strided(x.Q), new Strided(x.K), new Strided(x.V), new Strided(x.LogDecay), new Strided(o));
        Bonus = x.Bonus is null ? null : x.Bonus.Pointer;
        State = state is null ? null : state.Pointer;
        (Time, Heads, Dk, Dv, Chunk, Scale, OfValues) = (x.Time, x.Heads, x.KeyWidth, x.ValueWidth, x.Chunk, x.Scale, x.OfValues);
    }

    /// <summary>
    /// Chooses the segments: so short that what the first pass leaves is still in the caches for the second, but with work for every
    /// worker in both. Results do not depend on them.
    /// </summary>
    public void Cut(int workers, int batch)
    {
        const int cached = 1 << 17; // floats a worker: half of a common L2
        long chunk = (long)batch * Heads * ((2L * Tile * (Dk + Dv)) + StateSize);
        Segment = Math.Clamp((int)Math.Max((2L * workers / batch / Heads) + 1, (long)cached * workers / chunk), 1, Math.Max(1, Chunks));
    }

    /// <summary>The channels that decay, of a head.</summary>
    public readonly int Width => OfValues ? Dv : Dk;

    /// <summary>The distance of rows of those.</summary>
    public readonly int Ld => DecayedScores.Padded(Width);

    /// <summary>1 where tokens read the state before them.</summary>
    public readonly int Lag => Bonus is null ? 0 : 1;

    /// <summary>The tokens of the longest chunk.</summary>
    public readonly int Tile => Math.Min(Chunk, Time);

    /// <summary>The distance of rows of a chunk's token-by-token matrices.</summary>
    public readonly int Square => DecayedScores.Padded(Tile);

    public readonly int StateSize => Dk * Dv;

    public readonly int Chunks => (Time + Chunk - 1) / Chunk;

    public readonly int Length(int chunk) => Math.Min(Chunk, Time - (chunk * Chunk));

    /// <summary>The first row of a chunk of a sequence; a sequence's index counts over batch and heads.</summary>
    public readonly long Row(int sequence, int chunk) => ((long)(sequence / Heads) * Time) + ((long)chunk * Chunk);

    public readonly float* WorkOf(int worker) => Work + (worker * WorkEach);

    /// <summary>The state before a chunk.</summary>
    public readonly float* StateBefore(int sequence, int chunk) => States + ((((long)sequence * Slots) + (chunk % Slots)) * StateSize);

    /// <summary>The gradient of the state after a chunk.</summary>
    public readonly float* GradAfter(int sequence, int chunk) => DStates + ((((long)sequence * Segment) + (chunk % Segment)) * StateSize);

    /// <summary>An array of rows, one a token of the longest chunk.</summary>
    public readonly float* Take(ref float* at, int columns)
    {
        float* taken = at;
        at += (long)Square * columns;
        return taken;
    }

    /// <summary>Executed: the backward products of a chunk, one head; the first chunk carries no gradient to an initial state that wants none.</summary>
    public readonly long BackwardFlops(int chunk)
    {
        int n = Length(chunk);
        return ((chunk == 0 && !ToInitial ? 6L : 8L) * n * StateSize) // carried; read and written by queries, keys and values
            + (2 * Ops.ChannelDecayPairs(n) * ((3 * Dk) + (2 * Dv) + (OfValues ? Dv : 0))); // scores again, theirs, keys', values' and, for decays, outputs'
    }
}
