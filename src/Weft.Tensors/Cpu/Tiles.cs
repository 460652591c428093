namespace Weft.Tensors.Cpu;

/// <summary>
/// A matrix cut into parts for the worker pool. A contiguous one is cut without regard to its rows, so that narrow and wide
/// matrices are handled alike; a strided one by whole rows.
/// </summary>
internal readonly struct Tiles
{
    private const int PartSize = 8192; // elements: a few arrays of this size fit the first-level caches' next of kin, L2

    private readonly int rowsEach;

    public Tiles(Shape shape, bool contiguous)
    {
        if (contiguous)
        {
            Columns = (int)Math.Min(PartSize, Math.Max(shape.Count, 1));
            Rows = (int)((shape.Count + Columns - 1) / Columns);
            Last = (int)(shape.Count - ((long)(Rows - 1) * Columns));
            rowsEach = 1;
        }
        else
        {
            (Rows, Columns) = (shape.Rows, shape.Columns);
            Last = Columns;
            rowsEach = Math.Max(1, PartSize / Math.Max(Columns, 1));
        }

        Contiguous = contiguous;
        Count = (Rows + rowsEach - 1) / rowsEach;
    }

    /// <summary>The number of parts.</summary>
    public int Count { get; }

    /// <summary>The rows, after flattening; each is <see cref="Columns"/> long, the last one <see cref="Last"/>.</summary>
    public int Rows { get; }

    /// <summary>A row's length.</summary>
    public int Columns { get; }

    /// <summary>The last row's length.</summary>
    public int Last { get; }

    /// <summary>Whether the matrix was flattened.</summary>
    public bool Contiguous { get; }

    /// <summary>The rows of a part.</summary>
    public (int From, int To) Part(int index) => (index * rowsEach, Math.Min(Rows, (index + 1) * rowsEach));

    /// <summary>The length of a row.</summary>
    public int Length(int row) => row == Rows - 1 ? Last : Columns;

    /// <summary>The distance between rows of a tensor cut so.</summary>
    public long Stride(Tensor x) => Contiguous ? Columns : x.RowStride;
}
