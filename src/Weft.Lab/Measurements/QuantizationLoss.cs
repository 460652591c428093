using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>A trained model with its weights in one form.</summary>
/// <param name="Form">float32, bf16, int8 or int4.</param>
/// <param name="Bytes">The bytes of the weights: what memory they take, and what generating a token reads.</param>
/// <param name="BitsPerByte">The held-out bits per byte.</param>
public sealed record WeightForm(string Form, long Bytes, double BitsPerByte);

/// <summary>What a trained model loses when its weights are held in fewer bits.</summary>
public static class QuantizationLoss
{
    /// <summary>The most held-out bytes that a model is scored on: a small loss shows on few, since all forms see the same.</summary>
    public const int Sample = 32 << 10;

    /// <summary>Scores the model of a folder in each form, float32 first, on the held-out part of a corpus, or a sample of it.</summary>
    /// <remarks>Products are in float32, so that what differs is the weights alone.</remarks>
    /// <exception cref="InputException">The folder holds no model, or the corpus cannot be read.</exception>
    public static IEnumerable<WeightForm> Measure(string folder, Corpus corpus, CancellationToken cancel = default)
    {
        using Device device = Device.Open();
        TokenSource source = TokenSource.Of(folder, corpus, cancel: cancel);
        foreach (WeightFormat format in Enum.GetValues<WeightFormat>())
        {
            cancel.ThrowIfCancellationRequested();
            LanguageModel model = ModelFolder.Load(folder, device, learned: format == WeightFormat.Float32); // else what is bf16 stays so
            if (format != WeightFormat.Float32)
            {
                model.Quantize(format);
            }

            yield return new WeightForm(format.Word(), model.WeightBytes, Evaluation.HeldOut(model, source, atMost: Sample).BitsPerByte);
        }
    }
}
