using System.Text;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

public sealed class ModelFolderTests : IDisposable
{
    private readonly CpuDevice device = new(1);
    private readonly TemporaryFolder folder = new();

    private string Weights => Path.Combine(folder["m"], ModelFolder.WeightsFile);

    private string Config => Path.Combine(folder["m"], ModelFolder.ConfigFile);

    public void Dispose()
    {
        folder.Dispose();
        device.Dispose();
    }

    [Fact]
    public void WhatIsSavedIsLoaded()
    {
        LanguageModel model = TinyModels.Create(device), other = TinyModels.Create(device, seed: 2);
        ModelFolder.Save(other, folder["m"]);
        ModelFolder.Save(model, folder["m"]); // in its place
        LanguageModel loaded = ModelFolder.Load(folder["m"], device);
        Assert.Equal(model.Config, loaded.Config);
        Assert.Equal(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(loaded));
        Assert.NotEqual(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(other));
        byte[] text = Encoding.UTF8.GetBytes("We are met on a great battle-field.");
        Assert.Equal(TinyModels.Read(model, model.NewState(1), text), TinyModels.Read(loaded, loaded.NewState(1), text));
    }

    [Fact]
    public void TheFingerprintSeesEveryWeightAndTheConfiguration()
    {
        LanguageModel model = TinyModels.Create(device);
        string before = ModelFolder.Fingerprint(model);
        foreach (Parameter parameter in model.Parameters())
        {
            float[] values = parameter.Tensor.ToArray();
            values[^1] += 1e-3f;
            parameter.Tensor.Set(values);
            string after = ModelFolder.Fingerprint(model);
            Assert.NotEqual(before, after);
            before = after;
        }

        LanguageModel renamed = new(TinyModels.Config() with { Name = "renamed" }, device, 1);
        Assert.NotEqual(ModelFolder.Fingerprint(TinyModels.Create(device)), ModelFolder.Fingerprint(renamed));
    }

    [Fact]
    public void FoldersWithoutAModelAreRefused()
    {
        Refused.With(() => ModelFolder.Load(folder["nowhere"], device), folder["nowhere"], "no such folder");
        Refused.With(() => ModelFolder.Load(folder.Write("file", []), device), "it is a file");
        Refused.With(() => ModelFolder.Load(folder.Path, device), "config.json", "no such file");
        ModelFolder.Save(TinyModels.Create(device), folder["m"]);
        File.Delete(Weights);
        Refused.With(() => ModelFolder.Load(folder["m"], device), "model.safetensors", "no such file");
    }

    [Fact]
    public void AConfigurationThatIsNotTheWeightsIsRefused()
    {
        ModelFolder.Save(TinyModels.Create(device, "swiglu[hidden=24] swiglu[hidden=24]"), folder["m"]);
        Change("swiglu[hidden=24]*2", "swiglu[hidden=24]*3", "model.safetensors", "lacks the tensor 'blocks.2.mixer.down_proj.weight'");
        Change("swiglu[hidden=24]*2", "swiglu[hidden=24]", "model.safetensors", "holds the tensor 'blocks.1.mixer.down_proj.weight'");
        Change("swiglu[hidden=24]*2", "swiglu[hidden=25]*2", "tensor 'blocks.0.mixer.gate_up_proj.weight'", "its shape is [48, 16] where config.json gives [50, 16]");
        Change("\"width\": 16", "\"width\": 17", "'embedding.weight'", "its shape is [256, 16] where config.json gives [256, 17]");
        Change("\"weft\": 1", "\"weft\": 2", "config.json", "newer Weft");
        Change("swiglu[hidden=24]*2", "swigul", "config.json", "unknown block 'swigul'", "swiglu");
        Change("\"tied\": true", "\"tied\": false", "lacks the tensor 'head.weight'");
        Assert.NotNull(ModelFolder.Load(folder["m"], device)); // whatever was changed was changed back
    }

    [Fact]
    public void AConfigurationCannotAskForMoreMemoryThanTheWeightsFill()
    {
        ModelFolder.Save(TinyModels.Create(device, "swiglu[hidden=24]"), folder["m"]);
        Change("\"width\": 16", "\"width\": 65536", "config.json", "a larger model than its weights hold");
        Change("swiglu[hidden=24]", "swiglu[hidden=1048576]*4096", "config.json", "a larger model than its weights hold");
    }

    [Fact]
    public void CutOrChangedWeightsAreRefused()
    {
        ModelFolder.Save(TinyModels.Create(device, "swiglu[hidden=24]"), folder["m"]);
        byte[] whole = File.ReadAllBytes(Weights);
        foreach (int length in (int[])[0, 7, 100, whole.Length / 2, whole.Length - 1])
        {
            File.WriteAllBytes(Weights, whole[..length]);
            Refused.With(() => ModelFolder.Load(folder["m"], device), "model.safetensors");
        }
    }

    private void Change(string from, string to, params string[] says)
    {
        string before = File.ReadAllText(Config);
        Assert.Contains(from, before);
        File.WriteAllText(Config, before.Replace(from, to, StringComparison.Ordinal));
        Refused.With(() => ModelFolder.Load(folder["m"], device), says);
        File.WriteAllText(Config, before);
    }
}
