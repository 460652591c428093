using System.Net;
using System.Text.RegularExpressions;

namespace Weft.Lab.Report;

/// <summary>
/// Makes HTML pages that need no other file and no network: the template (report.html, report.css, charts.js), what belongs to one kind of
/// report (its charts' places in NAME.html, its script NAME.js), the chart library and the figures are all inlined.
/// </summary>
internal static partial class ReportPage
{
    /// <summary>The page of the report <paramref name="json"/>, whose writer must escape &lt;, &gt; and &amp;: no name may end the script element that holds it.</summary>
    public static string Render(string name, string kind, string title, string json) =>
        // One pass over the template: what is put in is never searched for slots again.
        Slot().Replace(Resource("report.html"), slot => slot.Groups[1].Value switch
        {
            "title" => WebUtility.HtmlEncode(title),
            "kind" => kind,
            "css" => Resource("report.css"),
            "charts" => Resource($"{name}.html"),
            "echarts" => Resource("echarts.min.js"),
            "data" => json,
            "shared" => Resource("charts.js"),
            "js" => Resource($"{name}.js"),
            string other => throw new InvalidOperationException($"report.html has an unknown slot {other}."),
        });

    private static string Resource(string name)
    {
        using Stream stream = typeof(ReportPage).Assembly.GetManifestResourceStream(name)!;
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"\{\{(\w+)\}\}")]
    private static partial Regex Slot();
}
