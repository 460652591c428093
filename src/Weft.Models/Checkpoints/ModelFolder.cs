using System.Security.Cryptography;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A model on disk: a folder with <c>config.json</c> (<see cref="ModelConfig"/>) and <c>model.safetensors</c> (the parameters under their
/// names, float32 or, matrices that are held so, bfloat16). Both change together or not at all (<see cref="AtomicFolder"/>). A folder may come from anyone: every name and shape is
/// checked, and no more memory is taken than its files justify.
/// </summary>
public static class ModelFolder
{
    /// <summary>The file of the configuration.</summary>
    public const string ConfigFile = "config.json";

    /// <summary>The file of the tokenizer; a model in Weft's own format that has none reads bytes.</summary>
    public const string TokenizerFile = "tokenizer.json";

    /// <summary>What a model that was a published checkpoint keeps of its origin: the configuration that it came with.</summary>
    public const string OriginFile = "huggingface.json";

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
        if (model.Format > WeightFormat.BFloat16)
        {
            throw new InputException($"a model with weights in {model.Format.Word()} is not saved: the values that they were made from are gone; the folder that it came from holds them");
        }

        AtomicFile.WriteAllBytes(Path.Combine(folder, ConfigFile), model.Config.ToJson());
        TensorFile.Save(Path.Combine(folder, WeightsFile), model.Parameters().Select(p => (p.Name, p.Tensor)));
    }

    /// <summary>Writes a published checkpoint in this format: its model, its tokenizer, and what a later <see cref="Export"/> needs.</summary>
    /// <exception cref="InputException">There is no published checkpoint at <paramref name="from"/>, or a model at <paramref name="to"/> already.</exception>
    public static LanguageModel Import(string from, string to, Device device)
    {
        RequireVacant(to);
        LanguageModel model = Load(from, device);
        if (!IsHuggingFace(from))
        {
            throw new InputException($"{AtomicFile.Quote(from)} is in this format already; there is nothing to import");
        }

        using AtomicFolder folder = AtomicFolder.Open(to);
        folder.Publish(writing =>
        {
            Write(model, writing);
            File.Copy(Path.Combine(from, ConfigFile), Path.Combine(writing, OriginFile));
            CopyTokenizer(from, writing);
        });
        return model;
    }

    /// <summary>Writes a model as a published checkpoint: in the family that it was imported from, or in the first that describes it, which is returned.</summary>
    /// <exception cref="InputException">No family does, or there is a model at <paramref name="to"/> already.</exception>
    public static Family Export(string from, string to, Device device)
    {
        RequireVacant(to);
        LanguageModel model = Load(from, device);
        string origin = AtomicFolder.PathOf(from, IsHuggingFace(from) ? ConfigFile : OriginFile);
        HuggingFaceFolder published = HuggingFaceFolder.For(model, File.Exists(origin) ? HfConfig.Load(origin) : null, to);
        using AtomicFolder folder = AtomicFolder.Open(to);
        folder.Publish(writing =>
        {
            published.Write(model, writing);
            if (model.ReadsBytes)
            {
                using FileStream bytes = File.Create(Path.Combine(writing, TokenizerFile));
                Tokenizer.WriteBytes(bytes);
            }
            else
            {
                CopyTokenizer(from, writing);
            }
        });
        return published.Family;
    }

    private static void CopyTokenizer(string from, string to)
    {
        if (HasTokenizer(from))
        {
            File.Copy(AtomicFolder.PathOf(from, TokenizerFile), Path.Combine(to, TokenizerFile));
        }
    }

    private static void RequireVacant(string path)
    {
        if (File.Exists(path) || File.Exists(AtomicFolder.PathOf(path, ConfigFile)))
        {
            throw new InputException($"{AtomicFile.Quote(path)} {(File.Exists(path) ? "is a file" : "holds a model already")}; give another folder");
        }
    }

    /// <summary>
    /// Builds the model that a folder holds, in this format or as published (<see cref="HuggingFaceFolder"/>), on <paramref name="device"/>.
    /// Matrices that it holds in bfloat16 stay so, unless they are to be <paramref name="learned"/>.
    /// </summary>
    /// <exception cref="InputException">The folder holds no model of this version; the message names the file, the key and the reason.</exception>
    public static LanguageModel Load(string path, Device device, bool learned = false)
    {
        (ModelConfig config, Func<LanguageModel, WeightFile, WeightMap> map, _) = Describe(path);
        using WeightFile weights = OpenWeights(path);
        LanguageModel model = WeightLoader.Load(Path.Combine(path, ConfigFile), config, m => map(m, weights), weights, device, learned);
        if (IsHuggingFace(path) || HasTokenizer(path))
        {
            model.SetTokenizer(() => TokenizerOf(path)!);
        }

        return model;
    }

    /// <summary>Whether a folder holds a tokenizer.</summary>
    public static bool HasTokenizer(string path) => File.Exists(AtomicFolder.PathOf(path, TokenizerFile));

    /// <summary>The tokenizer of a model's folder; null for one in Weft's own format that has none, whose tokens are bytes.</summary>
    /// <exception cref="InputException">It cannot be read, or a published checkpoint has none.</exception>
    public static Tokenizer? TokenizerOf(string path) => HasTokenizer(path) ? AtomicFolder.Read(path, TokenizerFile, Tokenizer.Load)
        : !IsHuggingFace(path) ? null
        : throw new InputException($"{AtomicFile.Quote(path)} has no {TokenizerFile}, without which text cannot be made tokens of; it is published beside the weights");

    /// <summary>The model that a folder's configuration describes, and which of its files' tensors make it.</summary>
    internal static (ModelConfig Config, Func<LanguageModel, WeightFile, WeightMap> Map, HuggingFaceFolder? Published) Describe(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!Directory.Exists(path))
        {
            throw new InputException($"cannot read the model {AtomicFile.Quote(path)}: {(File.Exists(path) ? "it is a file; give its folder" : "no such folder")}");
        }

        if (IsHuggingFace(path))
        {
            HuggingFaceFolder published = HuggingFaceFolder.Open(path);
            return (published.Model, (_, file) => published.Map(file.ShapeOf), published);
        }

        return (AtomicFolder.Read(path, ConfigFile, file => ModelConfig.Load(file, BlockTable.Names)), (model, _) => WeightMap.Identity(model), null);
    }

    /// <summary>Opens a folder's weights: its own format's one file, or any of a published checkpoint's.</summary>
    internal static WeightFile OpenWeights(string path) =>
        IsHuggingFace(path) ? WeightFile.Open(path) : AtomicFolder.Read<WeightFile>(path, WeightsFile, SafetensorsFile.Open);

    /// <summary>Whether a folder holds a published checkpoint (<see cref="HuggingFaceFolder"/>) rather than a model in Weft's own format.</summary>
    public static bool IsHuggingFace(string path)
    {
        string file = AtomicFolder.PathOf(path, ConfigFile);
        return File.Exists(file) && !HfConfig.Load(file).Has(ModelConfigJson.VersionKey);
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
            TensorFile.Append(hash, parameter.Name, parameter.Tensor);
        }

        return TensorFile.Text(hash);
    }
}
