using System.Globalization;
using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>
/// Any value of any option either makes a mixer that mixes, or is refused when the mixer is built, in one line that names the block,
/// an option and its value: never a crash, and never later.
/// </summary>
public sealed class OptionLaw : IDisposable
{
    private static readonly string[] Whole = ["-1", "0", "1", "3", "7", "12", "1025", "2147483647"], Real = ["-1", "0", "0.3", "7", "1e30", "nan"], Words = ["true", "false", "no-such-word", ""];

    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    public static TheoryData<string> Blocks => [.. BlockTable.Names];

    [Theory]
    [MemberData(nameof(Blocks))]
    public void EveryValueMixesOrIsRefused(string block)
    {
        const int width = 32, tokens = 5;
        BlockTable.Create(new BlockSpec(block, []), 0, Builder(width), out BlockSpec usual);
        foreach (BlockOption option in usual.Options)
        {
            foreach (string value in Whole.Concat(Real).Concat(Words).Where(v => v.Length > 0).Distinct())
            {
                string what = $"{block}[{option.Name}={value}]";
                try
                {
                    Mixer mixer = BlockTable.Create(new BlockSpec(block, [new BlockOption(option.Name, value)]), 0, Builder(width));
                    float[] y = LawTools.Mix(mixer, mixer.NewState(1), LawTools.Gaussian(tokens * width, 1), 1, width, [tokens - 1, 1]);
                    Assert.True(y.All(float.IsFinite), $"{what} gives values that are not finite");
                    Assert.Equal(mixer.ParameterCount(), mixer.Cost(1, 0).Parameters);
                }
                catch (InputException e)
                {
                    Assert.DoesNotContain('\n', e.Message);
                    Assert.True(e.Message.StartsWith($"block 0 '{block}': ", StringComparison.Ordinal), $"{what}: {e.Message}");
                    Assert.True(e.Message.Contains(value, StringComparison.Ordinal) || e.Message.Contains("(the default)", StringComparison.Ordinal), $"{what} is refused without its value: {e.Message}");
                }
                catch (Exception e) when (e is not Xunit.Sdk.IAssertionException)
                {
                    Assert.Fail($"{what} is neither made nor refused: {e.GetType().Name}: {e.Message}");
                }
            }
        }
    }

    // What a file may describe: weights far beyond those that there are are refused by the same means.
    private Builder Builder(int width) => new(device, new RandomSource(1), width, 4);
}
