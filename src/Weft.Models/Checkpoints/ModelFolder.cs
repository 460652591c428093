using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A model on disk: a folder with <c>config.json</c> (<see cref="ModelConfig"/>) and <c>model.safetensors</c> (the parameters under their
/// names, float32). Both change together or not at all (<see cref="AtomicFolder"/>). A folder may come from anyone: every name and shape is
/// checked, and no more memory is taken than its files justify.
/// </summary>
public static class ModelFolder
{
    /// <summary>The file of the configuration.</summary>
    public const string ConfigFile = "config.json";

    /// <summary>The file of the weights.</summary>
    public const string WeightsFile = "model.safetensors";

    /// <summary>Writes a model into a folder, which is created if need be; a model already there is replaced at once, or not at all.</summary>
    /// <exception cref="InputException">The folder cannot be written; what was there is untouched.</exception>
    public static void Save(LanguageModel model, string path)
    {
        ArgumentNullException.ThrowIfNull(model);
        using AtomicFolder folder = AtomicFolder.Open(path);
        folder.Publish(writing => Write(model, writing));
    }

    /// <summary>Writes a model's two files into a folder that is being published.</summary>
    public static void Write(LanguageModel model, string folder)
    {
        ArgumentNullException.ThrowIfNull(model);
        AtomicFile.WriteAllBytes(Path.Combine(folder, ConfigFile), model.Config.ToJson());
        Parameter[] parameters = [.. model.Parameters()];
        using var weights = new SafetensorsWriter(Path.Combine(folder, WeightsFile), parameters.Select(p => EntryOf(p.Name, p.Tensor.Shape)));
        foreach (Parameter parameter in parameters)
        {
            weights.Write(parameter.Name, parameter.Tensor.ToArray());
        }

        weights.Commit();
    }

    /// <summary>Builds the model that a folder holds, on <paramref name="device"/>.</summary>
    /// <exception cref="InputException">The folder holds no model of this version; the message names the file, the key and the reason.</exception>
    public static LanguageModel Load(string path, Device device)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!Directory.Exists(path))
        {
            throw new InputException($"cannot read the model {AtomicFile.Quote(path)}: {(File.Exists(path) ? "it is a file; give its folder" : "no such folder")}");
        }

        ModelConfig config = Open(path, ConfigFile, file => ModelConfig.Load(file, BlockTable.Names));
        using SafetensorsFile weights = Open(path, WeightsFile, SafetensorsFile.Open);
        string name = Path.Combine(path, WeightsFile);
        var model = new LanguageModel(config, device, seed: 0);
        RequireNames(weights, [.. model.Parameters().Select(p => p.Name)], name);
        foreach (Parameter parameter in model.Parameters())
        {
            Read(weights, parameter.Name, parameter.Tensor, name);
        }

        return model;
    }

    /// <summary>
    /// Identifies a model: a hash of its configuration and of every weight. A state saved from one model is refused by any other.
    /// </summary>
    public static string Fingerprint(LanguageModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(model.Config.ToJson());
        foreach (Parameter parameter in model.Parameters())
        {
            Append(hash, parameter.Name, parameter.Tensor.Shape, parameter.Tensor.ToArray());
        }

        return Text(hash);
    }

    /// <summary>Opens a file of a folder's valid version; once more if a publication moved it away in the same moment.</summary>
    internal static T Open<T>(string folder, string name, Func<string, T> open)
    {
        try
        {
            return open(AtomicFolder.PathOf(folder, name));
        }
        catch (InputException) when (File.Exists(AtomicFolder.PathOf(folder, name)))
        {
            return open(AtomicFolder.PathOf(folder, name));
        }
    }

    /// <summary>How a tensor is declared in a file.</summary>
    internal static SafetensorsEntry EntryOf(string name, Shape shape)
    {
        var lengths = new long[shape.Rank];
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = shape[i];
        }

        return new SafetensorsEntry(name, SafetensorsType.F32, lengths);
    }

    /// <summary>Refuses a file that lacks one of these tensors or holds another.</summary>
    internal static void RequireNames(SafetensorsFile file, HashSet<string> names, string path)
    {
        string? missing = names.Where(n => !file.Contains(n)).Min(StringComparer.Ordinal);
        string? extra = file.Names.Where(n => !names.Contains(n)).Min(StringComparer.Ordinal);
        if (missing is not null || extra is not null)
        {
            throw SafetensorsFile.Bad(path, missing is not null
                ? $"it lacks the tensor {AtomicFile.Quote(missing)}" + (extra is null ? "" : $" and holds {AtomicFile.Quote(extra)} instead")
                : $"it holds the tensor {AtomicFile.Quote(extra!)}, which this model does not have");
        }
    }

    /// <summary>Reads a tensor of a file into one of equal shape.</summary>
    internal static void Read(SafetensorsFile file, string name, Tensor destination, string path)
    {
        SafetensorsEntry expected = EntryOf(name, destination.Shape), found = file.Info(name);
        if (!found.Shape.AsSpan().SequenceEqual(expected.Shape))
        {
            throw SafetensorsFile.Bad(path, name, $"its shape is {found.ShapeText} where this model's is {expected.ShapeText}");
        }

        var values = new float[destination.Shape.Count];
        file.ReadFloat32(name, values);
        destination.Set(values);
    }

    /// <summary>Adds an array to a hash: its name, shape and values.</summary>
    internal static void Append(IncrementalHash hash, string name, Shape shape, ReadOnlySpan<float> values)
    {
        hash.AppendData(Encoding.UTF8.GetBytes($"\n{name} {shape}\n"));
        if (BitConverter.IsLittleEndian)
        {
            for (int i = 0; i < values.Length; i += 1 << 24) // a span of bytes is shorter than one of floats may be
            {
                hash.AppendData(MemoryMarshal.AsBytes(values[i..Math.Min(values.Length, i + (1 << 24))]));
            }
        }
        else
        {
            Span<byte> one = stackalloc byte[sizeof(float)];
            foreach (float value in values)
            {
                BinaryPrimitives.WriteSingleLittleEndian(one, value);
                hash.AppendData(one);
            }
        }
    }

    /// <summary>A hash's first 16 bytes, in hexadecimal.</summary>
    internal static string Text(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
}
