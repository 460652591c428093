using System.Security.Cryptography;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Models.Tokenizers;
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

    /// <summary>The file of the tokenizer; a folder without one holds a model of bytes.</summary>
    public const string TokenizerFile = "tokenizer.json";

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
        if (model.Format != WeightFormat.Float32)
        {
            throw new InputException($"a model with weights in {model.Format.Word()} is not saved: its float32 values are gone; the folder that it came from holds them");
        }

        AtomicFile.WriteAllBytes(Path.Combine(folder, ConfigFile), model.Config.ToJson());
        TensorFile.Save(Path.Combine(folder, WeightsFile), model.Parameters().Select(p => (p.Name, p.Tensor)));
    }

    /// <summary>
    /// Builds the model that a folder holds, in this format or as published (<see cref="HuggingFaceFolder"/>), on <paramref name="device"/>.
    /// Matrices that it holds in bfloat16 stay so, unless they are to be <paramref name="learned"/>.
    /// </summary>
    /// <exception cref="InputException">The folder holds no model of this version; the message names the file, the key and the reason.</exception>
    public static LanguageModel Load(string path, Device device, bool learned = false)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!Directory.Exists(path))
        {
            throw new InputException($"cannot read the model {AtomicFile.Quote(path)}: {(File.Exists(path) ? "it is a file; give its folder" : "no such folder")}");
        }

        if (IsHuggingFace(path))
        {
            return HuggingFaceFolder.Open(path).Load(device, learned);
        }

        ModelConfig config = AtomicFolder.Read(path, ConfigFile, file => ModelConfig.Load(file, BlockTable.Names));
        using WeightFile weights = AtomicFolder.Read(path, WeightsFile, SafetensorsFile.Open);
        return WeightLoader.Load(Path.Combine(path, ConfigFile), config, WeightMap.Identity, weights, device, learned);
    }

    /// <summary>Whether a folder holds a published checkpoint (<see cref="HuggingFaceFolder"/>) rather than a model in Weft's own format.</summary>
    public static bool IsHuggingFace(string path)
    {
        string file = AtomicFolder.PathOf(path, ConfigFile);
        return File.Exists(file) && !HfConfig.Load(file).Has(ModelConfigJson.VersionKey);
    }

    /// <summary>The tokenizer of a folder's model; null where it has none.</summary>
    /// <exception cref="InputException">It has one that cannot be read.</exception>
    public static Tokenizer? TokenizerOf(string path) =>
        File.Exists(AtomicFolder.PathOf(path, TokenizerFile)) ? AtomicFolder.Read(path, TokenizerFile, Tokenizer.Load) : null;

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
            TensorFile.Append(hash, parameter.Name, parameter.Tensor.Shape, parameter.Tensor.ToArray());
        }

        return TensorFile.Text(hash);
    }
}
