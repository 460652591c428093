using System.Text;
using Weft.Tests.Training;

namespace Weft.Tests.Cli;

/// <summary>weft train --from, from words to files.</summary>
public class TrainFromTests
{
    [Fact]
    public void APublishedModelLearnsMoreAndContinuesAText()
    {
        using TemporaryFolder folder = new();
        string text = folder.Write("text.txt", Encoding.UTF8.GetBytes(SmallTokenizer.Text())), published = folder["published"], run = folder["run"];
        Directory.CreateDirectory(published);
        File.Copy(FixtureFiles.At("hf", "llama", "config.json"), Path.Combine(published, "config.json"));
        File.Copy(FixtureFiles.At("hf", "llama", "model.safetensors"), Path.Combine(published, "model.safetensors"));
        string[] common = ["--context", "24", "--batch", "2", "--threads", "1", "--budget", "20steps", "--out", run];

        CommandResult lacking = WeftProgram.Run(["train", text, "--from", published, .. common]);
        Assert.Equal(2, lacking.Code);
        Assert.Contains("has no tokenizer.json", lacking.Error);

        SmallTokenizer.Write(folder, Path.Combine("published", "tokenizer.json"));
        foreach (string[] wrong in (string[][])[["--model", "mamba"], ["--width", "32"]])
        {
            CommandResult refused = WeftProgram.Run(["train", text, "--from", published, .. wrong, .. common]);
            Assert.Equal(2, refused.Code);
            Assert.Contains(wrong[0], refused.Error);
            Assert.Single(refused.Error.TrimEnd().Split('\n'));
        }

        CommandResult train = WeftProgram.Run(["train", text, "--from", published, .. common]);
        Assert.Equal("", train.Error);
        Assert.Equal(0, train.Code);
        Assert.All((string[])["tokens, ", "bytes each", "bits/byte held out before the first step", "(at first "], part => Assert.Contains(part, train.Out));
        Assert.Contains("is finished already", WeftProgram.Run(["train", text, "--from", published, .. common]).Out);
        Assert.Contains("is finished already", WeftProgram.Run(["train", text, .. common]).Out);

        CommandResult said = WeftProgram.Run("generate", run, "--prompt", "and the ", "--tokens", "10", "--threads", "1");
        Assert.Equal("", said.Error);
        Assert.Equal(0, said.Code);

        // A run of ours is a start, too; with a sweep each rate begins there.
        CommandResult again = WeftProgram.Run(["train", text, "--from", run, "--sweep", .. common[..^1], folder["second"]]);
        Assert.Equal("", again.Error);
        Assert.Contains("rates and bits/byte: ", again.Out);
    }
}
