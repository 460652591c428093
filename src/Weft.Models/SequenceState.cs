using Weft.Tensors;

namespace Weft.Models;

/// <summary>A model's memory of a batch of sequences: one <see cref="MixerState"/> a block, and the number of tokens seen.</summary>
public sealed class SequenceState
{
    internal SequenceState(LanguageModel model, int batch, MixerState[] layers) => (Model, Batch, Layers) = (model, batch, layers);

    /// <summary>The model whose state this is.</summary>
    public LanguageModel Model { get; }

    /// <summary>The number of sequences.</summary>
    public int Batch { get; }

    /// <summary>The blocks' states, in order.</summary>
    public IReadOnlyList<MixerState> Layers { get; }

    /// <summary>The tokens of each sequence seen so far.</summary>
    public long Position { get; internal set; }

    /// <summary>The bytes of all blocks' states.</summary>
    public long Bytes => Layers.Sum(l => l.Bytes);

    /// <summary>A copy that goes its own way: neither touches the other from here on.</summary>
    public SequenceState Fork()
    {
        SequenceState fork = Model.NewState(Batch);
        CopyTo(fork);
        return fork;
    }

    /// <summary>Copies this state into another of the same model and batch, without allocating where that one's memory suffices.</summary>
    public void CopyTo(SequenceState other)
    {
        if (!ReferenceEquals(other.Model, Model) || other.Batch != Batch)
        {
            throw new ArgumentException("a state copies only to one of the same model and batch", nameof(other));
        }

        for (int i = 0; i < Layers.Count; i++)
        {
            Layers[i].CopyTo(other.Layers[i]);
        }

        other.Position = Position;
    }

    /// <summary>Forgets everything: as before the first token.</summary>
    public void Clear()
    {
        for (int i = 0; i < Layers.Count; i++)
        {
            Layers[i].Clear();
        }

        Position = 0;
    }

    /// <summary>Fills the state with synthetic content, as if <paramref name="tokens"/> tokens had been seen; see <see cref="StateSlot.FillForMeasurement"/>.</summary>
    public void FillForMeasurement(long tokens, RandomSource random)
    {
        foreach (StateSlot slot in Layers.SelectMany(l => l.Slots))
        {
            slot.FillForMeasurement(tokens, random);
        }

        Position = tokens;
    }

    /// <summary>Moves what a recorded pass left on its tape into the state's own memory; needed only when the state outlives that tape's reset.</summary>
    public void Detach()
    {
        for (int i = 0; i < Layers.Count; i++)
        {
            Layers[i].Detach();
        }
    }
}
