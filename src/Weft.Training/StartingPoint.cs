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
            return new StartingPoint(name, Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16)));
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("go on from", folder, e);
        }
    }
}
