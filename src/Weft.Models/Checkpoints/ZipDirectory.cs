using System.Buffers.Binary;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// Where the entries of a zip file lie, for reading them in place: its central directory (PKWARE's APPNOTE 4.3.12 to 4.3.16, with the 64-bit
/// forms), parsed from untrusted bytes. PyTorch stores entries as they are, so a compressed or encrypted one is refused, and nothing is ever
/// unpacked. Memory stays within a small multiple of the directory's own length.
/// </summary>
internal sealed class ZipDirectory
{
    private const int MaxLength = 1 << 26;
    private const int EndLength = 22;
    private const int LocatorLength = 20;
    private const int End64Length = 56;
    private const int HeaderLength = 46;
    private const int LocalHeaderLength = 30;

    private readonly DataFile file;
    private readonly Dictionary<string, (long Header, long Length)> entries = new(StringComparer.Ordinal);

    /// <summary>Parses the directory of a file.</summary>
    /// <exception cref="InputException">It is no zip file, or one of a kind that PyTorch does not write.</exception>
    public ZipDirectory(DataFile file)
    {
        this.file = file;
        (long start, long length, long end) = FindDirectory();
        if (start < 0 || length < 0 || length > end || start > end - length)
        {
            throw Bad("its zip directory lies outside the file");
        }
        if (length > MaxLength)
        {
            throw Bad($"its zip directory of {length} bytes is over the limit of {MaxLength}");
        }
        byte[] directory = new byte[length];
        file.Read(start, directory);
        ReadOnlySpan<byte> rest = directory;
        while (!rest.IsEmpty)
        {
            rest = rest[ReadEntry(rest)..];
        }
    }

    /// <summary>The entries' names, in the directory's order.</summary>
    public IEnumerable<string> Names => this.entries.Keys;

    /// <summary>Finds an entry's data: where they begin in the file, and how many bytes they are.</summary>
    /// <exception cref="InputException">The entry is damaged.</exception>
    public bool TryFind(string name, out long start, out long length)
    {
        start = 0;
        length = 0;
        if (!this.entries.TryGetValue(name, out (long Header, long Length) entry))
        {
            return false;
        }
        Span<byte> header = stackalloc byte[LocalHeaderLength];
        if (entry.Header < 0 || entry.Header > this.file.Length - header.Length)
        {
            throw Bad($"its zip entry {AtomicFile.Quote(name)} lies outside the file: it is cut short or damaged");
        }
        this.file.Read(entry.Header, header);
        start = entry.Header + header.Length + UInt16(header, 26) + UInt16(header, 28);
        length = entry.Length;
        if (UInt32(header, 0) != 0x04034b50 || length < 0 || start > this.file.Length || length > this.file.Length - start)
        {
            throw Bad($"its zip entry {AtomicFile.Quote(name)} does not fit into the file: it is cut short or damaged");
        }
        return true;
    }

    // The end record is the file's last 22 bytes, or stands before a comment of at most 65,535.
    private (long Start, long Length, long End) FindDirectory()
    {
        byte[] tail = new byte[(int)Math.Min(this.file.Length, EndLength + ushort.MaxValue)];
        long tailStart = this.file.Length - tail.Length;
        this.file.Read(tailStart, tail);
        for (int i = tail.Length - EndLength; i >= 0; i--)
        {
            ReadOnlySpan<byte> record = tail.AsSpan(i);
            if (UInt32(record, 0) == 0x06054b50 && UInt16(record, 20) == record.Length - EndLength)
            {
                uint length = UInt32(record, 12), start = UInt32(record, 16);
                return length == uint.MaxValue || start == uint.MaxValue || UInt16(record, 10) == ushort.MaxValue
                    ? FindDirectory64(tailStart + i)
                    : (start, length, tailStart + i);
            }
        }
        throw Bad("it is cut short, or no zip file: it has no zip directory");
    }

    private (long Start, long Length, long End) FindDirectory64(long end)
    {
        Span<byte> locator = stackalloc byte[LocatorLength], record = stackalloc byte[End64Length];
        if (end >= locator.Length + record.Length)
        {
            this.file.Read(end - locator.Length, locator);
            long at = Int64(locator, 8);
            if (UInt32(locator, 0) == 0x07064b50 && at >= 0 && at <= end - locator.Length - record.Length)
            {
                this.file.Read(at, record);
                if (UInt32(record, 0) == 0x06064b50)
                {
                    return (Int64(record, 48), Int64(record, 40), at);
                }
            }
        }
        throw Bad("its 64-bit zip directory is damaged");
    }

    // Returns the length of the entry's description.
    private int ReadEntry(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength || UInt32(bytes, 0) != 0x02014b50)
        {
            throw Bad("its zip directory is damaged");
        }
        int nameLength = UInt16(bytes, 28), extraLength = UInt16(bytes, 30);
        int total = HeaderLength + nameLength + extraLength + UInt16(bytes, 32);
        if (bytes.Length < total)
        {
            throw Bad("its zip directory is damaged");
        }
        string name = Encoding.UTF8.GetString(bytes.Slice(HeaderLength, nameLength));
        long stored = UInt32(bytes, 20), length = UInt32(bytes, 24), header = UInt32(bytes, 42);
        ReadOnlySpan<byte> extra = bytes.Slice(HeaderLength + nameLength, extraLength);
        while (extra.Length >= 4)
        {
            int size = UInt16(extra, 2);
            if (size > extra.Length - 4)
            {
                throw Bad($"its zip entry {AtomicFile.Quote(name)} has a damaged description");
            }
            if (UInt16(extra, 0) == 1) // the 64-bit forms of those that are all ones, in this order
            {
                ReadOnlySpan<byte> wide = extra.Slice(4, size);
                Widen(ref length, ref wide);
                Widen(ref stored, ref wide);
                Widen(ref header, ref wide);
            }
            extra = extra[(4 + size)..];
        }
        const int Encrypted = 1;
        if (UInt16(bytes, 10) != 0 || stored != length || (UInt16(bytes, 8) & Encrypted) != 0)
        {
            throw Bad($"its zip entry {AtomicFile.Quote(name)} is compressed or encrypted, which PyTorch never does: refused");
        }
        if (!this.entries.TryAdd(name, (header, length)))
        {
            throw Bad($"its zip entry {AtomicFile.Quote(name)} is there twice");
        }
        return total;
    }

    private static void Widen(ref long value, ref ReadOnlySpan<byte> wide)
    {
        if (value == uint.MaxValue && wide.Length >= sizeof(long))
        {
            value = Int64(wide, 0);
            wide = wide[sizeof(long)..];
        }
    }

    private static int UInt16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint UInt32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    private static long Int64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadInt64LittleEndian(bytes[at..]);

    private InputException Bad(string reason) => WeightFile.Bad(this.file.Path, reason);
}
