using Weft.Tensors;

namespace Weft.Models;

/// <summary>Reads one pattern by recursive descent; the grammar stands at <see cref="Pattern"/>. Use once.</summary>
internal sealed class PatternParser(string text, IReadOnlyCollection<string>? knownBlocks)
{
    // Blocks are written out in place: a unit appends itself, then its range is repeated.
    private readonly List<BlockSpec> blocks = [];
    private int at;

    public Pattern Parse()
    {
        Items(open: -1, depth: 0);
        return new Pattern(blocks);
    }

    /// <summary>Items up to the ')' of the group opened at <paramref name="open"/>, or to the end where that is -1.</summary>
    private void Items(int open, int depth)
    {
        int first = blocks.Count;
        for (SkipSpace(); at < text.Length && text[at] != ')'; SkipSpace())
        {
            Item(depth);
        }
        bool closed = at < text.Length;
        if (closed != (open >= 0))
        {
            throw closed ? Error(at, $"')' at {at + 1} closes nothing; remove it or add '('") : Error(open, $"'(' at {open + 1} is never closed; add ')'");
        }
        if (blocks.Count == first)
        {
            throw open < 0 ? Error(0, "holds no block; write for example (3*mamba2 attention)*4")
                : Error(open, $"'(' at {open + 1} holds no block; put a block's name in it");
        }
    }

    private void Item(int depth)
    {
        int start = at, first = blocks.Count, count = 1;
        if (char.IsAsciiDigit(text[at]))
        {
            count = Count();
            SkipSpace();
            if (!Take('*'))
            {
                throw Error(start, $"count {count} at {start + 1} repeats nothing; write {count}*name or name*{count}");
            }
            SkipSpace();
        }
        Unit(depth);
        SkipSpace();
        int star = at;
        if (Take('*'))
        {
            SkipSpace();
            if (at == text.Length || !char.IsAsciiDigit(text[at]))
            {
                throw Error(star, $"'*' at {star + 1} needs a count after it, such as *4");
            }
            // Both counts are at most MaxBlocks, so the product fits.
            count *= Count();
        }
        Repeat(first, count, start);
    }

    private void Unit(int depth)
    {
        if (at == text.Length)
        {
            throw Error(at - 1, "ends where a block must follow; add a block's name");
        }
        int start = at;
        if (!Take('('))
        {
            Block();
        }
        else if (depth == Pattern.MaxDepth)
        {
            throw Error(start, $"'(' at {start + 1} is nested deeper than {Pattern.MaxDepth}; write it flatter");
        }
        else
        {
            Items(start, depth + 1);
            at++; // Items stops at this group's ')'.
        }
    }

    private void Block()
    {
        if (!PatternText.IsNameStart(text[at]))
        {
            throw Unexpected();
        }
        int start = at;
        string name = Word(PatternText.IsNamePart);
        if (knownBlocks is not null && !knownBlocks.Contains(name))
        {
            throw Error(start, $"unknown block '{name}' at {start + 1}; {NearestNames.Hint(name, knownBlocks)}");
        }
        SkipSpace();
        int open = at;
        blocks.Add(Take('[') ? new BlockSpec(name, Options(name, open)) : new BlockSpec(name));
    }

    private List<BlockOption> Options(string block, int open)
    {
        var options = new List<BlockOption>();
        do
        {
            SkipSpace();
            int start = at;
            string key = Word(PatternText.IsNamePart);
            SkipSpace();
            string value = "true";
            if (key.Length > 0 && Take('='))
            {
                SkipSpace();
                int valueStart = at;
                value = Word(PatternText.IsValuePart);
                if (value.Length == 0)
                {
                    throw Error(valueStart, $"option '{key}' at {start + 1} has no value after '='; write {key}=value");
                }
                SkipSpace();
            }
            if (at == text.Length)
            {
                throw Error(open, $"'[' at {open + 1} is never closed; add ']'");
            }
            if (key.Length == 0 || text[at] is not (',' or ']'))
            {
                throw Error(at, $"{PatternText.Quote(text[at])} at {at + 1} is not part of an option; write [key=value, key]");
            }
            if (!PatternText.IsName(key) || key == BlockSpec.NameKey)
            {
                throw Error(start, $"'{key}' at {start + 1} cannot name an option; start with a letter, and not '{BlockSpec.NameKey}'");
            }
            if (options.Exists(o => o.Name == key))
            {
                throw Error(start, $"option '{key}' at {start + 1} is given twice; keep one");
            }
            if (options.Count == BlockSpec.MaxOptions)
            {
                throw Error(start, $"block '{block}' has more than {BlockSpec.MaxOptions} options at {start + 1}");
            }
            options.Add(new BlockOption(key, value));
        }
        while (text[at++] == ',');
        return options;
    }

    private void Repeat(int first, int count, int start)
    {
        int unit = blocks.Count - first;
        // The unit is at most MaxBlocks long and the count at most its square, so only the product needs 64 bits.
        long total = first + ((long)unit * count);
        if (total > Pattern.MaxBlocks)
        {
            throw Error(start, $"{total} blocks by the item at {start + 1}; at most {Pattern.MaxBlocks}");
        }
        for (int i = unit; i < unit * count; i++)
        {
            blocks.Add(blocks[first + i - unit]);
        }
    }

    private int Count()
    {
        int start = at, count = 0;
        for (; at < text.Length && char.IsAsciiDigit(text[at]); at++)
        {
            count = Math.Min((count * 10) + (text[at] - '0'), Pattern.MaxBlocks + 1);
        }
        if (count is 0 or > Pattern.MaxBlocks)
        {
            throw Error(start, $"the count at {start + 1} must be from 1 to {Pattern.MaxBlocks}");
        }
        if (at < text.Length && PatternText.IsNamePart(text[at]))
        {
            throw Error(at, $"count {count} at {start + 1} runs into {PatternText.Quote(text[at])}; put '*' or a space between");
        }
        return count;
    }

    private string Word(Func<char, bool> isPart)
    {
        int start = at;
        while (at < text.Length && isPart(text[at]))
        {
            at++;
        }
        return at - start <= PatternText.MaxWord ? text[start..at]
            : throw Error(start, $"the word at {start + 1} is longer than {PatternText.MaxWord} characters");
    }

    private void SkipSpace()
    {
        while (at < text.Length && char.IsWhiteSpace(text[at]))
        {
            at++;
        }
    }

    private bool Take(char c)
    {
        bool taken = at < text.Length && text[at] == c;
        at += taken ? 1 : 0;
        return taken;
    }

    private InputException Unexpected()
    {
        string reason = text[at] switch
        {
            '+' => "would join parallel branches, which are not supported; write the blocks one after another",
            ',' => "does not separate blocks; use a space",
            '*' => "stands where a block must; write 3*name or name*3",
            '[' => "follows no block's name; write name[key=value]",
            ']' => "closes nothing; remove it or add '['",
            ')' => "stands where a block must; put a block's name before it",
            _ => "cannot begin a block; write a name, a count or '('",
        };
        return Error(at, $"{PatternText.Quote(text[at])} at {at + 1} {reason}");
    }

    private InputException Error(int position, string message) => new($"pattern {PatternText.Quote(text, position)}: {message}");
}
