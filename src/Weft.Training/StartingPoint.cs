using System.Security.Cryptography;
using System.Text;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>The model that a run goes on from: the name of its folder, and what identifies the files there.</summary>
/// <param name="Name">The folder's name.</param>
/// <param name="Fingerprint">A hash of configuration, weights and tokenizer, of large files samples.</param>
public sealed record StartingPoint(string Name, string Fingerprint)
{
    private static readonly string[] Kinds = [".json", ".safetensors", ".bin"];

    private byte[]? origin; // the configuration of the published checkpoint that it is, or was

    /// <summary>Identifies the model in a folder, Weft's own or a published checkpoint.</summary>
    /// <exception cref="InputException">There is no such folder, or its files cannot be read.</exception>
    public static StartingPoint Of(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        try
        {
            string[] files = [.. Directory.GetFiles(folder).Where(f => Kinds.Contains(Path.GetExtension(f)) && new FileInfo(f).Length > 1).Order(StringComparer.Ordinal)];
            if (files.Length == 0)
            {
                throw new InputException($"cannot go on from {AtomicFile.Quote(folder)}: it holds no model; give a folder with {ModelFolder.ConfigFile} and weights");
            }

            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (string file in files)
            {
                using Corpus content = Corpus.Open([file]);
                hash.AppendData(Encoding.UTF8.GetBytes($"{content.Name} {content.Fingerprint}\n"));
            }

            string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
            string config = AtomicFolder.PathOf(folder, ModelFolder.IsHuggingFace(folder) ? ModelFolder.ConfigFile : ModelFolder.OriginFile);
            return new StartingPoint(name, Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16)))
            {
                origin = File.Exists(config) ? File.ReadAllBytes(config) : null,
            };
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("go on from", folder, e);
        }
    }

    /// <summary>Whether it is the same model under the same name.</summary>
    public bool Equals(StartingPoint? other) => other is not null && (Name, Fingerprint) == (other.Name, other.Fingerprint);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Fingerprint);

    /// <summary>Writes what an export to the checkpoint's own format needs into a folder that is being published.</summary>
    internal void WriteOrigin(string folder)
    {
        if (origin is not null)
        {
            AtomicFile.WriteAllBytes(Path.Combine(folder, ModelFolder.OriginFile), origin);
        }
    }
}
