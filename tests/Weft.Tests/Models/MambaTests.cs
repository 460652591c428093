using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What neither the laws nor the reference checkpoints say of Mamba: its sizes, its initial values, its errors.</summary>
public sealed class MambaTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Fact]
    public void ParametersHaveTheCheckpointsNamesAndTheAuthorsInitialValues()
    {
        Dictionary<string, Parameter> parameters = Create("mamba", 128).Parameters().ToDictionary(p => p.Name);
        Assert.Equal(["in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D", "out_proj.weight"], parameters.Keys);
        Assert.Equal(["in_proj.weight", "conv1d.weight", "x_proj.weight", "dt_proj.weight", "out_proj.weight"], parameters.Values.Where(p => p.Decay).Select(p => p.Name));
        Assert.Equal(new Shape(8 + 32, 256), parameters["x_proj.weight"].Tensor.Shape);
        Assert.Equal(new Shape(256, 16), parameters["A_log"].Tensor.Shape);
        Assert.All(Values("A_log").Index(), a => Assert.Equal(1 + (a.Index % 16), Math.Exp(a.Item), 1e-5));
        Assert.All(Values("dt_proj.bias"), b => Assert.InRange(Math.Log(1 + Math.Exp(b)), 0.00099, 0.101));
        Assert.InRange(Values("dt_proj.weight").Max(), 0.33f, 0.35356f); // rank^-1/2
        Assert.All(Values("D"), d => Assert.Equal(1, d));

        float[] Values(string name) => parameters[name].Tensor.ToArray();
    }

    [Fact]
    public void StatesHaveTheAuthorsSizes()
    {
        var state = (MambaState)Create("mamba", 64).NewState(2);
        Assert.Equal(new Shape(2, 16, 128), state.H.Shape);
        Assert.Equal(new Shape(2, 3, 128), state.Conv.Shape);
    }

    [Fact]
    public void OptionsAddAndTakeAwayParameters()
    {
        Mixer mixer = Create("mamba[inner=24, bias, conv-bias=false]", 32);
        Assert.Equal(["in_proj.weight", "in_proj.bias", "conv1d.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D", "out_proj.weight", "out_proj.bias"], mixer.Parameters().Select(p => p.Name));
        Assert.Equal(new Shape(2, 16, 24), ((MambaState)mixer.NewState(2)).H.Shape);
    }

    [Theory]
    [InlineData("mamba[state=0]", "block 0 'mamba': state=0 is not a whole number from 1 to 1024")]
    [InlineData("mamba[conv=1]", "block 0 'mamba': conv=1 is not a whole number from 2 to 64")]
    [InlineData("mamba[dt-rank=-1]", "block 0 'mamba': dt-rank=-1 is not a whole number from 0 to 4096")]
    [InlineData("mamba[norm=rms]", "block 0 'mamba': norm=rms is not one of none, plain, learned")]
    [InlineData("mamba[chunk=64]", "block 0 'mamba': unknown option 'chunk'")]
    public void ErrorsSayWhatWouldDo(string block, string message) =>
        Assert.StartsWith(message, Assert.Throws<InputException>(() => Create(block, 64)).Message, StringComparison.Ordinal);

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
