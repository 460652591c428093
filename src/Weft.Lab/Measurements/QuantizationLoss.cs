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
    /// <remarks>bf16 is float32 weights on a device that multiplies bfloat16 numbers; the bytes are those that its products read.</remarks>
    /// <exception cref="InputException">The folder holds no model, or the corpus cannot be read.</exception>
    public static IEnumerable<WeightForm> Measure(string folder, Corpus corpus, CancellationToken cancel = default)
    {
        foreach ((Precision precision, WeightFormat format) in ((Precision, WeightFormat)[])
            [(Precision.Float32, WeightFormat.Float32), (Precision.BFloat16, WeightFormat.Float32), (Precision.Float32, WeightFormat.Int8), (Precision.Float32, WeightFormat.Int4)])
        {
            cancel.ThrowIfCancellationRequested();
            using Device device = Device.Open(0, precision);
            LanguageModel model = ModelFolder.Load(folder, device);
            bool isBf16 = precision == Precision.BFloat16;
            long halved = isBf16 ? model.Parameters().Where(p => p.IsQuantizable).Sum(p => p.Tensor.Bytes) / 2 : 0;
            if (format != WeightFormat.Float32)
            {
                model.Quantize(format);
            }

            yield return new WeightForm(isBf16 ? precision.Word() : format.Word(), model.WeightBytes - halved, Evaluation.HeldOut(model, corpus, atMost: Sample).BitsPerByte);
        }
    }
}
