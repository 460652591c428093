using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>What a search of a regular expression writes to; one a thread.</summary>
internal sealed class RegexState
{
    /// <summary>The alternatives not yet tried, and the states that have failed when all above them have.</summary>
    public Store<(int Pc, int At)> Stack { get; } = new();

    /// <summary>One bit for each fork and place that is known to lead nowhere; empty until a search has been slow.</summary>
    public ulong[] Failed { get; set; } = [];

    public bool Remembers { get; set; }

    public long Steps { get; set; }
}

/// <summary>
/// A regular expression on UTF-8 text, by backtracking: the first alternative that leads to a match is taken, as in the reference. It works
/// on code points, so that characters past U+FFFF have classes like all others, and needs no clock to be safe: a search that takes more than
/// some steps a byte begins to remember which (fork, place) has failed, after which every one is tried once, so that a whole text takes time
/// in proportion to its length and the expression's. Only assertions that succeed far ahead, again and again, escape that: they are refused.
/// </summary>
internal sealed class TextRegex
{
    private const int MaxProgram = 20_000, FreeSteps = 10_000, StepsAByte = 32, MostFreeSteps = 10_000_000, MostStepsAByte = 500;
    private const long MaxBits = 1L << 32;

    private enum Op
    {
        Set, Fork, Jump, Assert, Look, Atomic, Match,
    }

    // Fork: A first, then B. Look and Atomic: their body follows, A is where it goes on. Look: B is the width behind, -1 ahead.
    private record struct Instruction(Op Op, int A, int B, CharSet? Set, bool Negative);

    private const int FailedMark = -1;

    private static readonly CharSet Word = TextRegexParser.WordCharacters;

    private readonly List<Instruction> program = [];
    private readonly int[] forkOf;
    private readonly int forks;

    public TextRegex(string pattern)
    {
        Emit(TextRegexParser.Parse(pattern));
        Add(new Instruction(Op.Match, 0, 0, null, false));
        forkOf = new int[program.Count];
        for (int pc = 0; pc < program.Count; pc++)
        {
            forkOf[pc] = program[pc].Op == Op.Fork ? forks++ : -1;
        }
    }

    /// <summary>Appends the whole text in parts, in order: matches, and what lies between them.</summary>
    public void Split(ReadOnlySpan<byte> text, int offset, RegexState state, Store<Piece> into)
    {
        (state.Steps, state.Remembers) = (0, false);
        int before = 0, at = 0, last = -1;
        while (at <= text.Length)
        {
            int end = Run(text, 0, at, state);
            if (end < 0 || (end == at && at == last))
            {
                // An empty match right after a match is none.
                if (at == text.Length)
                {
                    break;
                }
                CodePoint.At(text, at, out int length);
                at += length;
                continue;
            }
            if (at > before)
            {
                into.Add(new Piece(offset + before, at - before, false));
            }
            into.Add(new Piece(offset + at, end - at, true));
            before = at = last = end;
        }
        if (text.Length > before)
        {
            into.Add(new Piece(offset + before, text.Length - before, false));
        }
    }

    // The end of the match of the program from pc at a place; -1 where there is none.
    private int Run(ReadOnlySpan<byte> text, int pc, int at, RegexState state)
    {
        Store<(int Pc, int At)> stack = state.Stack;
        int bottom = stack.Count;
        while (true)
        {
            if (++state.Steps > FreeSteps + ((long)StepsAByte * text.Length) && !state.Remembers)
            {
                Remember(text.Length, state);
            }
            else if (state.Steps > MostFreeSteps + ((long)MostStepsAByte * text.Length))
            {
                throw new InputException("the tokenizer's regular expression takes too many steps on this text; it looks ahead too far");
            }
            Instruction i = program[pc];
            bool fails = false;
            switch (i.Op)
            {
                case Op.Set:
                    fails = at >= text.Length || !i.Set!.Contains(CodePoint.At(text, at, out int length)) || Step(ref at, length);
                    pc++;
                    break;
                case Op.Fork:
                    if (state.Remembers)
                    {
                        if (IsFailed(pc, at, text.Length, state, false))
                        {
                            fails = true;
                            break;
                        }
                        stack.Add((FailedMark - pc, at));
                    }
                    stack.Add((i.B, at));
                    pc = i.A;
                    break;
                case Op.Jump:
                    pc = i.A;
                    break;
                case Op.Assert:
                    fails = !Holds((RegexAssertion)i.A, text, at);
                    pc++;
                    break;
                case Op.Look:
                    int from = i.B < 0 ? at : Back(text, at, i.B);
                    bool found = from >= 0 && Run(text, pc + 1, from, state) is var seen && (i.B < 0 ? seen >= 0 : seen == at);
                    fails = found == i.Negative;
                    pc = i.A;
                    break;
                case Op.Atomic:
                    int end = Run(text, pc + 1, at, state);
                    fails = end < 0;
                    at = end;
                    pc = i.A;
                    break;
                default:
                    stack.Resize(bottom);
                    return at;
            }
            while (fails)
            {
                if (stack.Count == bottom)
                {
                    return -1;
                }
                (pc, at) = stack.Pop();
                fails = pc < 0;
                if (fails)
                {
                    IsFailed(FailedMark - pc, at, text.Length, state, true);
                }
            }
        }
    }

    private static bool Step(ref int at, int length)
    {
        at += length;
        return false;
    }

    private void Remember(int length, RegexState state)
    {
        long bits = forks * (length + 1L);
        if (bits > MaxBits)
        {
            throw new InputException($"a text of {length} bytes without a break is too long for the tokenizer's regular expression; give it in parts");
        }
        int words = (int)((bits + 63) / 64);
        if (state.Failed.Length < words)
        {
            state.Failed = new ulong[words];
        }
        Array.Clear(state.Failed, 0, words);
        state.Remembers = true;
    }

    private bool IsFailed(int pc, int at, int length, RegexState state, bool set)
    {
        long bit = (forkOf[pc] * (length + 1L)) + at;
        ref ulong word = ref state.Failed[bit >> 6];
        ulong mask = 1UL << (int)(bit & 63);
        bool was = (word & mask) != 0;
        if (set)
        {
            word |= mask;
        }
        return was;
    }

    // The place so many characters before; -1 where the text begins later.
    private static int Back(ReadOnlySpan<byte> text, int at, int characters)
    {
        for (; characters > 0; characters--)
        {
            if (at == 0)
            {
                return -1;
            }
            CodePoint.Before(text, at, out int length);
            at -= length;
        }
        return at;
    }

    private static bool Holds(RegexAssertion kind, ReadOnlySpan<byte> text, int at) => kind switch
    {
        RegexAssertion.LineStart => at == 0 || (text[at - 1] == '\n' && at < text.Length),
        RegexAssertion.LineEnd => at == text.Length || text[at] == '\n',
        RegexAssertion.TextStart => at == 0,
        RegexAssertion.TextEnd => at == text.Length,
        RegexAssertion.TextEndOrLastLine => at == text.Length || (at == text.Length - 1 && text[at] == '\n'),
        RegexAssertion.WordEdge => IsEdge(text, at),
        _ => !IsEdge(text, at),
    };

    private static bool IsEdge(ReadOnlySpan<byte> text, int at) =>
        (at > 0 && Word.Contains(CodePoint.Before(text, at, out _))) != (at < text.Length && Word.Contains(CodePoint.At(text, at, out _)));

    private int Add(Instruction instruction)
    {
        if (program.Count == MaxProgram)
        {
            throw new InputException($"is a regular expression whose repetitions make more than {MaxProgram} steps");
        }
        program.Add(instruction);
        return program.Count - 1;
    }

    private void Emit(RegexNode node)
    {
        switch (node)
        {
            case RegexNode.Set set:
                Add(new Instruction(Op.Set, 0, 0, set.Chars, false));
                break;
            case RegexNode.Sequence sequence:
                sequence.Parts.ForEach(Emit);
                break;
            case RegexNode.Assertion assertion:
                Add(new Instruction(Op.Assert, (int)assertion.Kind, 0, null, false));
                break;
            case RegexNode.Choice choice:
                EmitChoice(choice);
                break;
            case RegexNode.Repeat repeat:
                EmitRepeat(repeat);
                break;
            case RegexNode.Atomic atomic:
                EmitBody(new Instruction(Op.Atomic, 0, 0, null, false), atomic.Body);
                break;
            case RegexNode.Look look:
                int width = look.Behind ? Width(look.Body) : -1;
                if (look.Behind && width < 0)
                {
                    throw new InputException("is a regular expression that looks back at text of no fixed length, which is not taken");
                }
                EmitBody(new Instruction(Op.Look, 0, width, null, look.Negative), look.Body);
                break;
        }
    }

    private void EmitBody(Instruction instruction, RegexNode body)
    {
        int start = Add(instruction);
        Emit(body);
        Add(new Instruction(Op.Match, 0, 0, null, false));
        program[start] = program[start] with { A = program.Count };
    }

    private void EmitChoice(RegexNode.Choice choice)
    {
        var jumps = new List<int>();
        for (int part = 0; part < choice.Parts.Count; part++)
        {
            bool last = part == choice.Parts.Count - 1;
            int fork = last ? -1 : Add(new Instruction(Op.Fork, program.Count + 1, 0, null, false));
            Emit(choice.Parts[part]);
            if (!last)
            {
                jumps.Add(Add(new Instruction(Op.Jump, 0, 0, null, false)));
                program[fork] = program[fork] with { B = program.Count };
            }
        }
        jumps.ForEach(j => program[j] = program[j] with { A = program.Count });
    }

    private void EmitRepeat(RegexNode.Repeat repeat)
    {
        int start = program.Count;
        for (int i = 0; i < repeat.Min; i++)
        {
            Emit(repeat.Body);
            if (program.Count == start)
            {
                return; // nothing, however often
            }
        }
        var forks = new List<int>();
        for (int i = repeat.Min; i < Math.Max(repeat.Max, repeat.Max < 0 ? repeat.Min + 1 : 0); i++)
        {
            forks.Add(Add(default));
            Emit(repeat.Body);
        }
        if (repeat.Max < 0)
        {
            Add(new Instruction(Op.Jump, forks[0], 0, null, false));
        }
        int end = program.Count;
        forks.ForEach(f => program[f] = repeat.Lazy ? new Instruction(Op.Fork, end, f + 1, null, false) : new Instruction(Op.Fork, f + 1, end, null, false));
    }

    // The number of characters that a part always matches; -1 where it varies.
    private static int Width(RegexNode node)
    {
        switch (node)
        {
            case RegexNode.Set:
                return 1;
            case RegexNode.Sequence sequence:
                int[] widths = [.. sequence.Parts.Select(Width)];
                return widths.Contains(-1) ? -1 : widths.Sum();
            case RegexNode.Choice choice:
                int[] each = [.. choice.Parts.Select(Width).Distinct()];
                return each.Length == 1 ? each[0] : -1;
            case RegexNode.Repeat repeat:
                return repeat.Min == repeat.Max && Width(repeat.Body) is var one and >= 0 ? (int)Math.Min((long)one * repeat.Min, MaxProgram) : -1;
            case RegexNode.Atomic atomic:
                return Width(atomic.Body);
            default:
                return 0;
        }
    }
}
