using System.Buffers.Binary;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// Runs a pickle, Python's program for building an object, of untrusted bytes, as far as dictionaries of PyTorch tensors need it. It knows a few
/// instructions and a few functions, each written out here; any other is refused by name, so nothing in a file can make anything else happen.
/// No instruction recurses, and the number of objects, of their parts and of values in flight is bounded.
/// </summary>
internal ref struct PickleMachine
{
    /// <summary>The longest pickle that is run, in bytes. It holds names and shapes; the tensors' data are elsewhere.</summary>
    public const int MaxLength = 1 << 25;

    private const int MaxObjects = 1 << 21;
    private const int MaxStack = 1 << 17; // Python writes items of a dictionary a thousand at a time

    private static readonly object Integer = new(), Boolean = new();

    private static readonly Dictionary<string, Global> Globals = new(StringComparer.Ordinal)
    {
        ["collections.OrderedDict"] = new(Function.OrderedDict),
        ["torch._utils._rebuild_tensor_v2"] = new(Function.RebuildTensor),
        ["torch._utils._rebuild_parameter"] = new(Function.RebuildParameter),
        ["torch.DoubleStorage"] = new(Function.None, SafetensorsType.F64),
        ["torch.FloatStorage"] = new(Function.None, SafetensorsType.F32),
        ["torch.HalfStorage"] = new(Function.None, SafetensorsType.F16),
        ["torch.BFloat16Storage"] = new(Function.None, SafetensorsType.BF16),
        ["torch.LongStorage"] = new(Function.None, SafetensorsType.I64),
        ["torch.IntStorage"] = new(Function.None, SafetensorsType.I32),
        ["torch.ShortStorage"] = new(Function.None, SafetensorsType.I16),
        ["torch.CharStorage"] = new(Function.None, SafetensorsType.I8),
        ["torch.ByteStorage"] = new(Function.None, SafetensorsType.U8),
        ["torch.BoolStorage"] = new(Function.None, SafetensorsType.BOOL),
    };

    private readonly ReadOnlySpan<byte> code;
    private readonly string path;
    private readonly FindStorage findStorage;
    private readonly List<Value> stack = [];
    private readonly List<int> marks = []; // heights of the stack
    private readonly Dictionary<uint, Value> memo = [];
    private int at;
    private int instruction; // where the current one begins
    private int objects;

    private PickleMachine(ReadOnlySpan<byte> code, string path, FindStorage findStorage)
    {
        this.code = code;
        this.path = path;
        this.findStorage = findStorage;
    }

    /// <summary>Finds the storage of a key; says what is wrong if there is none of that type and number of elements.</summary>
    internal delegate PickleStorage? FindStorage(string key, SafetensorsType type, long count, out string problem);

    private enum Function
    {
        None,
        OrderedDict,
        RebuildTensor,
        RebuildParameter,
    }

    private sealed record Global(Function Function, SafetensorsType? Storage = null);

    // Object is a string, a Value[] (tuple), a Dictionary, a Global, a storage, a tensor, null (None), or the sign that Number is the value.
    private readonly record struct Value(object? Object, long Number = 0);

    // What it holds is made at the first item, so that an empty one, of which every tensor has one, takes little.
    private sealed class Items
    {
        public Dictionary<string, Value>? Values { get; set; }
    }

    /// <summary>Runs a pickle that builds a dictionary of tensors, and returns them by name.</summary>
    /// <exception cref="InputException">It builds something else, or would do more than that; the message names file and byte.</exception>
    public static Dictionary<string, PickleTensor> Run(ReadOnlySpan<byte> code, string path, FindStorage findStorage)
    {
        PickleMachine machine = new(code, path, findStorage);
        return machine.Tensors(machine.Run());
    }

    private Dictionary<string, PickleTensor> Tensors(Value result)
    {
        if (result.Object is not Items items)
        {
            throw Bad("it does not build a dictionary of tensors");
        }
        Dictionary<string, PickleTensor> tensors = new(StringComparer.Ordinal);
        foreach ((string name, Value value) in items.Values ?? [])
        {
            tensors.Add(name, value.Object as PickleTensor ?? throw WeightFile.Bad(this.path, value.Object is Items
                ? $"{AtomicFile.Quote(name)} is a dictionary, not a tensor: this is more than a model's weights; save its state dict alone"
                : $"{AtomicFile.Quote(name)} is not a tensor"));
        }
        return tensors;
    }

    private Value Run()
    {
        while (true)
        {
            instruction = at;
            var opcode = (PickleOpcode)Bytes(1)[0];
            switch (opcode)
            {
                case PickleOpcode.PROTO:
                    if (Bytes(1)[0] is var version && version != 2)
                    {
                        throw Bad($"it is of protocol {version}; PyTorch writes 2");
                    }
                    break;
                case PickleOpcode.STOP:
                    return Pop();
                case PickleOpcode.MARK:
                    Grow(marks.Count);
                    marks.Add(this.stack.Count);
                    break;
                case PickleOpcode.GLOBAL:
                    Push(new Value(FindGlobal()));
                    break;
                case PickleOpcode.REDUCE:
                    Reduce();
                    break;
                case PickleOpcode.BUILD: // attributes of the dictionary: versions of modules, which say nothing of tensors
                    Pop<Items>("attributes");
                    Push(new Value(Pop<Items>("a dictionary")));
                    break;
                case PickleOpcode.BINPERSID:
                    Push(new Value(Storage(Pop<Value[]>("a tuple"))));
                    break;
                case PickleOpcode.BINPUT:
                    Remember(Bytes(1)[0]);
                    break;
                case PickleOpcode.LONG_BINPUT:
                    Remember(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4)));
                    break;
                case PickleOpcode.BINGET:
                    Recall(Bytes(1)[0]);
                    break;
                case PickleOpcode.LONG_BINGET:
                    Recall(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4)));
                    break;
                case PickleOpcode.NONE:
                    Push(default);
                    break;
                case PickleOpcode.NEWTRUE:
                    Push(new Value(Boolean, 1));
                    break;
                case PickleOpcode.NEWFALSE:
                    Push(new Value(Boolean, 0));
                    break;
                case PickleOpcode.BININT:
                    Push(new Value(Integer, BinaryPrimitives.ReadInt32LittleEndian(Bytes(4))));
                    break;
                case PickleOpcode.BININT1:
                    Push(new Value(Integer, Bytes(1)[0]));
                    break;
                case PickleOpcode.BININT2:
                    Push(new Value(Integer, BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2))));
                    break;
                case PickleOpcode.LONG1:
                    Push(new Value(Integer, Long(Bytes(Bytes(1)[0]))));
                    break;
                case PickleOpcode.BINUNICODE:
                    Push(new Value(Text(Bytes(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4))))));
                    break;
                case PickleOpcode.EMPTY_TUPLE:
                    Push(new Value(Array.Empty<Value>()));
                    break;
                case PickleOpcode.TUPLE1 or PickleOpcode.TUPLE2 or PickleOpcode.TUPLE3:
                    Push(new Value(Tuple(opcode - PickleOpcode.TUPLE1 + 1)));
                    break;
                case PickleOpcode.TUPLE:
                    Push(new Value(Tuple(CountToMark())));
                    break;
                case PickleOpcode.EMPTY_DICT:
                    Count();
                    Push(new Value(new Items()));
                    break;
                case PickleOpcode.SETITEM:
                    SetItems(2);
                    break;
                case PickleOpcode.SETITEMS:
                    SetItems(CountToMark());
                    break;
                default:
                    throw Bad($"the instruction {(Enum.IsDefined(opcode) ? $"{opcode} " : "")}0x{(byte)opcode:x2} is none that weights need: refused");
            }
        }
    }

    private void Reduce()
    {
        Value[] arguments = Pop<Value[]>("a tuple of arguments");
        Function function = Pop<Global>("a function").Function;
        Count();
        switch (function)
        {
            case Function.OrderedDict when arguments.Length == 0:
                Push(new Value(new Items()));
                break;
            // (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
            case Function.RebuildTensor when arguments is [{ Object: PickleStorage storage }, var offset, { Object: Value[] size }, { Object: Value[] stride }, _, _, ..]
                    && arguments.Length <= 7 && offset.Object == Integer:
                if (!PickleTensor.TryCreate(storage, offset.Number, Integers(size), Integers(stride), out PickleTensor? tensor, out string? problem))
                {
                    throw Bad($"a tensor{LastText()}: {problem}");
                }
                Push(new Value(tensor));
                break;
            case Function.RebuildParameter when arguments is [{ Object: PickleTensor }, _, _]: // (data, requires_grad, backward_hooks)
                Push(arguments[0]);
                break;
            default:
                throw Bad("a function is called with arguments that PyTorch never gives it");
        }
    }

    // ("storage", type, key, location, number of elements); the location is the device it was on
    private readonly PickleStorage Storage(Value[] id)
    {
        if (id is not [{ Object: "storage" }, { Object: Global { Storage: { } type } }, { Object: string key }, _, var count] || count.Object != Integer)
        {
            throw Bad("a storage is described as PyTorch never does");
        }
        return this.findStorage(key, type, count.Number, out string problem) ?? throw Bad($"the storage {AtomicFile.Quote(key)}{LastText()}: {problem}");
    }

    // A tensor's name is the text last pushed that is still on the stack below its description.
    private readonly string LastText()
    {
        for (int i = this.stack.Count - 1; i >= Math.Max(0, this.stack.Count - 8); i--)
        {
            if (this.stack[i].Object is string text)
            {
                return $" of {AtomicFile.Quote(text)}";
            }
        }
        return "";
    }

    private readonly long[] Integers(Value[] tuple)
    {
        if (tuple.Length > PickleTensor.MaxRank || tuple.Any(v => v.Object != Integer))
        {
            throw Bad("a tensor's size or stride is no tuple of whole numbers");
        }
        return Array.ConvertAll(tuple, v => v.Number);
    }

    private void SetItems(int count)
    {
        if (count % 2 != 0 || count > this.stack.Count - Floor)
        {
            throw Bad("the items of a dictionary are not pairs");
        }
        int first = this.stack.Count - count;
        if (first == Floor || this.stack[first - 1].Object is not Items items)
        {
            throw Bad("items are given to something that is no dictionary");
        }
        for (int i = first; i < this.stack.Count; i += 2)
        {
            if (this.stack[i].Object is not string key)
            {
                throw Bad("a key of a dictionary is no text");
            }
            Count();
            items.Values ??= new(StringComparer.Ordinal);
            if (!items.Values.TryAdd(key, this.stack[i + 1]))
            {
                throw Bad($"the key {AtomicFile.Quote(key)} is there twice");
            }
        }
        this.stack.RemoveRange(first, count);
    }

    private Value[] Tuple(int count)
    {
        if (count > this.stack.Count - Floor)
        {
            throw Bad("the stack is empty");
        }
        if (count > PickleTensor.MaxRank)
        {
            throw Bad($"a tuple has {count} elements, more than any of a tensor");
        }
        Count();
        Value[] tuple = new Value[count];
        int first = this.stack.Count - count;
        this.stack.CopyTo(first, tuple, 0, count);
        this.stack.RemoveRange(first, count);
        return tuple;
    }

    private readonly Global FindGlobal(string name) =>
        Globals.TryGetValue(name, out Global? global) ? global : throw Bad($"the global {AtomicFile.Quote(name)} is none that weights need: refused");

    private Global FindGlobal() => FindGlobal($"{Line()}.{Line()}");

    private string Line()
    {
        const int MaxLine = 256;
        int length = this.code[at..].IndexOf((byte)'\n');
        if (length is < 0 or > MaxLine)
        {
            throw Bad("the name of a global does not end");
        }
        string line = Text(Bytes(length));
        at++;
        return line;
    }

    private string Text(ReadOnlySpan<byte> utf8)
    {
        Count();
        try
        {
            return StrictUtf8.GetString(utf8);
        }
        catch (ArgumentException e)
        {
            throw Bad("a text is not valid UTF-8", e);
        }
    }

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    // Little-endian, two's complement, as many bytes as it needs.
    private readonly long Long(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > sizeof(long))
        {
            throw Bad($"a whole number takes {bytes.Length} bytes, more than any of a tensor");
        }
        long value = bytes.IsEmpty || bytes[^1] < 0x80 ? 0 : -1;
        for (int i = bytes.Length - 1; i >= 0; i--)
        {
            value = (value << 8) | bytes[i];
        }
        return value;
    }

    private ReadOnlySpan<byte> Bytes(long count)
    {
        if (count > this.code.Length - at)
        {
            throw Bad("it is cut short");
        }
        at += (int)count;
        return this.code.Slice(at - (int)count, (int)count);
    }

    private void Remember(uint index)
    {
        if (this.stack.Count == Floor)
        {
            throw Bad("the stack is empty");
        }
        this.memo[index] = this.stack[^1];
        if (this.memo.Count > MaxObjects)
        {
            throw Bad($"it remembers more than {MaxObjects} objects");
        }
    }

    private void Recall(uint index) => Push(this.memo.TryGetValue(index, out Value value) ? value : throw Bad($"the object {index} is used before it is made"));

    // Values below the last mark are out of reach.
    private readonly int Floor => this.marks.Count == 0 ? 0 : this.marks[^1];

    private readonly int CountToMark()
    {
        if (this.marks.Count == 0)
        {
            throw Bad("there is no mark");
        }
        int count = this.stack.Count - this.marks[^1];
        this.marks.RemoveAt(this.marks.Count - 1);
        return count;
    }

    private readonly void Push(Value value)
    {
        Grow(this.stack.Count);
        this.stack.Add(value);
    }

    private readonly Value Pop()
    {
        if (this.stack.Count == Floor)
        {
            throw Bad("the stack is empty");
        }
        Value value = this.stack[^1];
        this.stack.RemoveAt(this.stack.Count - 1);
        return value;
    }

    private readonly T Pop<T>(string expected) where T : class => Pop().Object as T ?? throw Bad($"{expected} is expected");

    private readonly void Grow(int count)
    {
        if (count == MaxStack)
        {
            throw Bad($"more than {MaxStack} values are in flight");
        }
    }

    private void Count()
    {
        if (++objects > MaxObjects)
        {
            throw Bad($"it makes more than {MaxObjects} objects");
        }
    }

    private readonly InputException Bad(string reason, Exception? inner = null) =>
        WeightFile.Bad(this.path, $"its pickle, at byte {instruction}: {reason}", inner);
}
