using System.Text.Json;
using Weft.Lab.Tasks;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>Writes what a probe found as one HTML page that needs no other file and no network.</summary>
public static class ProbePage
{
    /// <summary>Writes the page; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(ProbeReport report, string path)
    {
        ArgumentNullException.ThrowIfNull(report);
        string json = JsonSerializer.Serialize(report, ProbeJson.Default.ProbeReport);
        AtomicFile.WriteAllText(path, ReportPage.Render("probe", "Weft probe", $"{report.Task.Name}: probe by Weft", json));
    }
}
