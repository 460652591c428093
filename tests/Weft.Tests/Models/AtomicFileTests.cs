using Weft.Models.Checkpoints;

namespace Weft.Tests.Models;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AppearsWholeAndOnlyWhenCommitted()
    {
        string path = _folder["a.json"];
        using (AtomicFile file = AtomicFile.Create(path))
        {
            file.Write("new"u8);
            Assert.False(File.Exists(path));
        }
        Assert.Empty(Directory.GetFiles(_folder.Path));
        AtomicFile.WriteAllText(path, "one");
        AtomicFile.WriteAllText(path, "two");
        Assert.Equal("two", File.ReadAllText(path));
        using (AtomicFile file = AtomicFile.Create(path))
        {
            file.Write("three"u8);
            Assert.Equal("two", File.ReadAllText(path));
            file.Commit();
            Assert.Throws<InvalidOperationException>(file.Commit);
        }
        Assert.Equal("three", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void OverwritesWhatAKilledWriterLeft()
    {
        _folder.Write("a" + AtomicFile.UnfinishedSuffix, "a much longer unfinished file"u8);
        AtomicFile.WriteAllText(_folder["a"], "x");
        Assert.Equal("x", File.ReadAllText(_folder["a"]));
        Assert.Equal([_folder["a"]], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void RefusesPlacesThatCannotBeWritten()
    {
        Refused.With(() => AtomicFile.Create(_folder.Path), "directory");
        Refused.With(() => AtomicFile.Create(_folder["no/a"]), "no such folder");
        Refused.With(() => AtomicFile.Create(""), "cannot write");
        Refused.With(() => AtomicFile.Create("a\0b"), "cannot write");
    }

    [Fact]
    public void SaysThatTheDiskIsFull()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "needs the device /dev/full, which Linux has");
        string path = _folder["a"];
        foreach (int length in new[] { 1, 1 << 20 }) // noticed at the flush, and while writing
        {
            File.CreateSymbolicLink(path + AtomicFile.UnfinishedSuffix, "/dev/full"); // writes to the unfinished file go to a full device
            Refused.With(() => AtomicFile.WriteAllBytes(path, new byte[length]), "cannot write", "a'", "No space left");
            Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
        }
    }
}
