using System.ComponentModel;
using System.Diagnostics;
using System.Reflection;

namespace Weft.Tests.Cli;

public class ToolPackageTests
{
    [Fact]
    public void PacksAsADotnetToolThatInstallsAndRuns()
    {
        using TemporaryFolder folder = new();
        string configuration = typeof(ToolPackageTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;
        string packages = folder["packages"], tool = folder["tool"];
        // Built already, beside these tests; the local folder is the only source, so that no network is needed.
        Dotnet("pack", Path.Combine(Repository.Root, "src", "Weft.Cli"), "-c", configuration, "--no-build", "-o", packages);
        string config = folder.Write("nuget.config", "<configuration><packageSources><clear /></packageSources></configuration>"u8);
        Dotnet("tool", "install", "Weft.Cli", "--tool-path", tool, "--add-source", packages, "--configfile", config);

        CommandResult result = WeftProgram.Finish(WeftProgram.StartProgram(Path.Combine(tool, "weft"), ["models"]));
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Code);
        Assert.Contains("hybrid", result.Out);
    }

    private static void Dotnet(params string[] args)
    {
        Process process;
        try
        {
            process = WeftProgram.StartProgram("dotnet", args);
        }
        catch (Win32Exception e)
        {
            Assert.Skip($"dotnet is not on the path: {e.Message}");
            return;
        }
        CommandResult result = WeftProgram.Finish(process);
        Assert.True(result.Code == 0, $"dotnet {string.Join(' ', args)}\n{result.Out}\n{result.Error}");
    }
}
