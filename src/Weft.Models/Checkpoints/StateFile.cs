using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A <see cref="SequenceState"/> on disk: one safetensors file with the slots of every block as <c>layers.I.SLOT</c>, and in its metadata the
/// format's version, the fingerprint of the model it belongs to, the position, the batch and a checksum. Restored, it goes on exactly as if
/// it had never stopped. A file that is damaged, or another model's, is refused with the reason.
/// </summary>
public static class StateFile
{
    private const string VersionKey = "weft_state", ModelKey = "model", PositionKey = "position", BatchKey = "batch", ChecksumKey = "checksum";
    private const string Version = "1";

    /// <summary>Writes a state; a file of that name is replaced at once, or not at all.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Save(SequenceState state, string path)
    {
        ArgumentNullException.ThrowIfNull(state);
        (string Name, Shape Shape, float[] Values)[] arrays =
            [.. state.Layers.SelectMany((layer, i) => layer.Slots.SelectMany(s => s.Save()).Select(a => (NameOf(i, a.Name), a.Shape, a.Values)))];
        var metadata = new Dictionary<string, string>
        {
            [VersionKey] = Version,
            [ModelKey] = ModelFolder.Fingerprint(state.Model),
            [PositionKey] = state.Position.ToString(CultureInfo.InvariantCulture),
            [BatchKey] = state.Batch.ToString(CultureInfo.InvariantCulture),
        };
        metadata[ChecksumKey] = Checksum(metadata, arrays);
        using var file = new SafetensorsWriter(path, arrays.Select(a => TensorFile.EntryOf(a.Name, a.Shape)), metadata);
        foreach ((string name, _, float[] values) in arrays)
        {
            file.Write(name, values);
        }

        file.Commit();
    }

    /// <summary>Restores a state that was saved from <paramref name="model"/>.</summary>
    /// <exception cref="InputException">The file cannot be read, is damaged, or was saved from another model or by another version.</exception>
    public static SequenceState Load(string path, LanguageModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        IReadOnlyDictionary<string, string> metadata = file.Metadata;
        string version = Value(VersionKey);
        if (version != Version)
        {
            throw WeightFile.Bad(path, $"it is a state of format {AtomicFile.Quote(version)}; this Weft reads format {Version}");
        }

        string owner = Value(ModelKey), fingerprint = ModelFolder.Fingerprint(model);
        if (owner != fingerprint)
        {
            throw WeightFile.Bad(path, $"it was saved from another model ({AtomicFile.Quote(owner)}) than this one ('{fingerprint}'): configuration, weights or their quantisation differ");
        }

        if (!long.TryParse(Value(PositionKey), NumberStyles.None, CultureInfo.InvariantCulture, out long position)
            || !int.TryParse(Value(BatchKey), NumberStyles.None, CultureInfo.InvariantCulture, out int batch) || batch < 1)
        {
            throw WeightFile.Bad(path, "its position or batch is no number: the file is damaged");
        }

        Dictionary<string, (Shape Shape, float[] Values)> arrays = file.Names.ToDictionary(n => n, n => Read(file, n, path), StringComparer.Ordinal);
        if (Value(ChecksumKey) != Checksum(metadata, arrays.Select(a => (a.Key, a.Value.Shape, a.Value.Values))))
        {
            throw WeightFile.Bad(path, "its content does not match its checksum: the file is damaged");
        }

        // Before memory is taken for as many sequences as the file says: the parts of fixed size must all be in it.
        if (model.NewState(1).Bytes > arrays.Values.Sum(a => (long)a.Values.Length * sizeof(float)) / batch)
        {
            throw WeightFile.Bad(path, $"it holds no state of {batch} sequences: the file is damaged");
        }

        SequenceState state = model.NewState(batch);
        var wanted = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < state.Layers.Count; i++)
        {
            foreach (StateSlot slot in state.Layers[i].Slots)
            {
                slot.Restore(name => arrays.TryGetValue(NameOf(i, name), out (Shape, float[]) array) && wanted.Add(NameOf(i, name))
                    ? array
                    : throw WeightFile.Bad(path, $"it lacks the tensor {AtomicFile.Quote(NameOf(i, name))}"));
            }
        }

        TensorFile.RequireNames(file, wanted, path);
        state.Position = position;
        return state;

        string Value(string key) => metadata.TryGetValue(key, out string? value) ? value
            : throw WeightFile.Bad(path, $"it is no saved state: its metadata lack {AtomicFile.Quote(key)}");
    }

    private static string NameOf(int layer, string slot) => $"layers.{layer}.{slot}";

    private static (Shape Shape, float[] Values) Read(SafetensorsFile file, string name, string path)
    {
        SafetensorsEntry entry = file.Info(name);
        long[] s = entry.Shape;
        if (s.Length is < 1 or > 4 || s.Any(length => length > int.MaxValue) || entry.Count > Array.MaxLength)
        {
            throw WeightFile.Bad(path, name, $"its shape {entry.ShapeText} is none of a state");
        }

        Shape shape = s.Length switch
        {
            1 => new Shape((int)s[0]),
            2 => new Shape((int)s[0], (int)s[1]),
            3 => new Shape((int)s[0], (int)s[1], (int)s[2]),
            _ => new Shape((int)s[0], (int)s[1], (int)s[2], (int)s[3]),
        };
        var values = new float[entry.Count];
        file.ReadFloat32(name, values);
        return (shape, values);
    }

    // Over everything but itself: the metadata that matter, then names, shapes and values in the order of names.
    private static string Checksum(IReadOnlyDictionary<string, string> metadata, IEnumerable<(string Name, Shape Shape, float[] Values)> arrays)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string key in (ReadOnlySpan<string>)[VersionKey, ModelKey, PositionKey, BatchKey])
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{key} {metadata[key]}\n"));
        }

        foreach ((string name, Shape shape, float[] values) in arrays.OrderBy(a => a.Name, StringComparer.Ordinal))
        {
            TensorFile.Append(hash, name, shape, values);
        }

        return TensorFile.Text(hash);
    }
}
