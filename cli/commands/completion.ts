// `sallyport completion bash|zsh|fish`: a script for the shell, made from the command tree as it is.
import { Argument, type Command } from 'commander';
import { shellCompletion, type CompletionNode, type Shell } from '../shell-completion.ts';
import { processTerminal } from '../terminal.ts';

const shells = ['bash', 'zsh', 'fish'] as const satisfies readonly Shell[];

/** Adds `completion` to the tree; `wholeTree` makes a program with every command loaded. */
export function registerCompletionCommand(program: Command, wholeTree: () => Promise<Command>): void {
  program
    .command('completion')
    .description('Print completion for a shell: commands, flags, profiles and models.')
    .addHelpText(
      'before',
      [
        'Example:',
        '  bash   eval "$(sallyport completion bash)"       in ~/.bashrc',
        '  zsh    eval "$(sallyport completion zsh)"        in ~/.zshrc, after compinit',
        '  fish   sallyport completion fish | source        in config.fish\n',
      ].join('\n'),
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .action(async (shell: Shell) => {
      processTerminal().write(shellCompletion(shell, nodesOf(await wholeTree())));
    });
}

/** Every command by its path, with the words that may follow. */
function nodesOf(command: Command, path: readonly string[] = []): readonly CompletionNode[] {
  const children = command.commands.filter((child) => path.length === 0 || child.name() !== 'help');
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  const flags = command.options.flatMap((option) => (option.long === undefined ? [] : [option.long]));
  return [
    { path, words: [...children.map((child) => child.name()), ...choices], flags: [...flags, '--help'] },
    ...children.flatMap((child) => nodesOf(child, [...path, child.name()])),
  ];
}
