using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A folder whose files change as one set: a process killed at any moment leaves the whole old set or the whole new one.
/// <para>
/// Renaming several files one by one is not atomic, so a new version takes three steps. (1) Its files are written into
/// <c>FOLDER/.writing</c> and flushed to the disk. (2) That folder is renamed <c>FOLDER/.ready</c>: one atomic operation, the moment at which
/// the new version becomes the valid one. (3) Its files are moved out of <c>.ready</c> over those of the same name in <c>FOLDER</c>, and the
/// empty <c>.ready</c> is removed. The next <see cref="Open"/> deletes a leftover <c>.writing</c> (a version that never was) and finishes the
/// moves of a leftover <c>.ready</c>; each move can be repeated, so being killed during that does no harm either. Between a kill and the
/// next <see cref="Open"/>, <see cref="PathOf"/> finds each file of the valid version for readers, who change nothing.
/// </para>
/// <para>
/// It needs only what Linux, Windows and macOS all have: atomic renames within one file system, no links, no pointer file. The files lie
/// under their plain names (<c>config.json</c>, <c>model.safetensors</c>, ...), where other tools expect them. A file that a new version
/// does not contain stays. <c>.lock</c>, held open while the folder is owned, keeps a second writer out.
/// </para>
/// </summary>
public sealed class AtomicFolder : IDisposable
{
    private const string Writing = ".writing";
    private const string Ready = ".ready";
    private const string Lock = ".lock";

    private readonly Action? beforeEachOperation;
    private readonly FileStream lockFile;

    /// <summary>As <see cref="Open"/>; tests look at the disk before each operation that changes it.</summary>
    internal AtomicFolder(string path, Action? beforeEachOperation)
    {
        Path = path;
        this.beforeEachOperation = beforeEachOperation;
        try
        {
            if (File.Exists(path))
            {
                throw new InputException($"cannot write the folder {AtomicFile.Quote(path)}: it is a file");
            }
            Change(() => Directory.CreateDirectory(path));
            lockFile = TakeLock();
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("write the folder", path, e);
        }
        try
        {
            FinishMoves();
            DeleteWriting();
            DeleteUnfinished();
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            lockFile.Dispose();
            throw AtomicFile.Problem("write the folder", path, e);
        }
    }

    /// <summary>Takes a folder for writing: creates it if there is none, locks it, and cleans up what an earlier kill left.</summary>
    /// <exception cref="InputException">It cannot be written, or another process is writing it.</exception>
    public static AtomicFolder Open(string path) => new(path, null);

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>
    /// Where a reader finds a file of the folder's valid version, also after a kill and before the next <see cref="Open"/>. The file need
    /// not exist. A reader that meets the very moment of a publication may find the file just moved away: it looks again.
    /// </summary>
    public static string PathOf(string folder, string name)
    {
        string ready = System.IO.Path.Combine(folder, Ready, name);
        return File.Exists(ready) ? ready : System.IO.Path.Combine(folder, name);
    }

    /// <summary>Whether the folder's valid version has that file. It is looked for where it moves to last, so that it cannot slip past.</summary>
    internal static bool Has(string folder, string name) =>
        File.Exists(System.IO.Path.Combine(folder, Ready, name)) || File.Exists(System.IO.Path.Combine(folder, name));

    /// <summary>Reads a file of the folder's valid version; once more if a publication moved it away in the same moment.</summary>
    internal static T Read<T>(string folder, string name, Func<string, T> read)
    {
        try
        {
            return read(PathOf(folder, name));
        }
        catch (InputException) when (File.Exists(PathOf(folder, name)))
        {
            return read(PathOf(folder, name));
        }
    }

    /// <summary>
    /// Publishes a new version: <paramref name="write"/> writes its files, under their plain names, into the folder it is given, and
    /// when it returns they replace those of the same names together. If it throws, nothing has changed.
    /// </summary>
    /// <exception cref="InputException">The disk is full or fails; the old version is still valid, unless the message says otherwise.</exception>
    public void Publish(Action<string> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        string writing = Inside(Writing);
        string ready = Inside(Ready);
        bool isPublished = false;
        try
        {
            FinishMoves(); // of an earlier version, if another program was in the way then
            DeleteWriting();
            Change(() => Directory.CreateDirectory(writing));
            write(writing);
            FlushFiles(writing);
            Change(() => Directory.Move(writing, ready));
            isPublished = true;
            FinishMoves();
        }
        catch (Exception e)
        {
            if (!isPublished)
            {
                TryDeleteWriting();
            }
            if (!AtomicFile.IsFileProblem(e))
            {
                throw;
            }
            InputException problem = AtomicFile.Problem("write the folder", Path, e);
            throw isPublished
                ? new InputException($"{problem.Message}; the new files are complete, and take their places at the next start", e)
                : problem;
        }
    }

    /// <summary>Gives the folder up, so that another process may write it.</summary>
    public void Dispose() => lockFile.Dispose();

    // Step 3, and its repetition after a kill: every file still in .ready belongs to the valid version and goes to its place.
    private void FinishMoves()
    {
        string ready = Inside(Ready);
        if (!Directory.Exists(ready))
        {
            return;
        }
        foreach (string file in Directory.GetFiles(ready).Order(StringComparer.Ordinal))
        {
            string place = Inside(System.IO.Path.GetFileName(file));
            Change(() => File.Move(file, place, overwrite: true));
        }
        Change(() => Directory.Delete(ready));
    }

    private void DeleteWriting()
    {
        string writing = Inside(Writing);
        if (Directory.Exists(writing))
        {
            Change(() => Directory.Delete(writing, recursive: true));
        }
    }

    private void TryDeleteWriting()
    {
        try
        {
            DeleteWriting();
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            // The failure that led here is the one to tell; the next start cleans up.
        }
    }

    // What an AtomicFile directly in this folder left when it was killed.
    private void DeleteUnfinished()
    {
        foreach (string file in Directory.GetFiles(Path, "*" + AtomicFile.UnfinishedSuffix))
        {
            Change(() => File.Delete(file));
        }
    }

    // Whatever way the files were written, they must be on the disk before the rename that makes them valid.
    private static void FlushFiles(string folder)
    {
        if (Directory.GetDirectories(folder).Length > 0)
        {
            throw new InvalidOperationException("a published version holds files only, no folders");
        }
        foreach (string file in Directory.GetFiles(folder))
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
            stream.Flush(flushToDisk: true);
        }
    }

    private FileStream TakeLock()
    {
        string path = Inside(Lock);
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e is not (DirectoryNotFoundException or FileNotFoundException) && File.Exists(path))
        {
            throw new InputException($"cannot write the folder {AtomicFile.Quote(Path)}: another process is writing it", e);
        }
    }

    private void Change(Action operation)
    {
        this.beforeEachOperation?.Invoke();
        AtomicFile.Persistently(operation);
    }

    private string Inside(string name) => System.IO.Path.Combine(Path, name);
}
