using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A checkpoint that PyTorch's <c>torch.save</c> made of a dictionary of tensors, open for reading: a zip file with the dictionary as a pickle
/// (NAME/data.pkl) and the storages, one entry each (NAME/data/KEY). The pickle is run by <see cref="PickleMachine"/>, which can build tensors
/// and nothing else. Everything is checked at once: names, shapes, and that every tensor lies in its storage and every storage in the file.
/// </summary>
public sealed class PickleFile : SingleFile
{
    private readonly ZipDirectory zip;
    private readonly string archive;
    private readonly Dictionary<string, PickleStorage> storages = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (SafetensorsEntry Entry, PickleTensor Tensor)> tensors = new(StringComparer.Ordinal);

    private PickleFile(DataFile data)
        : base(data)
    {
        RefuseOtherFormats();
        zip = new ZipDirectory(data);
        archive = FindArchive();
        RefuseBigEndian();
        byte[] pickle = ReadEntry("data.pkl", PickleMachine.MaxLength) ?? throw Bad(Data.Path, "it has no data.pkl");
        foreach ((string name, PickleTensor tensor) in PickleMachine.Run(pickle, Data.Path, FindStorage))
        {
            this.tensors.Add(name, (new SafetensorsEntry(name, tensor.Type, tensor.Sizes), tensor));
        }
        ByteCount = this.storages.Values.Sum(s => s.Count * s.BytesPerElement);
        if (ByteCount > Data.Length)
        {
            throw Bad(Data.Path, "its storages overlap"); // no entry of a sound zip file does
        }
    }

    /// <summary>Opens a file and checks all it says of itself.</summary>
    /// <exception cref="InputException">It cannot be read, or is no checkpoint that holds tensors and nothing else.</exception>
    public static new PickleFile Open(string path) => Open(path, data => new PickleFile(data));

    /// <inheritdoc/>
    public override IEnumerable<string> Names => this.tensors.Keys;

    /// <inheritdoc/>
    public override long ByteCount { get; }

    /// <inheritdoc/>
    public override bool Contains(string name) => this.tensors.ContainsKey(name);

    /// <inheritdoc/>
    public override SafetensorsEntry Info(string name) => Find(this.tensors, name).Entry;

    /// <inheritdoc/>
    public override void ReadBytes(string name, long startByte, Span<byte> destination)
    {
        RequireBytes(name, startByte, destination.Length);
        Find(this.tensors, name).Tensor.Read(Data, startByte, destination);
    }

    private void RefuseOtherFormats()
    {
        const int TarMagic = 257;
        byte[] start = Data.Start(TarMagic + 5);
        if (start.Length == 0)
        {
            throw Bad(Data.Path, "it is empty");
        }
        Data.RefusePointer();
        if (start[0] == (byte)PickleOpcode.PROTO || (start.Length > TarMagic && start.AsSpan(TarMagic).SequenceEqual("ustar"u8)))
        {
            throw Bad(Data.Path, "it is in PyTorch's format from before version 1.6, which is not read: load it with PyTorch and save it again");
        }
        if (!start.AsSpan().StartsWith("PK"u8))
        {
            throw Bad(Data.Path, "it is no checkpoint of PyTorch, which begins as a zip file");
        }
    }

    // All entries lie in one folder, which bears the name that the file had when it was saved.
    private string FindArchive()
    {
        string[] found = [.. zip.Names.Where(n => n.EndsWith("/data.pkl", StringComparison.Ordinal) && n.IndexOf('/') == n.LastIndexOf('/')).Take(2)];
        return found.Length == 1 ? found[0][..^"data.pkl".Length]
            : throw Bad(Data.Path, found.Length == 0 ? "it is no checkpoint of PyTorch: it has no data.pkl" : "it has more than one data.pkl");
    }

    private void RefuseBigEndian()
    {
        const int MaxWord = 16;
        if (ReadEntry("byteorder", MaxWord) is { } order && !order.AsSpan().SequenceEqual("little"u8)) // absent from older files, which are all little-endian
        {
            throw Bad(Data.Path, $"its byte order is {AtomicFile.Quote(Encoding.UTF8.GetString(order))}, where only 'little' is read");
        }
    }

    private byte[]? ReadEntry(string name, int limit)
    {
        if (!zip.TryFind(archive + name, out long start, out long length))
        {
            return null;
        }
        if (length > limit)
        {
            throw Bad(Data.Path, $"its {name} of {length} bytes is over the limit of {limit}");
        }
        byte[] bytes = new byte[length];
        Data.Read(start, bytes);
        return bytes;
    }

    private PickleStorage? FindStorage(string key, SafetensorsType type, long count, out string problem)
    {
        problem = "";
        if (this.storages.TryGetValue(key, out PickleStorage? storage))
        {
            problem = "it is given two types or lengths";
            return storage.Type == type && storage.Count == count ? storage : null;
        }
        if (!zip.TryFind($"{archive}data/{key}", out long start, out long length))
        {
            problem = "the file does not hold it";
            return null;
        }
        storage = new PickleStorage(type, start, count);
        if (count < 0 || count > length / storage.BytesPerElement || length != count * storage.BytesPerElement)
        {
            problem = $"{count} elements of {SafetensorsEntry.TypeName(type)} do not take the {length} bytes that it has";
            return null;
        }
        this.storages.Add(key, storage);
        return storage;
    }
}
