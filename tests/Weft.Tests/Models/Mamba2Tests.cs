using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What neither the laws nor the reference checkpoint say of Mamba-2: its sizes, its initial values, its errors.</summary>
public sealed class Mamba2Tests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("mamba2", 128, 4, 128, 64, 512)]
    [InlineData("mamba2[state=64]", 256, 8, 64, 64, 640)]
    [InlineData("mamba2[head-dim=32, groups=2, state=16, expand=1]", 128, 4, 16, 32, 192)]
    [InlineData("mamba2[head-dim=32, inner=96, state=16]", 128, 3, 16, 32, 128)]
    public void StatesHaveTheAuthorsSizes(string block, int width, int heads, int states, int headDim, int convolved)
    {
        var state = (Mamba2State)Create(block, width).NewState(2);
        Assert.Equal(new Shape(2, heads, states, headDim), state.H.Shape);
        Assert.Equal(new Shape(2, 3, convolved), state.Conv.Shape);
    }

    [Fact]
    public void ParametersHaveTheCheckpointsNamesAndTheAuthorsInitialValues()
    {
        Dictionary<string, Parameter> parameters = Create("mamba2[head-dim=4, state=8]", 128).Parameters().ToDictionary(p => p.Name);
        Assert.Equal(["in_proj.weight", "conv1d.weight", "conv1d.bias", "A_log", "D", "dt_bias", "norm.weight", "out_proj.weight"], parameters.Keys);
        Assert.Equal(new Shape(256 + 256 + 16 + 64, 128), parameters["in_proj.weight"].Tensor.Shape);
        Assert.All(Values("A_log"), a => Assert.InRange(Math.Exp(a), 0.999, 16.001));
        Assert.InRange(Values("A_log").Average(a => Math.Exp(a)), 7, 10);
        Assert.All(Values("dt_bias"), b => Assert.InRange(Math.Log(1 + Math.Exp(b)), 0.00099, 0.101));
        Assert.All(Values("D"), d => Assert.Equal(1, d));
        Assert.All(Values("conv1d.weight").Concat(Values("conv1d.bias")), w => Assert.InRange(w, -0.5f, 0.5f));
        Assert.InRange(Values("conv1d.weight").Max(), 0.45f, 0.5f);
        Assert.Equal(["in_proj.weight", "conv1d.weight", "out_proj.weight"], parameters.Values.Where(p => p.Decay).Select(p => p.Name));

        float[] Values(string name) => parameters[name].Tensor.ToArray();
    }

    [Theory]
    [InlineData("mamba2[bias]", "in_proj.weight, in_proj.bias, conv1d.weight, conv1d.bias, A_log, D, dt_bias, norm.weight, out_proj.weight, out_proj.bias")]
    [InlineData("mamba2[out-bias, conv-bias=false, norm=none]", "in_proj.weight, conv1d.weight, A_log, D, dt_bias, out_proj.weight, out_proj.bias")]
    [InlineData("mamba2[bias, out-bias=false, norm=norm-first]", "in_proj.weight, in_proj.bias, conv1d.weight, conv1d.bias, A_log, D, dt_bias, norm.weight, out_proj.weight")]
    public void OptionsAddAndTakeAwayParameters(string block, string names) =>
        Assert.Equal(names, string.Join(", ", Create(block, 64).Parameters().Select(p => p.Name)));

    [Theory]
    [InlineData("mamba2", 48, "block 0 'mamba2': head-dim=64 (the default) does not divide expand x width = 96; head widths that do: 96, 48, 32, 24, 16")]
    [InlineData("mamba2[groups=3]", 128, "block 0 'mamba2': groups=3 does not divide the 4 heads; numbers that do: 4, 2, 1")]
    [InlineData("mamba2[inner=96]", 128, "block 0 'mamba2': head-dim=64 (the default) does not divide inner = 96; head widths that do: 96, 48, 32, 24, 16, 12")]
    [InlineData("mamba2[norm-groups=3]", 128, "block 0 'mamba2': norm-groups=3 does not divide the 256 channels; numbers that do: 128, 64, 32")]
    [InlineData("mamba2[norm=last]", 128, "block 0 'mamba2': norm=last is not one of gate-first, norm-first, none")]
    [InlineData("mamba2[dt-min=0.5, dt-max=0.1]", 128, "block 0 'mamba2': dt-max=0.1 is below dt-min=0.5; 0 is for no upper bound")]
    [InlineData("mamba2[conv=1]", 128, "block 0 'mamba2': conv=1 is not a whole number from 2 to 64")]
    [InlineData("mamba2[states=16]", 128, "block 0 'mamba2': unknown option 'states'")]
    public void ErrorsSayWhatWouldDo(string block, int width, string message) =>
        Assert.StartsWith(message, Assert.Throws<InputException>(() => Create(block, width)).Message, StringComparison.Ordinal);

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
