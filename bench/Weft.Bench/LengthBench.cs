using Weft.Models;
using Weft.Tensors;

namespace Weft.Bench;

/// <summary>Whether a token costs the same at any distance from the start: a long sequence in pieces, through the state.</summary>
internal static class LengthBench
{
    private const int Piece = 1024, Pieces = 256, Shown = 9;

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
            MixerState state = mixer.NewState(1);
            using var tape = new Tape(device) { Recording = false };
            var times = new double[Pieces];
            for (int i = 0; i < Pieces; i++)
            {
                Tensor x = tape.Of(values, new Shape(1, Piece, width));
                times[i] = Results.Time(() => mixer.Mix(x, state)) / Piece * 1e6;
                tape.Reset();
            }

            double start = Results.Median(times[1..(1 + Shown)]), end = Results.Median(times[^Shown..]);
            Console.WriteLine($"{name,-28}{start,16:0}{end,12:0}{end / start,8:0.00}{near,14}{far,14}");
            results.Add($"{name}: time of a token at 256k over 1k", end / start, "x", 1.1);
            foreach (Parameter parameter in mixer.Parameters())
            {
                parameter.Tensor.Dispose();
            }
        }
    }
}
