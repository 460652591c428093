using System.Buffers.Binary;
using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// The header of a safetensors file: a JSON object from tensor names to type, shape and byte range, parsed from untrusted bytes. It refuses
/// whatever the format forbids: names given twice, types it does not know, sizes that do not match their ranges, ranges that overlap, leave
/// holes or pass the end of the file. Memory stays within a small multiple of the header's own length.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The format's own limit for the header's length, in bytes.</summary>
    public const int MaxLength = 100_000_000;

    private const string MetadataKey = "__metadata__";
    private const int MaxRank = 64;

    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Located> tensors = new(StringComparer.Ordinal);
    private readonly string file;

    /// <summary>A tensor, and where its data begin and end, in bytes after the header.</summary>
    internal readonly record struct Located(SafetensorsEntry Entry, long Begin, long End);

    private SafetensorsHeader(string file) => this.file = file;

    public IReadOnlyDictionary<string, string> Metadata => this.metadata;

    public IReadOnlyDictionary<string, Located> Tensors => tensors;

    /// <summary>Parses a header. <paramref name="dataLength"/> is the number of bytes after it; <paramref name="file"/> serves the messages.</summary>
    /// <exception cref="InputException">The header is not a valid one for a file of that length.</exception>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long dataLength, string file)
    {
        SafetensorsHeader header = new(file);
        try
        {
            header.Read(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException is how the reader reports a string that is not valid Unicode.
            throw header.Bad($"its header is not valid JSON{(e is JsonException j ? $" at byte {j.BytePositionInLine}" : " text")}", e);
        }
        header.CheckRanges(dataLength);
        return header;
    }

    /// <summary>The header of a file holding these tensors in this order, its length before it, padded so that the data begin on 8 bytes.</summary>
    public static byte[] Format(IEnumerable<SafetensorsEntry> entries, IEnumerable<KeyValuePair<string, string>> metadata)
    {
        using MemoryStream stream = new();
        stream.Write(new byte[sizeof(long)]);
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            KeyValuePair<string, string>[] sorted = [.. metadata.OrderBy(m => m.Key, StringComparer.Ordinal)];
            if (sorted.Length > 0)
            {
                json.WriteStartObject(MetadataKey);
                foreach ((string key, string value) in sorted)
                {
                    json.WriteString(key, value);
                }
                json.WriteEndObject();
            }
            long begin = 0;
            foreach (SafetensorsEntry entry in entries)
            {
                long end = checked(begin + entry.ByteCount);
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", SafetensorsEntry.TypeName(entry.Type));
                WriteLongs(json, "shape", entry.Shape);
                WriteLongs(json, "data_offsets", [begin, end]);
                json.WriteEndObject();
                begin = end;
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0)
        {
            stream.WriteByte((byte)' ');
        }
        byte[] bytes = stream.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(bytes, bytes.Length - sizeof(long));
        return bytes;
    }

    private static void WriteLongs(Utf8JsonWriter json, string name, ReadOnlySpan<long> values)
    {
        json.WriteStartArray(name);
        foreach (long value in values)
        {
            json.WriteNumberValue(value);
        }
        json.WriteEndArray();
    }

    private void Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty || bytes[0] != (byte)'{')
        {
            throw Bad("its header does not begin with '{'");
        }
        Utf8JsonReader json = new(bytes, new JsonReaderOptions { MaxDepth = 16 });
        json.Read();
        bool hasMetadata = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string name = json.GetString()!;
            json.Read();
            if (name != MetadataKey)
            {
                Located tensor = ReadTensor(ref json, name);
                if (!tensors.TryAdd(name, tensor))
                {
                    throw Bad(name, "it is there twice");
                }
            }
            else if (hasMetadata)
            {
                throw Bad("its metadata are there twice");
            }
            else
            {
                hasMetadata = true;
                ReadMetadata(ref json);
            }
        }
        json.Read(); // anything but white space after the object throws
    }

    private void ReadMetadata(ref Utf8JsonReader json)
    {
        if (json.TokenType != JsonTokenType.StartObject)
        {
            throw Bad("its metadata are not an object");
        }
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string key = json.GetString()!;
            json.Read();
            if (json.TokenType != JsonTokenType.String)
            {
                throw Bad($"its metadata's {AtomicFile.Quote(key)} is not a string");
            }
            if (!this.metadata.TryAdd(key, json.GetString()!))
            {
                throw Bad($"its metadata's {AtomicFile.Quote(key)} is there twice");
            }
        }
    }

    private Located ReadTensor(ref Utf8JsonReader json, string name)
    {
        if (json.TokenType != JsonTokenType.StartObject)
        {
            throw Bad(name, "its description is not an object");
        }
        SafetensorsType? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("dtype"u8))
            {
                Once(type is null, name, "dtype");
                json.Read();
                type = ReadType(ref json, name);
            }
            else if (json.ValueTextEquals("shape"u8))
            {
                Once(shape is null, name, "shape");
                json.Read();
                shape = ReadLongs(ref json, name, "shape");
            }
            else if (json.ValueTextEquals("data_offsets"u8))
            {
                Once(offsets is null, name, "data_offsets");
                json.Read();
                offsets = ReadLongs(ref json, name, "data_offsets");
            }
            else
            {
                json.Skip(); // the format's own reader ignores further members too
            }
        }
        if (type is null || shape is null || offsets is not { Length: 2 })
        {
            throw Bad(name, "it needs a dtype, a shape and two data_offsets");
        }
        SafetensorsEntry entry = new(name, type.Value, shape);
        if (offsets[0] > offsets[1])
        {
            throw Bad(name, $"its data_offsets end at {offsets[1]}, before they begin at {offsets[0]}");
        }
        long byteCount;
        try
        {
            byteCount = entry.ByteCount;
        }
        catch (OverflowException e)
        {
            throw Bad(name, "its shape is too large", e);
        }
        if (offsets[1] - offsets[0] != byteCount)
        {
            throw Bad(name, $"{SafetensorsEntry.TypeName(entry.Type)} {entry.ShapeText} takes {byteCount} bytes, but its data_offsets span {offsets[1] - offsets[0]}");
        }
        return new Located(entry, offsets[0], offsets[1]);
    }

    private SafetensorsType ReadType(ref Utf8JsonReader json, string name)
    {
        if (json.TokenType != JsonTokenType.String)
        {
            throw Bad(name, "its dtype is not a string");
        }
        string text = json.GetString()!;
        foreach (SafetensorsType type in Enum.GetValues<SafetensorsType>())
        {
            if (text == SafetensorsEntry.TypeName(type))
            {
                return type;
            }
        }
        throw Bad(name, $"its dtype {AtomicFile.Quote(text)} is unknown");
    }

    private long[] ReadLongs(ref Utf8JsonReader json, string name, string member)
    {
        if (json.TokenType != JsonTokenType.StartArray)
        {
            throw Bad(name, $"its {member} is not a list");
        }
        List<long> values = [];
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out long value) || value < 0)
            {
                throw Bad(name, $"its {member} holds something that is not a whole number from 0 to 2^63-1");
            }
            if (values.Count == MaxRank)
            {
                throw Bad(name, $"its {member} has more than {MaxRank} numbers");
            }
            values.Add(value);
        }
        return [.. values];
    }

    // The ranges, in order, must tile the data exactly: then none overlaps another, none is out of bounds and nothing hides in a hole.
    private void CheckRanges(long dataLength)
    {
        long end = 0;
        foreach (Located tensor in tensors.Values.OrderBy(t => t.Begin).ThenBy(t => t.End))
        {
            if (tensor.Begin != end)
            {
                string what = tensor.Begin < end ? "overlap those of another tensor" : $"leave a hole of {tensor.Begin - end} bytes before them";
                throw Bad(tensor.Entry.Name, $"its data {what}");
            }
            end = tensor.End;
        }
        if (end > dataLength)
        {
            throw Bad($"it is cut short: its header describes {end} bytes of data, but {dataLength} are there");
        }
        if (end < dataLength)
        {
            throw Bad($"{dataLength - end} bytes at its end belong to no tensor");
        }
    }

    private void Once(bool isFirst, string name, string member)
    {
        if (!isFirst)
        {
            throw Bad(name, $"its {member} is there twice");
        }
    }

    private InputException Bad(string reason, Exception? inner = null) => WeightFile.Bad(this.file, reason, inner);

    private InputException Bad(string name, string reason, Exception? inner = null) => WeightFile.Bad(this.file, name, reason, inner);
}
