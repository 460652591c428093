namespace Weft.Cli;

/// <summary>Command lines as a person can paste them into a shell.</summary>
internal static class ShellText
{
    /// <summary>The words as one line, quoted where a shell needs it.</summary>
    public static string Join(IEnumerable<string> words) => string.Join(' ', words.Select(Quote));

    /// <summary>One word, quoted where a shell needs it.</summary>
    public static string Quote(string word)
    {
        if (word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/' or '=' or ',' or ':' or '+' or '@' or '%')
            || (OperatingSystem.IsWindows() && word.Length > 0 && word.All(c => char.IsLetterOrDigit(c) || c is '-' or '_' or '.' or '\\' or '/' or ':')))
        {
            return word;
        }
        if (OperatingSystem.IsWindows())
        {
            return $"\"{word.Replace("\"", "\\\"")}\"";
        }
        // Double quotes read best, but let a shell see these.
        return word.AsSpan().IndexOfAny("\"$`\\!") < 0 ? $"\"{word}\"" : $"'{word.Replace("'", "'\\''")}'";
    }

    /// <summary>
    /// How this program was started: <c>weft</c> where a shell finds it under that name, else the path of the program's file.
    /// </summary>
    public static string Program()
    {
        string path = Environment.ProcessPath ?? "weft";
        if (Path.GetFileNameWithoutExtension(path) != "weft")
        {
            return "weft"; // hosted by another program: a test, or dotnet itself
        }
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            if (string.Equals(Path.Combine(folder, Path.GetFileName(path)), path, StringComparison.Ordinal))
            {
                return "weft";
            }
        }
        string relative = Path.GetRelativePath(Environment.CurrentDirectory, path);
        return relative.StartsWith("..", StringComparison.Ordinal) || Path.IsPathRooted(relative) ? path
            : relative.Contains(Path.DirectorySeparatorChar) ? relative : Path.Combine(".", relative);
    }
}
