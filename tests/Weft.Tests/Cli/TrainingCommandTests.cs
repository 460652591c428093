using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Weft.Tests.Cli;

/// <summary>weft train, inspect and generate, from words to files.</summary>
public class TrainingCommandTests
{
    // Small enough that a step takes a millisecond.
    private static readonly string[] Tiny = ["--model", "mamba2[head-dim=8, state=8] swiglu", "--width", "16", "--context", "32", "--batch", "2", "--threads", "1"];

    private static string Corpus(TemporaryFolder folder)
    {
        StringBuilder text = new();
        for (int i = 0; i < 2000; i++)
        {
            text.Append(i * 7919 % 1000).Append(i % 11 == 0 ? ".\n" : " and ");
        }
        return folder.Write("text.txt", Encoding.UTF8.GetBytes(text.ToString()));
    }

    private static string[] Train(string corpus, string run, string budget) => ["train", corpus, .. Tiny, "--budget", budget, "--out", run];

    [Fact]
    public void ARunIsTrainedInspectedAndContinuesAText()
    {
        using TemporaryFolder folder = new();
        string corpus = Corpus(folder), run = folder["run"];
        CommandResult train = WeftProgram.Run(Train(corpus, run, "60steps"));
        Assert.Equal("", train.Error);
        Assert.Equal(0, train.Code);
        Assert.Contains("bits/byte held out", train.Out);
        Assert.Contains("generate", train.Out);
        Assert.Contains("is finished already", WeftProgram.Run(Train(corpus, run, "60steps")).Out);

        CommandResult inspect = WeftProgram.Run("inspect", run);
        Assert.Equal(0, inspect.Code);
        Assert.All((string[])["mamba2[head-dim=8, state=8] swiglu", "width 16", "parameters", "at 256k", "step 60 of 60, finished", "bits/byte"],
            part => Assert.Contains(part, inspect.Out));
        using JsonDocument json = JsonDocument.Parse(WeftProgram.Run("inspect", run, "--json").Out, default);
        Assert.Equal(5, json.RootElement.GetProperty("state").GetArrayLength());
        Assert.Equal(60 * 64, json.RootElement.GetProperty("run").GetProperty("bytes_seen").GetInt64());

        string[] generate = ["generate", run, "--tokens", "20", "--seed", "3"];
        CommandResult said = WeftProgram.Run([.. generate, "--prompt", "12 and "]);
        Assert.Equal(0, said.Code);
        Assert.Equal("", said.Error);
        Assert.NotEmpty(said.Out);
        Assert.Equal(said.Out, WeftProgram.Run([.. generate, "--prompt", "12 and "]).Out);
        Assert.Equal(said.Out, WeftProgram.Run("12 and "u8.ToArray(), CancellationToken.None, generate).Out);
        Assert.Equal(said.Out, WeftProgram.Run("12 and "u8.ToArray(), CancellationToken.None, [.. generate, "--prompt", "-"]).Out);

        // Reading the first part, saving, and going on elsewhere is the same as reading all of it.
        string state = folder["a.state"];
        Assert.Equal(0, WeftProgram.Run("generate", run, "--prompt", "12 a", "--tokens", "0", "--save-state", state).Code);
        Assert.Equal(said.Out, WeftProgram.Run([.. generate, "--state", state, "--prompt", "nd "]).Out);
    }

    [Fact]
    public void ASweepFindsTheRateOnceAndTheSameCommandGoesOn()
    {
        using TemporaryFolder folder = new();
        string[] command = [.. Train(Corpus(folder), folder["run"], "12steps"), "--sweep"];
        CommandResult first = WeftProgram.Run(command);
        Assert.Equal("", first.Error);
        Assert.Contains("rates and bits/byte: ", first.Out);
        CommandResult second = WeftProgram.Run(command);
        Assert.Equal("", second.Error);
        Assert.Contains("is finished already", second.Out);
        Assert.DoesNotContain("rates and bits/byte: ", second.Out);
    }

    [Fact]
    public void ATerminalGetsNoControlCharacters()
    {
        StringWriter output = new();
        using (Weft.Models.Utf8TextWriter text = new(new Weft.Cli.PrintableWriter(output)))
        {
            foreach (byte b in "a\u001b[2Jü\u009b\u0007\n\t"u8)
            {
                text.Write(b);
            }
        }
        Assert.Equal("a\uFFFD[2Jü\uFFFD\uFFFD\n\t", output.ToString());
    }

    [Fact]
    public void AnInterruptedRunSaysTheCommandThatGoesOn()
    {
        using TemporaryFolder folder = new();
        string corpus = Corpus(folder), run = folder["run"];
        using CancellationTokenSource cancel = new(TimeSpan.FromSeconds(2));
        string[] command = Train(corpus, run, "100000000steps");
        CommandResult stopped = WeftProgram.Run(null, cancel.Token, command);
        Assert.Equal(130, stopped.Code);
        Assert.Contains("To go on:", stopped.Error);
        Assert.EndsWith($"  weft {Weft.Cli.ShellText.Join(command)}\n", stopped.Error.ReplaceLineEndings("\n"));
        CommandResult inspect = WeftProgram.Run("inspect", run);
        Assert.Contains("of 100000000 (0%)", inspect.Out);

        using CancellationTokenSource again = new(TimeSpan.FromSeconds(1));
        Assert.Contains("going on after step", WeftProgram.Run(null, again.Token, command).Out);
    }

    [Fact]
    public void AnInterruptedProcessSavesAndEndsWith130()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "a process cannot be sent Ctrl-C on Windows");
        using TemporaryFolder folder = new();
        string run = folder["run"];
        Process process = WeftProgram.Start(Train(Corpus(folder), run, "100000000steps"));
        Assert.True(SpinWait.SpinUntil(() => File.Exists(Path.Combine(run, "training.json")), TimeSpan.FromSeconds(60)));
        using Process kill = WeftProgram.StartProgram("/bin/kill", ["-INT", $"{process.Id}"]);
        CommandResult result = WeftProgram.Finish(process);
        Assert.Equal(130, result.Code);
        Assert.Contains("To go on:", result.Error);
        Assert.DoesNotContain("   at ", result.Error);
    }

    [Fact]
    public void ARunKilledAgainAndAgainEndsWithTheSameBytes()
    {
        using TemporaryFolder folder = new();
        string corpus = Corpus(folder), whole = folder["whole"], killed = folder["killed"];
        Stopwatch duration = Stopwatch.StartNew();
        Assert.Equal(0, WeftProgram.Finish(WeftProgram.Start(Train(corpus, whole, "1200steps"))).Code);
        TimeSpan normal = duration.Elapsed;

        // Killed after a random part of what a whole run takes, until it gets to the end before that; left alone after many tries.
        Random random = new(1);
        int kills = 0;
        CommandResult? end;
        while ((end = WeftProgram.RunOrKill(kills < 8 ? normal * (0.2 + (0.7 * random.NextDouble())) : Timeout.InfiniteTimeSpan, Train(corpus, killed, "1200steps"))) is null)
        {
            kills++;
        }
        Assert.True(end.Code == 0, end.Error);
        Assert.True(kills > 0);
        Assert.Equal(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")), File.ReadAllBytes(Path.Combine(killed, "model.safetensors")));
        Assert.Equal(File.ReadAllBytes(Path.Combine(whole, "optimizer.safetensors")), File.ReadAllBytes(Path.Combine(killed, "optimizer.safetensors")));
    }
}
