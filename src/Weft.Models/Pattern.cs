using System.Collections;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The blocks of a model in order, from the embedding to the head: an immutable list compared by value, and the language it is written in.
/// <code>
/// pattern := item item ...                       (3*mamba2 attention)*4
/// item    := [count '*'] unit ['*' count]        3*mamba2      mamba2*3      2*(a b)*2 is (a b) four times
/// unit    := name [options] | '(' pattern ')'    attention[heads=8, window=256]
/// options := '[' option {',' option} ']'         option := key '=' value | key        (a key alone is true)
/// </code>
/// White space separates items; commas do not, so that a list of patterns can be separated by them.
/// </summary>
public sealed class Pattern : IReadOnlyList<BlockSpec>, IEquatable<Pattern>
{
    /// <summary>Most blocks of a model, and the largest count.</summary>
    public const int MaxBlocks = 4096;

    /// <summary>Deepest nesting of parentheses.</summary>
    public const int MaxDepth = 32;

    private readonly BlockSpec[] blocks;

    /// <summary>A pattern of the given blocks.</summary>
    /// <exception cref="InputException">None, or more than <see cref="MaxBlocks"/>.</exception>
    public Pattern(params IEnumerable<BlockSpec> blocks)
    {
        ArgumentNullException.ThrowIfNull(blocks);
        this.blocks = [.. blocks.Take(MaxBlocks + 1)]; // of what a file may ask for, no more than shows that it is too much
        if (this.blocks.Length is 0 or > MaxBlocks)
        {
            throw new InputException($"a model of {(this.blocks.Length == 0 ? "no" : $"more than {MaxBlocks}")} blocks cannot be built; give 1 to {MaxBlocks}");
        }
    }

    /// <summary>Number of blocks.</summary>
    public int Count => blocks.Length;

    /// <summary>The block at a position, from 0.</summary>
    public BlockSpec this[int index] => blocks[index];

    /// <summary>Reads a pattern's text; repeated units are written out.</summary>
    /// <param name="text">The text.</param>
    /// <param name="knownBlocks">The block names that exist, or null to take any.</param>
    /// <exception cref="InputException">The text is no pattern: the message says what is wrong and at which character (from 1).</exception>
    public static Pattern Parse(string text, IReadOnlyCollection<string>? knownBlocks = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new PatternParser(text, knownBlocks).Parse();
    }

    /// <summary>
    /// The shortest text for the blocks, repetitions folded; <see cref="Parse"/> reads it back to the same blocks.
    /// Past a few hundred blocks it is short, not always shortest.
    /// </summary>
    public static string Format(IReadOnlyList<BlockSpec> blocks)
    {
        ArgumentNullException.ThrowIfNull(blocks);
        return PatternFormatter.Format(blocks);
    }

    /// <summary>The pattern's text, as <see cref="Format"/> writes it.</summary>
    public override string ToString() => Format(blocks);

    /// <inheritdoc/>
    public bool Equals(Pattern? other) => other is not null && blocks.AsSpan().SequenceEqual(other.blocks);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Pattern);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (BlockSpec block in blocks)
        {
            hash.Add(block);
        }
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public IEnumerator<BlockSpec> GetEnumerator() => ((IEnumerable<BlockSpec>)blocks).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => blocks.GetEnumerator();
}
