using System.Text.Json;
using Weft.Lab.Report;
using Weft.Tensors;

namespace Weft.Tests.Lab;

public sealed class ReportDataTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("weft-report-").FullName;

    private string Json => Path.Combine(_folder, "report.json");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_is_written_is_read_back()
    {
        ComparisonReport report = ReportSamples.Typical();
        report.Write(Json);
        string first = File.ReadAllText(Json);
        ComparisonReport.Read(Json).Write(Json);
        Assert.Equal(first, File.ReadAllText(Json));
        Assert.Equal(["report.json"], Directory.GetFiles(_folder).Select(Path.GetFileName));
    }

    [Fact]
    public void Json_has_the_promised_names()
    {
        ReportSamples.Typical().Write(Json);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Json));
        JsonElement root = json.RootElement, model = root.GetProperty("models")[0];
        Has(root, "version", "created", "corpus", "budget", "context", "seeds", "machine", "command", "models", "baselines", "findings");
        Has(root.GetProperty("corpus"), "name", "bytes", "train_bytes", "held_out_bytes");
        Has(root.GetProperty("budget"), "text", "flops");
        Has(root.GetProperty("machine"), "cpu", "cores", "threads", "isa", "os", "runtime");
        Has(root.GetProperty("baselines"), "order0", "gzip", "brotli");
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
        (ReportSamples.Report(ReportSamples.Model("lost", double.NaN)) with { Baselines = new(4, double.PositiveInfinity, 2) }).Write(Json);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Json));
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("models")[0].GetProperty("bits_per_byte").ValueKind);
        Assert.True(double.IsNaN(ComparisonReport.Read(Json).Models[0].BitsPerByteSeeds[0]));
        Assert.True(double.IsNaN(ComparisonReport.Read(Json).Baselines.Gzip));
    }

    [Theory]
    [InlineData("", "not a comparison report")]
    [InlineData("[]", "not a comparison report")]
    [InlineData("{\"version\":1}", "not a comparison report")]
    [InlineData("{\"version\":2}", "version 2")]
    [InlineData("{\"version\":\"new\"}", "version \"new\"")]
    [InlineData("cut", "not a comparison report")]
    [InlineData("null model", "null where an entry is needed")]
    [InlineData("null curve", "not a comparison report")]
    public void A_file_that_is_no_report_is_refused_in_one_line(string content, string says)
    {
        ReportSamples.Typical().Write(Json);
        string good = File.ReadAllText(Json);
        File.WriteAllText(Json, content switch
        {
            "cut" => good[..(good.Length / 2)],
            "null model" => good.Replace("\"models\": [", "\"models\": [ null,", StringComparison.Ordinal),
            "null curve" => good.Replace("\"curve\": [", "\"curve\": null, \"x\": [", StringComparison.Ordinal),
            _ => content,
        });
        InputException e = Assert.Throws<InputException>(() => ComparisonReport.Read(Json));
        Assert.Contains(says, e.Message, StringComparison.Ordinal);
        Assert.Contains(Json, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_missing_file_or_a_folder_is_refused()
    {
        Assert.Throws<InputException>(() => ComparisonReport.Read(Path.Combine(_folder, "none.json")));
        Assert.Throws<InputException>(() => ComparisonReport.Read(_folder));
    }
}
