namespace Weft.Tensors;

/// <summary>
/// A float32 array on a device. Its memory is either its own (weights, states: made by <see cref="Device.Zeros(Shape, MemoryUse)"/>) or lent by a
/// <see cref="Tensors.Tape"/>'s arena until that tape is reset (activations). Rows, the runs of the last dimension, are contiguous;
/// a column view (<see cref="Columns"/>) has rows that lie further apart than they are long.
/// </summary>
public sealed class Tensor : IDisposable
{
    private DeviceMemory? owned;
    private Tensor? grad;
    private bool isBlank; // no memory yet, and what it is for
    private MemoryUse blankUse;
    private long heldBytes;
    private readonly List<(int Start, int End)> written = []; // columns of the gradient that views have written; none: all of it is there
    private Tensor? viewed; // the tensor whose memory a view shares; it is never itself a view

    internal Tensor() { }

    /// <summary>The device that holds the memory and runs the operations.</summary>
    public Device Device { get; private set; } = null!;

    /// <summary>The tape whose arena lends the memory; null for a tensor that owns its own.</summary>
    public Tape? Tape { get; private set; }

    /// <summary>The lengths of the dimensions.</summary>
    public Shape Shape { get; private set; }

    /// <summary>Elements from the start of one row to the start of the next; the row's length where the tensor is contiguous.</summary>
    public int RowStride { get; private set; }

    /// <summary>Whether operations on this tensor record how to carry gradients back to it.</summary>
    public bool RequiresGrad { get; internal set; }

    /// <summary>Where the first element is, as the device addresses it.</summary>
    internal nint Address { get; private set; }

    internal unsafe float* Pointer => Format == WeightFormat.Float32 ? (float*)Address : throw NoNumbers();

    /// <summary>
    /// How the elements are held. Other than in float32 they can be read, looked up and multiplied by (<see cref="Ops.Embed"/>,
    /// <see cref="Ops.Linear"/>, <see cref="Ops.HeadLoss"/>), and in bfloat16 set by rows; no more.
    /// </summary>
    public WeightFormat Format { get; private set; }

    /// <summary>Whether the tensor is one to learn, with memory of its own: a device may keep a copy of it in another form.</summary>
    internal bool IsWeight => owned is not null && viewed is null && RequiresGrad;

    /// <summary>Counts the changes of a weight's elements, from where copies of it are known to be old.</summary>
    public long Version { get; private set; }

    /// <summary>What the device keeps of a weight in another form, beside the float32 values or in their place.</summary>
    internal IDisposable? DeviceCopy { get; set; }

    /// <summary>Whether rows follow each other without gaps.</summary>
    public bool IsContiguous => RowStride == Shape.Columns || Shape.Rows <= 1;

    /// <summary>The gradient that the last backward pass left here; null when none reached this tensor.</summary>
    public Tensor? Grad
    {
        get
        {
            if (viewed is not null)
            {
                return viewed.Grad is { } whole ? ViewLike(whole) : null;
            }

            Complete();
            return grad;
        }
    }

    /// <summary>The bytes of the elements.</summary>
    public long Bytes => Format == WeightFormat.Float32 ? Shape.Count * sizeof(float) : heldBytes;

    internal static Tensor Blank(Device device, Shape shape, MemoryUse use)
    {
        var tensor = new Tensor { isBlank = true, blankUse = use };
        tensor.Bind(device, null, shape, shape.Columns, 0, null);
        return tensor;
    }

    internal static Tensor Own(Device device, Shape shape, DeviceMemory memory)
    {
        var tensor = new Tensor { owned = memory };
        tensor.Bind(device, null, shape, shape.Columns, memory.Address, null);
        return tensor;
    }

    /// <summary>A matrix in another form than float32.</summary>
    internal static Tensor Hold(Device device, Shape shape, WeightFormat format, (IDisposable Held, long Bytes) held)
    {
        var tensor = new Tensor();
        tensor.Bind(device, null, shape, shape.Columns, 0, null);
        tensor.Become(format, held);
        return tensor;
    }

    /// <summary>Points a tensor (a fresh one, or one that a tape uses again) at its memory.</summary>
    internal void Bind(Device device, Tape? tape, Shape shape, int rowStride, nint address, Tensor? view)
    {
        Device = device;
        Tape = tape;
        Shape = shape;
        RowStride = rowStride;
        Address = address;
        viewed = view;
        grad = null;
        written.Clear();
        RequiresGrad = view is { RequiresGrad: true };
    }

    /// <summary>
    /// The tensor's gradient, to be written by an operation's backward pass. <paramref name="fresh"/> says that its content is
    /// undefined and must be overwritten; otherwise the operation adds to it. Null when no gradient is wanted here.
    /// </summary>
    internal Tensor? GradToWrite(Tape tape, out bool fresh)
    {
        fresh = false;
        if (!RequiresGrad)
        {
            return null;
        }

        if (viewed is not null)
        {
            return ViewLike(viewed.GradOfView(this, tape, out fresh));
        }

        Complete();
        if (grad is null)
        {
            if (owned is not null)
            {
                grad = Device.Zeros(Shape, owned.Use with { What = $"the gradient of {owned.Use.What ?? "a tensor"}" }); // a weight's gradient stays and accumulates until it is cleared
            }
            else
            {
                grad = tape.Rent(Shape);
                fresh = true;
            }
        }

        return grad;
    }

    /// <summary>The gradient to read in a backward pass; null when nothing that was used depends on this tensor.</summary>
    internal Tensor? GradToRead => Grad;

    internal Tensor? TakeGrad()
    {
        Tensor? taken = grad;
        grad = null;
        written.Clear();
        return taken;
    }

    /// <summary>
    /// The whole gradient, a view of which is to be written. Columns that no view has written yet are overwritten, so that views that share
    /// the columns among them, as of a product that serves q, k and v, need no zeros to add to.
    /// </summary>
    private Tensor GradOfView(Tensor view, Tape tape, out bool fresh)
    {
        bool isNew = grad is null;
        Tensor whole = isNew ? GradToWrite(tape, out isNew)! : grad!; // a weight's is not undefined, even when it is new
        fresh = false;
        if (view.RowStride != RowStride || view.Shape.Rows != Shape.Rows || !IsContiguous || (!isNew && written.Count == 0))
        {
            if (isNew)
            {
                Device.Fill(whole, 0);
            }

            Complete();
            return whole;
        }

        int from = (int)((view.Address - Address) / sizeof(float)), to = from + view.Shape.Columns;
        bool isWithin = false, overlaps = false;
        foreach ((int start, int end) in written)
        {
            isWithin |= start <= from && to <= end;
            overlaps |= start < to && from < end;
        }

        if (!overlaps)
        {
            fresh = true;
            written.Add((from, to));
        }
        else if (!isWithin)
        {
            Complete();
        }

        return whole;
    }

    // Zeros in the columns of the gradient that no view has written.
    private void Complete()
    {
        if (written.Count == 0)
        {
            return;
        }

        written.Sort();
        int at = 0;
        foreach ((int start, int end) in written)
        {
            Clear(at, start);
            at = end;
        }

        Clear(at, Shape.Columns);
        written.Clear();

        void Clear(int from, int to)
        {
            if (from < to)
            {
                Device.Fill(grad!.Columns(from, to - from), 0);
            }
        }
    }

    private Tensor ViewLike(Tensor whole)
    {
        nint offset = Address - viewed!.Address;
        return View(whole, Shape, RowStride, whole.Address + offset);
    }

    private static Tensor View(Tensor whole, Shape shape, int rowStride, nint address)
    {
        if (whole.Format != WeightFormat.Float32)
        {
            throw whole.NoNumbers();
        }

        Tensor view = whole.Tape is { } tape ? tape.Spare() : new Tensor();
        view.Bind(whole.Device, whole.Tape, shape, rowStride, address, whole.viewed ?? whole);
        view.owned = whole.owned;
        return view;
    }

    /// <summary>A view of columns <paramref name="start"/> .. <paramref name="start"/> + <paramref name="count"/> of every row; nothing is copied, gradients included.</summary>
    public Tensor Columns(int start, int count)
    {
        if (start < 0 || count <= 0 || start > Shape.Columns - count)
        {
            throw new ArgumentOutOfRangeException(nameof(start), $"columns {start}..{start + count} of a tensor of shape {Shape}");
        }

        return View(this, Shape.With(^1, count), RowStride, Address + ((nint)start * sizeof(float)));
    }

    /// <summary>The same elements under another shape of equal size; nothing is copied. The tensor must be contiguous.</summary>
    public Tensor Reshape(Shape shape)
    {
        if (shape.Count != Shape.Count || !IsContiguous)
        {
            throw new ArgumentException($"a {(IsContiguous ? "" : "strided ")}tensor of shape {Shape} cannot be seen as {shape}", nameof(shape));
        }

        return View(this, shape, shape.Columns, Address);
    }

    /// <summary>Marks a tensor that owns its memory as one to learn or to differentiate by.</summary>
    public Tensor WithGrad()
    {
        RequiresGrad = true;
        return this;
    }

    /// <summary>
    /// Rounds a matrix [outputs, inputs] that owns its memory, in float32 or bfloat16, to a form of fewer bits and frees the values it had:
    /// from here on it is a constant, not to be learned. See <see cref="Format"/> for what can be done with it.
    /// </summary>
    public void Quantize(WeightFormat format)
    {
        bool isMatrix = viewed is null && Tape is null && Shape.Rank == 2;
        if (!isMatrix || format <= Format || Format > WeightFormat.BFloat16)
        {
            throw new InvalidOperationException($"a tensor of shape {Shape} in {Format.Word()} cannot become {format.Word()}: a matrix that owns its memory can, from float32 or bf16 to a form of fewer bits");
        }

        (IDisposable Held, long Bytes) held = Device.Quantize(this, format);
        Dispose();
        Become(format, held);
    }

    /// <summary>Turns a matrix that is held in bfloat16 into one of float32, of the same values, to be learned.</summary>
    public void Dequantize()
    {
        if (Format != WeightFormat.BFloat16)
        {
            throw new InvalidOperationException($"a tensor of shape {Shape} in {Format.Word()} does not become float32 again: one in bf16 can");
        }

        Tensor values = Device.Zeros(Shape, new MemoryUse("a weight in float32", "weights in bf16"));
        Device.Dequantize(this, values);
        Dispose();
        (owned, DeviceCopy, Address, RequiresGrad, Format, heldBytes) = (values.owned, null, values.Address, true, WeightFormat.Float32, 0);
        Changed();
    }

    /// <summary>Gives a tensor without memory (<see cref="Device.Blank"/>) memory in a form: float32, content undefined, or a matrix in another.</summary>
    /// <exception cref="InputException">There is not enough memory: the message says for what use.</exception>
    public void HoldAs(WeightFormat format)
    {
        if (!isBlank || (format != WeightFormat.Float32 && Shape.Rank != 2))
        {
            throw new InvalidOperationException($"a tensor of shape {Shape}{(isBlank ? "" : " that has memory")} cannot be held in {format.Word()}");
        }

        isBlank = false;
        if (format == WeightFormat.Float32)
        {
            owned = new DeviceMemory(Device, Shape.Count, blankUse, Shape);
            Address = owned.Address;
        }
        else
        {
            Become(format, Device.Hold(Shape, format, blankUse));
        }
    }

    private void Become(WeightFormat format, (IDisposable Held, long Bytes) held)
    {
        (owned, grad, Address, RequiresGrad, Format) = (null, null, 0, false, format);
        (DeviceCopy, heldBytes) = held;
    }

    private InvalidOperationException NoNumbers() => new($"a tensor of shape {Shape} in {Format.Word()} can only be read, looked up and multiplied by");

    /// <summary>Sets every element to <paramref name="value"/>.</summary>
    public void Fill(float value)
    {
        Device.Fill(this, value);
        Changed();
    }

    /// <summary>To be called after the elements have changed other than by an operation that produced them.</summary>
    internal void Changed() => (viewed ?? this).Version++;

    /// <summary>Sets the gradient, if there is one, to zero.</summary>
    public void ClearGrad()
    {
        if (grad is not null)
        {
            Device.Fill(grad, 0);
        }
    }

    /// <summary>Copies <paramref name="values"/>, in row-major order, into the tensor. Throws when their number differs.</summary>
    public void Set(ReadOnlySpan<float> values)
    {
        if (values.Length != Shape.Count)
        {
            throw new ArgumentException($"{values.Length} values for a tensor of shape {Shape}", nameof(values));
        }

        SetRows(0, values);
    }

    /// <summary>
    /// Copies <paramref name="values"/> into whole rows from <paramref name="firstRow"/> on; rounds them to nearest, ties to even, where the
    /// tensor is held in bfloat16. Throws where they are no whole number of rows, or too many.
    /// </summary>
    public void SetRows(int firstRow, ReadOnlySpan<float> values)
    {
        RequireRows(firstRow, values.Length);
        Device.Upload(values, this, firstRow);
        Changed();
    }

    /// <summary>The same of bfloat16 numbers, by their bits.</summary>
    public void SetRows(int firstRow, ReadOnlySpan<ushort> bits)
    {
        RequireRows(firstRow, bits.Length);
        Device.Upload(bits, this, firstRow);
        Changed();
    }

    private void RequireRows(int first, int count)
    {
        int columns = Math.Max(1, Shape.Columns);
        if (first < 0 || count % columns != 0 || count / columns > Shape.Rows - first)
        {
            throw new ArgumentOutOfRangeException(nameof(count), $"{count} values from row {first} on are no rows of a tensor of shape {Shape}");
        }
    }

    /// <summary>Copies the elements, in row-major order, to <paramref name="destination"/>. Throws when the lengths differ.</summary>
    public void Get(Span<float> destination)
    {
        if (destination.Length != Shape.Count)
        {
            throw new ArgumentException($"room for {destination.Length} of a tensor of shape {Shape}", nameof(destination));
        }

        GetRows(0, destination);
    }

    /// <summary>Copies whole rows from <paramref name="firstRow"/> on to <paramref name="destination"/>. Throws where it is no whole number of rows, or too long.</summary>
    public void GetRows(int firstRow, Span<float> destination)
    {
        RequireRows(firstRow, destination.Length);
        Device.Download(this, firstRow, destination);
    }

    /// <summary>The same of a tensor that is held in bfloat16: its numbers' bits.</summary>
    public void GetRows(int firstRow, Span<ushort> bits)
    {
        RequireRows(firstRow, bits.Length);
        if (Format != WeightFormat.BFloat16)
        {
            throw new InvalidOperationException($"a tensor of shape {Shape} in {Format.Word()} has no bits of bf16 to read");
        }

        Device.Download(this, firstRow, bits);
    }

    /// <summary>Copies the elements of a tensor of equal shape into this one.</summary>
    public void CopyFrom(Tensor source)
    {
        if (source.Shape != Shape)
        {
            throw new ArgumentException($"a tensor of shape {source.Shape} does not copy to one of {Shape}", nameof(source));
        }

        Boxes.Copy(source, Boxes.Whole(source), this, Boxes.Whole(this), Shape, false);
        Changed();
    }

    /// <summary>The elements in row-major order.</summary>
    public float[] ToArray()
    {
        var values = new float[Shape.Count];
        Get(values);
        return values;
    }

    /// <summary>The only element of a tensor of one.</summary>
    public float Scalar()
    {
        Span<float> one = stackalloc float[1];
        Get(one);
        return one[0];
    }

    /// <summary>Frees memory that the tensor owns; a tensor on a tape needs no disposal.</summary>
    public void Dispose()
    {
        if (viewed is null)
        {
            owned?.Dispose();
            grad?.Dispose();
            DeviceCopy?.Dispose();
        }
    }

    /// <summary>The shape, for messages.</summary>
    public override string ToString() => $"Tensor {Shape}";
}
