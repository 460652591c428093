using System.Runtime.InteropServices;
using Iced.Intel;

namespace Weft.Tensors.Cpu;

/// <summary>Machine code emitted at run time, for instructions that .NET does not offer: pages written first, then made executable. Linux only.</summary>
internal static unsafe partial class ExecutableMemory
{
    private const int ReadWrite = 3, ReadExecute = 5, PrivateAnonymous = 0x22;

    /// <summary>Assembles functions and returns their entry points, in order; null where the system does not allow it. The memory is never freed.</summary>
    public static nint[]? Assemble(params Action<Assembler>[] functions)
    {
        var code = new byte[functions.Length][];
        for (int i = 0; i < functions.Length; i++)
        {
            var assembler = new Assembler(64);
            functions[i](assembler);
            using var stream = new MemoryStream();
            assembler.Assemble(new StreamCodeWriter(stream), 0); // position independent: jumps are relative
            code[i] = stream.ToArray();
        }

        int Aligned(byte[] bytes) => (bytes.Length + 63) & ~63;
        nuint size = (nuint)code.Sum(Aligned);
        byte* memory = Map(null, size, ReadWrite, PrivateAnonymous, -1, 0);
        if ((nint)memory == -1)
        {
            return null;
        }

        var entries = new nint[code.Length];
        byte* at = memory;
        for (int i = 0; i < code.Length; at += Aligned(code[i++]))
        {
            code[i].CopyTo(new Span<byte>(at, code[i].Length));
            entries[i] = (nint)at;
        }

        return Protect(memory, size, ReadExecute) == 0 ? entries : null;
    }

    /// <summary>Asks the system for the use of AMX tiles; false where it refuses. Once asked for, they stay allowed.</summary>
    public static bool AllowTiles()
    {
        const int archPrctl = 158, requestPermission = 0x1023, tileData = 18;
        return SystemCall(archPrctl, requestPermission, tileData) == 0;
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial long SystemCall(long number, long code, long argument);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* Map(byte* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(byte* address, nuint length, int protection);
}
