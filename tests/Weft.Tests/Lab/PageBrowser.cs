using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Weft.Tests.Lab;

/// <summary>Opens report pages in a headless browser, where there is one.</summary>
internal static class PageBrowser
{
    /// <summary>The part of a text from a mark on, up to another.</summary>
    public static string Between(string text, string from, string to)
    {
        int start = text.IndexOf(from, StringComparison.Ordinal);
        Assert.True(start >= 0, $"The page holds no {from}.");
        return text[start..text.IndexOf(to, start, StringComparison.Ordinal)];
    }

    /// <summary>Fails where a script of the page did.</summary>
    public static void RequireNoScriptError(string dom, string page)
    {
        Match error = Regex.Match(dom, "<html[^>]*data-error=\"([^\"]*)\"");
        Assert.False(error.Success, $"{page}: script error: {error.Groups[1].Value}");
    }

    /// <summary>The page as it stands after its scripts have run; the browser keeps its profile in <paramref name="folder"/>.</summary>
    public static async Task<string> Open(string browser, string page, string folder)
    {
        ProcessStartInfo start = new(browser) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (string argument in (string[])["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", $"--user-data-dir={Path.Combine(folder, "profile")}", "--window-size=1200,900",
            "--virtual-time-budget=5000", "--dump-dom", new Uri(page).AbsoluteUri])
            start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        try
        {
            Task<string> errors = process.StandardError.ReadToEndAsync(limit.Token);
            string dom = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await errors;
            await process.WaitForExitAsync(limit.Token);
            return dom;
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    /// <summary>A Chromium, Chrome or Edge; null where none is installed.</summary>
    public static string? Find()
    {
        string[] onPath = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        string[] names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge"];
        IEnumerable<string> candidates = names.SelectMany(n => onPath.Select(p => Path.Combine(p, OperatingSystem.IsWindows() ? n + ".exe" : n)));
        if (OperatingSystem.IsMacOS())
            candidates = candidates.Concat(new[] { "Google Chrome", "Chromium", "Microsoft Edge" }.Select(n => $"/Applications/{n}.app/Contents/MacOS/{n}"));
        if (OperatingSystem.IsWindows())
            candidates = candidates.Concat(
                from root in new[] { Environment.SpecialFolder.ProgramFiles, Environment.SpecialFolder.ProgramFilesX86, Environment.SpecialFolder.LocalApplicationData }
                from file in new[] { @"Google\Chrome\Application\chrome.exe", @"Chromium\Application\chrome.exe", @"Microsoft\Edge\Application\msedge.exe" }
                select Path.Combine(Environment.GetFolderPath(root), file));
        return candidates.FirstOrDefault(File.Exists);
    }
}
