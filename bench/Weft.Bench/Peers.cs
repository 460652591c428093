using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>Native libraries that some machines have: loaded if they are there, measured beside Weft, never needed.</summary>
internal static partial class Peers
{
    /// <summary>Loads a library; says that its rows are left out where there is none.</summary>
    public static bool TryLoad(string file, string name, out nint library)
    {
        bool found = NativeLibrary.TryLoad(file, out library);
        if (!found)
        {
            Console.WriteLine($"{name} ({file}) is not installed: its rows are left out");
        }

        return found;
    }

    /// <summary>Sets a variable of the process as native code reads it, which .NET's own copy does not reach.</summary>
    public static void SetNative(string variable, string value) => setenv(variable, value, 1);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}

/// <summary>OpenBLAS on one thread.</summary>
internal sealed unsafe class OpenBlas
{
    private const string Library = "libopenblas.so.0";
    private const int RowMajor = 101, AsStored = 111, Transposed = 112;

    private readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> sgemm;

    private OpenBlas(nint library)
    {
        sgemm = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)NativeLibrary.GetExport(library, "cblas_sgemm");
        ((delegate* unmanaged<int, void>)NativeLibrary.GetExport(library, "openblas_set_num_threads"))(1);
        Core = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "openblas_get_corename"))()) ?? "";
    }

    /// <summary>The processor that its kernels were written for.</summary>
    public string Core { get; }

    /// <summary>
    /// The library as it chooses its kernels; and, where the machine has 512-bit vectors and the library took it for one without,
    /// a second copy of it that was told otherwise. Empty where it is not installed.
    /// </summary>
    public static List<OpenBlas> Load()
    {
        var found = new List<OpenBlas>();
        Peers.SetNative("OPENBLAS_NUM_THREADS", "1");
        if (Peers.TryLoad(Library, "OpenBLAS", out nint library))
        {
            found.Add(new OpenBlas(library));
            if (Vector512.IsHardwareAccelerated && found[0].Core is not ("SkylakeX" or "Cooperlake" or "SapphireRapids"))
            {
                found.AddRange(SecondCopy("SkylakeX"));
            }
        }

        return found;
    }

    /// <summary>The loader gives one instance for one file, and the kernels are chosen when it is loaded: so the file is copied.</summary>
    private static IEnumerable<OpenBlas> SecondCopy(string core)
    {
        string? line = File.ReadLines("/proc/self/maps").FirstOrDefault(l => l.Contains("openblas", StringComparison.Ordinal));
        if (line is null)
        {
            return [];
        }

        string copy = Path.GetTempFileName();
        try
        {
            File.Copy(line[line.IndexOf('/', StringComparison.Ordinal)..], copy, true);
            Peers.SetNative("OPENBLAS_CORETYPE", core);
            return NativeLibrary.TryLoad(copy, out nint library) ? [new OpenBlas(library)] : [];
        }
        finally
        {
            File.Delete(copy);
        }
    }

    /// <summary>C[m, n] = op(A) op(B), contiguous and row-major.</summary>
    public void Product(bool transA, bool transB, int m, int n, int k, float* a, float* b, float* c) =>
        sgemm(RowMajor, transA ? Transposed : AsStored, transB ? Transposed : AsStored, m, n, k, 1, a, transA ? m : k, b, transB ? k : n, 0, c, n);
}

/// <summary>The C interface of oneDNN 2.x, as much of it as a matrix product with weights packed beforehand needs; one thread.</summary>
internal sealed unsafe class OneDnn
{
    private const int Float = 3, Any = 1, Rows = 3, Columns = 22; // dnnl_f32; dnnl_format_tag_any, ab, ba
    private const int Source = 1, Weights = 33, Destination = 17, From = 1, To = 17; // DNNL_ARG_
    private const int QueryWeights = 131; // dnnl_query_weights_md

    private readonly nint library, engine, stream;

    private OneDnn(nint library)
    {
        this.library = library;
        nint made;
        Check(((delegate* unmanaged<nint*, int, nuint, int>)Export("dnnl_engine_create"))(&made, 1, 0));
        engine = made;
        Check(((delegate* unmanaged<nint*, nint, uint, int>)Export("dnnl_stream_create"))(&made, engine, 1));
        stream = made;
        Kernels = ((delegate* unmanaged<int>)Export("dnnl_get_effective_cpu_isa"))() switch
        {
            0x3e7 => "AMX",
            0xe7 => "AVX-512 with bf16",
            0x27 or 0x67 => "AVX-512",
            _ => "less than AVX-512",
        };
    }

    /// <summary>The instructions that it found and uses.</summary>
    public string Kernels { get; }

    public enum Type
    {
        Float32 = Float,
        BFloat16 = 2,
    }

    /// <summary>Null where it is not installed.</summary>
    public static OneDnn? Load()
    {
        Peers.SetNative("OMP_NUM_THREADS", "1");
        return Peers.TryLoad("libdnnl.so.2", "oneDNN", out nint library) ? new OneDnn(library) : null;
    }

    /// <summary>
    /// C[m, n] = A[m, k] B[n, k]^T with A and B converted to the type and B packed as the library likes it, all before the time counts;
    /// C is float32. The memory given is held by what comes back.
    /// </summary>
    public Action Prepacked(Type type, int m, int n, int k, float* a, float* b, float* c)
    {
        // Handed out descriptors live as long as the process: it is a benchmark.
        nint source = Describe(m, k, (int)type, Rows), weights = Describe(k, n, (int)type, Any), destination = Describe(m, n, Float, Rows);
        nint operation = (nint)NativeMemory.AllocZeroed(4096), chosen, made;
        Check(((delegate* unmanaged<nint, nint, nint, nint, nint, int>)Export("dnnl_matmul_desc_init"))(operation, source, weights, 0, destination));
        Check(((delegate* unmanaged<nint*, nint, nint, nint, nint, int>)Export("dnnl_primitive_desc_create"))(&chosen, operation, 0, engine, 0));
        Check(((delegate* unmanaged<nint*, nint, int>)Export("dnnl_primitive_create"))(&made, chosen));
        nint primitive = made, packed = ((delegate* unmanaged<nint, int, int, nint>)Export("dnnl_primitive_desc_query_md"))(chosen, QueryWeights, 0);
        nint aPacked = Reorder(Describe(m, k, Float, Rows), a, source), bPacked = Reorder(Describe(k, n, Float, Columns), b, packed);
        Argument[] arguments =
        [
            new Argument { Name = Source, Memory = aPacked },
            new Argument { Name = Weights, Memory = bPacked },
            new Argument { Name = Destination, Memory = Memory(destination, c) },
        ];
        return () => Execute(primitive, arguments);
    }

    /// <summary>Memory of another layout and type with the same values.</summary>
    private nint Reorder(nint from, float* values, nint to)
    {
        nuint bytes = ((delegate* unmanaged<nint, nuint>)Export("dnnl_memory_desc_get_size"))(to);
        nint chosen, primitive, target = Memory(to, NativeMemory.AlignedAlloc(bytes, 64));
        Check(((delegate* unmanaged<nint*, nint, nint, nint, nint, nint, int>)Export("dnnl_reorder_primitive_desc_create"))(&chosen, from, engine, to, engine, 0));
        Check(((delegate* unmanaged<nint*, nint, int>)Export("dnnl_primitive_create"))(&primitive, chosen));
        Execute(primitive, [new Argument { Name = From, Memory = Memory(from, values) }, new Argument { Name = To, Memory = target }]);
        return target;
    }

    private nint Describe(long rows, long columns, int type, int layout)
    {
        nint description = (nint)NativeMemory.AllocZeroed(4096);
        long* sizes = stackalloc long[] { rows, columns };
        Check(((delegate* unmanaged<nint, int, long*, int, int, int>)Export("dnnl_memory_desc_init_by_tag"))(description, 2, sizes, type, layout));
        return description;
    }

    private nint Memory(nint description, void* values)
    {
        nint memory;
        Check(((delegate* unmanaged<nint*, nint, nint, void*, int>)Export("dnnl_memory_create"))(&memory, description, engine, values));
        return memory;
    }

    private void Execute(nint primitive, Argument[] arguments)
    {
        fixed (Argument* first = arguments)
        {
            Check(((delegate* unmanaged<nint, nint, int, Argument*, int>)Export("dnnl_primitive_execute"))(primitive, stream, arguments.Length, first));
        }

        Check(((delegate* unmanaged<nint, int>)Export("dnnl_stream_wait"))(stream));
    }

    private nint Export(string name) => NativeLibrary.GetExport(library, name);

    private static void Check(int status)
    {
        if (status != 0)
        {
            throw new InputException($"oneDNN refused a product (status {status}): leave it out by hiding libdnnl.so.2");
        }
    }

    /// <summary>dnnl_exec_arg_t.</summary>
    private struct Argument
    {
        public int Name;
        public nint Memory;
    }
}
