using System.Buffers.Binary;
using System.Text;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Tests.Models;

public sealed class SafetensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsAFileOfTheReferenceImplementation()
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(AppContext.BaseDirectory, "Fixtures", "ops", "hgrn.safetensors"));
        Assert.Equal(10, file.Names.Count());
        Assert.Equal("do", file.Names.First());
        Assert.Equal("{}", file.Metadata["args"]);
        Assert.Equal([2, 37, 10], file.Info("out.o").Shape);
        Assert.Equal(SafetensorsType.F32, file.Info("out.o").Type);
        float[] o = new float[2 * 37 * 10];
        file.ReadFloat32("out.o", o);
        Assert.Equal(-0.31662464141845703f, o[0]);
        Assert.Equal(0.8628605604171753f, o[^1]);
        Assert.Equal(-33.98600248992443, o.Sum(x => (double)x), 1e-9);
    }

    [Fact]
    public void GivesBackWhatWasWrittenInEveryType()
    {
        RandomSource random = new(seed: 3);
        float[] f32 = new float[300_001]; // more than one chunk, and not a whole number of them
        random.FillGaussian(f32);
        long[] i64 = [long.MinValue, -1, 0, long.MaxValue];
        int[] i32 = [int.MinValue, 7, int.MaxValue];
        byte[] bytes = [1, 2, 3];
        string path = _folder["a.safetensors"];
        Dictionary<string, string> metadata = new() { ["z"] = "last", ["format"] = "weft \"1\" \n \u00e9\U0001F600" };
        using (SafetensorsWriter writer = new(
            path,
            [
                new("none", SafetensorsType.F32, [0, 5]),
                new("weights", SafetensorsType.F32, [f32.Length]),
                new("scalar \u00e9", SafetensorsType.F32, []),
                new("empty too", SafetensorsType.I64, [0]),
                new("i64", SafetensorsType.I64, [2, 2]),
                new("i32", SafetensorsType.I32, [3]),
                new("raw", SafetensorsType.F8E4M3, [3, 1]),
            ],
            metadata))
        {
            writer.Write("weights", f32.AsSpan(0, 1000));
            writer.Write("weights", f32.AsSpan(1000));
            writer.Write("scalar \u00e9", [1.5f]);
            writer.Write("empty too", Array.Empty<long>());
            writer.Write("i64", i64);
            writer.Write("i32", i32);
            Assert.False(File.Exists(path));
            writer.WriteBytes("raw", bytes);
            writer.Commit();
        }

        Assert.Equal([path], Directory.GetFiles(_folder.Path));
        Assert.Equal(0, BinaryPrimitives.ReadInt64LittleEndian(File.ReadAllBytes(path)) % 8);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(["none", "weights", "scalar \u00e9", "empty too", "i64", "i32", "raw"], file.Names);
        Assert.Equal(metadata.OrderBy(m => m.Key, StringComparer.Ordinal), file.Metadata);
        Assert.Equal("raw F8_E4M3 [3, 1]", file.Info("raw").ToString());
        float[] f32Back = new float[f32.Length];
        file.ReadFloat32("weights", f32Back);
        Assert.Equal(f32, f32Back);
        float[] scalar = new float[1];
        file.ReadFloat32("scalar \u00e9", scalar);
        Assert.Equal(1.5f, scalar[0]);
        file.ReadFloat32("none", []);
        long[] i64Back = new long[4];
        file.ReadInt64("i64", i64Back);
        Assert.Equal(i64, i64Back);
        long[] widened = new long[3];
        file.ReadInt64("i32", widened);
        Assert.Equal(i32.Select(x => (long)x), widened);
        int[] i32Back = new int[3];
        file.ReadInt32("i32", i32Back);
        Assert.Equal(i32, i32Back);
        byte[] bytesBack = new byte[3];
        file.ReadBytes("raw", bytesBack);
        Assert.Equal(bytes, bytesBack);
        Assert.True(file.Contains("raw"));
        Assert.False(file.Contains("row"));
    }

    [Fact]
    public void ConvertsEveryFloatTypeToFloat32()
    {
        float[] values = [0f, -0f, 1f, -2.5f, 65504f, 1e-4f, float.PositiveInfinity, float.NaN, 3.14159274f];
        byte[] half = new byte[2 * values.Length];
        byte[] brain = new byte[2 * values.Length];
        byte[] wide = new byte[8 * values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteHalfLittleEndian(half.AsSpan(2 * i), (Half)values[i]);
            BinaryPrimitives.WriteUInt16LittleEndian(brain.AsSpan(2 * i), (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16));
            BinaryPrimitives.WriteDoubleLittleEndian(wide.AsSpan(8 * i), values[i] + (i == 2 ? 1e-9 : 0));
        }
        string path = _folder["f.safetensors"];
        using (SafetensorsWriter writer = new(
            path,
            [new("h", SafetensorsType.F16, [9]), new("b", SafetensorsType.BF16, [9]), new("d", SafetensorsType.F64, [9])]))
        {
            writer.WriteBytes("h", half);
            writer.WriteBytes("b", brain);
            writer.WriteBytes("d", wide);
            writer.Commit();
        }
        using SafetensorsFile file = SafetensorsFile.Open(path);
        float[] back = new float[9];
        file.ReadFloat32("h", back);
        Assert.Equal(values.Select(x => (float)(Half)x), back);
        file.ReadFloat32("b", back);
        Assert.Equal(values.Select(x => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(x) & 0xFFFF0000)), back);
        file.ReadFloat32("d", back);
        Assert.Equal(values, back);
    }

    [Fact]
    public void RoundsFloat32ToNearestEven()
    {
        float[] random = new float[150_001]; // more than one chunk
        new RandomSource(seed: 8).FillGaussian(random);
        float[] values =
        [
            0f, -0f, 1f, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.Epsilon, 65519.99f, 65520f, 6e-8f,
            .. new uint[] { 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0xbf808000, 0x3f801000, 0x3f803000, 0x3f803001, 0x00008000, 0x00018000 }
                .Select(BitConverter.UInt32BitsToSingle),
            .. random,
        ];
        string path = _folder["r.safetensors"];
        using (SafetensorsWriter writer = new(path, [new("b", SafetensorsType.BF16, [values.Length]), new("h", SafetensorsType.F16, [values.Length]), new("n", SafetensorsType.BF16, [2])]))
        {
            Assert.Throws<InvalidOperationException>(() => writer.Write("b", new float[values.Length + 1]));
            writer.Write("b", values.AsSpan(0, 7));
            writer.Write("b", values.AsSpan(7));
            Assert.Throws<InvalidOperationException>(() => writer.Write("h", new int[1]));
            writer.Write("h", values);
            writer.Write("n", [float.NaN, BitConverter.UInt32BitsToSingle(0xff800001)]);
            writer.Commit();
        }
        using SafetensorsFile file = SafetensorsFile.Open(path);
        float[] back = new float[values.Length];
        file.ReadFloat32("h", back);
        Assert.Equal(values.Select(x => (float)(Half)x), back);
        file.ReadFloat32("b", back);
        Assert.Equal(values.Select(NearestBFloat16), back);
        float[] none = new float[2];
        file.ReadFloat32("n", none);
        Assert.All(none, x => Assert.True(float.IsNaN(x)));
    }

    // The nearer of the two bf16 around a value, and of two equally near the one whose last bit is 0.
    private static float NearestBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if ((bits & 0xffff) == 0)
        {
            return value;
        }
        float toZero = BitConverter.UInt32BitsToSingle(bits & 0xffff0000), away = BitConverter.UInt32BitsToSingle((bits & 0xffff0000) + 0x10000);
        double below = Math.Abs((double)value - toZero), above = Math.Abs((float.IsInfinity(away) ? Math.CopySign(Math.Pow(2, 128), value) : away) - value);
        return below < above || (below == above && (bits & 0x10000) == 0) ? toZero : away;
    }

    [Fact]
    public void TheSameTensorsGiveTheSameBytes()
    {
        byte[][] files = [.. new[] { "1", "2" }.Select(name =>
        {
            using SafetensorsWriter writer = new(_folder[name], [new("x", SafetensorsType.I32, [2])], new Dictionary<string, string> { ["k"] = "v" });
            writer.Write("x", [1, 2]);
            writer.Commit();
            return File.ReadAllBytes(_folder[name]);
        })];
        Assert.Equal(files[0], files[1]);
        Assert.Equal(
            """{"__metadata__":{"k":"v"},"x":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}""",
            Encoding.UTF8.GetString(files[0][8..^8]).TrimEnd(' '));
    }

    [Fact]
    public void AnUnfinishedFileLeavesTheOldOne()
    {
        string path = _folder.Write("m", "old"u8);
        using (SafetensorsWriter writer = new(path, [new("x", SafetensorsType.F32, [2])]))
        {
            writer.Write("x", [1f]);
            Assert.Throws<InvalidOperationException>(() => writer.Write("y", [1f]));
            Assert.Throws<InvalidOperationException>(() => writer.Write("x", [1f, 2f]));
            Assert.Throws<InvalidOperationException>(() => writer.Write("x", [1]));
            Assert.Throws<InvalidOperationException>(writer.Commit);
        }
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
        SafetensorsEntry x = new("x", SafetensorsType.U8, [1]);
        Assert.Throws<ArgumentException>(() => new SafetensorsWriter(path, [x, x]));
        Assert.Throws<ArgumentException>(() => new SafetensorsWriter(path, [x with { Shape = [-1] }]));
        Refused.With(() => new SafetensorsWriter(_folder["no/such/m"], []), "m'", "no such folder");
        Refused.With(() => new SafetensorsWriter(_folder.Path, []), "directory");
    }

    [Fact]
    public void RefusesWrongQuestions()
    {
        string path = WriteFile("""{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"n":{"dtype":"U8","shape":[],"data_offsets":[24,25]}}""", 25);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Refused.With(() => file.Info("y"), "file'", "'y'", "no tensor");
        Refused.With(() => file.ReadFloat32("x", new float[8]), "'x'", "[2, 3]", "8 are expected");
        Refused.With(() => file.ReadFloat32("n", new float[1]), "'n'", "U8", "F32");
        Refused.With(() => file.ReadInt64("x", new long[6]), "'x'", "F32", "I64");
        Refused.With(() => file.ReadInt32("x", new int[6]), "'x'", "F32", "I32");
        Refused.With(() => file.ReadBytes("x", new byte[6]), "'x'", "24 bytes");
        Refused.With(() => SafetensorsFile.Open(_folder["none"]), "none'", "no such file");
        Refused.With(() => SafetensorsFile.Open(_folder["no/ne"]), "no such folder");
        Refused.With(() => SafetensorsFile.Open(_folder.Path), "directory");
        Refused.With(() => SafetensorsFile.Open("a\0b"), "cannot read");
    }

    [Theory]
    [InlineData("""x""", 0, "does not begin with '{'")]
    [InlineData("""{"x":""", 0, "not valid JSON")]
    [InlineData("""{} x""", 0, "not valid JSON")]
    [InlineData("""{"x":3}""", 0, "'x': its description is not an object")]
    [InlineData("""{"x":{}}""", 0, "'x': it needs a dtype, a shape and two data_offsets")]
    [InlineData("""{"x":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "'x': it needs")]
    [InlineData("""{"x":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}""", 4, "'x': its dtype 'F33' is unknown")]
    [InlineData("""{"x":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", 4, "'x': its dtype is not a string")]
    [InlineData("""{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "'x': its dtype is there twice")]
    [InlineData("""{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "'x': its shape holds")]
    [InlineData("""{"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "'x': its shape holds")]
    [InlineData("""{"x":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}""", 4, "'x': its shape is not a list")]
    [InlineData("""{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}""", 4, "'x': its shape is too large")]
    [InlineData("""{"x":{"dtype":"F64","shape":[2305843009213693951],"data_offsets":[0,4]}}""", 4, "'x': its shape is too large")]
    [InlineData("""{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "'x': F32 [2] takes 8 bytes, but its data_offsets span 4")]
    [InlineData("""{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "'x': its data_offsets end at 0, before")]
    [InlineData("""{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2, "'x': it is there twice")]
    [InlineData("""{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""", 3, "'y': its data overlap")]
    [InlineData("""{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}""", 3, "'y': its data leave a hole of 1 bytes")]
    [InlineData("""{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}""", 3, "cut short: its header describes 4 bytes of data, but 3")]
    [InlineData("""{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}""", 6, "2 bytes at its end belong to no tensor")]
    [InlineData("""{"__metadata__":[]}""", 0, "metadata are not an object")]
    [InlineData("""{"__metadata__":{"a":1}}""", 0, "metadata's 'a' is not a string")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", 0, "metadata's 'a' is there twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", 0, "metadata are there twice")]
    [InlineData("""{"a\nb\u2028":3}""", 0, "'a?b?'")]
    [InlineData("""{"\ud800":3}""", 0, "not valid JSON text")]
    public void RefusesWhatTheFormatForbids(string header, int dataLength, string reason)
    {
        string path = WriteFile(header, dataLength);
        Refused.With(() => SafetensorsFile.Open(path), "file'", reason);
    }

    [Fact]
    public void RefusesLengthsThatCannotBe()
    {
        Refused.With(() => SafetensorsFile.Open(_folder.Write("e", [])), "empty");
        Refused.With(() => SafetensorsFile.Open(_folder.Write("s", [1, 2, 3])), "3 bytes are too few");
        Refused.With(() => SafetensorsFile.Open(_folder.Write("p", "version https://git-lfs.github.com/spec/v1\noid"u8)), "p'", "Git LFS pointer");
        foreach (ulong length in new ulong[] { 100_000_001, 1UL << 63, ulong.MaxValue })
        {
            byte[] bytes = new byte[16];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
            Refused.With(() => SafetensorsFile.Open(_folder.Write("l", bytes)), $"{length} bytes is over the limit");
        }
        Refused.With(() => SafetensorsFile.Open(_folder.Write("l", [9, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}'])), "a header of 9 bytes", "2 that follow");
        using (FileStream sparse = File.Create(_folder["h"])) // the longest header there may be, of zeros
        {
            sparse.Write([0x00, 0xe1, 0xf5, 0x05, 0, 0, 0, 0]);
            sparse.SetLength(100_000_008);
        }
        Refused.With(() => SafetensorsFile.Open(_folder["h"]), "h'", "does not begin with '{'");
        string deep = "{\"x\":" + new string('[', 100_000);
        Refused.With(() => SafetensorsFile.Open(WriteFile(deep, 0)), "'x'");
        string ranks = """{"x":{"dtype":"U8","shape":[""" + string.Join(',', Enumerable.Repeat(1, 65)) + """],"data_offsets":[0,1]}}""";
        Refused.With(() => SafetensorsFile.Open(WriteFile(ranks, 1)), "'x'", "more than 64");
    }

    [Fact]
    public void IgnoresWhatTheFormatAllows()
    {
        string path = WriteFile("""{ "x":{"shape":[1],"extra":{"a":[1]},"data_offsets":[0,1],"dtype":"U8"} }   """, 1);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(["x"], file.Names);
        using SafetensorsFile none = SafetensorsFile.Open(WriteFile("{}", 0));
        Assert.Empty(none.Names);
        Assert.Empty(none.Metadata);
    }

    [Fact]
    public void SurvivesTenThousandMutatedHeaders()
    {
        const string Header =
            """{"__metadata__":{"format":"pt","weft":"1"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"""
            + """ "b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c\u00e9":{"dtype":"I64","shape":[],"data_offsets":[32,40]}}""";
        byte[][] pieces =
        [
            .. Fuzz.Pieces(
                "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "-1", "0", "1e9", "9223372036854775807", "18446744073709551616", "4294967296",
                "null", "true", "\"F32\"", "\"F31\"", "\"a.weight\"", "\"shape\"", "\"data_offsets\":[0,24],", "\"data_offsets\":[8,32],", "\"__metadata__\":{},",
                "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},", "\"d\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[40,48]},", "\n", "\0", "\u00e9"),
            [0xc3, 0x28], [0xff], [.. Enumerable.Repeat((byte)'[', 10_000)], // not UTF-8; deep
        ];
        Fuzz fuzz = new(seed: 20_000);
        for (int round = 0; round < 10_000; round++)
        {
            byte[] json = fuzz.Damage(Encoding.UTF8.GetBytes(Header), pieces);
            int dataLength = fuzz.Random.NextInt(10) == 0 ? fuzz.Random.NextInt(50) : 40;
            if (round % 5 == 0) // the whole way through a file, its length damaged too; slower
            {
                fuzz.Read(() => OpenMutated(json, dataLength, fuzz.Random), (10 * json.Length) + 150_000);
            }
            else
            {
                fuzz.Read(() => SafetensorsHeader.Parse(json, dataLength, "fuzz"), (10 * json.Length) + 50_000);
            }
        }
        Assert.InRange(fuzz.Accepted, 100, 5_000); // some mutations are harmless, and most are not
        Assert.True(fuzz.Reasons > 25, $"the mutations should reach many different checks, not {fuzz.Reasons}");
    }

    private void OpenMutated(byte[] json, int dataLength, RandomSource random)
    {
        byte[] bytes = [.. new byte[8], .. json, .. new byte[dataLength]];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, random.NextInt(4) switch
        {
            0 => random.NextUInt64() >> random.NextInt(64),
            1 => (ulong)random.NextInt(bytes.Length + 10),
            _ => (ulong)json.Length,
        });
        using SafetensorsFile file = SafetensorsFile.Open(_folder.Write("fuzz", bytes));
        foreach (string name in file.Names)
        {
            file.ReadBytes(name, new byte[file.Info(name).ByteCount]);
        }
    }

    private string WriteFile(string header, int dataLength)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] bytes = new byte[8 + json.Length + dataLength];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, json.Length);
        json.CopyTo(bytes, 8);
        return _folder.Write("file", bytes);
    }
}
