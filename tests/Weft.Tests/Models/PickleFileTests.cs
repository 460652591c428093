using System.Buffers.Binary;
using System.IO.Compression;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Tests.Models;

public sealed class PickleFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => this.folder.Dispose();

    /// <summary>Fixtures/pickle is PyTorch 2.11's: views with offsets and strides, tied and frozen parameters, every type, the attributes of a module's state dict.</summary>
    [Fact]
    public void ReadsWhatPyTorchWrote()
    {
        using WeightFile file = PickleFile.Open(Fixture("pytorch_model.bin"));
        using SafetensorsFile expected = SafetensorsFile.Open(Fixture("expected.safetensors"));
        Assert.Equal(expected.Names.Order(StringComparer.Ordinal), file.Names.Order(StringComparer.Ordinal));
        Assert.Equal("emb.weight", file.Names.First());
        foreach (string name in file.Names)
        {
            SafetensorsEntry entry = expected.Info(name);
            Assert.Equal(entry.ToString(), file.Info(name).ToString());
            byte[] data = new byte[entry.ByteCount];
            expected.ReadBytes(name, data);
            byte[] found = new byte[entry.ByteCount];
            file.ReadBytes(name, found);
            Assert.Equal(data, found);
            for (int cut = 0; cut <= data.Length; cut++) // any two parts, also within an element
            {
                Array.Clear(found);
                file.ReadBytes(name, cut, found.AsSpan(cut));
                file.ReadBytes(name, 0, found.AsSpan(0, cut));
                Assert.Equal(data, found);
            }
            if (entry.Type is SafetensorsType.F32 or SafetensorsType.F64 or SafetensorsType.BF16 or SafetensorsType.F16)
            {
                float[] values = new float[entry.Count], floats = new float[entry.Count];
                expected.ReadFloat32(name, values);
                file.ReadFloat32(name, floats);
                Assert.Equal(values, floats);
            }
        }
        long[] tracked = new long[1];
        file.ReadInt64("norm.num_batches_tracked", tracked);
        Assert.True(file.ByteCount < expected.ByteCount); // tied weights and views share their data
        Assert.EndsWith("pytorch_model.bin", file.PathOf("i32"));
        Refused.With(() => file.Info("nothing"), "pytorch_model.bin'", "no tensor 'nothing'");
    }

    [Theory]
    [InlineData("hostile.bin", "pickle, at byte", "global 'posix.system' is none that weights need: refused")]
    [InlineData("nested.bin", "'epoch' is not a tensor")]
    [InlineData("legacy.bin", "before version 1.6", "save it again")]
    [InlineData("expanded.bin", "tensor of 'w'", "6 elements share the 2 of its storage", "contiguous")]
    public void RefusesWhatPyTorchWroteOfOtherKinds(string name, params string[] says) =>
        Refused.With(() => PickleFile.Open(Fixture(name)), [$"{name}'", .. says]);

    [Fact]
    public void ReadsViews()
    {
        TorchPickle pickle = new TorchPickle().Dictionary()
            .Tensor("whole", 12, 0, [3, 4], [4, 1])
            .Tensor("transposed", 12, 0, [4, 3], [1, 4])
            .Tensor("last", 12, 11, [1, 1], [99, 99])
            .Tensor("nothing", 12, 12, [3, 0], [1, 1])
            .Tensor("scalar", 12, 5, [], [])
            .Tensor("windows", 12, 0, [3, 4], [2, 1])
            .Items();
        using PickleFile file = Open(TorchPickle.Zip(pickle, 12));
        Assert.Equal(Enumerable.Range(0, 12).Select(i => (float)i), Floats(file, "whole"));
        Assert.Equal([0f, 4f, 8f, 1f, 5f, 9f, 2f, 6f, 10f, 3f, 7f, 11f], Floats(file, "transposed"));
        Assert.Equal([11f], Floats(file, "last"));
        Assert.Empty(Floats(file, "nothing"));
        Assert.Equal([5f], Floats(file, "scalar"));
        Assert.Equal([0f, 1f, 2f, 3f, 2f, 3f, 4f, 5f, 4f, 5f, 6f, 7f], Floats(file, "windows"));
        Assert.Equal(48, file.ByteCount);
    }

    [Fact]
    public void RefusesViewsOutsideTheirStorage()
    {
        void Refuses(string says, long storage, long offset, long[] size, long[] stride) =>
            Refused.With(() => Open(TorchPickle.Zip(new TorchPickle().Dictionary().Tensor("w", storage, offset, size, stride).Items(), 12)), "file'", "at byte", "'w'", says);

        Refuses("reach to 12 of a storage of 12", 12, 1, [3, 4], [4, 1]);
        Refuses("reach to 12 of a storage of 12", 12, 12, [], []);
        Refuses("reach to 9223372036854775807", 12, long.MaxValue, [], []);
        Refuses("do not make a tensor", 12, -1, [3, 4], [4, 1]);
        Refuses("do not make a tensor", 12, 11, [3], [-1]);
        Refuses("do not make a tensor", 12, 0, [-3], [1]);
        Refuses("do not make a tensor", 12, 0, [3, 4], [1]);
        Refuses("too large", 12, 0, [long.MaxValue, 2], [0, 0]);
        Refuses("too large", 12, 0, [3, 3], [long.MaxValue, 1]);
        Refuses("too large", 12, 2, [2], [long.MaxValue]);
        Refuses("16 elements share the 12", 12, 0, [4, 4], [0, 1]);
        Refuses("13 elements of F32 do not take the 48 bytes", 13, 0, [1], [1]);
        Refuses("elements of F32 do not take the 48 bytes", long.MaxValue / 2, 0, [1], [1]);
        Refuses("elements of F32 do not take the 48 bytes", -1, 0, [1], [1]);
    }

    /// <summary>What is wrong, a pickle, and what the refusal says.</summary>
    public static TheoryData<string, byte[], string> BadPickles => new()
    {
        { "another opcode", new TorchPickle().Op(']').Stop(), "at byte 2: the instruction EMPTY_LIST 0x5d is none" },
        { "object", new TorchPickle().Dictionary().Raw(0x81).Stop(), "the instruction NEWOBJ 0x81 is none" },
        { "stack global", new TorchPickle().Text("os").Text("system").Raw(0x93).Stop(), "the instruction STACK_GLOBAL 0x93 is none" },
        { "no opcode", new TorchPickle().Raw(0xff).Stop(), "the instruction 0xff is none" },
        { "global", new TorchPickle().Global("builtins", "eval").Stop(), "the global 'builtins.eval' is none" },
        { "line break", new TorchPickle().Global("a\rb\u2028", "c").Stop(), "the global 'a?b?.c' is none" },
        { "endless global", new TorchPickle().Global("torch", new string('x', 10_000)).Stop(), "does not end" },
        { "protocol", [0x80, 4, (byte)'N', (byte)'.'], "protocol 4" },
        { "empty", [], "at byte 0: it is cut short" },
        { "no stop", [0x80, 2, (byte)'N'], "at byte 3: it is cut short" },
        { "long text", new TorchPickle().Raw((byte)'X', 0xff, 0xff, 0xff, 0xff).Stop(), "cut short" },
        { "bad text", new TorchPickle().Raw((byte)'X', 1, 0, 0, 0, 0xff).Stop(), "not valid UTF-8" },
        { "none", new TorchPickle().Op('N').Stop(), "does not build a dictionary of tensors" },
        { "empty stack", new TorchPickle().Stop(), "stack is empty" },
        { "below mark", new TorchPickle().Op('N').Op('(').Raw(0x85).Stop(), "stack is empty" },
        { "no mark", new TorchPickle().Op('N').Op('t').Stop(), "no mark" },
        { "memo", new TorchPickle().Raw((byte)'h', 3).Stop(), "object 3 is used before" },
        { "memo of nothing", new TorchPickle().Raw((byte)'q', 3).Stop(), "stack is empty" },
        { "call of a dictionary", new TorchPickle().Op('}').Op(')').Op('R').Stop(), "a function is expected" },
        { "call of a storage type", new TorchPickle().Global("torch", "FloatStorage").Op(')').Op('R').Stop(), "arguments that PyTorch never gives" },
        { "call without arguments", new TorchPickle().Global("torch._utils", "_rebuild_tensor_v2").Op(')').Op('R').Stop(), "arguments that PyTorch never gives" },
        { "odd items", new TorchPickle().Dictionary().Text("a").Items().Stop(), "not pairs" },
        { "key", new TorchPickle().Dictionary().Int(1).Int(2).Items().Stop(), "a key of a dictionary is no text" },
        { "value", new TorchPickle().Dictionary().Text("a").Int(2).Items().Stop(), "'a' is not a tensor" },
        { "nested", new TorchPickle().Dictionary().Text("model").Op('}').Items().Stop(), "'model' is a dictionary" },
        { "twice", new TorchPickle().Dictionary().Text("a").Op('N').Text("a").Op('N').Items().Stop(), "'a' is there twice" },
        { "items of nothing", new TorchPickle().Op('(').Text("a").Op('N').Items().Stop(), "no dictionary" },
        { "attributes", new TorchPickle().Dictionary().Items().Op('N').Op('b').Stop(), "attributes is expected" },
        { "storage", new TorchPickle().Dictionary().Text("w").Storage("FloatStorage", "1", 2).Items().Stop(), "storage '1' of 'w': the file does not hold it" },
        { "path", new TorchPickle().Dictionary().Text("w").Storage("FloatStorage", "../../x", 2).Items().Stop(), "storage '../../x' of 'w': the file does not hold it" },
        { "storage twice", new TorchPickle().Dictionary().Text("v").Storage("FloatStorage", "0", 2).Text("w").Storage("IntStorage", "0", 2).Items().Stop(), "'0' of 'w': it is given two types" },
        { "storage type", new TorchPickle().Op('(').Text("storage").Global("torch._utils", "_rebuild_tensor_v2").Text("0").Text("cpu").Int(2).Op('t').Op('Q').Stop(), "as PyTorch never does" },
        { "long number", new TorchPickle().Raw(0x8a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1).Stop(), "takes 9 bytes" },
        { "long tuple", new TorchPickle().Tuple(new long[65]).Stop(), "65 elements" },
        { "deep stack", [.. new TorchPickle().Raw([.. Enumerable.Repeat((byte)'N', 200_000)]).Stop()], "values are in flight" },
        { "marks", [.. new TorchPickle().Raw([.. Enumerable.Repeat((byte)'(', 200_000)]).Stop()], "values are in flight" },
    };

    [Theory]
    [MemberData(nameof(BadPickles), DisableDiscoveryEnumeration = true)]
    public void RefusesBadPickles(string what, byte[] pickle, string says)
    {
        Assert.NotEmpty(what);
        Refused.With(() => Open(TorchPickle.Zip(pickle, [("archive/data/0", new byte[8])])), "file'", says);
    }

    [Fact]
    public void BoundsTheObjectsAPickleMakes()
    {
        byte[] memo = new TorchPickle().Op('N').Raw([.. Enumerable.Range(0, 2_200_000).SelectMany(i => (byte[])[(byte)'r', (byte)i, (byte)(i >> 8), (byte)(i >> 16), 0])]).Stop();
        Refused.With(() => Open(TorchPickle.Zip(memo, [])), "remembers more than");
        byte[] tuples = new TorchPickle().Op('N').Raw([.. Enumerable.Repeat((byte)0x85, 2_200_000)]).Stop();
        Refused.With(() => Open(TorchPickle.Zip(tuples, [])), "makes more than 2097152 objects");
        Refused.With(() => Open(TorchPickle.Zip(new byte[(1 << 25) + 1], [])), "data.pkl of 33554433 bytes is over the limit");
    }

    [Fact]
    public void RefusesOtherFiles()
    {
        TorchPickle Sound() => new TorchPickle().Dictionary().Tensor("w", 2, 0, [2], [1]).Items();
        byte[] pickle = Sound().Stop();
        Refused.With(() => Open([]), "file'", "empty");
        Refused.With(() => Open("PK"u8.ToArray()), "no zip directory");
        Refused.With(() => Open(new byte[1000]), "no checkpoint of PyTorch");
        Refused.With(() => Open([.. new byte[257], .. "ustar"u8, .. new byte[500]]), "before version 1.6");
        Refused.With(() => Open("version https://git-lfs.github.com/spec/v1\noid"u8.ToArray()), "Git LFS pointer");
        Refused.With(() => PickleFile.Open(this.folder["none"]), "none'", "no such file");
        Refused.With(() => Open(TorchPickle.Zip([.. pickle, .. new byte[1000]], [], CompressionLevel.Optimal)), "'archive/data.pkl' is compressed");
        Refused.With(() => Open(TorchPickle.Zip(pickle, [("other/data.pkl", pickle)])), "more than one data.pkl");
        Refused.With(() => Open(TorchPickle.Zip(pickle, [("archive/byteorder", "big"u8.ToArray())])), "byte order is 'big'");
        Refused.With(() => Open(TorchPickle.Zip(pickle, [("archive/x", []), ("archive/x", [])])), "'archive/x' is there twice");
        byte[] sound = TorchPickle.Zip(Sound(), 2);
        using (PickleFile file = Open(sound))
        {
            Assert.Equal([0f, 1f], Floats(file, "w"));
        }
        for (int length = 0; length < sound.Length; length++)
        {
            Refused.With(() => Open(sound[..length]), "file'");
        }
    }

    // What a file over 4 GB has, on a small one: sizes and offsets in the 64-bit forms, as PyTorch writes them.
    [Fact]
    public void ReadsThe64BitForms()
    {
        byte[] sound = TorchPickle.Zip(new TorchPickle().Dictionary().Tensor("w", 2, 0, [2], [1]).Items(), 2);
        int end = sound.Length - 22;
        int start = BinaryPrimitives.ReadInt32LittleEndian(sound.AsSpan(end + 16));
        List<byte> directory = [];
        for (int at = start; at < end;)
        {
            Span<byte> entry = sound.AsSpan(at, 46 + sound[at + 28]);
            byte[] wide = new byte[28];
            BinaryPrimitives.WriteInt32LittleEndian(wide, 0x00180001);
            foreach ((int from, int to) in new[] { (24, 4), (20, 12), (42, 20) })
            {
                BinaryPrimitives.WriteInt64LittleEndian(wide.AsSpan(to), BinaryPrimitives.ReadUInt32LittleEndian(entry[from..]));
                entry.Slice(from, 4).Fill(0xff);
            }
            at += entry.Length + entry[30];
            entry[30] = 28;
            directory.AddRange(entry);
            directory.AddRange(wide);
        }
        byte[] tail = new byte[56 + 20 + 22];
        BinaryPrimitives.WriteInt32LittleEndian(tail, 0x06064b50);
        BinaryPrimitives.WriteInt64LittleEndian(tail.AsSpan(40), directory.Count);
        BinaryPrimitives.WriteInt64LittleEndian(tail.AsSpan(48), start);
        BinaryPrimitives.WriteInt32LittleEndian(tail.AsSpan(56), 0x07064b50);
        BinaryPrimitives.WriteInt64LittleEndian(tail.AsSpan(64), start + directory.Count);
        BinaryPrimitives.WriteInt32LittleEndian(tail.AsSpan(76), 0x06054b50);
        tail.AsSpan(84, 12).Fill(0xff);
        byte[] file = [.. sound[..start], .. directory, .. tail];
        using (PickleFile found = Open(file))
        {
            Assert.Equal([0f, 1f], Floats(found, "w"));
        }
        foreach (int at in new[] { 0, 40, 47, 55, 56, 64, 71 }) // what the new records say, each damaged
        {
            byte[] damaged = [.. file];
            damaged[start + directory.Count + at] ^= 0xff;
            Refused.With(() => Open(damaged), "zip directory");
        }
    }

    [Fact]
    public void SurvivesTwoThousandMutatedPickles()
    {
        byte[][] pieces =
        [
            .. Fuzz.Pieces("(", "t", ")", "}", "u", "R", "Q", "N", "q\x01", "h\x01", "cos\nsystem\n", "ctorch\nDoubleStorage\n", "ccollections\nOrderedDict\n", ".", "K\x05"),
            [0x8a, 8, 255, 255, 255, 255, 255, 255, 255, 127], [0x85], [0x86], [0x87], [0x88], [(byte)'X', 255, 255, 255, 255], [(byte)'r', 255, 255, 255, 255],
            [(byte)'J', 255, 255, 255, 127], [.. Enumerable.Repeat((byte)'(', 5_000)], [.. Enumerable.Repeat((byte)'}', 5_000)],
        ];
        byte[] real = File.ReadAllBytes(Fixture("pytorch_model.bin"));
        byte[] pickle = new TorchPickle().Dictionary().Tensor("a", 12, 0, [3, 4], [4, 1]).Tensor("b", 12, 1, [3, 2], [2, 3]).Items().Stop();
        Fuzz fuzz = new(seed: 5);
        for (int round = 0; round < 2_000; round++)
        {
            byte[] bytes = round % 4 == 0 ? fuzz.Damage(real, pieces) : TorchPickle.Zip(fuzz.Damage(pickle, pieces), [("archive/data/0", TorchPickle.Floats(12))]);
            string path = this.folder.Write("fuzz", bytes);
            fuzz.Read(
                () =>
                {
                    using PickleFile file = PickleFile.Open(path);
                    foreach (string name in file.Names)
                    {
                        Assert.InRange(file.Info(name).ByteCount, 0, bytes.Length);
                        file.ReadBytes(name, new byte[file.Info(name).ByteCount]);
                    }
                },
                (100 * bytes.Length) + 200_000);
        }
        Assert.InRange(fuzz.Accepted, 50, 1_500);
        Assert.True(fuzz.Reasons > 25, $"the mutations should reach many different checks, not {fuzz.Reasons}");
    }

    internal static string Fixture(string name) => Path.Combine(AppContext.BaseDirectory, "Fixtures", "pickle", name);

    private PickleFile Open(byte[] bytes) => PickleFile.Open(this.folder.Write("file", bytes));

    private static float[] Floats(WeightFile file, string name)
    {
        float[] values = new float[file.Info(name).Count];
        file.ReadFloat32(name, values);
        return values;
    }
}
