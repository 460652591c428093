using System.Text;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

public sealed class StateFileTests : IDisposable
{
    private static readonly byte[] First = Encoding.UTF8.GetBytes("It is for us, the living, rather"), Second = Encoding.UTF8.GetBytes(" to be dedicated here");

    private readonly CpuDevice device = new(1);
    private readonly TemporaryFolder folder = new();

    public void Dispose()
    {
        folder.Dispose();
        device.Dispose();
    }

    [Theory]
    [InlineData(TinyModels.EveryBlock)]
    [InlineData("swiglu[hidden=24]")]
    public void RestoredItGoesOnBitForBit(string pattern)
    {
        LanguageModel model = TinyModels.Create(device, pattern);
        foreach (byte[] read in (byte[][])[[], First])
        {
            SequenceState state = model.NewState(1);
            using (var generator = new Generator(model, state))
            {
                generator.Read(read);
            }

            StateFile.Save(state, folder["s"]);
            SequenceState restored = StateFile.Load(folder["s"], model);
            Assert.Equal((state.Position, state.Batch, state.Bytes), (restored.Position, restored.Batch, restored.Bytes));
            Assert.Equal(TinyModels.Read(model, state, Second), TinyModels.Read(model, restored, Second));
        }
    }

    [Fact]
    public void SeveralSequencesAreSavedTogether()
    {
        LanguageModel model = TinyModels.Create(device);
        SequenceState state = model.NewState(3);
        using var tape = new Tape(device) { Recording = false };
        int[] tokens = [.. Enumerable.Range(0, 3 * 20).Select(i => i * 7 % 256)];
        model.Forward(tape.Tokens(tokens, 3, 20), state);
        StateFile.Save(state, folder["s"]);
        SequenceState restored = StateFile.Load(folder["s"], model);
        tape.Reset();
        float[] expected = model.Forward(tape.Tokens(tokens, 3, 20), state).ToArray();
        Assert.Equal(expected, model.Forward(tape.Tokens(tokens, 3, 20), restored).ToArray());
    }

    [Fact]
    public void AStateOfAnotherModelIsRefused()
    {
        LanguageModel model = TinyModels.Create(device);
        SequenceState state = model.NewState(1);
        StateFile.Save(state, folder["s"]);
        Refused.With(() => StateFile.Load(folder["s"], TinyModels.Create(device, seed: 2)), folder["s"], "saved from another model", "configuration, weights or their quantisation differ");

        Tensor weight = model.Parameters().Last().Tensor; // training goes on
        float[] values = weight.ToArray();
        values[0] += 1e-6f;
        weight.Set(values);
        Refused.With(() => StateFile.Load(folder["s"], model), "saved from another model");
    }

    [Fact]
    public void WhatIsNoStateOrOfAnotherVersionIsRefused()
    {
        LanguageModel model = TinyModels.Create(device);
        Refused.With(() => StateFile.Load(folder["none"], model), "no such file");
        ModelFolder.Save(model, folder["m"]);
        Refused.With(() => StateFile.Load(Path.Combine(folder["m"], ModelFolder.WeightsFile), model), "it is no saved state", "'weft_state'");
        StateFile.Save(model.NewState(1), folder["s"]);
        File.WriteAllBytes(folder["s"], Replace(File.ReadAllBytes(folder["s"]), "\"weft_state\":\"1\"", "\"weft_state\":\"2\""));
        Refused.With(() => StateFile.Load(folder["s"], model), "format '2'", "this Weft reads format 1");
    }

    [Fact]
    public void ADamagedFileIsRefused()
    {
        LanguageModel model = TinyModels.Create(device);
        SequenceState state = model.NewState(1);
        TinyModels.Read(model, state, First);
        StateFile.Save(state, folder["s"]);
        byte[] whole = File.ReadAllBytes(folder["s"]);
        var random = new RandomSource(5);
        for (int i = 0; i < 60; i++)
        {
            File.WriteAllBytes(folder["s"], whole[..random.NextInt(whole.Length)]);
            Refused.With(() => StateFile.Load(folder["s"], model), folder["s"]);
        }

        int header = Encoding.Latin1.GetString(whole).LastIndexOf('}') + 1;
        for (int i = 0; i < 200; i++)
        {
            byte[] changed = [.. whole];
            changed[i < 120 ? random.NextInt(header) : random.NextInt(whole.Length)] ^= (byte)(1 << random.NextInt(8));
            File.WriteAllBytes(folder["s"], changed);
            Refused.With(() => StateFile.Load(folder["s"], model), folder["s"]);
        }

        File.WriteAllBytes(folder["s"], Replace(whole, "\"position\":\"32\"", "\"position\":\"33\""));
        Refused.With(() => StateFile.Load(folder["s"], model), "does not match its checksum");
    }

    private static byte[] Replace(byte[] file, string from, string to)
    {
        string text = Encoding.Latin1.GetString(file);
        Assert.Contains(from, text);
        return Encoding.Latin1.GetBytes(text.Replace(from, to, StringComparison.Ordinal));
    }
}
