using System.Text.Json;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>Writes a comparison as one HTML page that needs no other file and no network.</summary>
public static class HtmlReport
{
    /// <summary>Writes the page; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(ComparisonReport report, string path)
    {
        ArgumentNullException.ThrowIfNull(report);
        string json = JsonSerializer.Serialize(report, ReportJson.Default.ComparisonReport);
        AtomicFile.WriteAllText(path, ReportPage.Render("compare", "Weft comparison", $"{report.Corpus.Name}: comparison by Weft", json));
    }
}
