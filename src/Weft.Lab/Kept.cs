using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Weft.Models.Checkpoints;

namespace Weft.Lab;

/// <summary>What a long command keeps on the disk to go on from, a JSON file each: whole or not there.</summary>
internal static class Kept
{
    private const long MostBytes = 16L << 20; // a thousand times what is written

    /// <summary>The file in a folder that keeps what <paramref name="key"/>, everything that it depends on as one text, names.</summary>
    public static string PathOf(string folder, string key) => Path.Combine(folder, $"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..16]}.json");

    /// <summary>What a file keeps; null where there is none, or one that is not ours or of another version: what is kept next takes its place.</summary>
    public static T? Read<T>(string path, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return File.Exists(path) && new FileInfo(path).Length <= MostBytes ? JsonSerializer.Deserialize(File.ReadAllBytes(path), type) : null;
        }
        catch (JsonException)
        {
            return null;
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }
    }

    /// <summary>Keeps a value; makes the folder where there is none.</summary>
    public static void Write<T>(string path, T value, JsonTypeInfo<T> type)
    {
        MakeFolder(Path.GetDirectoryName(path)!);
        AtomicFile.WriteAllText(path, JsonSerializer.Serialize(value, type) + "\n");
    }

    /// <summary>Makes a folder where there is none.</summary>
    public static void MakeFolder(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("write to", folder, e);
        }
    }
}
