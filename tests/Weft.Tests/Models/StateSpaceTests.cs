using System.Numerics;
using Weft.Models;
using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>What the laws over all mixers do not say of linear time-invariant state spaces: discretisation, initial values, errors.</summary>
public sealed class StateSpaceTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(Discretization.ZeroOrderHold)]
    [InlineData(Discretization.Bilinear)]
    public void DiscretizationIsItsFormulaInDoublePrecision(Discretization rule)
    {
        const int states = 5, channels = 83, plane = states * channels;
        var random = new RandomSource(3);
        float[] re = new float[plane], im = new float[plane], step = new float[channels], c = LawTools.Gaussian(2 * plane, 4);
        random.FillUniform(step, MathF.Log(1e-3f), MathF.Log(1));
        for (int i = 0; i < plane; i++)
        {
            (re[i], im[i]) = (-MathF.Exp(random.NextGaussian()), i % 7 == 0 ? 0 : 100 * random.NextGaussian());
        }

        using var tape = new Tape(device);
        Tensor[] inputs = [device.Of(re, new Shape(states, channels)).WithGrad(), device.Of(im, new Shape(states, channels)).WithGrad(),
            device.Of(step, new Shape(channels)).WithGrad(), device.Of(c, new Shape(2, states, channels)).WithGrad()];
        (Tensor lambda, Tensor gain) = Ops.Discretize(Ops.Copy(inputs[0], tape), inputs[1], inputs[2], inputs[3], rule);
        float[] ul = LawTools.Gaussian(2 * plane, 5), ug = LawTools.Gaussian(2 * plane, 6);
        float[] actualLambda = lambda.ToArray(), actualGain = gain.ToArray();
        tape.Backward(Ops.Sum(Ops.Add(Ops.Multiply(lambda, tape.Of(ul, lambda.Shape)), Ops.Multiply(gain, tape.Of(ug, gain.Shape)))));

        float[] expectedLambda = new float[2 * plane], expectedGain = new float[2 * plane];
        double[] dre = new double[plane], dim = new double[plane], dstep = new double[channels];
        for (int i = 0; i < plane; i++)
        {
            var a = new Complex(re[i], im[i]);
            double s = step[i % channels];
            (Complex l, Complex g) = At(a, s);
            (expectedLambda[i], expectedLambda[plane + i], expectedGain[i], expectedGain[plane + i]) = ((float)l.Real, (float)l.Imaginary, (float)g.Real, (float)g.Imaginary);
            double h = 1e-5 * (1 + a.Magnitude);
            dre[i] = (Loss(a + h, s) - Loss(a - h, s)) / (2 * h);
            dim[i] = (Loss(a + new Complex(0, h), s) - Loss(a - new Complex(0, h), s)) / (2 * h);
            dstep[i % channels] += (Loss(a, s + 1e-6) - Loss(a, s - 1e-6)) / 2e-6;

            double Loss(Complex pole, double logStep)
            {
                (Complex l, Complex g) = At(pole, logStep);
                return (l.Real * ul[i]) + (l.Imaginary * ul[plane + i]) + (g.Real * ug[i]) + (g.Imaginary * ug[plane + i]);
            }

            (Complex Lambda, Complex Gain) At(Complex pole, double logStep)
            {
                double dt = Math.Exp(logStep);
                Complex z = dt * pole, scale = new(c[i], c[plane + i]);
                return rule == Discretization.ZeroOrderHold ? (Complex.Exp(z), scale * (Complex.Exp(z) - 1) / pole) : ((1 + (z / 2)) / (1 - (z / 2)), scale * dt / (1 - (z / 2)));
            }
        }

        LawTools.Close(actualLambda, expectedLambda, 1e-6, "lambda");
        LawTools.Close(actualGain, expectedGain, 1e-6, "the gain");
        LawTools.Close(inputs[0].Grad!.ToArray(), Array.ConvertAll(dre, x => (float)x), 1e-4, "the gradient of real parts");
        LawTools.Close(inputs[1].Grad!.ToArray(), Array.ConvertAll(dim, x => (float)x), 1e-4, "the gradient of imaginary parts");
        LawTools.Close(inputs[2].Grad!.ToArray(), Array.ConvertAll(dstep, x => (float)x), 1e-4, "the gradient of steps");
        Assert.All(inputs, i => i.Dispose());
    }

    [Fact]
    public unsafe void SineAndCosineAreWithinTheirBound()
    {
        var random = new RandomSource(4);
        for (int i = 0; i < 20_000; i++)
        {
            float x = i < 100 ? i * MathF.PI / 8 : (float)((random.NextDouble() - 0.5) * Math.Pow(10, 1 + (random.NextDouble() * 3.3)));
            (System.Runtime.Intrinsics.Vector128<float> sin, System.Runtime.Intrinsics.Vector128<float> cos) =
                Simd.SinCos<Simd128, System.Runtime.Intrinsics.Vector128<float>>(System.Runtime.Intrinsics.Vector128.Create(x));
            Assert.InRange(sin[0] - Math.Sin(x), -1.5e-7, 1.5e-7);
            Assert.InRange(cos[0] - Math.Cos(x), -1.5e-7, 1.5e-7);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    [InlineData(64)]
    public void HippoIsDecomposed(int size)
    {
        Hippo hippo = Hippo.LegS(size);
        int half = size / 2;
        Assert.All(hippo.Frequencies, f => Assert.True(f > 0));
        for (int n = 0; n < size; n++)
        {
            double b = 0;
            for (int k = 0; k < size; k++)
            {
                // A = V (diag(-1/2 + i omega) - p p*) V*, the conjugate half included, is twice the real part of the kept half's V diag V*, minus P P^T.
                double a = 0, p = 0, q = 0;
                for (int j = 0; j < half; j++)
                {
                    a += 2 * (hippo.Vectors[n, j] * new Complex(-0.5, hippo.Frequencies[j]) * Complex.Conjugate(hippo.Vectors[k, j])).Real;
                    p += 2 * (hippo.Vectors[n, j] * hippo.LowRank[j]).Real;
                    q += 2 * (hippo.Vectors[k, j] * hippo.LowRank[j]).Real;
                }

                double expected = n > k ? -Math.Sqrt(((2 * n) + 1) * ((2 * k) + 1.0)) : n == k ? -(n + 1) : 0;
                Assert.InRange(a - (p * q) - expected, -1e-9, 1e-9);
            }

            for (int j = 0; j < half; j++)
            {
                b += 2 * (hippo.Vectors[n, j] * hippo.Input[j]).Real;
            }

            Assert.InRange(b - Math.Sqrt((2 * n) + 1), -1e-9, 1e-9);
        }
    }

    [Fact]
    public void InitialValuesAreThePapers()
    {
        Dictionary<string, float[]> s4d = Values("s4d"), lru = Values("lru"), s5 = Values("s5"), h3 = Values("h3");
        Assert.All(s4d["log_A_real"], v => Assert.Equal(-0.5, -Math.Exp(v), 1e-6));
        Assert.Equal(Math.PI * 31, s4d["A_imag"][^1], 1e-4);
        Assert.All(s4d["log_dt"], v => Assert.InRange(Math.Exp(v), 0.000999, 0.1001));
        Assert.All(lru["nu_log"], v => Assert.InRange(Math.Exp(-Math.Exp(v)), 0.8999, 0.99901));
        Assert.All(lru["nu_log"].Zip(lru["gamma_log"]), v => Assert.Equal(1 - Math.Exp(-2 * Math.Exp(v.First)), Math.Exp(2 * v.Second), 1e-5));
        Assert.All(lru["theta_log"], v => Assert.InRange(Math.Exp(v), 0, 6.2832));
        Assert.Equal(128, s5["Lambda_re"].Length); // half of 256
        Assert.Equal(s5["Lambda_im"][..16], s5["Lambda_im"][16..32]); // eight blocks of 32
        Assert.All(h3["log_A_real"], v => Assert.Equal(-0.5, -Math.Exp(v), 1e-6));
        Assert.Equal(64 * 64, h3["shift"].Length);
        foreach (string block in new[] { "s4", "s4d", "lru", "s5", "h3" })
        {
            Assert.All(Create(block, 64).Parameters().Where(p => p.Name is "log_A_real" or "P" or "A_imag" or "log_dt" or "nu_log" or "theta_log" or "gamma_log" or "Lambda_re" or "Lambda_im" or "log_step"),
                p => Assert.False(p.Decay));
        }

        Dictionary<string, float[]> Values(string block) => Create(block, 64).Parameters().ToDictionary(p => p.Name, p => p.Tensor.ToArray());
    }

    [Theory]
    [InlineData("s4d[state=7]", "state=7 is odd", "6 or 8")]
    [InlineData("s4d[state=0]", "state=0", "2 to 4096")]
    [InlineData("s4d[dt-min=0.5]", "dt-min=0.5 is above dt-max=0.1", "0.001")]
    [InlineData("s4[state=300]", "state=300", "2 to 256")]
    [InlineData("s4[chunk=0]", "chunk=0", "1 to 1024")]
    [InlineData("s4[mode=fft]", "mode=fft", "recurrent, convolution")]
    [InlineData("lru[r-min=1, r-max=0.5]", "r-min=1 is above r-max=0.5", "radius")]
    [InlineData("lru[state=0]", "state=0", "1 to 65536")]
    [InlineData("s5[state=64, blocks=3]", "blocks=3 does not divide the 64 states", "1, 2, 4, 8")]
    [InlineData("s5[rule=euler]", "rule=euler", "zoh, bilinear")]
    [InlineData("h3[head-dim=5]", "head-dim=5 does not divide width 64", "64, 32, 16, 8")]
    [InlineData("h3[shift=1]", "shift=1", "2 to 1024")]
    public void ImpossibleOptionsAreRefused(string block, params string[] says) => Refused.With(() => Create(block, 64), says);

    /// <summary>The discretised step is that of the dense matrices: (1 - dt/2 A)^-1 (1 + dt/2 A), and dt (1 - dt/2 A)^-1 B.</summary>
    [Fact]
    public void LowRankStepsAreThoseOfTheDenseMatrix()
    {
        const int size = 8, half = size / 2;
        const double dt = 0.07;
        Hippo hippo = Hippo.LegS(size);
        using var tape = new Tape(device) { Recording = false };
        Shape plane = new(half, 1), complex = new(2, half, 1);
        Tensor p = tape.Of(Parts(hippo.LowRank), complex), b = tape.Of(Parts(hippo.Input), complex), c = tape.Of(Parts([.. hippo.Input.Select(v => Complex.Conjugate(v) / 3)]), complex);
        LowRankDiagonal system = LowRankDiagonal.Of(tape.Of([.. Enumerable.Repeat(-0.5f, half)], plane), tape.Of([.. hippo.Frequencies.Select(f => (float)f)], plane),
            tape.Of([(float)Math.Log(dt)], new Shape(1)), p, b, c, tape.Of([0f], new Shape(1)));
        (Tensor y, _) = system.Recurrent(tape.Of([1, -1, 0.5f, 0, 2], new Shape(1, 5, 1)), null);

        // In the basis of HiPPO: A real and lower triangular, B_n = sqrt(2n + 1), C = B / 3; steps solved by substitution.
        float[] expected = new float[5];
        double[] h = new double[size], inputs = [1, -1, 0.5, 0, 2];
        for (int t = 0; t < 5; t++)
        {
            double[] next = new double[size];
            for (int n = 0; n < size; n++)
            {
                double sum = h[n] + (dt * Math.Sqrt((2 * n) + 1) * inputs[t]);
                for (int k = 0; k <= n; k++)
                {
                    sum += dt / 2 * A(n, k) * (h[k] + (k < n ? next[k] : 0));
                }

                next[n] = sum / (1 - (dt / 2 * A(n, n)));
            }

            h = next;
            expected[t] = (float)h.Select((v, n) => v * Math.Sqrt((2 * n) + 1) / 3).Sum();
        }

        LawTools.Close(y.ToArray(), expected, 1e-5, "y");

        static double A(int n, int k) => n > k ? -Math.Sqrt(((2 * n) + 1) * ((2 * k) + 1.0)) : -(n + 1);

        static float[] Parts(Complex[] v) => [.. v.Select(x => (float)x.Real), .. v.Select(x => (float)x.Imaginary)];
    }

    /// <summary>The convolution is the recurrence, gradients included: over whole blocks, a last one that is not, and a state before the first.</summary>
    [Theory]
    [InlineData(1, 24, false)]
    [InlineData(2, 8, true)]
    [InlineData(3, 45, true)]
    [InlineData(2, 5, true)]
    public void ConvolutionIsTheRecurrence(int batch, int time, bool withInitial)
    {
        const int pairs = 3, channels = 21, block = 8;
        (Tensor States, Tensor Inputs) units = LowRankDiagonal.Units(device, 2 * pairs, block);
        float[][] expected = Run((system, x, initial) => system.Recurrent(x, initial)), actual = Run((system, x, initial) => system.Convolution(x, initial, units));
        for (int i = 0; i < expected.Length; i++)
        {
            LawTools.Close(actual[i], expected[i], i < 2 ? 1e-5 : 1e-4, $"array {i}");
        }

        float[][] Run(Func<LowRankDiagonal, Tensor, Tensor?, (Tensor Y, Tensor Final)> algorithm)
        {
            using var tape = new Tape(device);
            ulong seed = 20;
            Shape plane = new(pairs, channels), complex = new(2, pairs, channels), row = new(channels);
            Tensor[] inputs = [.. new[] { plane, plane, row, complex, complex, complex, row, new Shape(batch, time, channels), new Shape(batch, 2, pairs, channels) }
                .Select(s => device.Of(LawTools.Gaussian(s.Count, seed++, 0.5f), s).WithGrad())];
            Tensor real = Ops.Affine(Ops.Exp(Ops.Copy(inputs[0], tape)), -1);
            LowRankDiagonal system = LowRankDiagonal.Of(real, inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6]);
            (Tensor y, Tensor final) = algorithm(system, Ops.Copy(inputs[7], tape), withInitial ? inputs[8] : null);
            float[] outputs = y.ToArray(), last = final.ToArray();
            Tensor loss = Ops.Add(Ops.Sum(Ops.Multiply(y, tape.Of(LawTools.Gaussian(outputs.Length, 40), y.Shape))).Reshape(new Shape(1)),
                Ops.Sum(Ops.Multiply(final, tape.Of(LawTools.Gaussian(last.Length, 41), final.Shape))).Reshape(new Shape(1)));
            tape.Backward(loss);
            return [outputs, last, .. inputs.Take(withInitial ? 9 : 8).Select(i => i.Grad!.ToArray())];
        }
    }

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
