using System.Text;
using System.Text.Json;
using Weft.Lab.Report;

namespace Weft.Tests.Lab;

public sealed class ReportDataTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Json => _folder["report.json"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_written_is_read_back()
    {
        ComparisonReport report = ReportSamples.Typical();
        report.Write(Json);
        string first = File.ReadAllText(Json);
        ComparisonReport.Read(Json).Write(Json);
        Assert.Equal(first, File.ReadAllText(Json));
        Assert.Equal(["report.json"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void Json_has_the_promised_names()
    {
        ReportSamples.Typical().Write(Json);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Json));
        JsonElement root = json.RootElement, model = root.GetProperty("models")[0];
        Has(root, "version", "created", "corpus", "budget", "context", "seeds", "machine", "command", "models", "baselines", "findings");
        Has(root.GetProperty("corpus"), "name", "bytes", "train_bytes", "held_out_bytes");
        Has(root.GetProperty("budget"), "text", "flops", "matched");
        Has(root.GetProperty("machine"), "cpu", "cores", "threads", "isa", "os", "runtime");
        Has(root.GetProperty("baselines"), "bytes", "order0", "gzip", "brotli");
        Has(model, "name", "pattern", "parameters", "train_flops", "bytes_seen", "bits_per_byte", "bits_per_byte_seeds", "train_seconds",
            "train_tokens_per_second", "learning_rate", "curve", "decode", "recall");
        Has(model.GetProperty("curve")[0], "seed", "flops", "bytes", "seconds", "bits_per_byte");
        Has(model.GetProperty("decode")[0], "context", "tokens_per_second", "state_bytes", "measured");
        Has(model.GetProperty("recall")[0], "distance", "first", "second", "passages");

        static void Has(JsonElement e, params string[] names) => Assert.Equal(names, e.EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public void A_figure_that_is_no_number_is_null_in_json()
    {
        (ReportSamples.Report(ReportSamples.Model("lost", double.NaN)) with { Baselines = new(9, 4, double.PositiveInfinity, 2) }).Write(Json);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Json));
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("models")[0].GetProperty("bits_per_byte").ValueKind);
        Assert.True(double.IsNaN(ComparisonReport.Read(Json).Models[0].BitsPerByteSeeds[0]));
        Assert.True(double.IsNaN(ComparisonReport.Read(Json).Baselines.Gzip));
    }

    [Theory]
    [InlineData("", "cannot read a comparison report")]
    [InlineData("[]", "not a comparison report")]
    [InlineData("{}", "not a comparison report")]
    [InlineData("{\"version\":1}", "cannot read a comparison report")]
    [InlineData("{\"version\":2}", "version 2")]
    [InlineData("{\"version\":\"new\"}", "not a comparison report")]
    [InlineData("cut", "cannot read a comparison report")]
    [InlineData("null model", "null where an entry is needed")]
    [InlineData("null curve", "cannot read a comparison report")]
    [InlineData("not UTF-8", "cannot read a comparison report")]
    public void A_file_that_is_no_report_is_refused(string content, string says)
    {
        ReportSamples.Typical().Write(Json);
        string good = File.ReadAllText(Json);
        File.WriteAllBytes(Json, Encoding.Latin1.GetBytes(content switch
        {
            "cut" => good[..(good.Length / 2)],
            "null model" => good.Replace("\"models\": [", "\"models\": [ null,", StringComparison.Ordinal),
            "null curve" => good.Replace("\"curve\": [", "\"curve\": null, \"x\": [", StringComparison.Ordinal),
            "not UTF-8" => good.Replace("sotu.txt", "\u00ff", StringComparison.Ordinal),
            _ => content,
        }));
        Refused.With(() => ComparisonReport.Read(Json), says, Json);
    }

    [Fact]
    public void A_missing_file_or_a_folder_is_refused()
    {
        Refused.With(() => ComparisonReport.Read(_folder["none.json"]), "none.json", "no such file");
        Refused.With(() => ComparisonReport.Read(_folder.Path), _folder.Path);
    }
}
