using Weft.Models;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>
/// Whether a token costs the same at any distance from the start: a long sequence in pieces, through the state. The pieces that are
/// timed, near the start of one sequence and near the end of another, alternate.
/// </summary>
internal static class LengthBench
{
    private const int Piece = 1024, Pieces = 256, Shown = 41;

    public static void Run(Device device, string[] names, int width, Results results)
    {
        Console.WriteLine($"d={width}, pieces of {Piece} tokens; medians of {Shown} pieces after 1k and before {Pieces}k tokens");
        Console.WriteLine($"{"mixer",-28}{"ns/token at 1k",16}{"at 256k",12}{"ratio",8}{"state at 1k",14}{"at 256k",14}");
        foreach (string name in BlockTable.Names.Where(n => Results.Wanted(n, names)))
        {
            Mixer mixer = BlockTable.Create(Pattern.Parse(name)[0], 0, new Builder(device, new RandomSource(1), width, 8));
            long near = mixer.Cost(1, 1023).StateBytes, far = mixer.Cost(1, (Pieces * Piece) - 1).StateBytes;
            if (names.Length == 0 && far > 2 * near && far > 64 << 20)
            {
                continue; // a cache of every token: its cost is known to grow
            }

            var values = new float[Piece * width];
            new RandomSource(2).FillGaussian(values);
            using var tape = new Tape(device) { Recording = false };
            MixerState late = mixer.NewState(1), early = mixer.NewState(1);
            double Mix(MixerState state)
            {
                Tensor x = tape.Of(values, new Shape(1, Piece, width));
                double time = Results.Time(() => mixer.Mix(x, state)) / Piece * 1e6;
                tape.Reset();
                return time;
            }

            for (int i = 0; i < Pieces - Shown; i++)
            {
                Mix(late);
            }

            Mix(early);
            (double Early, double Late)[] times = [.. Enumerable.Range(0, Shown).Select(_ => (Mix(early), Mix(late)))];
            double start = Results.Median(times.Select(t => t.Early)), end = Results.Median(times.Select(t => t.Late));
            Console.WriteLine($"{name,-28}{start,16:0}{end,12:0}{end / start,8:0.00}{near,14}{far,14}");
            results.Add($"mixer {name}, d {width}: time of a token at 256k over 1k", end / start, "x", 1.1, atMost: true);
            foreach (Parameter parameter in mixer.Parameters())
            {
                parameter.Tensor.Dispose();
            }
        }
    }
}
