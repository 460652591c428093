namespace Weft.Tensors;

/// <summary>
/// One step's memory and, while <see cref="Recording"/>, its operations in order: what reverse-mode differentiation walks back.
/// Tensors made on a tape are valid until <see cref="Reset"/>, which takes their memory for the next step; after the first steps
/// nothing more is allocated, neither here nor on the managed heap.
/// </summary>
/// <remarks>A tape belongs to one thread at a time.</remarks>
public sealed class Tape : IDisposable
{
    private const int Alignment = 16; // floats: 64 bytes, a cache line and the widest vector
    private const long FirstSlab = 1 << 20, LargestStep = 1 << 28; // floats: slabs double up to 1 GB, so that little is asked for in vain

    private readonly List<DeviceMemory> slabs = [];
    private readonly List<Tensor> tensors = [];
    private readonly List<Tokens> tokens = [];
    private readonly List<Node> nodes = [];
    private readonly List<NodePool> pools = [];
    private readonly Dictionary<long, Stack<nint>> returned = [];
    private int tensorsUsed, tokensUsed, slab;
    private long used; // floats of the current slab

    /// <summary>Makes an empty tape on <paramref name="device"/>, one that records.</summary>
    public Tape(Device device) => Device = device;

    /// <summary>The device whose memory the arena is.</summary>
    public Device Device { get; }

    /// <summary>Whether operations are noted for a backward pass (training) or only computed (inference). True at first.</summary>
    public bool Recording { get; set; } = true;

    /// <summary>What the arena holds, for the message where there is not enough memory.</summary>
    public MemoryUse Use { get; init; } = new("activations", null);

    /// <summary>The bytes of the arena: its high-water mark, not what is in use now.</summary>
    public long ArenaBytes => slabs.Sum(s => s.Floats * sizeof(float));

    /// <summary>An uninitialised tensor, valid until <see cref="Reset"/>.</summary>
    public Tensor Empty(Shape shape)
    {
        Tensor tensor = Spare();
        tensor.Bind(Device, this, shape, shape.Columns, Allocate(shape.Count), null);
        return tensor;
    }

    /// <summary>A tensor of <paramref name="values"/>, valid until <see cref="Reset"/>.</summary>
    public Tensor Of(ReadOnlySpan<float> values, Shape shape)
    {
        Tensor tensor = Empty(shape);
        tensor.Set(values);
        return tensor;
    }

    /// <summary>A batch of token numbers [batch, time], valid until <see cref="Reset"/>; a negative one means "none".</summary>
    public Tokens Tokens(ReadOnlySpan<int> values, int batch, int time)
    {
        if (values.Length != (long)batch * time)
        {
            throw new ArgumentException($"{values.Length} tokens for a batch of {batch} x {time}", nameof(values));
        }

        Tokens result = EmptyTokens(batch, time);
        foreach (int value in values)
        {
            result.Given -= value < 0 ? 1 : 0;
        }

        Device.Upload(values, result);
        return result;
    }

    /// <summary>Room for numbers that a kernel writes, as tokens are kept.</summary>
    internal Tokens EmptyTokens(int batch, int time)
    {
        if (tokensUsed == tokens.Count)
        {
            tokens.Add(new Tokens());
        }

        Tokens result = tokens[tokensUsed++];
        result.Bind(this, batch, time, Allocate((long)batch * time));
        return result;
    }

    /// <summary>
    /// Carries the gradient of <paramref name="loss"/>, a single number, back through everything recorded since the last reset:
    /// weights' gradients are added to, the others are left in <see cref="Tensor.Grad"/> of the tensors that nothing produced.
    /// </summary>
    public void Backward(Tensor loss)
    {
        if (loss.Shape.Count != 1)
        {
            throw new ArgumentException($"a backward pass starts at a single number, not at a tensor of shape {loss.Shape}", nameof(loss));
        }

        Tensor seed = loss.GradToWrite(this, out _)
            ?? throw new InvalidOperationException("the loss depends on nothing that requires a gradient");
        Device.Fill(seed, 1);
        for (int i = nodes.Count - 1; i >= 0; i--)
        {
            Node node = nodes[i];
            if (node.Output.GradToRead is not null || node.FinalState?.GradToRead is not null)
            {
                node.Backward(this);
            }

            // No operation before this one can use its output's gradient: the next to be asked for may have the memory.
            Return(node.Output.TakeGrad());
            Return(node.FinalState?.TakeGrad());
        }
    }

    /// <summary>Forgets everything recorded and takes back all memory; tensors of this tape must not be used after it.</summary>
    public void Reset()
    {
        foreach (Node node in nodes)
        {
            node.Pool.Return(node);
        }

        nodes.Clear();
        foreach (Stack<nint> free in returned.Values)
        {
            free.Clear();
        }

        if (slabs.Count > 1)
        {
            long total = slabs.Sum(s => s.Floats);
            slabs.ForEach(s => s.Dispose());
            slabs.Clear();
            slabs.Add(new DeviceMemory(Device, total, Use));
        }

        (tensorsUsed, tokensUsed, slab, used) = (0, 0, 0, 0);
    }

    /// <summary>Frees the arena.</summary>
    public void Dispose()
    {
        slabs.ForEach(s => s.Dispose());
        slabs.Clear();
    }

    /// <summary>
    /// Notes an operation: a node of type <typeparamref name="T"/> for the operation to fill in. To be called when the tape records
    /// and an input requires a gradient; the outputs then require one too.
    /// </summary>
    internal T Record<T>(Tensor output, Tensor? finalState = null) where T : Node, new()
    {
        int id = NodeType<T>.Id;
        while (pools.Count <= id)
        {
            pools.Add(new NodePool());
        }

        T node = pools[id].Take<T>();
        node.Output = output;
        node.FinalState = finalState;
        output.RequiresGrad = true;
        if (finalState is not null)
        {
            finalState.RequiresGrad = true;
        }

        nodes.Add(node);
        return node;
    }

    /// <summary>Uninitialised memory for a gradient or for scratch within a backward pass; give it back with <see cref="Return"/>.</summary>
    internal Tensor Rent(Shape shape)
    {
        if (returned.TryGetValue(shape.Count, out Stack<nint>? free) && free.TryPop(out nint address))
        {
            Tensor tensor = Spare();
            tensor.Bind(Device, this, shape, shape.Columns, address, null);
            return tensor;
        }

        return Empty(shape);
    }

    internal void Return(Tensor? tensor)
    {
        if (tensor is null)
        {
            return;
        }

        if (!returned.TryGetValue(tensor.Shape.Count, out Stack<nint>? free))
        {
            returned[tensor.Shape.Count] = free = [];
        }

        free.Push(tensor.Address);
    }

    internal Tensor Spare()
    {
        if (tensorsUsed == tensors.Count)
        {
            tensors.Add(new Tensor());
        }

        return tensors[tensorsUsed++];
    }

    private nint Allocate(long floats)
    {
        floats = (Math.Max(floats, 1) + Alignment - 1) / Alignment * Alignment;
        while (slab < slabs.Count && used + floats > slabs[slab].Floats)
        {
            slab++;
            used = 0;
        }

        if (slab == slabs.Count)
        {
            long last = slabs.Count == 0 ? FirstSlab / 2 : slabs[^1].Floats;
            slabs.Add(new DeviceMemory(Device, Math.Max(floats, Math.Min(last * 2, LargestStep)), Use));
            used = 0;
        }

        nint address = slabs[slab].Address + (nint)(used * sizeof(float));
        used += floats;
        return address;
    }
}
