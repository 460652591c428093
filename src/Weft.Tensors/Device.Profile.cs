using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>Where kernels note the time that they take; null, as at first, not to measure.</summary>
    public DeviceProfile? Profile { get; set; }

    /// <summary>
    /// Measures a kernel, from here to the end of the scope that holds the result; every kernel begins with it. Without a
    /// <see cref="Profile"/> that is one test.
    /// </summary>
    internal Timed Measure(ReadOnlySpan<Operand> operands, [CallerMemberName] string name = "") =>
        Profile is { } profile && profile.Open(name) is { } entry ? new Timed(this, profile, entry, operands) : default;

    /// <summary>A kernel that is being measured.</summary>
    internal readonly ref struct Timed
    {
        private readonly Device device;
        private readonly DeviceProfile? profile;
        private readonly DeviceProfile.Entry entry;
        private readonly long flops, start;

        public Timed(Device device, DeviceProfile profile, DeviceProfile.Entry entry, ReadOnlySpan<Operand> operands)
        {
            (this.device, this.profile, this.entry) = (device, profile, entry);
            foreach (Operand operand in operands)
            {
                entry.Bytes += operand.Bytes;
            }

            device.Synchronize();
            (flops, start) = (device.Flops, Stopwatch.GetTimestamp());
        }

        public void Dispose()
        {
            if (profile is not null)
            {
                device.Synchronize();
                entry.Ticks += Stopwatch.GetTimestamp() - start;
                entry.Flops += device.Flops - flops;
                entry.Calls++;
                profile.Close();
            }
        }
    }

    /// <summary>What a kernel reads or writes, for its traffic: a tensor, a gradient, or part of a tensor's rows.</summary>
    internal readonly struct Operand
    {
        private readonly Tensor? tensor;
        private readonly long times;

        /// <summary>A tensor, or nothing; <paramref name="updated"/> when it is read and written.</summary>
        public Operand(Tensor? tensor, bool updated) => (this.tensor, times) = (tensor, tensor is null ? 0 : updated ? 2 : 1);

        private Operand(long floats) => times = floats;

        /// <summary>The bytes to move.</summary>
        public long Bytes => tensor is null ? times * sizeof(float) : tensor.Bytes * times;

        /// <summary>So many numbers.</summary>
        public static Operand Floats(long count) => new(count);

        /// <summary>So many tokens of a cache [B,T,W], or of nothing.</summary>
        public static Operand Tokens(Tensor? cache, long tokens) => new(cache is null ? 0 : cache.Shape[0] * tokens * cache.Shape.Columns);

        /// <summary>Queries, and keys and values with those of the past, of which <paramref name="atMost"/> tokens are looked at.</summary>
        public static Operand Sparse(in AttentionOperands operands, long atMost)
        {
            AttentionPast past = operands.Past;
            long tokens = Math.Min(past.Length, atMost), forget = operands.Bias.LogForget?.Shape.Count ?? 0;
            return new(operands.Q.Shape.Count + operands.K.Shape.Count + operands.V.Shape.Count + forget
                + Tokens(past.Keys, tokens).times + Tokens(past.Values, tokens).times);
        }

        public static implicit operator Operand(in AttentionOperands operands) => Sparse(operands, long.MaxValue);

        public static implicit operator Operand(Tensor? tensor) => new(tensor, false);

        public static implicit operator Operand(GradTarget target) => new(target.Tensor, target.Accumulate);
    }
}
