using Weft.Models;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What the laws and the references do not say of the shared Transformer block: whose parameters are whose, and its errors.</summary>
public sealed class SharedTransformerTests : IDisposable
{
    private const string Shared = "shared-transformer[with-embedding, to-next, pre-norm=none, heads=2, hidden=16, adapter-rank=2";

    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Fact]
    public void BlocksOfOneNumberHaveTheirWeightsInCommon()
    {
        LanguageModel model = Build($"{Shared}] mamba2[head-dim=8, state=8] {Shared}, number=1] mamba2[head-dim=8, state=8] {Shared}] mamba2[head-dim=8, state=8]");
        string[] names = [.. model.Parameters().Select(p => p.Name)];
        string[] own = ["mlp_adapter_in.weight", "mlp_adapter.weight", "linear.weight"];
        string[] common = ["norm.weight", "qkv_proj.weight", "out_proj.weight", "mlp_norm.weight", "gate_up_proj.weight", "down_proj.weight"];
        Assert.Equal(common.Select(n => "shared." + n).Concat(own).Order(StringComparer.Ordinal), Of(0));
        Assert.Equal(Of(0), Of(2));
        Assert.Equal(own.Order(StringComparer.Ordinal), Of(4));
        Assert.Equal(names.Length, names.Distinct().Count());

        IEnumerable<string> Of(int block) => names.Where(n => n.StartsWith($"blocks.{block}.mixer.", StringComparison.Ordinal)).Select(n => n[$"blocks.{block}.mixer.".Length..]).Order(StringComparer.Ordinal);
    }

    [Theory]
    [InlineData($"{Shared}] {Shared}, bias]", "block 1 'shared-transformer': number=0 (the default) is a block's of other sizes; blocks of one number have their weights in common")]
    [InlineData("shared-transformer[attention-adapters]", "block 0 'shared-transformer': attention-adapters=true needs an adapter-rank above 0")]
    [InlineData("shared-transformer[heads=5]", "block 0 'shared-transformer': heads=5 does not divide the width 32")]
    public void ErrorsSayWhatWouldDo(string pattern, string says) => Refused.With(() => Build(pattern), says);

    private LanguageModel Build(string pattern) => new(new ModelConfig { Name = "test", Width = 32, Blocks = Pattern.Parse(pattern) }, device, seed: 1);
}
