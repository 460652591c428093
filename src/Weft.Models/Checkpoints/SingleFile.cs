using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>A checkpoint that is one file, open for reading.</summary>
public abstract class SingleFile : WeightFile
{
    private protected SingleFile(DataFile data) => Data = data;

    /// <summary>The file.</summary>
    private protected DataFile Data { get; }

    /// <inheritdoc/>
    public sealed override string PathOf(string name)
    {
        Info(name);
        return Data.Path;
    }

    /// <inheritdoc/>
    public sealed override void Dispose()
    {
        Data.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Opens a file, which is closed again where it turns out to be no checkpoint.</summary>
    private protected static T Open<T>(string path, Func<DataFile, T> check)
    {
        DataFile data = DataFile.Open(path);
        try
        {
            return check(data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>What is known of a tensor.</summary>
    /// <exception cref="InputException">There is none of that name.</exception>
    private protected T Find<T>(IReadOnlyDictionary<string, T> tensors, string name) =>
        tensors.TryGetValue(name, out T? found) ? found : throw Bad(Data.Path, $"it has no tensor {AtomicFile.Quote(name)}");
}
