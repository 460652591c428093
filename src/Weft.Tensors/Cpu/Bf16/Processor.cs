using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>What this processor has beyond what .NET tells.</summary>
internal static partial class Processor
{
    private const int ArchPrctl = 158, RequestPermission = 0x1023, TileData = 18;

    private static readonly Lazy<bool> s_amx = new(() => SystemCall(ArchPrctl, RequestPermission, TileData) == 0);

    /// <summary>AVX512-BF16: vdpbf16ps.</summary>
    public static bool HasAvx512Bf16 { get; } = Avx512F.IsSupported && (X86Base.CpuId(7, 1).Eax & (1 << 5)) != 0;

    /// <summary>AMX tiles of bfloat16.</summary>
    public static bool HasAmxBf16 { get; } = Avx512F.IsSupported && (X86Base.CpuId(7, 0).Edx & (1 << 22)) != 0 && (X86Base.CpuId(7, 0).Edx & (1 << 24)) != 0;

    /// <summary>Whether vdpbf16ps outruns float32: AMD's does, twice; Intel's runs at half of it.</summary>
    public static bool HasFastAvx512Bf16 { get; } = HasAvx512Bf16 && X86Base.CpuId(0, 0).Ebx == 0x68747541; // "Auth": AuthenticAMD

    /// <summary>Asks Linux for the use of tiles, once a process; false where it refuses.</summary>
    public static bool AllowAmx() => s_amx.Value;

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial long SystemCall(long number, long code, long argument);
}
