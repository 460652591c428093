namespace Weft.Training;

/// <summary>Quantities as people read them, the same everywhere: command line, messages, report.</summary>
public static class Human
{
    private static readonly string[] ByteUnits = ["B", "KB", "MB", "GB", "TB", "PB"];
    private static readonly string[] CountUnits = ["", "k", "M", "B", "T"];

    /// <summary>Floating-point operations in powers of ten: 3.0e13.</summary>
    public static string Flops(double flops) => double.IsFinite(flops) ? flops.ToString("0.0e0") : "?";

    /// <summary>Bytes in decimal units: 512 B, 1.2 MB.</summary>
    public static string Bytes(double bytes) => Scaled(bytes, ByteUnits, " ");

    /// <summary>A number of things: 950, 12.3k, 1.3M, 2.8B.</summary>
    public static string Count(double count) => Scaled(count, CountUnits, "");

    /// <summary>A time span in seconds, in at most two units: 0.42 s, 12.3 s, 2 min 05 s, 1 h 23 min, 3 d 04 h.</summary>
    public static string Duration(double seconds)
    {
        if (!double.IsFinite(seconds))
        {
            return "?";
        }
        if (Math.Abs(seconds) < 9.995)
        {
            return $"{seconds:0.00} s";
        }
        if (Math.Abs(seconds) < 59.95)
        {
            return $"{seconds:0.0} s";
        }
        // Rounded to the smaller unit that is shown before it is split, so that 119.7 s is 2 min 00 s and not 1 min 60 s.
        double minutes = Math.Round(seconds / 60);
        double hours = Math.Round(seconds / 3600);
        return seconds switch
        {
            < 3599.5 => Split(Math.Round(seconds), 60, "min", "s"),
            _ when minutes < 24 * 60 => Split(minutes, 60, "h", "min"),
            _ => Split(hours, 24, "d", "h"),
        };
    }

    private static string Split(double value, double size, string large, string small) => $"{Math.Floor(value / size):0} {large} {value % size:00} {small}";

    private static string Scaled(double value, string[] units, string space)
    {
        if (!double.IsFinite(value))
        {
            return "?";
        }
        int unit = 0;
        while (Math.Abs(value) >= (unit == 0 ? 999.5 : 999.95) && unit < units.Length - 1) // what would be shown as 1000 takes the next unit
        {
            value /= 1000;
            unit++;
        }
        return value.ToString(unit == 0 ? "0" : "0.0") + (unit == 0 ? (units[0].Length > 0 ? space : "") : space) + units[unit];
    }
}
