using Weft.Models.Checkpoints;

namespace Weft.Tests.Models;

public sealed class AtomicFolderTests : IDisposable
{
    private static readonly string[] Names = ["config.json", "model.safetensors", "training.safetensors"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AKillAtAnyMomentLeavesTheOldOrTheNewSet()
    {
        // Before each operation on the disk, a copy is taken of what a kill at that moment would leave. Each copy must hold a whole version,
        // for a reader at once and for the next start after cleaning up; and a kill during that clean-up must do no harm either.
        string run = _folder["run"];
        Dictionary<string, string> kills = Snapshots(run, "kill", look =>
        {
            using AtomicFolder folder = new(run, look);
            foreach (string version in new[] { "1", "2", "3" })
            {
                Publish(folder, version, look);
            }
        });
        Assert.True(kills.Count > 25);
        HashSet<string> versions = [];
        foreach (string kill in kills.Keys)
        {
            string before = VersionForReaders(kill);
            versions.Add(before);
            Dictionary<string, string> killedAgain = Snapshots(kill, Path.GetFileName(kill) + "-again", look => new AtomicFolder(kill, look).Dispose());
            foreach (string again in killedAgain.Keys)
            {
                Assert.Equal(before, VersionForReaders(again));
                AtomicFolder.Open(again).Dispose();
                AssertClean(again, before);
            }
            AssertClean(kill, before);
            using (AtomicFolder folder = AtomicFolder.Open(kill))
            {
                Publish(folder, "4", () => { });
            }
            AssertClean(kill, "4");
        }
        Assert.Equal(["", "1", "2", "3"], versions.Order());
    }

    [Fact]
    public void AFailureWhileWritingChangesNothing()
    {
        using AtomicFolder folder = AtomicFolder.Open(_folder["run"]);
        Publish(folder, "1", () => { });
        Assert.Throws<InvalidTimeZoneException>(() => folder.Publish(staging =>
        {
            File.WriteAllText(Path.Combine(staging, Names[0]), "half");
            throw new InvalidTimeZoneException();
        }));
        AssertClean(_folder["run"], "1");
        Refused.With(() => folder.Publish(_ => throw new IOException("No space left on device.")), "run'", "No space left on device");
        AssertClean(_folder["run"], "1");
        folder.Publish(staging => File.WriteAllText(Path.Combine(staging, "more.txt"), "x"));
        Assert.Equal("1", VersionForReaders(_folder["run"])); // files that a version does not contain stay
        Assert.Equal("x", File.ReadAllText(_folder["run/more.txt"]));
    }

    [Fact]
    public void HasOneWriterAtATime()
    {
        using (AtomicFolder.Open(_folder["run"]))
        {
            Refused.With(() => AtomicFolder.Open(_folder["run"]), "run'", "another process");
        }
        AtomicFolder.Open(_folder["run"]).Dispose();
    }

    [Fact]
    public void RemovesUnfinishedFilesOfEarlierKills()
    {
        _folder.Write("log.json" + AtomicFile.UnfinishedSuffix, [1]);
        _folder.Write("mine.tmp", [1]);
        AtomicFolder.Open(_folder.Path).Dispose();
        Assert.Equal([".lock", "mine.tmp"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void RefusesAFileInItsPlace()
    {
        string file = _folder.Write("f", [1]);
        Refused.With(() => AtomicFolder.Open(file), "f'", "it is a file");
        Refused.With(() => AtomicFolder.Open(Path.Combine(file, "run")), "run'", "cannot write the folder");
    }

    private static void Publish(AtomicFolder folder, string version, Action look) => folder.Publish(staging =>
    {
        foreach (string name in Names)
        {
            look();
            using FileStream stream = new(Path.Combine(staging, name), FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
            stream.Write("version "u8);
            look(); // a file written in part
            stream.Write(System.Text.Encoding.UTF8.GetBytes(version));
        }
    });

    // Copies of the folder at every look, and after the end.
    private Dictionary<string, string> Snapshots(string folder, string name, Action<Action> work)
    {
        Dictionary<string, string> snapshots = [];
        void Look()
        {
            string copy = _folder[$"{name}-{snapshots.Count}"];
            Copy(folder, copy);
            snapshots.Add(copy, copy);
        }
        work(Look);
        Look();
        return snapshots;
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        if (!Directory.Exists(from))
        {
            return;
        }
        foreach (string file in Directory.GetFiles(from).Where(file => Path.GetFileName(file) != ".lock"))
        {
            using FileStream source = new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using FileStream copy = File.Create(Path.Combine(to, Path.GetFileName(file)));
            source.CopyTo(copy);
        }
        foreach (string folder in Directory.GetDirectories(from))
        {
            Copy(folder, Path.Combine(to, Path.GetFileName(folder)));
        }
    }

    // The one version that all files have, "" if there is none yet.
    private static string VersionForReaders(string folder)
    {
        string[] found = [.. Names
            .Select(name => AtomicFolder.PathOf(folder, name))
            .Select(path => File.Exists(path) ? File.ReadAllText(path) : "version ")
            .Distinct()];
        return Assert.Single(found)["version ".Length..];
    }

    private static void AssertClean(string folder, string version)
    {
        Assert.Equal(version, VersionForReaders(folder));
        Assert.Empty(Directory.GetDirectories(folder));
        string[] expected = version.Length == 0 ? [".lock"] : [".lock", .. Names];
        Assert.Equal(expected, Directory.GetFiles(folder).Select(Path.GetFileName).Order());
    }
}
