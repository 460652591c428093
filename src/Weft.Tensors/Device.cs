namespace Weft.Tensors;

/// <summary>
/// A machine that holds tensors and runs the operation set. Everything that Weft computes goes through the methods of this class;
/// another backend is another subclass. The methods are the kernels, forward and backward; <see cref="Ops"/> gives them
/// shapes, checks and gradients.
/// </summary>
/// <remarks>
/// Conventions of all kernels: shapes have been checked by the caller; "rows" are runs of the last dimension and may be strided;
/// outputs are contiguous unless said otherwise; <c>accumulate</c> (or a <see cref="GradTarget"/>) says whether to add to the
/// destination or to overwrite it. A kernel that multiplies and adds counts its work with <see cref="CountFlops"/>: two per
/// multiply-add of products, convolutions, attention and recurrences; elementwise work is not counted. It begins with
/// <see cref="Measure"/>, which is told its operands.
/// Results do not depend on timing: the same inputs and thread count give the same bits.
/// </remarks>
public abstract partial class Device : IDisposable
{
    private long flops;

    /// <summary>Opens the best device that there is, with <paramref name="threads"/> threads on the processor's side (0: one for each core) and products of <paramref name="precision"/>.</summary>
    public static Device Open(int threads = 0, Precision precision = Precision.Float32) => new Cpu.CpuDevice(threads, precision);

    /// <summary>What is fastest here: bfloat16 where the processor has instructions for it that outrun float32's, else float32.</summary>
    public static Precision FastestPrecision => Cpu.CpuDevice.BestUnit == Cpu.Bf16Unit.Portable ? Precision.Float32 : Precision.BFloat16;

    /// <summary>The numbers that matrix products multiply.</summary>
    public abstract Precision Precision { get; }

    /// <summary>What the device is, in a few words: for reports and error messages.</summary>
    public abstract string Description { get; }

    /// <summary>The threads that kernels run on, on the processor's side.</summary>
    public abstract int Threads { get; }

    /// <summary>The instructions or the architecture in use: AVX-512, say.</summary>
    public abstract string InstructionSet { get; }

    /// <summary>What there is to choose from, what is in use, and whether a person forced it; one line.</summary>
    public abstract string Instructions { get; }

    /// <summary>One line that a person should read who expects the usual speed of this device; null as a rule.</summary>
    public virtual string? Notice => null;

    /// <summary>The floating-point operations that kernels have counted so far: see the remarks of this class for what counts.</summary>
    public long Flops => Interlocked.Read(ref flops);

    /// <summary>Adds a kernel's work to <see cref="Flops"/>.</summary>
    protected internal void CountFlops(long count) => Interlocked.Add(ref flops, count);

    /// <summary>
    /// Sets <see cref="Flops"/> back to what it was: after work that depends on weights alone and is kept for many tokens and sequences,
    /// such as a filter's values, and so is part of no sequence's cost.
    /// </summary>
    public void ForgetFlopsSince(long before) => Interlocked.Exchange(ref flops, before);

    /// <summary>
    /// Measures what the machine can do, in about a third of a second. The first of each kind is what kernels are held against:
    /// multiply-adds in registers, and reading memory.
    /// </summary>
    public abstract IReadOnlyList<Ceiling> MeasureCeilings();

    /// <summary>A tensor that owns its memory, filled with zeros.</summary>
    /// <exception cref="InputException">There is not enough memory: the message says for what use.</exception>
    public Tensor Zeros(Shape shape, MemoryUse use = default)
    {
        Tensor tensor = Tensor.Own(this, shape, new DeviceMemory(this, shape.Count, use, shape));
        Fill(tensor, 0);
        return tensor;
    }

    /// <summary>A tensor without memory, for a weight whose form is known later; until <see cref="Tensor.HoldAs"/> it has a shape and nothing else.</summary>
    public Tensor Blank(Shape shape, MemoryUse use = default) => Tensor.Blank(this, shape, use);

    /// <summary>A tensor that owns its memory, filled with zeros, in any form: other than in float32 it is a matrix [outputs, inputs], to be set by rows where it is in bfloat16.</summary>
    /// <exception cref="InputException">There is not enough memory: the message says for what use.</exception>
    public Tensor Zeros(Shape shape, WeightFormat format, MemoryUse use = default)
    {
        if (format == WeightFormat.Float32)
        {
            return Zeros(shape, use);
        }

        return shape.Rank == 2 ? Tensor.Hold(this, shape, format, Hold(shape, format, use))
            : throw new ArgumentException($"a tensor of shape {shape} cannot be held in {format.Word()}: a matrix can", nameof(shape));
    }

    /// <summary>A tensor that owns its memory, of <paramref name="values"/> in row-major order.</summary>
    public Tensor Of(ReadOnlySpan<float> values, Shape shape)
    {
        Tensor tensor = Zeros(shape);
        tensor.Set(values);
        return tensor;
    }

    /// <summary>Frees what the device holds besides tensors.</summary>
    public virtual void Dispose() => GC.SuppressFinalize(this);

    /// <summary>The bytes that may still be asked for: a larger request is refused before it is made.</summary>
    protected internal virtual long AvailableMemory => long.MaxValue;

    /// <summary>Memory of at least <paramref name="bytes"/>, aligned to 64 bytes, content undefined.</summary>
    /// <exception cref="OutOfMemoryException">There is none.</exception>
    protected internal abstract nint AllocateMemory(long bytes);

    /// <summary>Frees what <see cref="AllocateMemory"/> gave.</summary>
    protected internal abstract void FreeMemory(nint address);

    /// <summary>Waits until everything asked for has been computed.</summary>
    public abstract void Synchronize();

    internal abstract void Upload(ReadOnlySpan<float> values, Tensor destination, int firstRow = 0);

    internal abstract void Upload(ReadOnlySpan<ushort> bits, Tensor destination, int firstRow);

    internal abstract void Upload(ReadOnlySpan<int> values, Tokens destination);

    internal abstract void Download(Tensor source, int firstRow, Span<float> destination);

    internal abstract void Download(Tensor source, int firstRow, Span<ushort> bits);

    /// <summary>Sets every element to <paramref name="value"/>.</summary>
    internal abstract void Fill(Tensor x, float value);

    /// <summary>
    /// Copies, or adds, a box of up to four dimensions between two memories with any strides (in elements): slices, concatenation,
    /// transposition and their gradients are this one kernel.
    /// </summary>
    internal abstract void CopyBox(Tensor source, in Box from, Tensor destination, in Box to, (int A, int B, int C, int D) lengths, bool accumulate);

    /// <summary>A matrix of zeros in another form than float32, and the bytes of that.</summary>
    internal abstract (IDisposable Held, long Bytes) Hold(Shape shape, WeightFormat format, MemoryUse use);

    /// <summary>The same numbers in fewer bits, to hold in a weight's place, and the bytes of that; see <see cref="Tensor.Quantize"/>.</summary>
    internal abstract (IDisposable Held, long Bytes) Quantize(Tensor weight, WeightFormat format);

    /// <summary>Copies a weight that is held in bfloat16 to one of float32.</summary>
    internal abstract void Dequantize(Tensor weight, Tensor values);

    // ---- products (Ops.MatMul.cs)

    /// <summary>c = op(a) op(b) (+ bias on every row) (+ c when <paramref name="accumulate"/>); tensors are seen as matrices of rows.</summary>
    internal abstract void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor? bias, Tensor c, bool accumulate);

    /// <summary>The same for every matrix of a batch: a and b have equal leading dimensions and are contiguous.</summary>
    internal abstract void BatchedMatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate);

    // ---- elementwise (Ops.Elementwise.cs)

    /// <summary>y = kind(a, b), shapes broadcast to y's.</summary>
    internal abstract void Binary(BinaryKind kind, Tensor a, Tensor b, Tensor y);

    /// <summary>Sums <paramref name="source"/> over the dimensions in which <paramref name="destination"/> has length 1, adding or overwriting.</summary>
    internal abstract void SumTo(Tensor source, Tensor destination, bool accumulate);

    /// <summary>y = kind(x).</summary>
    internal abstract void Unary(UnaryKind kind, Tensor x, Tensor y);

    /// <summary>dx (+)= dy kind'(x), given y = kind(x).</summary>
    internal abstract void UnaryBackward(UnaryKind kind, Tensor x, Tensor y, Tensor dy, GradTarget dx);

    /// <summary>y (+)= scale x + shift.</summary>
    internal abstract void Affine(Tensor x, float scale, float shift, Tensor y, bool accumulate);

    /// <summary>y = silu(gate) x: the gate of SwiGLU.</summary>
    internal abstract void SiluMul(Tensor gate, Tensor x, Tensor y);

    /// <summary>Gradients of <see cref="SiluMul"/>.</summary>
    internal abstract void SiluMulBackward(Tensor gate, Tensor x, Tensor dy, GradTarget dgate, GradTarget dx);

    // ---- norms (Ops.Norm.cs)

    /// <summary>
    /// y = n(x) weight, where n subtracts each group's mean when <see cref="NormOptions.Center"/> and divides each group of <see cref="NormOptions.Group"/> columns by its root mean square, or by its Euclidean
    /// length when <see cref="NormOptions.Euclidean"/>; epsilon is added under the root. With a <paramref name="gate"/>,
    /// y = n(x silu(gate)) weight when <see cref="NormOptions.GateFirst"/>, else y = n(x) weight silu(gate).
    /// The weight has as many entries as x has columns, or as one group has; null for ones.
    /// </summary>
    internal abstract void Norm(Tensor x, Tensor? weight, Tensor? gate, in NormOptions options, Tensor y);

    /// <summary>Gradients of <see cref="Norm"/>; statistics are computed again.</summary>
    internal abstract void NormBackward(Tensor x, Tensor? weight, Tensor? gate, in NormOptions options, Tensor dy, GradTarget dx, GradTarget dweight, GradTarget dgate);

    // ---- sequences (Ops.Sequence.cs)

    /// <summary>y[i] = table[tokens[i]].</summary>
    internal abstract void Embed(Tensor table, Tokens tokens, Tensor y);

    /// <summary>dtable[tokens[i]] += dy[i], in the order of i.</summary>
    internal abstract void EmbedBackward(Tokens tokens, Tensor dy, Tensor dtable);

    /// <summary>
    /// Depthwise causal convolution over time: y[b,t,c] = act(bias[c] + sum_j weight[c,j] x[b,t-K+1+j,c]) with act silu or identity;
    /// what lies before the sequence comes from <paramref name="past"/> [B,K-1,C], oldest first, or is zero where that is null.
    /// Writes the last K-1 inputs to <paramref name="last"/>, which may be <paramref name="past"/> itself, unless null.
    /// </summary>
    internal abstract void CausalConv(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor y, Tensor? last);

    /// <summary>Gradients of <see cref="CausalConv"/>; <paramref name="dlast"/> is the gradient of the last inputs, null for none.</summary>
    internal abstract void CausalConvBackward(Tensor x, Tensor weight, Tensor? bias, Tensor? past, bool silu, Tensor? dy, Tensor? dlast,
        GradTarget dx, GradTarget dweight, GradTarget dbias, GradTarget dpast);

    // ---- losses (Ops.Loss.cs)

    /// <summary>losses[i] = -log softmax(logits[i])[targets[i]], in nats; 0 where the target is negative.</summary>
    internal abstract void CrossEntropy(Tensor logits, Tokens targets, Tensor losses);

    /// <summary>dlogits (+)= (softmax(logits[i]) - onehot(targets[i])) dlosses[i], a row of zeros where the target is negative.</summary>
    internal abstract void CrossEntropyBackward(Tensor logits, Tokens targets, Tensor dlosses, GradTarget dlogits);

    // ---- optimisers (used by Weft.Training)

    /// <summary>The sum of squares of all elements, in double precision and in a fixed order.</summary>
    public abstract double SumOfSquares(Tensor x);

    /// <summary>
    /// One AdamW step on one tensor: gradients are multiplied by <see cref="AdamWStep.GradScale"/>, then
    /// m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, w = w (1 - rate decay) - rate (m / c1) / (sqrt(v / c2) + epsilon)
    /// (Loshchilov and Hutter, arXiv 1711.05101), c1 = 1 - b1^step, c2 = 1 - b2^step. The gradient is cleared.
    /// </summary>
    public abstract void AdamW(Tensor weight, Tensor gradient, Tensor mean, Tensor variance, in AdamWStep step);
}

/// <summary>Where a gradient goes: a tensor to overwrite or to add to, or nowhere.</summary>
internal readonly struct GradTarget
{
    private GradTarget(Tensor? tensor, bool accumulate)
    {
        Tensor = tensor;
        Accumulate = accumulate;
    }

    /// <summary>The gradient's tensor; null when no gradient is wanted.</summary>
    public Tensor? Tensor { get; }

    /// <summary>Whether to add to what is there.</summary>
    public bool Accumulate { get; }

    /// <summary>The target for an input's gradient in a backward pass; nowhere for a null input.</summary>
    public static GradTarget Of(Tensor? input, Tape tape)
    {
        if (input is null)
        {
            return default;
        }

        Tensor? grad = input.GradToWrite(tape, out bool fresh);
        return new GradTarget(grad, !fresh);
    }
}

/// <summary>A box of memory: the offset of its first element from a tensor's address, and the strides of four dimensions, in elements.</summary>
internal readonly record struct Box(long Offset, long A, long B, long C, long D);

/// <summary>An operation on two numbers.</summary>
internal enum BinaryKind
{
    Add,
    Subtract,
    Multiply,
}

/// <summary>An operation on one number.</summary>
internal enum UnaryKind
{
    Exp,
    Log,
    Sqrt,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
    Relu,
    ReluSquared,
    Gelu,
    GeluExact,
    Expm1,
    ShiftedPositive,
    EluPlusOne,
    Reciprocal,
    Sin,
}

/// <summary>How <see cref="Device.Norm"/> normalises.</summary>
internal readonly record struct NormOptions(int Group, float Epsilon, bool Euclidean, bool GateFirst, bool Center = false);

/// <summary>The numbers of one AdamW step; see <see cref="Device.AdamW"/>.</summary>
/// <param name="Rate">The learning rate.</param>
/// <param name="Beta1">The decay of the mean of gradients.</param>
/// <param name="Beta2">The decay of the mean of squared gradients.</param>
/// <param name="Epsilon">Added to the root of the variance.</param>
/// <param name="Decay">The weight decay, decoupled: multiplied by the rate.</param>
/// <param name="Step">The number of this step, from 1.</param>
/// <param name="GradScale">What gradients are multiplied by first: the clipping factor.</param>
public readonly record struct AdamWStep(float Rate, float Beta1, float Beta2, float Epsilon, float Decay, long Step, float GradScale);
