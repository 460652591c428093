using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Report;

/// <summary>
/// Writes a comparison as one HTML page that needs no other file and no network: the template (report.html, report.css, report.js),
/// the chart library and the figures are all inlined.
/// </summary>
public static partial class HtmlReport
{
    /// <summary>Writes the page; the file is whole or not there.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(ComparisonReport report, string path) => AtomicFile.WriteAllText(path, Render(report));

    internal static string Render(ComparisonReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        // One pass over the template: what is put in is never searched for slots again.
        return Slot().Replace(Resource("report.html"), slot => slot.Groups[1].Value switch
        {
            "title" => WebUtility.HtmlEncode($"{report.Corpus.Name}: comparison by Weft"),
            "css" => Resource("report.css"),
            "echarts" => Resource("echarts.min.js"),
            // The JSON writer escapes <, > and & (its default), so no name can end the script element that holds it.
            "data" => JsonSerializer.Serialize(report, ReportJson.Default.ComparisonReport),
            "js" => Resource("report.js"),
            string other => throw new InvalidOperationException($"report.html has an unknown slot {other}."),
        });
    }

    private static string Resource(string name)
    {
        using Stream stream = typeof(HtmlReport).Assembly.GetManifestResourceStream(name)!;
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"\{\{(\w+)\}\}")]
    private static partial Regex Slot();
}
