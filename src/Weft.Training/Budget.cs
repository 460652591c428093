using System.Globalization;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>What a <see cref="Budget"/> limits.</summary>
public enum BudgetKind
{
    /// <summary>Wall-clock training time, in seconds.</summary>
    Time,
    /// <summary>Counted training FLOPs, forward and backward.</summary>
    Flops,
    /// <summary>Bytes of text learned from, repetitions included; where tokens are not bytes, by the training text's average.</summary>
    Data,
    /// <summary>Optimiser steps.</summary>
    Steps,
}

/// <summary>
/// How much training a model gets: seconds, FLOPs, bytes or steps. Written <c>60s</c>, <c>5m</c>, <c>1.5h</c>; <c>3e13flop</c>; <c>500KB</c>,
/// <c>20MB</c>, <c>1.5GB</c> (decimal units); <c>500steps</c>. <see cref="ToString"/> gives a text that <see cref="Parse"/> reads back to the same budget.
/// </summary>
public readonly record struct Budget(BudgetKind Kind, double Amount)
{
    private static readonly (string Suffix, BudgetKind Kind, double Scale)[] Units =
    [
        // A unit that ends another's name comes after it.
        ("steps", BudgetKind.Steps, 1), ("step", BudgetKind.Steps, 1),
        ("flops", BudgetKind.Flops, 1), ("flop", BudgetKind.Flops, 1),
        ("kb", BudgetKind.Data, 1e3), ("mb", BudgetKind.Data, 1e6), ("gb", BudgetKind.Data, 1e9), ("tb", BudgetKind.Data, 1e12), ("b", BudgetKind.Data, 1),
        ("min", BudgetKind.Time, 60), ("s", BudgetKind.Time, 1), ("m", BudgetKind.Time, 60), ("h", BudgetKind.Time, 3600),
    ];

    /// <summary>Reads a budget. FLOPs, bytes and steps may be in either case; times are in lower case, since 20M might mean megabytes.</summary>
    /// <exception cref="InputException">The text is no budget; the message shows what is.</exception>
    public static Budget Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        const NumberStyles Style = NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        string trimmed = text.Trim();
        foreach ((string suffix, BudgetKind kind, double scale) in Units)
        {
            if (!trimmed.EndsWith(suffix, kind == BudgetKind.Time ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }
            ReadOnlySpan<char> number = trimmed.AsSpan(0, trimmed.Length - suffix.Length).TrimEnd();
            double amount = double.TryParse(number, Style, CultureInfo.InvariantCulture, out double value) ? value * scale : double.NaN;
            amount = kind is BudgetKind.Data or BudgetKind.Steps ? Math.Round(amount) : amount;
            if (double.IsFinite(amount) && amount > 0)
            {
                return new Budget(kind, amount);
            }
            break;
        }
        string shown = new([.. text.Select(c => char.IsControl(c) ? '?' : c)]);
        throw new InputException($"--budget '{shown}' is not a budget; write a time (60s, 5m), training FLOPs (3e13flop), training data (20MB) or steps (500steps)");
    }

    /// <summary>The budget as it is written: 60s, 3e13flop, 20MB.</summary>
    public override string ToString() => Kind switch
    {
        BudgetKind.Time => Shortest(Amount) + "s",
        BudgetKind.Flops => Shortest(Amount) + "flop",
        BudgetKind.Steps => Shortest(Amount) + "steps",
        _ when Amount % 1e9 == 0 => Shortest(Amount / 1e9) + "GB",
        _ when Amount % 1e6 == 0 => Shortest(Amount / 1e6) + "MB",
        _ when Amount % 1e3 == 0 => Shortest(Amount / 1e3) + "KB",
        _ => Shortest(Amount) + "B",
    };

    // The fewest digits that read back as the same number; powers of ten from 1e6 on, where zeros become hard to count.
    private static string Shortest(double amount)
    {
        if (amount is >= 1e-4 and < 1e6)
        {
            return amount.ToString("R", CultureInfo.InvariantCulture);
        }
        string text = "";
        for (int digits = 0; digits <= 16; digits++)
        {
            text = amount.ToString("e" + digits, CultureInfo.InvariantCulture);
            if (double.Parse(text, CultureInfo.InvariantCulture) == amount)
            {
                break;
            }
        }
        int e = text.IndexOf('e', StringComparison.Ordinal);
        return text[..e] + "e" + int.Parse(text.AsSpan(e + 1), CultureInfo.InvariantCulture);
    }
}
