using System.Text.Json;
using Weft.Lab.ScalingLaws;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>Writes what a scaling study found as one HTML page that needs no other file and no network.</summary>
public static class ScalingPage
{
    /// <summary>Writes the page; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(ScalingReport report, string path)
    {
        ArgumentNullException.ThrowIfNull(report);
        string json = JsonSerializer.Serialize(report, ScalingJson.Default.ScalingReport);
        AtomicFile.WriteAllText(path, ReportPage.Render("scaling", "Weft scaling", $"{report.Corpus.Name}: scaling by Weft", json));
    }
}
