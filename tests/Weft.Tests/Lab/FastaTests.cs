using System.IO.Compression;
using System.Text;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

public sealed class FastaTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private string Write(string text, string name = "a.fa") => folder.Write(name, Encoding.ASCII.GetBytes(text));

    private static byte[] Pack(ReadOnlySpan<byte> bytes)
    {
        using var stream = new MemoryStream();
        using (var zip = new GZipStream(stream, CompressionLevel.Fastest))
        {
            zip.Write(bytes);
        }

        return stream.ToArray();
    }

    private static string Letters(Corpus corpus)
    {
        var bytes = new byte[corpus.Length];
        corpus.Read(0, bytes.AsSpan());
        return Encoding.ASCII.GetString(bytes);
    }

    [Fact]
    public void HeadersAreSkippedLettersMadeCapitalsAndRecordsSeparated()
    {
        string one = Write(">first 123 ACGT\r\nACgt\r\n\r\nAC GTn\r\n>empty\n>second\nTTRT\n"), two = Write(">third\nGGGG", "b.fna");
        Assert.Equal("ACGTACGTN\nTTRT\nGGGG", Letters(Fasta.Open([one, two])));
        string packed = folder.Write("c.fa.gz", [.. Pack(">x\nAC\n>y\n"u8), .. Pack("GT\n"u8)]); // two members, as bgzip writes
        Assert.Equal("AC\nGT", Letters(Fasta.Open([packed])));
    }

    [Fact]
    public void OtherLettersAreMaskedAndCounted()
    {
        Corpus corpus = Fasta.Open([Write(">x\nACGTNNRACGTN\n>y\nACGTYY\n")]);
        Assert.Equal([('N', 3L), ('R', 1L), ('Y', 2L)], BaseSource.MaskedLetters(corpus));
        var source = new BaseSource(corpus);
        var tokens = new int[source.Length];
        source.Read(0, tokens);
        Assert.Equal([0, 1, 2, 3, 4, 4, 4, 0, 1, 2, 3, 4, 4, 0, 1, 2, 3, 4, 4], tokens);
        Assert.Equal((5, 4, corpus.HeldOutLength), (source.Vocabulary, source.Masked, source.HeldOutLength));
    }

    [Fact]
    public void TheSampleHasTwoMillionBases()
    {
        Corpus corpus = Fasta.Sample();
        Assert.Equal(2_000_000, corpus.Length);
        Assert.Empty(BaseSource.MaskedLetters(corpus));
    }

    [Theory]
    [InlineData("ACGT\n", "line 1, column 1", "header")]
    [InlineData(">x\nAC\nAC1T\n", "line 3, column 3", "'1' is no letter")]
    [InlineData(">x\nAC\u0001\n", "line 2, column 3", "byte 0x01")]
    [InlineData(">x\n>y\n", "no sequence", "only headers")]
    [InlineData("\n\n", "no sequence", "'>name'")]
    [InlineData(">x\nMKVLAAGIVGLLLAQWE\n", "no DNA", "17 letters 5 are A, C, G or T")]
    public void WhatIsNoDnaIsRefused(string text, string where, string what) => Refused.With(() => Fasta.Open([Write(text)]), where, what);

    [Fact]
    public void FilesThatCannotBeReadAreRefused()
    {
        Refused.With(() => Fasta.Open([folder["none.fa"]]), "none.fa");
        Refused.With(() => Fasta.Open([folder.Path]), "directory");
        Refused.With(() => Fasta.Open([Write("")]), "empty");
        byte[] packed = Pack(Encoding.ASCII.GetBytes(">x\n" + string.Concat(Enumerable.Range(0, 5000).Select(i => "ACGT"[i * i % 7 % 4]))));
        packed.AsSpan(40, 30).Fill(0xFF);
        Refused.With(() => Fasta.Open([folder.Write("d.fa.gz", packed)]), "d.fa.gz", "damaged");
    }

    [Fact]
    public void WhatUnpacksToTooMuchIsRefused()
    {
        var bomb = new byte[1 << 22];
        bomb.AsSpan().Fill((byte)'\n');
        ">x\nA"u8.CopyTo(bomb);
        Refused.With(() => Fasta.Open([folder.Write("bomb.fa.gz", Pack(bomb))], 1 << 18), "bomb.fa.gz", "unpacks to more than");
        bomb.AsSpan(3).Fill((byte)'A');
        Refused.With(() => Fasta.Open([folder.Write("long.fa.gz", Pack(bomb))], 1 << 20), "long.fa.gz", "past 1048576 letters");
    }

    [Fact]
    public void MaskedBasesAreNeitherLearnedNorScored()
    {
        // Two sequences that differ in what is masked alone: the same loss of the same bases.
        using Device device = Device.Open(1);
        string plain = string.Concat(Enumerable.Range(0, 3000).Select(i => "ACGT"[i * i % 11 % 4]));
        var source = new BaseSource(Fasta.Open([Write(">x\n" + plain)]));
        char[] changed = plain.ToCharArray();
        changed.AsSpan(1600, 30).Fill('N');
        var masked = new BaseSource(Fasta.Open([Write(">x\n" + new string(changed), "n.fa")]));
        var model = new LanguageModel(Presets.Resolve("mingru", 16) with { Vocabulary = 5, Context = 64 }, device, 1);
        Score all = Evaluation.BitsPerByte(model, source, 1000, 1001, 50), without = Evaluation.BitsPerByte(model, masked, 1000, 1001, 50);
        Assert.Equal((1000, 970), (all.Bytes, without.Bytes));
        Assert.InRange(without.BitsPerByte, 0.5, 4);
        Refused.With(() => Evaluation.BitsPerByte(model, masked, 1605, 20, 10), "n.fa", "masked");

        using var trainer = new Trainer(model, masked, new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 2), BatchSize = 2, Context = 32, Rate = 1e-3 });
        trainer.Run();
        Assert.Equal(2, trainer.Steps);
    }
}
