using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Weft.Models.Checkpoints;

/// <summary>A storage of a PyTorch checkpoint: elements of one type in a row, somewhere in the file. Several tensors may look into one.</summary>
internal sealed record PickleStorage(SafetensorsType Type, long Start, long Count)
{
    public int BytesPerElement { get; } = new SafetensorsEntry("", Type, []).BytesPerElement;
}

/// <summary>
/// A tensor of a PyTorch checkpoint: a view of a storage, its element (i_0, i_1, ...) at offset + i_0 stride_0 + i_1 stride_1 + ...
/// </summary>
internal sealed class PickleTensor
{
    public const int MaxRank = 64;

    private readonly PickleStorage storage;
    private readonly long offset;
    private readonly long[] sizes;
    private readonly long[] strides;
    private readonly long span; // elements from the first to the last one used
    private readonly bool isContiguous;
    private readonly Lock gate = new();
    private byte[]? spanBytes; // of a tensor that is not contiguous, while it is being read

    private PickleTensor(PickleStorage storage, long offset, long[] sizes, long[] strides, long span, bool isContiguous)
    {
        this.storage = storage;
        this.offset = offset;
        this.sizes = sizes;
        this.strides = strides;
        this.span = span;
        this.isContiguous = isContiguous;
    }

    public SafetensorsType Type => this.storage.Type;

    public long[] Sizes => this.sizes;

    /// <summary>Checks that all elements of a view lie in its storage; otherwise says what is wrong.</summary>
    public static bool TryCreate(
        PickleStorage storage, long offset, long[] sizes, long[] strides, [NotNullWhen(true)] out PickleTensor? tensor, [NotNullWhen(false)] out string? problem)
    {
        tensor = null;
        if (offset < 0 || sizes.Length != strides.Length || sizes.Any(s => s < 0) || strides.Any(s => s < 0))
        {
            problem = "its sizes, strides and offset do not make a tensor";
            return false;
        }
        long count = 1, expected = 1, last = offset;
        bool isContiguous = true;
        try
        {
            for (int i = sizes.Length - 1; i >= 0; i--)
            {
                isContiguous &= sizes[i] == 1 || strides[i] == expected;
                expected = checked(expected * Math.Max(sizes[i], 1));
                count = checked(count * sizes[i]);
                last = checked(last + (Math.Max(sizes[i] - 1, 0) * strides[i]));
            }
        }
        catch (OverflowException)
        {
            problem = "its sizes and strides are too large";
            return false;
        }
        if (count == 0)
        {
            (offset, last) = (0, -1); // nothing is read, wherever it lies
        }
        if (last >= storage.Count)
        {
            problem = $"its elements reach to {last} of a storage of {storage.Count}";
            return false;
        }
        if (count > storage.Count)
        {
            problem = $"its {count} elements share the {storage.Count} of its storage: make it contiguous before it is saved";
            return false;
        }
        long span = last - offset + 1;
        if (!isContiguous && span > Array.MaxLength / storage.BytesPerElement)
        {
            problem = $"its elements lie scattered over {span}: make it contiguous before it is saved";
            return false;
        }
        problem = null;
        tensor = new PickleTensor(storage, offset, sizes, strides, span, isContiguous || count == 0);
        return true;
    }

    /// <summary>Reads bytes of the elements in row-major order; the range lies inside.</summary>
    public void Read(DataFile file, long startByte, Span<byte> destination)
    {
        long start = this.storage.Start + (this.offset * this.storage.BytesPerElement);
        if (this.isContiguous || destination.IsEmpty)
        {
            file.Read(start + startByte, destination);
            return;
        }
        // All that it spans is read at once and kept until its last element is asked for, since any part of it may lie anywhere in there.
        lock (this.gate)
        {
            if (this.spanBytes is null)
            {
                byte[] bytes = new byte[this.span * this.storage.BytesPerElement];
                file.Read(start, bytes);
                this.spanBytes = bytes;
            }
            long end = startByte + destination.Length;
            switch (this.storage.BytesPerElement)
            {
                case 1:
                    Gather<byte>(startByte, destination);
                    break;
                case 2:
                    Gather<ushort>(startByte, destination);
                    break;
                case 4:
                    Gather<uint>(startByte, destination);
                    break;
                default:
                    Gather<ulong>(startByte, destination);
                    break;
            }
            if (end == this.sizes.Aggregate((long)this.storage.BytesPerElement, (product, size) => product * size))
            {
                this.spanBytes = null;
            }
        }
    }

    // A range of bytes need not begin or end with an element.
    private void Gather<T>(long startByte, Span<byte> destination) where T : unmanaged
    {
        ReadOnlySpan<T> source = MemoryMarshal.Cast<byte, T>(this.spanBytes);
        int size = this.storage.BytesPerElement, rank = this.sizes.Length;
        Span<long> index = stackalloc long[rank];
        long rest = startByte / size, at = 0;
        for (int i = rank - 1; i >= 0; i--)
        {
            (rest, index[i]) = Math.DivRem(rest, this.sizes[i]);
            at += index[i] * this.strides[i];
        }
        int skipped = (int)(startByte % size);
        while (!destination.IsEmpty)
        {
            T element = source[(int)at];
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in element))[skipped..];
            bytes = bytes[..Math.Min(bytes.Length, destination.Length)];
            bytes.CopyTo(destination);
            destination = destination[bytes.Length..];
            skipped = 0;
            for (int i = rank - 1; i >= 0; i--)
            {
                at += this.strides[i];
                if (++index[i] < this.sizes[i])
                {
                    break;
                }
                at -= index[i] * this.strides[i];
                index[i] = 0;
            }
        }
    }
}
