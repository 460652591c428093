using System.Text.Json;
using Weft.Lab.TextTasks;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>Writes what a probe on a text found as one HTML page that needs no other file and no network.</summary>
public static class TextPage
{
    /// <summary>Writes the page; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(TextReport report, string path)
    {
        ArgumentNullException.ThrowIfNull(report);
        string json = JsonSerializer.Serialize(report, TextJson.Default.TextReport);
        AtomicFile.WriteAllText(path, ReportPage.Render("text", "Weft probe", $"{report.Task.Name}: probe by Weft", json));
    }
}
