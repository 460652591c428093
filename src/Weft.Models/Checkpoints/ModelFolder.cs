using System.Security.Cryptography;
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
        if (model.Format != WeightFormat.Float32)
        {
            throw new InputException($"a model with weights in {model.Format.Word()} is not saved: its float32 values are gone; the folder that it came from holds them");
        }

        AtomicFile.WriteAllBytes(Path.Combine(folder, ConfigFile), model.Config.ToJson());
        TensorFile.Save(Path.Combine(folder, WeightsFile), model.Parameters().Select(p => (p.Name, p.Tensor)));
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

        ModelConfig config = AtomicFolder.Read(path, ConfigFile, file => ModelConfig.Load(file, BlockTable.Names));
        LanguageModel model = Build(path, config, device);
        AtomicFolder.Read(path, WeightsFile, file =>
        {
            TensorFile.Load(file, model.Parameters().Select(p => (p.Name, p.Tensor)));
            return true;
        });
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
            TensorFile.Append(hash, parameter.Name, parameter.Tensor.Shape, parameter.Tensor.ToArray());
        }

        return TensorFile.Text(hash);
    }

    // A configuration may ask for any size. It gets twice what its weights hold, so that a difference is still told by name.
    private static LanguageModel Build(string path, ModelConfig config, Device device)
    {
        using SafetensorsFile weights = AtomicFolder.Read(path, WeightsFile, SafetensorsFile.Open);
        long allowance = (2 * weights.Names.Sum(n => weights.Info(n).Count)) + (1 << 20);
        try
        {
            return LanguageModel.Blank(config, device, allowance);
        }
        catch (InputException e)
        {
            throw new InputException($"{AtomicFile.Quote(Path.Combine(path, ConfigFile))}: {e.Message}", e);
        }
    }
}
