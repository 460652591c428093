namespace Weft.Tensors.Cpu;

/// <summary>
/// The channels of a state space cut into blocks of 16, whose complex parameters and states [2,N,C] kernels gather into scratch: channels in a
/// vector's lanes, one row a state, zeros where there is no channel or state.
/// </summary>
internal readonly unsafe struct StateBlocks(int states, int channels, int group)
{
    /// <summary>Channels of a block.</summary>
    public const int Width = 16;

    /// <summary>The blocks.</summary>
    public int Count => (channels + Width - 1) / Width;

    /// <summary>The rows of a block's planes: the states, rounded up to whole groups. Those beyond are zero and stay so.</summary>
    public int Padded => (states + group - 1) / group * group;

    /// <summary>The floats of an array [2,N,C].</summary>
    public long Size => 2L * states * channels;

    /// <summary>The channels that a block has.</summary>
    public int Lanes(int block) => Math.Min(Width, channels - (block * Width));

    /// <summary>A block's columns of an array [2,N,C], null for zeros.</summary>
    public void Gather(float* from, int block, Planes to)
    {
        int lanes = Lanes(block);
        if (from == null || lanes < Width || Padded > states)
        {
            new Span<float>(to.Re, 2 * Padded * Width).Clear();
        }

        for (int row = 0; row < 2 * states && from != null; row++)
        {
            new ReadOnlySpan<float>(from + ((long)row * channels) + (block * Width), lanes).CopyTo(new Span<float>(Row(to, row), Width));
        }
    }

    /// <summary>A block's columns back into an array [2,N,C], or added to it; nowhere for null.</summary>
    public void Scatter(Planes from, int block, float* to, bool add)
    {
        int lanes = Lanes(block);
        for (int row = 0; row < 2 * states && to != null; row++)
        {
            float* target = to + ((long)row * channels) + (block * Width);
            if (add)
            {
                Simd.Add(lanes, Row(from, row), target);
            }
            else
            {
                new ReadOnlySpan<float>(Row(from, row), lanes).CopyTo(new Span<float>(target, lanes));
            }
        }
    }

    /// <summary>A block's part of an array [C], null for zeros.</summary>
    public void GatherRow(float* from, int block, float* to)
    {
        new Span<float>(to, Width).Clear();
        if (from != null)
        {
            new ReadOnlySpan<float>(from + (block * Width), Lanes(block)).CopyTo(new Span<float>(to, Width));
        }
    }

    /// <summary>A block's part of an array [C] back, or added to it; nowhere for null.</summary>
    public void ScatterRow(float* from, int block, float* to, bool add)
    {
        for (int c = 0; c < Lanes(block) && to != null; c++)
        {
            to[(block * Width) + c] = from[c] + (add ? to[(block * Width) + c] : 0);
        }
    }

    private float* Row(Planes planes, int row) => row < states ? planes.Re + (row * Width) : planes.Im + ((row - states) * Width);

    /// <summary>Rows of up to a block's channels into scratch, padded with zeros; zeros for no rows.</summary>
    public static void Copy<S, V>(int tokens, int lanes, Strided from, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        if (from.IsNone)
        {
            new Span<float>(to, tokens * Width).Clear();
            return;
        }

        for (int t = 0; t < tokens; t++, to += Width)
        {
            float* row = from[t];
            for (int c = 0; c < Width; c += S.Count)
            {
                S.Store(ComplexVector<S, V>.LoadReal(row + c, Math.Max(0, lanes - c)), to + c);
            }
        }
    }

    /// <summary>to (+)= scale y + skip x, row by row; nowhere for no rows.</summary>
    public static void Finish<S, V>(int tokens, int lanes, float* y, float scale, float* x, float* skip, Strided to) where S : struct, ISimd<V> where V : unmanaged
    {
        V factor = S.Create(scale);
        for (int t = 0; t < tokens && !to.IsNone; t++, y += Width, x += Width)
        {
            float* row = to[t];
            for (int c = 0; c < lanes; c += S.Count)
            {
                ComplexVector<S, V>.StoreReal(S.Fma(S.Load(skip + c), S.Load(x + c), S.Mul(factor, S.Load(y + c))), row + c, lanes - c, to.Add);
            }
        }
    }

    /// <summary>sums += x * y, summed over rows: the gradient of a skip connection.</summary>
    public static void AddProducts<S, V>(int tokens, float* x, float* y, float* sums) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int c = 0; c < Width; c += S.Count)
        {
            V sum = S.Zero;
            for (int t = 0; t < tokens; t++)
            {
                sum = S.Fma(S.Load(x + (t * Width) + c), S.Load(y + (t * Width) + c), sum);
            }

            S.Store(S.Add(S.Load(sums + c), sum), sums + c);
        }
    }
}

/// <summary>Complex numbers [states, block], all real parts before the imaginary ones.</summary>
internal readonly unsafe struct Planes(float* at, int states)
{
    public readonly float* Re = at, Im = at + (states * StateBlocks.Width);

    /// <summary>What lies behind these, as numbers of the same size.</summary>
    public Planes Next(int states) => new(Im + (states * StateBlocks.Width), states);
}
