using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// What a mixer remembers of a batch of sequences. Each mixer derives its own type, whose slots are properties with names of the
/// field: a recurrent state's slots keep their size (<see cref="StateTensor"/>), a cache grows with the tokens (<c>TokenCache</c>).
/// </summary>
public abstract class MixerState
{
    private readonly List<StateSlot> slots = [];

    /// <summary>The slots, in a fixed order.</summary>
    public IReadOnlyList<StateSlot> Slots => slots;

    /// <summary>The bytes of what is remembered now: what <see cref="Mixer.Cost"/> declares, and what a saved state holds.</summary>
    public long Bytes => slots.Sum(s => s.Bytes);

    /// <summary>Forgets everything: as before the first token.</summary>
    public void Clear()
    {
        for (int i = 0; i < slots.Count; i++)
        {
            slots[i].Clear();
        }
    }

    /// <summary>Copies what is remembered into <paramref name="other"/>, a state of the same mixer and batch; neither touches the other after that.</summary>
    public void CopyTo(MixerState other)
    {
        if (other.slots.Count != slots.Count)
        {
            throw new ArgumentException($"a state of {slots.Count} slots does not copy to one of {other.slots.Count}", nameof(other));
        }

        for (int i = 0; i < slots.Count; i++)
        {
            slots[i].CopyTo(other.slots[i]);
        }
    }

    /// <summary>
    /// Starts where <paramref name="source"/> stands, through copies on <paramref name="tape"/>: a backward pass then reaches the
    /// tensors of the source's slots (<see cref="StateSlot.Tensors"/>), whose content may itself be learned.
    /// </summary>
    public void Follow(MixerState source, Tape tape)
    {
        for (int i = 0; i < slots.Count; i++)
        {
            slots[i].Follow(source.slots[i], tape);
        }
    }

    /// <summary>Moves what a recorded pass left on its tape into the state's own memory; to be called before that tape is reset when the state shall live on.</summary>
    public void Detach()
    {
        for (int i = 0; i < slots.Count; i++)
        {
            slots[i].Detach();
        }
    }

    /// <summary>Adds a slot; for constructors of derived types.</summary>
    protected T Keep<T>(T slot) where T : StateSlot
    {
        slots.Add(slot);
        return slot;
    }
}

/// <summary>The state of a mixer that remembers nothing, such as an MLP.</summary>
public sealed class NoState : MixerState;

/// <summary>One named part of a state.</summary>
public abstract class StateSlot(string name)
{
    /// <summary>The part's name in a saved state.</summary>
    public string Name { get; } = name;

    /// <summary>The bytes remembered now.</summary>
    public abstract long Bytes { get; }

    /// <summary>Forgets everything.</summary>
    public abstract void Clear();

    /// <summary>Copies the content to a slot of the same kind and shape.</summary>
    public abstract void CopyTo(StateSlot other);

    /// <summary>The tensors that hold the content now, with names that are unique within the state; those only that gradients pass.</summary>
    public abstract IEnumerable<(string Name, Tensor Tensor)> Tensors { get; }

    /// <summary>Starts where <paramref name="source"/>, a slot of the same kind and shape, stands, through copies on a tape; see <see cref="MixerState.Follow"/>.</summary>
    public abstract void Follow(StateSlot source, Tape tape);

    /// <summary>
    /// Fills the slot with synthetic content, as if <paramref name="tokens"/> tokens had been seen: the time that a step takes does not
    /// depend on the values, so decoding at a long context can be timed without the prefill.
    /// </summary>
    public abstract void FillForMeasurement(long tokens, RandomSource random);

    /// <summary>Moves the content from a tape to the slot's own memory.</summary>
    public abstract void Detach();

    /// <summary>The content as named arrays (name, shape, values in row-major order): what a saved state holds. Integers are held exactly.</summary>
    public abstract IEnumerable<(string Name, Shape Shape, float[] Values)> Save();

    /// <summary>Restores what <see cref="Save"/> gave; <paramref name="read"/> finds an array by name.</summary>
    /// <exception cref="InputException">An array is missing or has another shape.</exception>
    public abstract void Restore(Func<string, (Shape Shape, float[] Values)> read);

    private protected static InputException Mismatch(string name, Shape found, string expected) =>
        new($"the saved state's '{name}' has shape {found} where this model's has {expected}: it was saved by another model or batch");
}

/// <summary>
/// A part of a recurrent state, of a fixed shape. It lives in its own memory, which kernels update in place; while a tape records,
/// it is instead the tape's tensor that the last operation produced, so that gradients pass through it.
/// </summary>
public sealed class StateTensor : StateSlot, IDisposable
{
    private readonly Tensor home;
    private readonly bool learned;
    private Tensor? onTape;
    private bool empty = true, zero = true; // nothing seen; home holds zeros

    /// <summary>
    /// Makes a part of zeros. Content that is not <paramref name="learned"/> (what a choice is made by, through which no gradient passes) is
    /// none of the state's <see cref="Tensors"/>.
    /// </summary>
    public StateTensor(Device device, string name, Shape shape, bool learned = true) : base(name) =>
        (home, this.learned) = (device.Zeros(shape, new MemoryUse($"the state '{name}' of {shape[0]} sequences", "a smaller batch")), learned);

    /// <inheritdoc/>
    public override long Bytes => home.Bytes;

    /// <summary>The shape, batch first.</summary>
    public Shape Shape => home.Shape;

    /// <summary>
    /// The content before the next operation. On a recording tape: null when nothing has been seen (zeros), else what was remembered,
    /// with its gradient; on another: memory that the operation may overwrite with its final state.
    /// </summary>
    public Tensor? Before(Tape tape)
    {
        if (tape.Recording)
        {
            return empty ? null : onTape ?? home;
        }

        Detach();
        return home;
    }

    /// <summary>The content after an operation: its final state.</summary>
    public void After(Tensor final)
    {
        empty = false;
        onTape = ReferenceEquals(final, home) ? null : final;
        zero &= onTape is not null;
    }

    /// <summary>What is remembered now, as a tensor to read.</summary>
    public Tensor Current => onTape ?? home;

    /// <inheritdoc/>
    public override void Clear()
    {
        if (!zero)
        {
            home.Fill(0);
        }

        (onTape, empty, zero) = (null, true, true);
    }

    /// <inheritdoc/>
    public override void Detach()
    {
        if (onTape is { } tensor)
        {
            home.CopyFrom(tensor);
            (onTape, zero) = (null, false);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Tensor)> Tensors => learned ? [(Name, Current)] : [];

    /// <inheritdoc/>
    public override void Follow(StateSlot source, Tape tape) => After(Ops.Copy(((StateTensor)source).Current, tape));

    /// <inheritdoc/>
    public override void FillForMeasurement(long tokens, RandomSource random)
    {
        var values = new float[Shape.Count];
        random.FillGaussian(values, 0.1f);
        home.Set(values);
        (onTape, empty, zero) = (null, false, false);
    }

    /// <inheritdoc/>
    public override void CopyTo(StateSlot other)
    {
        var target = (StateTensor)other;
        target.home.CopyFrom(Current);
        (target.onTape, target.empty, target.zero) = (null, empty, empty);
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Shape Shape, float[] Values)> Save() => [(Name, Shape, Current.ToArray())];

    /// <inheritdoc/>
    public override void Restore(Func<string, (Shape Shape, float[] Values)> read)
    {
        (Shape shape, float[] values) = read(Name);
        if (shape != Shape)
        {
            throw Mismatch(Name, shape, Shape.ToString());
        }

        home.Set(values);
        (onTape, empty, zero) = (null, false, false);
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose() => home.Dispose();
}
