using System.Text;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Tests.Models;

public sealed class ShardedFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public ShardedFileTests()
    {
        Save("model-1.safetensors", ("a", 1f), ("b", 2f));
        Save("model-2.safetensors", ("c", 3f), ("extra", 4f));
    }

    public void Dispose() => this.folder.Dispose();

    [Fact]
    public void ReadsEachTensorFromItsShard()
    {
        WriteIndex("""{"metadata":{"total_size":16,"x":[{}]},"weight_map":{"c":"model-2.safetensors","a":"model-1.safetensors","b":"model-1.safetensors"}}""");
        using WeightFile file = WeightFile.Open(this.folder.Path);
        Assert.Equal(["c", "a", "b", "extra"], file.Names); // what the index leaves out belongs to the model too
        Assert.Equal([3f, 1f, 2f, 4f], file.Names.Select(n => Value(file, n)));
        Assert.Equal(16, file.ByteCount);
        Assert.True(file.Contains("extra"));
        Assert.EndsWith("model-2.safetensors", file.PathOf("c"));
        byte[] bytes = new byte[2];
        file.ReadBytes("a", 2, bytes);
        Assert.Equal([0x80, 0x3f], bytes);
        Refused.With(() => file.Info("d"), "index.json'", "no shard has a tensor 'd'");
    }

    [Fact]
    public void OpensWhatAFolderHas()
    {
        string path = this.folder.Path;
        Refused.With(() => WeightFile.Open(path), path, "none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json");
        Refused.With(() => WeightFile.Open(this.folder["model-1.safetensors"]), "it is a file");
        Refused.With(() => WeightFile.Open(this.folder["none"]), "none'", "no such folder");
        this.folder.Write("pytorch_model.bin.index.json", """{"weight_map":{"w":"part.bin"}}"""u8);
        File.Copy(PickleFileTests.Fixture("pytorch_model.bin"), this.folder["part.bin"]);
        Refused.With(() => WeightFile.Open(path), "bin.index.json'", "'w'", "the shard 'part.bin' does not hold it");
        this.folder.Write("pytorch_model.bin.index.json", """{"weight_map":{"i32":"part.bin"}}"""u8);
        Opens("part.bin", "i32");
        File.Copy(this.folder["part.bin"], this.folder["pytorch_model.bin"]);
        Opens("pytorch_model.bin", "i32");
        WriteIndex("""{"weight_map":{"a":"model-1.safetensors"}}""");
        Opens("model-1.safetensors", "b");
        Directory.CreateDirectory(this.folder[".ready"]); // a version published, and killed before its files took their places
        File.Move(this.folder["model-1.safetensors"], this.folder[".ready/model-1.safetensors"]);
        Opens(".ready/model-1.safetensors", "b");
        Save("model.safetensors", ("a", 5f));
        Opens("model.safetensors", "a");
    }

    [Theory]
    [InlineData("""[]""", "no JSON object")]
    [InlineData("""{"weight_map":{"a":"model-1.safetensors"}} x""", "not valid JSON at line 1")]
    [InlineData("""{"weight_map":{"a":"model-1.safetensors" """, "not valid JSON")]
    [InlineData("""{"metadata":{}}""", "no weight_map")]
    [InlineData("""{"weight_map":{}}""", "weight_map is empty")]
    [InlineData("""{"weight_map":[]}""", "weight_map is not an object")]
    [InlineData("""{"weight_map":{"a":"model-1.safetensors"},"weight_map":{}}""", "weight_map is there twice")]
    [InlineData("""{"weight_map":{"a":1}}""", "'a': its shard is not a string")]
    [InlineData("""{"weight_map":{"a":"model-1.safetensors","a":"model-1.safetensors"}}""", "'a': it is there twice")]
    [InlineData("""{"weight_map":{"a":"model-2.safetensors"}}""", "'a': the shard 'model-2.safetensors' does not hold it")]
    [InlineData("""{"weight_map":{"a":"model-3.safetensors"}}""", "'a': its shard: cannot read", "model-3.safetensors': no such file")]
    [InlineData("""{"weight_map":{"a":"model-4.safetensors"}}""", "'a': its shard: ", "model-4.safetensors': it is empty")]
    [InlineData("""{"weight_map":{"a":"model-1.safetensors","c":"copy.safetensors"}}""", "'a': both 'model-1.safetensors' and 'copy.safetensors' hold it")]
    [InlineData("""{"weight_map":{"a":"\ud800"}}""", "not valid JSON text")]
    [InlineData("""{"weight_map":{"a":""}}""", "'a': its shard '' is not a plain file name")]
    [InlineData("""{"weight_map":{"a":".."}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"../model-1.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"x/model-1.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"x\\model-1.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"/etc/passwd"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"C:x"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"x\u0000"}}""", "not a plain file name")]
    public void RefusesBadIndices(string index, params string[] says)
    {
        this.folder.Write("model-4.safetensors", []);
        Save("copy.safetensors", ("a", 1f), ("c", 3f));
        WriteIndex(index);
        Refused.With(() => WeightFile.Open(this.folder.Path), ["model.safetensors.index.json'", .. says]);
    }

    [Fact]
    public void RefusesAnIndexThatIsTooLong()
    {
        using (FileStream sparse = File.Create(this.folder["model.safetensors.index.json"]))
        {
            sparse.SetLength(ShardedFile.MaxIndexLength + 1);
        }
        Refused.With(() => WeightFile.Open(this.folder.Path), "index.json'", "over the limit");
    }

    [Fact]
    public void SurvivesTwoThousandMutatedIndices()
    {
        const string Index = """{"metadata":{"total_size":16},"weight_map":{"a":"model-1.safetensors","c":"model-2.safetensors","b":"model-1.safetensors"}}""";
        byte[][] pieces =
        [
            .. Fuzz.Pieces("{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "null", "\"weight_map\":{},", "\"a\":\"model-1.safetensors\",", "\"z\":\"model-2.safetensors\",", "..", "/", "\0"),
            [0xff], [.. Enumerable.Repeat((byte)'[', 10_000)],
        ];
        Fuzz fuzz = new(seed: 7);
        for (int round = 0; round < 2_000; round++)
        {
            byte[] json = fuzz.Damage(Encoding.UTF8.GetBytes(Index), pieces);
            string path = this.folder.Write("model.safetensors.index.json", json);
            fuzz.Read(() => ShardedFile.Open(path, name => SafetensorsFile.Open(this.folder[name])).Dispose(), (20 * json.Length) + 150_000);
        }
        Assert.InRange(fuzz.Accepted, 50, 1_000);
        Assert.True(fuzz.Reasons > 10, $"the mutations should reach many different checks, not {fuzz.Reasons}");
    }

    private void Opens(string file, string name)
    {
        using WeightFile weights = WeightFile.Open(this.folder.Path);
        Assert.Equal(this.folder[file], weights.PathOf(name));
    }

    private void WriteIndex(string json) => this.folder.Write("model.safetensors.index.json", Encoding.UTF8.GetBytes(json));

    private void Save(string name, params (string Name, float Value)[] tensors)
    {
        using SafetensorsWriter writer = new(this.folder[name], tensors.Select(t => new SafetensorsEntry(t.Name, SafetensorsType.F32, [])));
        foreach ((string tensor, float value) in tensors)
        {
            writer.Write(tensor, [value]);
        }
        writer.Commit();
    }

    private static float Value(WeightFile file, string name)
    {
        float[] value = new float[1];
        file.ReadFloat32(name, value);
        return value[0];
    }
}
