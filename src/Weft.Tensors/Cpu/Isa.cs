using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>Instruction sets that kernels are written for, each with those above it on the same architecture.</summary>
internal enum IsaLevel
{
    /// <summary>Neither x64 nor Arm64: vectors in software.</summary>
    None,

    /// <summary>x64's 128 bits, which all of them have.</summary>
    Sse,

    /// <summary>Arm64's 128 bits.</summary>
    Neon,

    /// <summary>256 bits.</summary>
    Avx2,

    /// <summary>512 bits.</summary>
    Avx512,

    /// <summary>512 bits, and dot products of bf16.</summary>
    Avx512Bf16,

    /// <summary>Tiles of bf16 besides.</summary>
    Amx,
}

/// <summary>What the machine has, what is the best of it, and what it would be called in a refusal.</summary>
internal readonly record struct IsaMachine(IReadOnlyList<IsaLevel> Has, IsaLevel Best);

/// <summary>
/// The instruction set in use: the machine's best, or the one that the environment variable WEFT_ISA names. Its fields never change, so
/// code that is compiled once a <see cref="CpuDevice"/> has been made holds them as constants and branches on them cost nothing.
/// </summary>
internal static class Isa
{
    /// <summary>The environment variable that forces an instruction set.</summary>
    public const string Variable = "WEFT_ISA";

    private static readonly (IsaLevel Level, string Word, string Name)[] Known =
    [
        (IsaLevel.Amx, "amx", "AMX"),
        (IsaLevel.Avx512Bf16, "avx512bf16", "AVX-512 with bf16"),
        (IsaLevel.Avx512, "avx512", "AVX-512"),
        (IsaLevel.Avx2, "avx2", "AVX2"),
        (IsaLevel.Neon, "neon", "NEON"),
        (IsaLevel.Sse, "sse", "SSE"),
    ];

    /// <summary>What this machine has.</summary>
    public static readonly IsaMachine Machine = Find();

    private static readonly (IsaLevel Level, bool IsForced, string? Mistake) Choice = Choose(Environment.GetEnvironmentVariable(Variable), Machine);

    /// <summary>The instruction set in use.</summary>
    public static readonly IsaLevel Level = Choice.Level;

    /// <summary>Whether kernels run on 512 bits.</summary>
    public static readonly bool Vector512 = Level >= IsaLevel.Avx512;

    /// <summary>Whether kernels run on 256 bits, or more.</summary>
    public static readonly bool Vector256 = Level >= IsaLevel.Avx2;

    /// <summary>Refuses a WEFT_ISA that will not do.</summary>
    /// <exception cref="InputException">It names nothing, or what the machine lacks.</exception>
    public static void Check()
    {
        if (Choice.Mistake is string mistake)
        {
            throw new InputException(mistake);
        }
    }

    /// <summary>The name for people.</summary>
    public static string NameOf(IsaLevel level) => Array.Find(Known, k => k.Level == level).Name ?? "no vectors";

    /// <summary>What the machine has, what is in use and why, in one line of the words that WEFT_ISA takes.</summary>
    public static string Describe() => Describe(Machine, Choice.Level, Choice.IsForced);

    /// <summary>What a person should know of a machine that is much slower than it might be; null as a rule.</summary>
    public static string? Notice => NoticeOf(Choice.Level, Choice.IsForced);

    /// <summary>The set that <paramref name="asked"/> names, the best for null or nothing; with what is wrong where it will not do.</summary>
    internal static (IsaLevel Level, bool IsForced, string? Mistake) Choose(string? asked, IsaMachine machine)
    {
        if (string.IsNullOrWhiteSpace(asked))
        {
            return (machine.Best, false, null);
        }

        asked = asked.Trim();
        IsaLevel level = Array.Find(Known, k => k.Word.Equals(asked, StringComparison.OrdinalIgnoreCase)).Level;
        string would = $"give one of these, or none for the best ({WordOf(machine.Best)})";
        return level == IsaLevel.None ? (machine.Best, false, $"{Variable}={asked} is no instruction set that weft knows; this machine has {Words(machine)}: {would}")
            : machine.Has.Contains(level) ? (level, true, null)
            : (machine.Best, false, $"{Variable}={asked} asks for {NameOf(level)}, which this machine lacks; it has {Words(machine)}: {would}");
    }

    internal static string Describe(IsaMachine machine, IsaLevel level, bool isForced) =>
        $"{Words(machine)}; in use: {WordOf(level)}, {(isForced ? $"forced by {Variable}" : "the best here")}";

    internal static string? NoticeOf(IsaLevel level, bool isForced) => isForced || level > IsaLevel.Sse ? null
        : level == IsaLevel.Sse ? "this machine has no AVX2: everything runs on vectors of 128 bits, several times slower than with AVX2"
        : "this machine has no vector instructions that weft knows: everything runs many times slower than it might";

    private static string WordOf(IsaLevel level) => Array.Find(Known, k => k.Level == level).Word ?? "none";

    private static string Words(IsaMachine machine) =>
        machine.Has.Count == 0 ? "none" : string.Join(", ", Known.Where(k => machine.Has.Contains(k.Level)).Select(k => k.Word));

    // CPUID leaf 7: AVX512_BF16 is subleaf 1, EAX bit 5; AMX-BF16 and AMX-TILE are subleaf 0, EDX bits 22 and 24.
    private static IsaMachine Find()
    {
        List<IsaLevel> has = [];
        bool isIntel = false;
        if (X86Base.IsSupported)
        {
            (int leaves, int vendor, _, _) = X86Base.CpuId(0, 0);
            isIntel = vendor == 0x756e6547; // "Genu", of GenuineIntel
            (int subleaves, _, _, int edx) = leaves >= 7 ? X86Base.CpuId(7, 0) : default;
            bool hasBf16 = subleaves >= 1 && (X86Base.CpuId(7, 1).Eax >> 5 & 1) != 0;
            bool hasTiles = (edx >> 22 & 1) != 0 && (edx >> 24 & 1) != 0;
            has.Add(IsaLevel.Sse);
            Add(IsaLevel.Avx2, Avx2.IsSupported && Fma.IsSupported);
            Add(IsaLevel.Avx512, Avx512F.IsSupported && Avx512DQ.IsSupported);
            Add(IsaLevel.Avx512Bf16, has.Contains(IsaLevel.Avx512) && hasBf16);
            Add(IsaLevel.Amx, has.Contains(IsaLevel.Avx512Bf16) && hasTiles && Environment.Is64BitProcess);
        }

        Add(IsaLevel.Neon, AdvSimd.Arm64.IsSupported);
        return new IsaMachine(has, Best(has, isIntel, System.Runtime.Intrinsics.Vector512.IsHardwareAccelerated));

        void Add(IsaLevel level, bool isThere)
        {
            if (isThere)
            {
                has.Add(level);
            }
        }
    }

    /// <summary>
    /// The fastest of the levels: the last, but for Intel's dot products of bf16, which take twice the time of float32 (AMD's take
    /// half), and for the early machines that slow down for 512 bits, where .NET prefers 256.
    /// </summary>
    internal static IsaLevel Best(IReadOnlyList<IsaLevel> has, bool isIntel, bool prefersWide)
    {
        IsaLevel best = IsaLevel.None;
        foreach (IsaLevel level in has)
        {
            bool isSlow = (level == IsaLevel.Avx512Bf16 && isIntel) || (level is IsaLevel.Avx512 or IsaLevel.Avx512Bf16 && !prefersWide);
            best = level > best && !isSlow ? level : best;
        }

        return best;
    }
}
