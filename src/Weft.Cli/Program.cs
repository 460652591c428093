using Weft.Cli;

using Interruption interruption = new();
return CommandLine.Run(args, Terminal.OfProcess(args, interruption.Token));
