namespace Weft.Tensors.Cpu;

/// <summary>A tensor's rows as jobs see them: where the first begins, how far apart they lie, and whether what is written is added.</summary>
internal readonly unsafe struct Strided
{
    public readonly float* At;
    public readonly long Stride;
    public readonly bool Add;

    /// <summary>Rows of scratch.</summary>
    public Strided(float* at, long stride, bool add = false)
    {
        At = at;
        Stride = stride;
        Add = add;
    }

    /// <summary>The rows of a tensor; nothing for null.</summary>
    public Strided(Tensor? x, bool add = false)
    {
        At = x is null ? null : x.Pointer;
        Stride = x?.RowStride ?? 0;
        Add = add;
    }

    /// <summary>The rows of a gradient; nothing where none is wanted.</summary>
    public Strided(GradTarget target) : this(target.Tensor, target.Accumulate) { }

    /// <summary>Whether there is no tensor.</summary>
    public bool IsNone => At is null;

    /// <summary>The address of a row.</summary>
    public float* this[long row] => At + (row * Stride);

    /// <summary>The rows from one on, from a column on; nothing of nothing.</summary>
    public Strided From(long row, int column = 0) => IsNone ? this : new(this[row] + column, Stride, Add);
}
