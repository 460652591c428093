using System.Text;
using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

public sealed class GenerationTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Fact]
    public void ThePromptIsReadInPiecesInConstantMemory()
    {
        LanguageModel model = TinyModels.Create(device);
        byte[] prompt = new byte[3000];
        var random = new RandomSource(1);
        foreach (ref byte b in prompt.AsSpan())
        {
            b = (byte)random.NextInt(256);
        }

        using var generator = new Generator(model);
        generator.Read(prompt.AsSpan(0, 1000));
        long arena = generator.ArenaBytes;
        generator.Read(prompt.AsSpan(1000));
        Assert.Equal(arena, generator.ArenaBytes);
        Assert.Equal(3000, generator.State.Position);

        using var tape = new Tape(device) { Recording = false };
        Tensor logits = model.Forward(tape.Tokens([.. prompt.Select(b => (int)b)], 1, prompt.Length), model.NewState(1));
        LawTools.Close(generator.Logits, Ops.Slice(logits, ^2, prompt.Length - 1, 1).ToArray(), 1e-4, "logits after the prompt");
    }

    [Fact]
    public void TheSameSeedGivesTheSameText()
    {
        LanguageModel model = TinyModels.Create(device);
        string Text(ulong seed, float temperature = 1) => model.Generate("Four score", new GenerationOptions { Tokens = 40, Seed = seed, Temperature = temperature });
        Assert.Equal(Text(1), Text(1));
        Assert.NotEqual(Text(1), Text(2));
        Assert.Equal(Text(1, temperature: 0), Text(2, temperature: 0)); // greedy: nothing is drawn
    }

    [Fact]
    public void TheStateHasSeenAllThatWasReadAndGenerated()
    {
        LanguageModel model = TinyModels.Create(device);
        SequenceState state = model.NewState(1);
        var options = new GenerationOptions { Tokens = 25, Seed = 3 };
        byte[] generated = [.. model.Generate("abc"u8.ToArray(), options, state)];
        Assert.Equal(28, state.Position);

        SequenceState other = model.NewState(1);
        using (var generator = new Generator(model, other))
        {
            generator.Read("abc"u8);
            foreach (byte b in generated)
            {
                generator.Read(new ReadOnlySpan<byte>(in b));
            }
        }

        Assert.Equal(TinyModels.Read(model, other, "d"u8), TinyModels.Read(model, state, "d"u8));
    }

    [Fact]
    public void AStepAllocatesNothing()
    {
        LanguageModel model = TinyModels.Create(device);
        using var generator = new Generator(model);
        generator.Read(new byte[70]); // a cache grows in tiles; the steps below stay within its second one
        var sampler = new Sampler(new GenerationOptions());
        Assert.Equal(0, Allocations.Least(() => generator.Next(sampler)));
    }

    [Fact]
    public void TheSamplerFollowsTheProbabilities()
    {
        double[] p = [0.5, 0.3, 0.15, 0.05];
        float[] logits = [.. new[] { 3, 1, 0, 2 }.Select(i => (float)Math.Log(p[i]))]; // not in their order
        const int draws = 40_000;
        foreach ((float temperature, float topP, double[] expected) in new[]
        {
            (1f, 1f, new[] { 0.05, 0.3, 0.5, 0.15 }),
            (1f, 0.79f, [0, 0.375, 0.625, 0]), // 0.5 + 0.3 suffice
            (1f, 0.5f, [0, 0, 1, 0]),
            (0.5f, 1f, [0.0025 / 0.365, 0.09 / 0.365, 0.25 / 0.365, 0.0225 / 0.365]),
            (0f, 1f, [0, 0, 1, 0]),
        })
        {
            var sampler = new Sampler(new GenerationOptions { Temperature = temperature, TopP = topP, Seed = 7 });
            var counts = new int[4];
            for (int i = 0; i < draws; i++)
            {
                counts[sampler.Next(logits)]++;
            }

            for (int i = 0; i < 4; i++)
            {
                Assert.Equal(expected[i], counts[i] / (double)draws, expected[i] is 0 or 1 ? 0 : 0.01);
            }
        }
    }

    [Fact]
    public void WhatCannotBeIsRefused()
    {
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        Refused.With(() => model.Generate(""), "the prompt is empty");
        using var generator = new Generator(model);
        Refused.With(() => generator.Next(new Sampler(new GenerationOptions())), "nothing to continue");
        Refused.With(() => new GenerationOptions { Temperature = float.NaN }, "temperature", "0.8");
        Refused.With(() => new GenerationOptions { TopP = 0 }, "top-p", "0.95");
        Refused.With(() => new GenerationOptions { Tokens = -1 }, "tokens -1");
        Refused.With(() => new Sampler(new GenerationOptions()).Next([0, float.NaN]), "not finite");
    }

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("na\u00efve \u2014 \u4e2d\u6587 \U0001F9F6", "na\u00efve \u2014 \u4e2d\u6587 \U0001F9F6")]
    public void TextIsWrittenCharacterByCharacter(string text, string expected)
    {
        using var output = new StringWriter();
        using (var writer = new Utf8TextWriter(output))
        {
            foreach (byte b in Encoding.UTF8.GetBytes(text))
            {
                writer.Write(b);
                Assert.StartsWith(output.ToString(), text, StringComparison.Ordinal); // never a part of a character
                Assert.False(output.ToString().Length > 0 && char.IsHighSurrogate(output.ToString()[^1]));
            }
        }

        Assert.Equal(expected, output.ToString());
    }

    [Fact]
    public void BytesThatAreNoTextAreReplaced()
    {
        using var output = new StringWriter();
        using (var writer = new Utf8TextWriter(output))
        {
            foreach (byte b in (byte[])[(byte)'a', 0xff, (byte)'b', 0xe4, 0xb8, (byte)'c', 0xf0, 0x9f])
            {
                writer.Write(b);
            }
        }

        Assert.Equal("a\ufffdb\ufffdc\ufffd", output.ToString());
    }
}
