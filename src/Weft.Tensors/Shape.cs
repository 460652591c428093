using System.Diagnostics.CodeAnalysis;

namespace Weft.Tensors;

/// <summary>The lengths of a tensor's one to four dimensions, outermost first: [batch, time, width], for example.</summary>
public readonly struct Shape : IEquatable<Shape>
{
    private readonly int d0, d1, d2, d3;

    /// <summary>A vector's shape.</summary>
    public Shape(int a) : this(1, a, 1, 1, 1) { }

    /// <summary>A matrix's shape.</summary>
    public Shape(int a, int b) : this(2, a, b, 1, 1) { }

    /// <summary>A shape of three dimensions.</summary>
    public Shape(int a, int b, int c) : this(3, a, b, c, 1) { }

    /// <summary>A shape of four dimensions.</summary>
    public Shape(int a, int b, int c, int d) : this(4, a, b, c, d) { }

    private Shape(int rank, int a, int b, int c, int d)
    {
        if (a < 0 || b < 0 || c < 0 || d < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(a), $"a shape's lengths are not negative: [{a}, {b}, {c}, {d}]");
        }

        Rank = rank;
        (d0, d1, d2, d3) = (a, b, c, d);
    }

    /// <summary>The number of dimensions, 1 to 4.</summary>
    public int Rank { get; }

    /// <summary>The length of a dimension; <c>^1</c> counts from the end.</summary>
    public int this[Index index] => this[index.GetOffset(Rank)];

    /// <summary>The length of dimension <paramref name="index"/>.</summary>
    public int this[int index] => (uint)index < (uint)Rank
        ? index switch { 0 => d0, 1 => d1, 2 => d2, _ => d3 }
        : throw new ArgumentOutOfRangeException(nameof(index), $"dimension {index} of a shape of {Rank}");

    /// <summary>The number of elements: the product of the lengths.</summary>
    public long Count => (long)d0 * d1 * d2 * d3;

    /// <summary>The last dimension's length: a row's.</summary>
    public int Columns => this[Rank - 1];

    /// <summary>The number of rows: the product of all lengths but the last.</summary>
    public int Rows => Columns == 0 ? 0 : checked((int)(Count / Columns));

    /// <summary>The same shape with dimension <paramref name="index"/> of another length.</summary>
    public Shape With(Index index, int length)
    {
        int i = index.GetOffset(Rank);
        return new Shape(Rank, i == 0 ? length : d0, i == 1 ? length : d1, i == 2 ? length : d2, i == 3 ? length : d3);
    }

    /// <summary>The shape as four lengths, padded with ones in front: what broadcasting compares.</summary>
    internal (int A, int B, int C, int D) Four() => Rank switch
    {
        1 => (1, 1, 1, d0),
        2 => (1, 1, d0, d1),
        3 => (1, d0, d1, d2),
        _ => (d0, d1, d2, d3),
    };

    /// <inheritdoc/>
    public bool Equals(Shape other) => Rank == other.Rank && d0 == other.d0 && d1 == other.d1 && d2 == other.d2 && d3 == other.d3;

    /// <inheritdoc/>
    public override bool Equals([NotNullWhen(true)] object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Rank, d0, d1, d2, d3);

    /// <summary>Equal in rank and in every length.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Different in rank or in some length.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>The lengths as <c>[2, 3, 4]</c>.</summary>
    public override string ToString() => Rank switch
    {
        0 => "[]",
        1 => $"[{d0}]",
        2 => $"[{d0}, {d1}]",
        3 => $"[{d0}, {d1}, {d2}]",
        _ => $"[{d0}, {d1}, {d2}, {d3}]",
    };
}
