namespace Weft.Tests.Lab;

/// <summary>A new folder for a page, beside the tests' own files: a sandboxed browser may not see the system's temporary folder.</summary>
internal sealed class PageFolder : IDisposable
{
    public PageFolder() => Directory.CreateDirectory(Path);

    public string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, $"page-{Guid.NewGuid():N}");

    /// <summary>Where a report's page goes.</summary>
    public string Page => System.IO.Path.Combine(Path, "report.html");

    public void Dispose()
    {
        try { Directory.Delete(Path, recursive: true); }
        catch (IOException) { } // the browser's last processes may still hold its profile
        catch (UnauthorizedAccessException) { }
    }
}
