using System.Diagnostics;
using System.Text;

namespace Weft.Tests.Cli;

/// <summary>
/// What a person can get wrong, each as they would: one clear line, exit code 2, no stack trace, nothing half-written. A row: its name, the
/// command line ({0} is a folder that <see cref="Prepare"/> fills), and what the line must say.
/// </summary>
public class BadInputTests
{
    private const string Tiny = "--model swiglu --width 8 --context 16 --batch 1 --threads 1 --budget 3steps";

    public static TheoryData<string, string, string[]> Rows => new()
    {
        { "a missing file", $"train {{0}}/none.txt {Tiny} --out {{0}}/new", ["cannot read", "none.txt", "no such file"] },
        { "a missing file to compare", "compare {0}/none.txt --out {0}/new", ["cannot read", "none.txt", "no such file"] },
        { "an empty file", $"train {{0}}/empty.txt {Tiny} --out {{0}}/new", ["empty.txt", "is empty"] },
        { "a file of one byte", $"train {{0}}/one.txt {Tiny} --out {{0}}/new", ["one.txt", "1 byte"] },
        { "a file shorter than a sequence", $"train {{0}}/short.txt {Tiny} --out {{0}}/new", ["short.txt", "too short for a context of 16"] },
        { "a directory", $"train {{0}} {Tiny} --out {{0}}/new", ["is a directory", "give the files"] },
        { "a directory to compare", "compare {0} --out {0}/new", ["is a directory", "give the files"] },
        { "a pattern that does not parse", "train {0}/text.txt --model (3*mamba2 --out {0}/new", ["(3*mamba2", "never closed"] },
        { "a pattern in a list that does not parse", "compare {0}/text.txt --models mamba2,3** --out {0}/new", ["3**"] },
        { "an unknown model", "train {0}/text.txt --model hybird --out {0}/new", ["unknown model 'hybird'", "nearest: hybrid"] },
        { "an unknown model in a list", "compare {0}/text.txt --models mamba2,transfomer --out {0}/new", ["unknown model 'transfomer'", "nearest: transformer"] },
        { "an unknown block", "train {0}/text.txt --model (mmaba2 attention)*2 --out {0}/new", ["mmaba2", "nearest: mamba2"] },
        { "an unknown option of a block", "train {0}/text.txt --model attention[head=4] --out {0}/new", ["head", "heads"] },
        { "heads that do not divide", "train {0}/text.txt --model attention[heads=7] --width 16 --out {0}/new", ["heads", "divide"] },
        { "a model file that is none", "train {0}/text.txt --model {0}/bad.json --out {0}/new", ["bad.json", "not valid JSON"] },
        { "a context longer than the data", "train {0}/text.txt --model swiglu --context 100000 --out {0}/new", ["text.txt", "too short for a context of 100000"] },
        { "a budget below one step, in bytes", "train {0}/text.txt --model swiglu --budget 1B --out {0}/new", ["1B", "one step"] },
        { "a budget below one step, in FLOPs", "train {0}/text.txt --model swiglu --width 8 --context 16 --budget 5flop --out {0}/new", ["5flop", "one step"] },
        { "a file in place of a run's folder", $"train {{0}}/text.txt {Tiny} --out {{0}}/one.txt", ["one.txt", "it is a file"] },
        { "a file in place of a report's folder", "compare {0}/text.txt --out {0}/one.txt", ["one.txt", "it is a file"] },
        { "a context longer than the data to compare", "compare {0}/text.txt --context 100000 --out {0}/new", ["text.txt", "too short for a context of 100000"] },
        { "a budget below one step to compare", "compare {0}/text.txt --models swiglu --context 16 --budget 5flop --threads 1 --out {0}/new", ["5flop", "one step"] },
        { "an unknown task", "probe mqra --out {0}/new", ["unknown task 'mqra'", "nearest: mqar"] },
        { "an unknown model to probe", "probe mqar --models mamba2,transfomer --out {0}/new", ["unknown model 'transfomer'", "nearest: transformer"] },
        { "heads that do not divide, to probe", "probe mqar --models attention[heads=7] --width 16 --threads 1 --out {0}/new", ["heads", "divide"] },
        { "rates that are no numbers", "probe mqar --rates 0.1,x --out {0}/new", ["--rates '0.1,x'", "0.001,0.003"] },
        { "a rate twice", "probe mqar --rates 0.1,0.1 --out {0}/new", ["--rates '0.1,0.1'", "--seeds"] },
        { "a budget of bytes for a task", "probe mqar --budget 5MB --out {0}/new", ["5MB", "1000steps"] },
        { "a budget below one step to probe", "probe mqar --models swiglu --width 8 --budget 5flop --threads 1 --out {0}/new", ["5flop", "one step", "1000steps"] },
        { "a file in place of a probe's folder", "probe mqar --out {0}/one.txt", ["one.txt", "it is a file"] },
        { "a folder that holds a comparison, to probe", "probe mqar --out {0}/compared", ["compared", "the report of a comparison", "--force"] },
        { "a run of another model", "train {0}/text.txt --model mamba2 --width 8 --context 16 --batch 1 --threads 1 --budget 3steps --out {0}/run", ["cannot resume", "swiglu", "mamba2"] },
        { "a run with other options", $"train {{0}}/text.txt {Tiny} --rate 0.1 --out {{0}}/run", ["cannot resume", "rate"] },
        { "a run of another corpus", $"train {{0}}/other.txt {Tiny} --out {{0}}/run", ["cannot resume", "text.txt", "other.txt"] },
        { "a folder that holds no model", "generate {0} --prompt a", ["config.json"] },
        { "a run that is not there", "inspect {0}/none", ["none", "no such folder"] },
        { "a checkpoint cut short, generating", "generate {0}/cut --prompt a", ["model.safetensors", "cut short"] },
        { "a checkpoint cut short, inspected", "inspect {0}/cut", ["model.safetensors", "cut short"] },
        { "a checkpoint cut short, resumed", $"train {{0}}/text.txt {Tiny} --out {{0}}/cut", ["model.safetensors", "cut short"] },
        { "a checkpoint of a newer version", "generate {0}/newer --prompt a", ["config.json", "newer Weft"] },
        { "a run of a newer version", $"train {{0}}/text.txt {Tiny} --out {{0}}/newer-run", ["training.json", "format 99"] },
        { "a state that is none", "generate {0}/run --prompt a --state {0}/text.txt", ["text.txt"] },
        { "an empty prompt", "generate {0}/run --prompt=", ["--prompt needs a value"] },
        { "no prompt", "generate {0}/run", ["--prompt"] },
        { "an unknown form of weights", "generate {0}/run --prompt a --quantize int3", ["'int3'", "int8 or int4"] },
        { "an unknown form of weights to measure", "bench --models swiglu --quantize 4", ["'4'", "int8 or int4"] },
        { "a corpus to inspect with nothing to measure", "inspect {0}/run --corpus {0}/text.txt", ["--corpus", "--quantize"] },
        { "a missing corpus to inspect with", "inspect {0}/run --quantize --corpus {0}/none.txt", ["none.txt", "no such file"] },
        { "an unknown model to measure", "bench --models mamba2,transfomer", ["unknown model 'transfomer'", "nearest: transformer"] },
        { "heads that do not divide, to measure", "bench --models attention[heads=7] --width 16 --seconds 0", ["heads", "divide"] },
        { "a batch that no memory holds", "bench --models swiglu --context 16777216 --batch 1048576", ["1048576 x 16777216", "--batch"] },
        { "measurements saved where there is no folder", "bench --json {0}/none/speed.json", ["cannot write", "no such folder"] },
        { "a state saved where there is no folder", "generate {0}/run --prompt a --tokens 1 --save-state {0}/none/a.state", ["cannot write", "no such folder"] },
    };

    [Theory]
    [MemberData(nameof(Rows))]
    public void IsToldInOneLineAndLeavesNothing(string name, string line, string[] says)
    {
        using TemporaryFolder folder = new();
        Prepare(folder);
        string[] before = Contents(folder);
        CommandResult result = WeftProgram.Run([.. Words(line).Select(w => w.Replace("{0}", folder.Path))]);
        Assert.True(result.Code == 2, $"{name}: exit code {result.Code}: {result.Error}");
        OneLine.Is(result.Error, says);
        Assert.Equal(before, Contents(folder));
    }

    [Fact]
    public void AnUnreadableFileIsToldInOneLine()
    {
        using TemporaryFolder folder = new();
        string path = folder.Write("secret.txt", new byte[1000]);
        Assert.SkipWhen(OperatingSystem.IsWindows(), "permissions are others on Windows");
        if (!OperatingSystem.IsWindows()) // for the analyzer
        {
            File.SetUnixFileMode(path, UnixFileMode.None);
        }
        Assert.SkipWhen(Environment.IsPrivilegedProcess, "root reads every file");
        CommandResult result = WeftProgram.Run("compare", path, "--out", folder["new"]);
        Assert.Equal(2, result.Code);
        OneLine.Is(result.Error, "secret.txt", "permission denied");
    }

    [Fact]
    public void AFullDiskIsToldInOneLineAndLeavesNoHalfAFile()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "a full disk is made with Linux's tmpfs");
        using TemporaryFolder folder = new();
        Prepare(folder);
        string disk = folder["disk"];
        Directory.CreateDirectory(disk);
        // A disk of 48 KiB of its own name space; the model's first checkpoint takes more.
        string weft = $"'{WeftProgram.Path}' train '{folder["text.txt"]}' --model swiglu --width 64 --context 16 --batch 1 --threads 1 --budget 3steps --out '{disk}/run'";
        string script = $"mount -t tmpfs -o size=48k none '{disk}' || exit 99; {weft}; code=$?; ls -A '{disk}/run' | grep -v '^.lock$'; exit $code";
        CommandResult result = WeftProgram.Finish(WeftProgram.StartProgram("unshare", ["-rm", "sh", "-c", script]));
        Assert.SkipWhen(result.Code is 99 || result.Error.StartsWith("unshare", StringComparison.Ordinal), $"no disk can be mounted here: {result.Error}");
        Assert.Equal(2, result.Code);
        OneLine.Is(result.Error, "cannot write", "No space left on device", "; free space or choose another --out");
        Assert.DoesNotContain("safetensors", result.Out);
        Assert.DoesNotContain(".json", result.Out);
    }

    private static void Prepare(TemporaryFolder folder)
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 400).Select(i => $"{i} ")));
        folder.Write("text.txt", text);
        folder.Write("other.txt", [.. text, .. text]);
        folder.Write("empty.txt", []);
        folder.Write("one.txt", "a"u8);
        folder.Write("short.txt", "short text"u8);
        folder.Write("bad.json", "{ \"weft\": 1, "u8);
        Copy(new() { ["report.json"] = "{ \"corpus\": {} }"u8.ToArray() }, folder["compared"]);
        Copy(TrainedRun.Value, folder["run"]);
        Copy(TrainedRun.Value, folder["cut"]);
        using (FileStream cut = new(Path.Combine(folder["cut"], "model.safetensors"), FileMode.Open))
        {
            cut.SetLength(cut.Length - 100);
        }
        Copy(TrainedRun.Value, folder["newer"]);
        Replace(Path.Combine(folder["newer"], "config.json"), "\"weft\": 1", "\"weft\": 99");
        Copy(TrainedRun.Value, folder["newer-run"]);
        Replace(Path.Combine(folder["newer-run"], "training.json"), "\"weft_run\": 1", "\"weft_run\": 99");
    }

    // One run, as files, for all rows.
    private static readonly Lazy<Dictionary<string, byte[]>> TrainedRun = new(() =>
    {
        using TemporaryFolder folder = new();
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 400).Select(i => $"{i} ")));
        CommandResult result = WeftProgram.Run(["train", folder.Write("text.txt", text), .. Tiny.Split(' '), "--out", folder["run"]]);
        Assert.True(result.Code == 0, result.Error);
        return Directory.GetFiles(folder["run"]).ToDictionary(f => Path.GetFileName(f), File.ReadAllBytes);
    });

    private static void Copy(Dictionary<string, byte[]> files, string folder)
    {
        Directory.CreateDirectory(folder);
        foreach ((string name, byte[] bytes) in files)
        {
            File.WriteAllBytes(Path.Combine(folder, name), bytes);
        }
    }

    private static void Replace(string path, string text, string by)
    {
        string before = File.ReadAllText(path);
        Assert.Contains(text, before);
        File.WriteAllText(path, before.Replace(text, by));
    }

    // A pattern in parentheses is one word, blanks and all.
    private static IEnumerable<string> Words(string line) =>
        System.Text.RegularExpressions.Regex.Matches(line, @"\([^)]*\)\S*|\S+").Select(m => m.Value);

    private static string[] Contents(TemporaryFolder folder) =>
        [.. Directory.EnumerateFileSystemEntries(folder.Path, "*", SearchOption.AllDirectories).Where(f => Path.GetFileName(f) != ".lock")
            .Order(StringComparer.Ordinal).Select(f => $"{f} {(File.Exists(f) ? new FileInfo(f).Length : 0)}")];
}
