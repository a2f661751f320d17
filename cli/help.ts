// The help page of the whole program, example first, on one screen. The pages of the commands are commander's own.
import { Help, type Command } from 'commander';

/** Formats help: the root page by hand, every other page as commander does. */
export function formatHelp(command: Command, help: Help): string {
  if (command.parent !== null) return Help.prototype.formatHelp.call(help, command, help);
  const commands = help.visibleCommands(command);
  const names = commands.map((entry) => help.subcommandTerm(entry));
  const width = Math.max(...names.map((name) => name.length));
  return [
    'Example:  sallyport login && sallyport chat "The future of AI is"',
    '',
    'Commands:',
    ...commands.map(
      (entry, index) => `  ${(names[index] ?? '').padEnd(width)}  ${help.subcommandDescription(entry)}`,
    ),
    '',
    '-h after any command shows its help.  -V: version.  --no-color: plain text.',
    '',
  ].join('\n');
}
