using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests;

/// <summary>The README's sample, compiled and run: what stands between the marks is what stands there.</summary>
public class ReadmeSample
{
    [Fact]
    public void Runs()
    {
        using var folder = new TemporaryFolder();
        string text = string.Concat(Enumerable.Repeat("My fellow Americans, the state of our Union is strong. ", 400));
        string file = folder["speech.state"];
        using var console = new StringWriter();

        // <sample>
        using Device device = Device.Open();
        var model = new LanguageModel(Presets.Resolve("hybrid", width: 64), device, seed: 1);

        using var trainer = new Trainer(model, Corpus.FromText(text), new TrainingOptions { Budget = Budget.Parse("60steps"), Context = 64 });
        trainer.Run(step => console.WriteLine($"step {step.Step}: {step.BitsPerByte:0.00} bits per byte"));

        SequenceState state = model.NewState(batch: 1);
        console.WriteLine(model.Generate("My fellow ", new GenerationOptions { Tokens = 20 }, state));

        StateFile.Save(state, file);                             // all that the model remembers of the text so far
        SequenceState restored = StateFile.Load(file, model);    // goes on as if it had never stopped
        SequenceState fork = restored.Fork();                    // two futures of one past
        console.WriteLine(model.Generate(" the state", state: restored));
        console.WriteLine(model.Generate(" our Union", state: fork));
        // </sample>

        Assert.Equal(10 + 20, state.Position);
        Assert.Contains("step 60:", console.ToString(), StringComparison.Ordinal);
        Assert.Equal(fork.Position, restored.Position);
    }
}
