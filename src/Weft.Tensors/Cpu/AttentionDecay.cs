namespace Weft.Tensors.Cpu;

/// <summary>
/// The bias of attention's scores, c_t - c_s: c is a sum along positions, of a head's log forget gates, of minus its slope, or of both.
/// Over a long sequence c grows beyond what float32 resolves, so it is only ever taken relative to the start of a tile nearby, from sums of
/// whole tiles in double precision, and handed on in two floats.
/// </summary>
internal unsafe struct AttentionDecay
{
    private const int Tile = AttentionView.Tile;

    /// <summary>What coarse parts are multiples of: up to 2^20, their sums and differences are exact.</summary>
    private const double Quantum = 1.0 / 16;

    private readonly float* slopes;         // [H] or null
    private readonly TokenRows gates, past; // log f, [B,T,H] or null
    private readonly AttentionView view;
    private readonly long firstTile;
    private double* before;                 // [B, tiles, H]: the sum of all gates before the tile

    public AttentionDecay(in AttentionView view, in AttentionOperands operands)
    {
        this.view = view;
        slopes = operands.Bias.Slopes is { } tensor ? tensor.Pointer : null;
        (gates, past) = (new TokenRows(operands.Bias.LogForget), new TokenRows(operands.Past.LogForget));
        firstTile = view.First / Tile;
    }

    /// <summary>No bias at all.</summary>
    public readonly bool IsNull => slopes is null && gates.IsNull;

    /// <summary>Whether there are gates, so that a gradient can be wanted.</summary>
    public readonly bool Gated => !gates.IsNull;

    private readonly int Tiles => (int)(((view.End - 1) / Tile) - firstTile + 1);

    /// <summary>The doubles that <see cref="Prepare"/> needs.</summary>
    public readonly nint Doubles => Gated ? (nint)view.Batch * (Tiles + 1) * view.Heads : 0;

    /// <summary>Sums the gates tile by tile into <paramref name="memory"/>, which must live as long as this is used.</summary>
    public void Prepare(WorkerPool pool, double* memory)
    {
        before = memory;
        if (!Gated)
        {
            return;
        }

        TotalJob job = new() { Decay = this };
        pool.Run(ref job, view.Batch * Tiles);
        int heads = view.Heads;
        for (int batch = 0; batch < view.Batch; batch++)
        {
            double* row = before + ((nint)batch * (Tiles + 1) * heads);
            new Span<double>(row, heads).Clear();
            for (nint i = heads; i < (nint)(Tiles + 1) * heads; i++)
            {
                row[i] += row[i - heads];
            }
        }
    }

    /// <summary>The gate of the token at a position, for head 0: the other heads' follow.</summary>
    private readonly float* Gate(int batch, long position)
    {
        KeyRun run = view.Run(position, position + 1);
        return (run.Past ? past : gates).At(batch, run.Row, 0);
    }

    /// <summary>
    /// c of the positions from <paramref name="from"/> to <paramref name="to"/> - 1, all of one tile, relative to c before the tile that
    /// <paramref name="origin"/> lies in.
    /// </summary>
    public readonly void Sums(int batch, int head, long from, long to, long origin, double* c)
    {
        long tile = from / Tile, start = tile * Tile, originTile = origin / Tile;
        double gated = 0, slope = slopes is null ? 0 : slopes[head];
        if (Gated)
        {
            double* totals = before + ((nint)batch * (Tiles + 1) * view.Heads) + head;
            gated = totals[(nint)(tile - firstTile) * view.Heads] - totals[(nint)(originTile - firstTile) * view.Heads];
        }

        for (long p = Gated ? Math.Max(view.First, start) : from; p < to; p++)
        {
            gated += Gated ? Gate(batch, p)[head] : 0;
            if (p >= from)
            {
                c[p - from] = gated - (slope * (p - (originTile * Tile)));
            }
        }
    }

    /// <summary>
    /// The same in floats, times <paramref name="sign"/>: Tile coarse values, then Tile fine ones, zeros behind the last position.
    /// </summary>
    public readonly void Parts(int batch, int head, long from, long to, long origin, int sign, float* parts)
    {
        double* c = stackalloc double[Tile];
        Sums(batch, head, from, to, origin, c);
        new Span<float>(parts, 2 * Tile).Clear();
        for (int i = 0; i < to - from; i++)
        {
            double value = sign * c[i], coarse = Math.Round(value / Quantum) * Quantum;
            parts[i] = (float)coarse;
            parts[Tile + i] = (float)(value - parts[i]);
        }
    }

    /// <summary>Adds the bias of one query, at <paramref name="query"/>, to its scores with the keys from <paramref name="from"/> to <paramref name="to"/> - 1.</summary>
    public readonly void AddTo(float* s, int batch, int head, long query, long from, long to)
    {
        double* c = stackalloc double[Tile];
        Sums(batch, head, query, query + 1, query, c);
        double own = c[0];
        for (long end, p = from; p < to; p = end)
        {
            end = AttentionView.TileEnd(p, to);
            Sums(batch, head, p, end, query, c);
            for (int i = 0; i < end - p; i++)
            {
                s[p - from + i] += (float)(own - c[i]);
            }
        }
    }

    /// <summary>A tile's sum of gates, all heads side by side, put where the sum before the next tile will stand.</summary>
    private struct TotalJob : IJob
    {
        public AttentionDecay Decay;

        public readonly void Run(int index, int worker)
        {
            int tiles = Decay.Tiles, batch = index / tiles, tile = index % tiles, heads = Decay.view.Heads;
            long start = (Decay.firstTile + tile) * Tile, end = Math.Min(Decay.view.End, start + Tile);
            double* total = Decay.before + (((nint)batch * (tiles + 1)) + tile + 1) * heads;
            new Span<double>(total, heads).Clear();
            for (long p = Math.Max(Decay.view.First, start); p < end; p++)
            {
                float* gate = Decay.Gate(batch, p);
                for (int head = 0; head < heads; head++)
                {
                    total[head] += gate[head];
                }
            }
        }
    }
}
