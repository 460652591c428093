using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A checkpoint cut into several files, the shards, with an index: JSON whose <c>weight_map</c> gives the shard of every tensor, a plain file
/// name in the index's own folder. Every shard is opened and every entry checked at once. A tensor that a shard holds beyond the index belongs to
/// the checkpoint, as it does for transformers; a tensor in two shards, of which transformers takes the last, is refused.
/// </summary>
public sealed class ShardedFile : WeightFile
{
    /// <summary>The largest index that is read, in bytes. The indices of the largest models take about one percent of it.</summary>
    public const int MaxIndexLength = 1 << 26;

    private const int MaxShards = 1 << 12;

    private readonly string path;
    private readonly SortedDictionary<string, WeightFile> shards = new(StringComparer.Ordinal);
    private readonly Dictionary<string, WeightFile> owners = new(StringComparer.Ordinal);

    private ShardedFile(string path, byte[] json, Func<string, WeightFile> openShard)
    {
        this.path = path;
        try
        {
            ReadIndex(json, openShard);
            AddTheRest();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException is how the reader reports a string that is not valid Unicode.
            Dispose();
            throw Bad(path, $"it is not valid JSON{(e is JsonException j ? $" at line {j.LineNumber + 1}, byte {j.BytePositionInLine}" : " text")}", e);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Opens an index and the shards it names; <paramref name="openShard"/> opens the file of that plain name beside it.</summary>
    /// <exception cref="InputException">The index or a shard cannot be read, or they do not fit together.</exception>
    public static ShardedFile Open(string indexPath, Func<string, WeightFile> openShard)
    {
        ArgumentNullException.ThrowIfNull(openShard);
        byte[] json;
        using (DataFile file = DataFile.Open(indexPath))
        {
            if (file.Length > MaxIndexLength)
            {
                throw Bad(indexPath, $"it is no index of shards: {file.Length} bytes are over the limit of {MaxIndexLength}");
            }
            file.RefusePointer();
            json = file.Start(MaxIndexLength);
        }
        return new ShardedFile(indexPath, json, openShard);
    }

    /// <inheritdoc/>
    public override IEnumerable<string> Names => owners.Keys;

    /// <inheritdoc/>
    public override long ByteCount => shards.Values.Sum(s => s.ByteCount);

    /// <inheritdoc/>
    public override bool Contains(string name) => owners.ContainsKey(name);

    /// <inheritdoc/>
    public override SafetensorsEntry Info(string name) => OwnerOf(name).Info(name);

    /// <inheritdoc/>
    public override string PathOf(string name) => OwnerOf(name).PathOf(name);

    /// <inheritdoc/>
    public override void ReadBytes(string name, long startByte, Span<byte> destination) => OwnerOf(name).ReadBytes(name, startByte, destination);

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (WeightFile shard in shards.Values)
        {
            shard.Dispose();
        }
    }

    private WeightFile OwnerOf(string name) =>
        owners.TryGetValue(name, out WeightFile? owner) ? owner : throw Bad(this.path, $"no shard has a tensor {AtomicFile.Quote(name)}");

    private void ReadIndex(ReadOnlySpan<byte> bytes, Func<string, WeightFile> openShard)
    {
        Utf8JsonReader json = new(bytes, new JsonReaderOptions { MaxDepth = 16 });
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
        {
            throw Bad(this.path, "it is no JSON object");
        }
        bool hasMap = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (!json.ValueTextEquals("weight_map"u8))
            {
                json.Skip(); // "metadata", which says nothing that the shards do not
                continue;
            }
            if (hasMap)
            {
                throw Bad(this.path, "its weight_map is there twice");
            }
            hasMap = true;
            json.Read();
            ReadMap(ref json, openShard);
        }
        json.Read(); // anything but white space after the object throws
        if (owners.Count == 0)
        {
            throw Bad(this.path, hasMap ? "its weight_map is empty" : "it has no weight_map");
        }
    }

    // Each entry is checked against its shard before it is kept, so that memory stays in proportion to the shards' own headers.
    private void ReadMap(ref Utf8JsonReader json, Func<string, WeightFile> openShard)
    {
        if (json.TokenType != JsonTokenType.StartObject)
        {
            throw Bad(this.path, "its weight_map is not an object");
        }
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string name = json.GetString()!;
            json.Read();
            if (json.TokenType != JsonTokenType.String)
            {
                throw Bad(this.path, name, "its shard is not a string");
            }
            string shardName = json.GetString()!;
            if (!shards.TryGetValue(shardName, out WeightFile? shard))
            {
                shard = OpenShard(name, shardName, openShard);
                shards.Add(shardName, shard);
            }
            if (!shard.Contains(name))
            {
                throw Bad(this.path, name, $"the shard {AtomicFile.Quote(shardName)} does not hold it");
            }
            if (!owners.TryAdd(name, shard))
            {
                throw Bad(this.path, name, "it is there twice");
            }
        }
    }

    private WeightFile OpenShard(string name, string shardName, Func<string, WeightFile> openShard)
    {
        if (shardName is "" or "." or ".." || shardName.AsSpan().IndexOfAny('/', '\\', ':') >= 0 || shardName.Any(char.IsControl))
        {
            throw Bad(this.path, name, $"its shard {AtomicFile.Quote(shardName)} is not a plain file name");
        }
        if (shards.Count == MaxShards)
        {
            throw Bad(this.path, $"it names more than {MaxShards} shards");
        }
        try
        {
            return openShard(shardName);
        }
        catch (InputException e)
        {
            throw Bad(this.path, name, $"its shard: {e.Message}", e);
        }
    }

    private void AddTheRest()
    {
        foreach ((string shardName, WeightFile shard) in shards)
        {
            foreach (string name in shard.Names)
            {
                if (!owners.TryAdd(name, shard) && owners[name] != shard)
                {
                    string other = shards.First(s => s.Value == owners[name]).Key;
                    throw Bad(this.path, name, $"both {AtomicFile.Quote(other)} and {AtomicFile.Quote(shardName)} hold it");
                }
            }
        }
    }
}
