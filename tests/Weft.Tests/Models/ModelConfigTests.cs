using System.Text;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Models;

public class ModelConfigTests
{
    private const string Whole = """
        {
          "weft": 1,
          "name": "mine",
          "vocabulary": 258,
          "width": 192,
          "context": 1024,
          "tied": false,
          "norm_epsilon": 1E-06,
          "pattern": "(3*mamba2 attention[heads=8])*4"
        }

        """;

    private static readonly string[] Known = ["attention", "mamba2", "gated-deltanet", "swiglu"];

    private static readonly ModelConfig Config = new()
    {
        Name = "mine",
        Vocabulary = 258,
        Width = 192,
        Context = 1024,
        TieEmbeddings = false,
        NormEpsilon = 1e-6f,
        Blocks = Pattern.Parse("(3*mamba2 attention[heads=8])*4"),
    };

    [Fact]
    public void WritesAStableFile()
    {
        Assert.Equal(Whole.ReplaceLineEndings("\n"), Encoding.UTF8.GetString(Config.ToJson()));
        Assert.Equal(Config, Read(Whole));
    }

    [Fact]
    public void WritesBlocks()
    {
        byte[] json = (Config with { Blocks = Pattern.Parse("mamba2 attention[heads=8, rope]") }).ToJson(asBlocks: true);
        string blocks = string.Concat(Encoding.UTF8.GetString(json).Where(c => !char.IsWhiteSpace(c)));
        Assert.EndsWith("""
            "blocks":["mamba2",{"block":"attention","heads":8,"rope":true}]}
            """.Trim(), blocks, StringComparison.Ordinal);
        Assert.Equal(Config, ModelConfig.Read(Config.ToJson(asBlocks: true), "m.json"));
    }

    [Fact]
    public void MostKeysMayBeLeftOut()
    {
        ModelConfig config = Read("\ufeff" + """{"weft": 1, "name": "m", "width": 64, "blocks": ["attention", {"block": "swiglu"}]}""");
        Assert.Equal(new ModelConfig { Name = "m", Width = 64, Blocks = Pattern.Parse("attention swiglu") }, config);
        Assert.Equal((256, 512, true, 1e-5f), (config.Vocabulary, config.Context, config.TieEmbeddings, config.NormEpsilon));
    }

    /// <summary>What replaces what in the whole file, and the message after the file's name.</summary>
    public static TheoryData<string, string, string> Refused => new()
    {
        { "\"weft\": 1,", "", "key 'weft' is missing; add \"weft\": 1" },
        { "\"weft\": 1", "\"weft\": 2, \"future\": []", "weft 2 was written by a newer Weft, this one reads up to 1; update Weft" },
        { "\"weft\": 1", "\"weft\": 0", "weft 0 is no version; write 1" },
        { "\"weft\": 1", "\"weft\": \"1\"", "weft is '\"1\"'; give a whole number" },
        { "\"name\": \"mine\",", "", "key 'name' is missing; add \"name\": \"my-model\"" },
        { "\"mine\"", "7", "name is '7'; give a string" },
        { "\"mine\"", "\"\"", "name '' must be one line of 1 to 128 characters" },
        { "\"mine\"", "\"a\\nb\"", "name 'a b' must be one line of 1 to 128 characters" },
        { "\"mine\"", "\"\\ud800\"", "a string is not valid Unicode text; save the file as UTF-8" },
        { "\"width\": 192,", "", "key 'width' is missing; add \"width\": 128" },
        { "\"width\"", "\"widht\"", "key 'widht' is unknown; nearest: width" },
        { "\"width\": 192,", "\"width\": 192, \"width\": 192,", "key 'width' is given twice; keep one" },
        { "192", "0", "width 0 is out of range; give a whole number from 1 to 65536" },
        { "192", "1.5", "width is '1.5'; give a whole number" },
        { "192", "99999999999", "width is '99999999999'; give a whole number" },
        { "258", "-1", "vocabulary -1 is out of range; give a whole number from 1 to 1048576" },
        { "1024", "0", "context 0 is out of range; give a whole number from 1 to 16777216" },
        { "false", "0", "tied is '0'; give true or false" },
        { "1E-06", "0", "norm_epsilon 0 is out of range; give a number above 0, at most 1, such as 1e-5" },
        { "1E-06", "1e-60", "norm_epsilon 0 is out of range; give a number above 0, at most 1, such as 1e-5" },
        { "1E-06", "1e999", "norm_epsilon Infinity is out of range; give a number above 0, at most 1, such as 1e-5" },
        { "1E-06", "null", "norm_epsilon is 'null'; give a number" },
        { "\"(3*mamba2 attention[heads=8])*4\"", "[]", "pattern is '[]'; give a string" },
        { "(3*mamba2", "(3*mambo2", "pattern '(3*mambo2 attention[heads=8])*4': unknown block 'mambo2' at 4; nearest: mamba2" },
        { "])*4", "]*4", "pattern '(3*mamba2 attention[heads=8]*4': '(' at 1 is never closed; add ')'" },
        { "\"pattern\": \"", "\"blocks\": [\"mamba2\"], \"pattern\": \"", "keys 'pattern' and 'blocks' say the same thing; keep one" },
        { "\"pattern\"", "\"blocks\"", "blocks must be a list of 1 to 4096 blocks" },
        { "\"pattern\": \"(3*mamba2 attention[heads=8])*4\"", "\"blocks\": []", "blocks must be a list of 1 to 4096 blocks" },
        { "\"pattern\": \"(3*mamba2 attention[heads=8])*4\"", "\"blocks\": [\"mamba2\", {\"block\": \"atention\"}]",
            "blocks[1]: unknown block 'atention'; nearest: attention" },
        { "\"pattern\": \"(3*mamba2 attention[heads=8])*4\"", "\"blocks\": [\"mamba2\", {\"heads\": 8}]",
            "blocks[1]: key \"block\" is missing; it holds the block's name" },
        { ",\n  \"pattern\": \"(3*mamba2 attention[heads=8])*4\"", "",
            "key 'pattern' is missing; add \"pattern\": \"(3*mamba2 attention)*4\", or \"blocks\": [...]" },
        { "\"tied\"", "tied", "not valid JSON at line 7, byte 3" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void SaysWhatIsWrong(string found, string replacement, string message)
    {
        string whole = Whole.ReplaceLineEndings("\n");
        Assert.Contains(found, whole, StringComparison.Ordinal);
        var error = Assert.Throws<InputException>(() => Read(whole.Replace(found, replacement, StringComparison.Ordinal)));
        Assert.Equal($"m.json: {message}", error.Message);
    }

    [Theory]
    [InlineData("", "not valid JSON at line 1, byte 1")]
    [InlineData("[]", "holds no object; write {\"weft\": 1, \"name\": ..., \"width\": ..., \"pattern\": ...}")]
    public void RefusesOtherFiles(string text, string message)
    {
        Assert.Equal($"m.json: {message}", Assert.Throws<InputException>(() => Read(text)).Message);
    }

    [Fact]
    public void LimitsSizeAndDepth()
    {
        string large = Whole + new string(' ', ModelConfig.MaxFileBytes);
        Assert.Equal("m.json: is larger than 1048576 bytes, so it is no model's configuration", Assert.Throws<InputException>(() => Read(large)).Message);
        Assert.Throws<InputException>(() => Read(new string('[', 100_000)));
        string blocks = string.Join(',', Enumerable.Repeat("\"a*4096\"", 5000));
        Assert.Throws<InputException>(() => Read($$"""{"weft": 1, "name": "m", "width": 64, "blocks": [{{blocks}}]}"""));
    }

    [Fact]
    public void NoFileDoesWorseThanARefusal()
    {
        var random = new Random(11);
        byte[] whole = Encoding.UTF8.GetBytes(Whole);
        const string Bytes = "{}[]\",:\\u0019eE-+.\n";
        for (int round = 0; round < 20_000; round++)
        {
            byte[] damaged = whole[..(random.Next(4) == 0 ? random.Next(whole.Length) : whole.Length)];
            for (int n = random.Next(1, 4); n > 0 && damaged.Length > 0; n--)
            {
                damaged[random.Next(damaged.Length)] = (byte)(random.Next(2) == 0 ? random.Next(256) : Bytes[random.Next(Bytes.Length)]);
            }
            try
            {
                ModelConfig config = ModelConfig.Read(damaged, "m.json", Known);
                Assert.Equal(config, ModelConfig.Read(config.ToJson(), "m.json", Known));
            }
            catch (InputException e)
            {
                Assert.DoesNotContain(e.Message, char.IsControl);
                Assert.InRange(e.Message.Length, 1, 300);
            }
        }
    }

    [Fact]
    public void PresetsAreWhole()
    {
        Assert.Equal(["transformer", "hybrid", "window", "nope", "alibi"], Presets.All.Take(5).Select(p => p.Name));
        Assert.Equal(BlockTable.Names.Where(n => n is not ("attention" or "mlp" or "moe" or "rwkv4-channels" or "shared-transformer" or "short-conv" or "swiglu" or "xlstm")), Presets.All.Skip(5).Select(p => p.Name));
        foreach (Preset preset in Presets.All)
        {
            Assert.Equal(preset.Name, preset.Config.Name);
            Assert.NotEmpty(preset.Description);
            Assert.All(preset.Config.Blocks, block => Assert.Contains(block.Name, BlockTable.Names));
            Assert.Equal(preset.Config, Presets.Resolve(preset.Name, knownBlocks: BlockTable.Names));
            Assert.Equal(preset.Config, ModelConfig.Read(preset.Config.ToJson(), "preset", BlockTable.Names));
        }
    }

    [Fact]
    public void ResolvesPresetsPatternsAndFiles()
    {
        Assert.Equal(64, Presets.Resolve("hybrid", width: 64, knownBlocks: Known).Width);
        ModelConfig one = Presets.Resolve(" attention ", knownBlocks: Known);
        Assert.Equal(("attention", Presets.DefaultWidth, 1), (one.Name, one.Width, one.Blocks.Count));
        ModelConfig many = Presets.Resolve("mamba2 mamba2 attention", width: 96, knownBlocks: Known);
        Assert.Equal(("2*mamba2 attention", 96, 3), (many.Name, many.Width, many.Blocks.Count));

        string folder = Directory.CreateTempSubdirectory("weft-").FullName;
        try
        {
            string path = Path.Combine(folder, "mine.json");
            File.WriteAllBytes(path, Config.ToJson());
            Assert.Equal(Config, Presets.Resolve(path, knownBlocks: Known));
            Assert.Equal(Config with { Width = 64 }, Presets.Resolve(path, width: 64, knownBlocks: Known));
            File.WriteAllText(path, "{");
            Assert.StartsWith($"{path}: not valid JSON at line 1", Refusal(path), StringComparison.Ordinal);
            string other = Path.Combine(folder, "other.json");
            Assert.Equal($"{other}: no such file; give the path of a model's .json file", Refusal(other));
            Directory.CreateDirectory(other);
            Assert.Equal($"{other}: is a directory; give the path of a model's .json file", Refusal(other));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("mambo2", "unknown model 'mambo2'; nearest: mamba2, mamba, mamba3; "
        + "give a preset (hybrid), a pattern ('(3*mamba2 attention)*4') or a file (model.json)")]
    [InlineData("hybird", "unknown model 'hybird'; nearest: hybrid; "
        + "give a preset (hybrid), a pattern ('(3*mamba2 attention)*4') or a file (model.json)")]
    [InlineData("", "unknown model ''; known: alibi, attention, ")]
    [InlineData("3*mambo2", "pattern '3*mambo2': unknown block 'mambo2' at 3; nearest: mamba2")]
    [InlineData("3*hybrid", "pattern '3*hybrid': unknown block 'hybrid' at 3; known: attention, gated-deltanet, mamba2, swiglu")]
    public void UnknownModelsGetTheNearest(string model, string message)
    {
        Assert.StartsWith(message, Refusal(model), StringComparison.Ordinal);
    }

    private static string Refusal(string model) => Assert.Throws<InputException>(() => Presets.Resolve(model, knownBlocks: Known)).Message;

    private static ModelConfig Read(string text) => ModelConfig.Read(Encoding.UTF8.GetBytes(text), "m.json", Known);
}
