using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Weft.Tests.Models;

/// <summary>Writes files as PyTorch's torch.save does, instruction by instruction (protocol 2), sound ones and others.</summary>
internal sealed class TorchPickle
{
    private readonly List<byte> code = [0x80, 2];

    public static byte[] Zip(byte[] pickle, IEnumerable<(string Name, byte[] Data)> entries, CompressionLevel level = CompressionLevel.NoCompression)
    {
        using MemoryStream stream = new();
        using (ZipArchive zip = new(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach ((string name, byte[] data) in entries.Prepend(("archive/data.pkl", pickle)))
            {
                using Stream entry = zip.CreateEntry(name, level).Open();
                entry.Write(data);
            }
        }
        return stream.ToArray();
    }

    /// <summary>A file of one float32 storage "0" of 0, 1, 2, ..., and what the pickle says of it.</summary>
    public static byte[] Zip(TorchPickle pickle, int floats) => Zip(pickle.Stop(), [("archive/data/0", Floats(floats)), ("archive/byteorder", "little"u8.ToArray())]);

    public static byte[] Floats(int count)
    {
        byte[] data = new byte[4 * count];
        for (int i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(data.AsSpan(4 * i), i);
        }
        return data;
    }

    public TorchPickle Raw(params byte[] bytes)
    {
        this.code.AddRange(bytes);
        return this;
    }

    public TorchPickle Op(char op) => Raw((byte)op);

    public TorchPickle Global(string module, string name) => Raw(Encoding.UTF8.GetBytes($"c{module}\n{name}\n"));

    public TorchPickle Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        byte[] length = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, utf8.Length);
        return Op('X').Raw(length).Raw(utf8);
    }

    public TorchPickle Int(long value)
    {
        byte[] bytes = new byte[10];
        (bytes[0], bytes[1]) = (0x8a, 8);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(2), value);
        return Raw(bytes);
    }

    public TorchPickle Tuple(params long[] values)
    {
        Op('(');
        foreach (long value in values)
        {
            Int(value);
        }
        return Op('t');
    }

    /// <summary>OrderedDict(), and the mark after which its items come.</summary>
    public TorchPickle Dictionary() => Global("collections", "OrderedDict").Op(')').Op('R').Op('(');

    public TorchPickle Storage(string type, string key, long count) =>
        Op('(').Text("storage").Global("torch", type).Text(key).Text("cpu").Int(count).Op('t').Op('Q');

    /// <summary>A name and a tensor of float32 in storage "0".</summary>
    public TorchPickle Tensor(string name, long storageCount, long offset, long[] size, long[] stride) =>
        Text(name).Global("torch._utils", "_rebuild_tensor_v2").Op('(').Storage("FloatStorage", "0", storageCount).Int(offset).Tuple(size).Tuple(stride)
            .Raw(0x89).Global("collections", "OrderedDict").Op(')').Op('R').Op('t').Op('R');

    /// <summary>The items' end, and the pickle's.</summary>
    public TorchPickle Items() => Op('u');

    public byte[] Stop() => [.. this.code, (byte)'.'];
}
