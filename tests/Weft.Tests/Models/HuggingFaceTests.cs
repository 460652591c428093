using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>Published families against their reference implementations, and back into their own files: a folder in Fixtures/hf each.</summary>
public sealed class HuggingFaceTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public static TheoryData<string> Folders => [.. Directory.GetDirectories(FixtureFiles.At("hf")).Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)];

    public void Dispose() => device.Dispose();

    [Theory]
    [MemberData(nameof(Folders))]
    public void EqualsTheReference(string folder)
    {
        object[] results = [.. Verification.Run(FixtureFiles.At("hf", folder), device)];
        Assert.Empty(results.OfType<VerifiedTensor>().Where(t => !t.IsGood).Select(t => $"{t.Name} is {t.Error:0.0e+0} from the reference"));
        Assert.Empty(results.OfType<VerifiedContinuation>().Where(c => !c.IsGood).Select(c => $"{c.How}: {c.Equal} of {c.Tokens} tokens are the reference's"));
        Assert.Contains("logits", results.OfType<VerifiedTensor>().Select(t => t.Name));
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("hf", folder, Verification.FileName));
        Assert.Equal(expected.Contains("generated") ? 3 : 0, results.OfType<VerifiedContinuation>().Count());
    }
}
