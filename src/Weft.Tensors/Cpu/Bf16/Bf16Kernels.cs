using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Weft.Tensors.Cpu;

/// <summary>What multiplies bfloat16 numbers.</summary>
internal enum Bf16Unit
{
    /// <summary>float32 instructions, in C#: any processor.</summary>
    Portable,

    /// <summary>vdpbf16ps, twice the rate of float32 on AMD's processors.</summary>
    Avx512,

    /// <summary>AMX tiles: 16 times the rate of float32 at best.</summary>
    Amx,
}

/// <summary>One call's operands: C [rows, 32] = A B, or C + A B.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Bf16Tile
{
    /// <summary>A packed panel of A: [blocks of 16 lanes][rows][16]; where it lay by columns and the kernels take it so, [lanes][rows], lanes <see cref="StrideA"/> bytes apart.</summary>
    public float* A;
    public nint StrideA;

    /// <summary>A packed panel of B: [lanes][32].</summary>
    public float* B;

    /// <summary>C, rows <see cref="StrideC"/> bytes apart.</summary>
    public float* C;
    public nint StrideC;

    /// <summary>Lanes of the depth: a multiple of 16.</summary>
    public nint Lanes;

    /// <summary>Whether to add to C.</summary>
    public nint Accumulate;
}

/// <summary>
/// The register-blocked kernels under bfloat16 products, one for each number of rows: 32 columns by up to <see cref="MaxRows"/> rows of C stay
/// in registers over the depth. Sums are float32; each element is summed in the same order whatever the rows beside it.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Bf16Kernels
{
    private const int Most = 32;

    private fixed long kernels[Most + 1], byLanes[Most + 1];
    private delegate* unmanaged<void> configure, release;

    /// <summary>Rows of a full block.</summary>
    public int MaxRows { get; private set; }

    /// <summary>The depth, in lanes, up to which operands are multiplied at a time: a panel of B then stays in a near cache.</summary>
    public int MaxLanes { get; private set; }

    /// <summary>Whether a block of fewer rows reads and writes all of them, so that memory must be there.</summary>
    public bool PadsRows { get; private set; }

    /// <summary>Whether there are kernels for A as [lanes][rows].</summary>
    public readonly bool TakesLanes => byLanes[1] != 0;

    /// <summary>Before a thread's first tile of a piece of work: configures its tiles.</summary>
    public readonly void Begin()
    {
        if (configure != null)
            configure();
    }

    /// <summary>After a piece of work.</summary>
    public readonly void End()
    {
        if (release != null)
            release();
    }

    /// <summary>Multiplies <paramref name="rows"/> rows, 1 .. <see cref="MaxRows"/>; <paramref name="transposed"/>: of an A that lay by columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Run(int rows, bool transposed, Bf16Tile* tile) =>
        ((delegate* unmanaged<Bf16Tile*, void>)(transposed && TakesLanes ? byLanes[rows] : kernels[rows]))(tile);

    /// <summary>The kernels of a unit; null where this machine lacks it or the system does not allow code made at run time. Made once, never freed.</summary>
    public static Bf16Kernels* Of(Bf16Unit unit) => unit switch
    {
        Bf16Unit.Amx => s_amx.Value.Kernels,
        Bf16Unit.Avx512 => s_avx512.Value.Kernels,
        _ => s_portable.Value.Kernels,
    };

    private readonly struct Holder(Bf16Kernels* kernels)
    {
        public Bf16Kernels* Kernels { get; } = kernels;
    }

    private static readonly Lazy<Holder> s_amx = new(() => new Holder(MakeAmx())), s_avx512 = new(() => new Holder(MakeAvx512())), s_portable = new(() => new Holder(MakePortable()));

    private static Bf16Kernels* New(int maxRows, int maxLanes)
    {
        var table = (Bf16Kernels*)NativeMemory.AllocZeroed((nuint)sizeof(Bf16Kernels));
        (table->MaxRows, table->MaxLanes) = (maxRows, maxLanes);
        return table;
    }

    // ---- AVX512-BF16: 14 x 2 sums, 2 vectors of B and 2 of A's broadcasts fill the 32 registers.

    private static Bf16Kernels* MakeAvx512()
    {
        const int rows = 14;
        if (!CanEmit || !Isa.Machine.Has.Contains(IsaLevel.Avx512Bf16))
            return null;
        nint[]? entries = ExecutableMemory.Assemble([.. Enumerable.Range(0, 2 * rows).Select(i => (Action<Assembler>)(a => Dot(a, (i % rows) + 1, i >= rows)))]);
        if (entries is null)
            return null;
        Bf16Kernels* table = New(rows, 768);
        for (int r = 0; r < rows; r++)
            (table->kernels[r + 1], table->byLanes[r + 1]) = (entries[r], entries[rows + r]);
        return table;
    }

    private static readonly AssemblerRegisterZMM[] Zmm =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15,
        zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31,
    ];

    /// <summary>The kernel for r rows. Registers (System V): rdi the tile, rsi A, rdx B, rax the lanes left; then rsi, r8, r9, r11 rows 0, 4, 8, 12 of C and rcx their stride.</summary>
    private static void Dot(Assembler a, int r, bool lanes)
    {
        AssemblerRegister64[] bases = [rsi, r8, r9, r11];
        AssemblerMemoryOperand C(int i, int offset) => (i % 4) switch
        {
            0 => __[bases[i / 4] + offset],
            1 => __[bases[i / 4] + rcx + offset],
            2 => __[bases[i / 4] + (rcx * 2) + offset],
            _ => __[bases[i / 4] + r10 + offset],
        };

        void PointToC()
        {
            a.mov(rsi, __qword_ptr[rdi + Offset(nameof(Bf16Tile.C))]);
            a.mov(rcx, __qword_ptr[rdi + Offset(nameof(Bf16Tile.StrideC))]);
            a.lea(r10, __[rcx + (rcx * 2)]);
            for (int i = 1; i < (r + 3) / 4; i++)
                a.lea(bases[i], __[bases[i - 1] + (rcx * 4)]);
        }

        // Ask for C before the depth is walked: it is wanted right after.
        PointToC();
        for (int i = 0; i < r; i++)
        {
            a.prefetcht0(C(i, 0));
            a.prefetcht0(C(i, 64));
        }

        a.mov(rsi, __qword_ptr[rdi + Offset(nameof(Bf16Tile.A))]);
        if (lanes)
        {
            a.mov(rcx, __qword_ptr[rdi + Offset(nameof(Bf16Tile.StrideA))]);
            a.lea(r10, __[rcx + (rcx * 2)]);
        }

        a.mov(rdx, __qword_ptr[rdi + Offset(nameof(Bf16Tile.B))]);
        a.mov(rax, __qword_ptr[rdi + Offset(nameof(Bf16Tile.Lanes))]);
        for (int i = 0; i < 2 * r; i++)
            a.vpxord(Zmm[i], Zmm[i], Zmm[i]);
        Label loop = a.CreateLabel();
        a.Label(ref loop);
        const int unroll = 4;
        AssemblerMemoryOperand A(int i, int u) => (lanes ? u : -1) switch
        {
            -1 => __dword_ptr[rsi + (i * 64) + (u * 4)],
            0 => __dword_ptr[rsi + (i * 4)],
            1 => __dword_ptr[rsi + rcx + (i * 4)],
            2 => __dword_ptr[rsi + (rcx * 2) + (i * 4)],
            _ => __dword_ptr[rsi + r10 + (i * 4)],
        };
        for (int u = 0; u < unroll; u++)
        {
            a.vmovups(zmm28, __zmmword_ptr[rdx + (u * 128)]);
            a.vmovups(zmm29, __zmmword_ptr[rdx + (u * 128) + 64]);
            for (int i = 0; i < r; i++)
            {
                AssemblerRegisterZMM x = i % 2 == 0 ? zmm30 : zmm31;
                a.vbroadcastss(x, A(i, u));
                a.vdpbf16ps(Zmm[2 * i], x, zmm28);
                a.vdpbf16ps(Zmm[(2 * i) + 1], x, zmm29);
            }
        }

        if (lanes)
            a.lea(rsi, __[rsi + (rcx * unroll)]);
        else
            a.add(rsi, 4 * unroll);
        a.add(rdx, 128 * unroll);
        a.sub(rax, unroll);
        if (!lanes)
        {
            a.test(eax, 15);
            a.jne(loop);
            a.add(rsi, (r - 1) * 64); // the next block's first row
            a.test(rax, rax);
        }

        a.jne(loop);

        PointToC();
        Label store = a.CreateLabel();
        a.cmp(__qword_ptr[rdi + Offset(nameof(Bf16Tile.Accumulate))], 0);
        a.je(store);
        for (int i = 0; i < r; i++)
        {
            a.vaddps(Zmm[2 * i], Zmm[2 * i], C(i, 0));
            a.vaddps(Zmm[(2 * i) + 1], Zmm[(2 * i) + 1], C(i, 64));
        }

        a.Label(ref store);
        for (int i = 0; i < r; i++)
        {
            a.vmovups(C(i, 0), Zmm[2 * i]);
            a.vmovups(C(i, 64), Zmm[(2 * i) + 1]);
        }

        a.vzeroupper();
        a.ret();
    }

    // ---- AMX: four tiles of sums, 16 x 16 each, two of A, two of B.

    private static Bf16Kernels* MakeAmx()
    {
        if (!CanEmit || !Isa.Machine.Has.Contains(IsaLevel.Amx) || !ExecutableMemory.AllowTiles())
            return null;

        // The palette, then for each of 8 tiles the bytes of a row (from byte 16 on) and the rows (from byte 48 on).
        var shape = (byte*)NativeMemory.AlignedAlloc(64, 64);
        new Span<byte>(shape, 64).Clear();
        shape[0] = 1;
        for (int t = 0; t < 8; t++)
            (shape[16 + (2 * t)], shape[48 + t]) = (64, 16);
        nint[]? entries = ExecutableMemory.Assemble(
            a =>
            {
                a.mov(rax, (long)shape);
                a.ldtilecfg(__[rax]);
                a.ret();
            },
            a =>
            {
                a.tilerelease();
                a.ret();
            },
            Tiles);
        if (entries is null)
            return null;
        Bf16Kernels* table = New(32, 256);
        table->PadsRows = true;
        table->configure = (delegate* unmanaged<void>)entries[0];
        table->release = (delegate* unmanaged<void>)entries[1];
        for (int r = 1; r <= 32; r++)
            table->kernels[r] = entries[2];
        return table;
    }

    /// <summary>32 rows of A: tmm0-3 sums, tmm4-5 A, tmm6-7 B.</summary>
    private static void Tiles(Assembler a)
    {
        Label zero = a.CreateLabel(), start = a.CreateLabel(), loop = a.CreateLabel();
        a.mov(r8, __qword_ptr[rdi + Offset(nameof(Bf16Tile.C))]);
        a.mov(r9, __qword_ptr[rdi + Offset(nameof(Bf16Tile.StrideC))]);
        a.mov(r10, r9);
        a.shl(r10, 4);
        a.add(r10, r8); // row 16 of C
        a.cmp(__qword_ptr[rdi + Offset(nameof(Bf16Tile.Accumulate))], 0);
        a.je(zero);
        a.tileloadd(tmm0, __[r8 + r9]);
        a.tileloadd(tmm1, __[r8 + r9 + 64]);
        a.tileloadd(tmm2, __[r10 + r9]);
        a.tileloadd(tmm3, __[r10 + r9 + 64]);
        a.jmp(start);
        a.Label(ref zero);
        a.tilezero(tmm0);
        a.tilezero(tmm1);
        a.tilezero(tmm2);
        a.tilezero(tmm3);
        a.Label(ref start);
        a.mov(rsi, __qword_ptr[rdi + Offset(nameof(Bf16Tile.A))]);
        a.mov(ecx, 64); // from one row of A to the next
        a.mov(rdx, __qword_ptr[rdi + Offset(nameof(Bf16Tile.B))]);
        a.mov(rax, __qword_ptr[rdi + Offset(nameof(Bf16Tile.Lanes))]);
        a.mov(edi, 128); // from one lane row of a panel to the next
        a.Label(ref loop);
        a.tileloadd(tmm6, __[rdx + rdi]);
        a.tileloadd(tmm4, __[rsi + rcx]);
        a.tileloadd(tmm7, __[rdx + rdi + 64]);
        a.tdpbf16ps(tmm0, tmm4, tmm6);
        a.tileloadd(tmm5, __[rsi + rcx + 1024]); // rows 16 to 31
        a.tdpbf16ps(tmm1, tmm4, tmm7);
        a.tdpbf16ps(tmm2, tmm5, tmm6);
        a.tdpbf16ps(tmm3, tmm5, tmm7);
        a.add(rsi, 2 * 1024);
        a.add(rdx, 16 * 128);
        a.sub(rax, 16);
        a.jne(loop);
        a.tilestored(__[r8 + r9], tmm0);
        a.tilestored(__[r8 + r9 + 64], tmm1);
        a.tilestored(__[r10 + r9], tmm2);
        a.tilestored(__[r10 + r9 + 64], tmm3);
        a.ret();
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<Bf16Tile>(field);

    private static bool CanEmit => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    // ---- Any processor: the definition, and the slower path.

    private static Bf16Kernels* MakePortable()
    {
        Bf16Kernels* table = New(4, 512);
        table->kernels[1] = (nint)(delegate* unmanaged<Bf16Tile*, void>)&Portable1;
        table->kernels[2] = (nint)(delegate* unmanaged<Bf16Tile*, void>)&Portable2;
        table->kernels[3] = (nint)(delegate* unmanaged<Bf16Tile*, void>)&Portable3;
        table->kernels[4] = (nint)(delegate* unmanaged<Bf16Tile*, void>)&Portable4;
        return table;
    }

    [UnmanagedCallersOnly] private static void Portable1(Bf16Tile* tile) => Portable(1, tile);
    [UnmanagedCallersOnly] private static void Portable2(Bf16Tile* tile) => Portable(2, tile);
    [UnmanagedCallersOnly] private static void Portable3(Bf16Tile* tile) => Portable(3, tile);
    [UnmanagedCallersOnly] private static void Portable4(Bf16Tile* tile) => Portable(4, tile);

    private static void Portable(int rows, Bf16Tile* tile)
    {
        if (Isa.Vector512)
            Portable<Simd512, Vector512<float>>(rows, tile);
        else if (Isa.Vector256)
            Portable<Simd256, Vector256<float>>(rows, tile);
        else
            Portable<Simd128, Vector128<float>>(rows, tile);
    }

    /// <summary>C = sum over lanes of low(a) low(b) + high(a) high(b): a vector of columns and four rows at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Portable<S, V>(int rows, Bf16Tile* tile) where S : struct, ISimd<V> where V : unmanaged
    {
        nint lanes = tile->Lanes, ldc = tile->StrideC / sizeof(float);
        nint row1 = Math.Min(1, rows - 1) * 16, row2 = Math.Min(2, rows - 1) * 16, row3 = Math.Min(3, rows - 1) * 16;
        for (int j = 0; j < Bf16Pack.Width; j += S.Count)
        {
            V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
            for (nint q = 0; q < lanes; q++)
            {
                V b = S.Load(tile->B + (q * Bf16Pack.Width) + j), low = S.LowBf16(b), high = S.HighBf16(b);
                float* a = tile->A + (q / 16 * 16 * rows) + (q % 16);
                V x0 = S.Create(a[0]), x1 = S.Create(a[row1]), x2 = S.Create(a[row2]), x3 = S.Create(a[row3]);
                s0 = S.Fma(S.LowBf16(x0), low, S.Fma(S.HighBf16(x0), high, s0));
                s1 = S.Fma(S.LowBf16(x1), low, S.Fma(S.HighBf16(x1), high, s1));
                s2 = S.Fma(S.LowBf16(x2), low, S.Fma(S.HighBf16(x2), high, s2));
                s3 = S.Fma(S.LowBf16(x3), low, S.Fma(S.HighBf16(x3), high, s3));
            }

            float* c = tile->C + j;
            bool add = tile->Accumulate != 0;
            S.Store(add ? S.Add(s0, S.Load(c)) : s0, c);
            if (rows > 1) S.Store(add ? S.Add(s1, S.Load(c + ldc)) : s1, c + ldc);
            if (rows > 2) S.Store(add ? S.Add(s2, S.Load(c + (2 * ldc))) : s2, c + (2 * ldc));
            if (rows > 3) S.Store(add ? S.Add(s3, S.Load(c + (3 * ldc))) : s3, c + (3 * ldc));
        }
    }
}
