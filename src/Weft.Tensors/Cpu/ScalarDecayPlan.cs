namespace Weft.Tensors.Cpu;

/// <summary>A scalar-decay recurrence as its jobs see it: addresses, distances between rows, sizes, and the segment of chunks in hand.</summary>
internal unsafe struct ScalarDecayPlan
{
    public readonly Strided Q, K, V, A, Gate, O; // a token has Rank rows of q, k, v and o, one of the gate and the log decay, or this one for all
    public readonly float* Skip, State;
    public readonly int Time, Heads, KeyHeads, Dk, Dv, Chunk, Rank;
    public readonly float Scale;

    /// <summary>The states before chunks, <see cref="Slots"/> of each head: a chunk's is at its number modulo that.</summary>
    public float* States;
    public int Slots;

    /// <summary>The part in hand: chunks First .. End - 1, at most Segment of them, of Sequences sequences from Batch on.</summary>
    public int First, End, Segment, Batch, Sequences;

    /// <summary>Scratch, so many floats a worker.</summary>
    public float* Work;
    public long WorkEach;

    /// <summary>The backward pass's own addresses.</summary>
    public ScalarDecayGradPlan D;

    public ScalarDecayPlan(in ScalarDecayInputs x, Tensor? o, Tensor? state)
    {
        (Q, K, V, Gate, O) = (new Strided(x.Q), new Strided(x.K), new Strided(x.V), new Strided(x.Gate), new Strided(o));
        A = x.LogDecay.Shape.Rank == 1 ? new Strided(x.LogDecay.Pointer, 0) : new Strided(x.LogDecay);
        Skip = x.Skip is null ? null : x.Skip.Pointer;
        State = state is null ? null : state.Pointer;
        (Time, Heads, KeyHeads, Dk, Dv, Chunk, Scale, Rank) = (x.Time, x.Heads, x.KeyHeads, x.KeyWidth, x.ValueWidth, x.Chunk, x.Scale, x.Rank);
    }

    /// <summary>
    /// Chooses the parts: so small that what the first pass leaves is still in the caches for the second, but with work for every
    /// worker in both. Results do not depend on them.
    /// </summary>
    public void Cut(int workers)
    {
        const int cached = 1 << 17; // floats a worker: half of a common L2
        long chunk = Heads * ((2L * Tile * Dv) + StateSize);
        int units = Math.Max(Divide(2 * workers, KeyHeads), (int)((long)cached * workers / chunk));
        Segment = Math.Clamp(units, 1, Math.Max(1, Chunks));
        Sequences = Math.Max(Divide(2 * workers, Heads), Divide(units, Segment));

        static int Divide(int a, int b) => (a + b - 1) / b;
    }

    /// <summary>The tokens of the longest chunk.</summary>
    public readonly int Tile => Math.Min(Chunk, Time);

    /// <summary>The room for an array over a chunk's tokens, and for a row of its token-by-token matrices.</summary>
    public readonly int Ld => (Tile + 15) / 16 * 16;

    public readonly int StateSize => Dk * Dv;

    /// <summary>The heads that share one key head.</summary>
    public readonly int Sharing => Heads / KeyHeads;

    public readonly int Chunks => (Time + Chunk - 1) / Chunk;

    public readonly int Length(int chunk) => Math.Min(Chunk, Time - (chunk * Chunk));

    /// <summary>The first row of a chunk, over batch and time.</summary>
    public readonly long Row(int batch, int chunk) => ((long)batch * Time) + ((long)chunk * Chunk);

    public readonly float* WorkOf(int worker) => Work + (worker * WorkEach);

    /// <summary>The state before a chunk; <paramref name="head"/> counts over batch and heads.</summary>
    public readonly float* StateBefore(int head, int chunk) => States + ((((long)head * Slots) + (chunk % Slots)) * StateSize);

    /// <summary>The gradient of the state after a chunk.</summary>
    public readonly float* GradAfter(int head, int chunk) => D.States + ((((long)head * D.Slots) + (chunk % D.Slots)) * StateSize);

    /// <summary>A chunk's log decays of one head, copied to <paramref name="to"/>: a token's at its first row, then zeros.</summary>
    public readonly void LogDecays(long row, int head, int n, float* to)
    {
        Column(A, row, head, n, to);
        for (int i = 0; i < n && Rank > 1; i++)
        {
            to[i] = i % Rank == 0 ? to[i] : 0;
        }
    }

    /// <summary>A chunk's gates of one head, copied to <paramref name="to"/>; null where there are none.</summary>
    public readonly float* Gates(long row, int head, int n, float* to)
    {
        if (Gate.IsNone)
        {
            return null;
        }

        Column(Gate, row, head, n, to);
        return to;
    }

    private readonly void Column(Strided from, long row, int column, int n, float* to)
    {
        for (int i = 0; i < n; i++)
        {
            to[i] = from[(row + i) / Rank][column];
        }

        for (int i = n; i % 16 != 0; i++)
        {
            to[i] = 0; // vectors are loaded whole
        }
    }

    /// <summary>Executed: the forward products of a chunk of n tokens, all heads.</summary>
    public readonly long Flops(int n)
    {
        long flops = 4L * n * StateSize * Heads;
        if (n >= Ops.ScalarDecaySteps)
        {
            for (int r = 0; r < n; r += Ops.ScalarDecayBlock)
            {
                int rows = Math.Min(Ops.ScalarDecayBlock, n - r);
                flops += 2L * rows * (r + rows) * ((KeyHeads * Dk) + (Heads * Dv));
            }
        }
        else
        {
            flops += 2L * (n - (n / Rank)) * StateSize * Heads;
        }

        return flops;
    }

    /// <summary>Executed: the backward products of a chunk, all heads; the first chunk carries no gradient to an initial state that wants none.</summary>
    public readonly long BackwardFlops(int chunk)
    {
        int n = Length(chunk);
        long flops = (chunk == 0 && !D.Initial ? 6L : 8L) * n * StateSize * Heads;
        for (int r = 0; r < n; r += Ops.ScalarDecayBlock)
        {
            int rows = Math.Min(Ops.ScalarDecayBlock, n - r);
            flops += 2L * rows * ((((2 * (r + rows)) + (n - r)) * KeyHeads * Dk) + ((r + rows + n - r) * Heads * Dv));
        }

        return flops;
    }
}

/// <summary>Where a backward pass reads the outputs' gradients and writes the inputs'.</summary>
internal unsafe struct ScalarDecayGradPlan
{
    public readonly Strided Q, K, V, A, Gate;

    /// <summary>The outputs' gradient.</summary>
    public readonly Strided O;

    /// <summary>The gradient of each head's state after the segment in hand, then before it.</summary>
    public float* State;

    /// <summary>The gradients of the states after chunks, as <see cref="ScalarDecayPlan.States"/>.</summary>
    public float* States;
    public int Slots;

    /// <summary>The skips' gradients, a row [H] for each chunk.</summary>
    public float* Skips;

    /// <summary>Whether the initial state's gradient is wanted.</summary>
    public readonly bool Initial;

    public ScalarDecayGradPlan(in ScalarDecayGrads grads, Strided o)
    {
        (Q, K, V, A, Gate, O) = (new Strided(grads.Q), new Strided(grads.K), new Strided(grads.V), new Strided(grads.LogDecay), new Strided(grads.Gate), o);
        Initial = grads.Initial.Tensor is not null;
    }
}
