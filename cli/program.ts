// The command tree. Every command lies in its own module and is loaded only when it is the one asked for;
// the others are known by name and summary, for the help page and for the nearest word to a typo.
import { Command, CommanderError } from 'commander';
import { packageVersion } from '../core/package.ts';
import { exitCodeMeanings, exitCodes, type ExitCode } from './exit-codes.ts';
import { reportFailure } from './failure.ts';
import { formatHelp } from './help.ts';
import { processTerminal, type Terminal } from './terminal.ts';
import { usageFailure } from './usage-failure.ts';

/** Adds one command, with its options and action, to the tree. */
export type RegisterCommand = (program: Command) => void;

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<RegisterCommand>;
}

const entries: readonly CommandEntry[] = [
  {
    name: 'start',
    summary: 'run identity, model server and gateway on this machine',
    load: async () => (await import('./commands/start.ts')).registerStartCommand,
  },
  {
    name: 'serve',
    summary: 'run one server: gateway, identity or model-server',
    load: async () => (await import('./commands/serve.ts')).registerServeCommand,
  },
  {
    name: 'login',
    summary: 'sign in to the gateway',
    load: async () => (await import('./commands/login.ts')).registerLoginCommand,
  },
  {
    name: 'logout',
    summary: 'revoke and delete the stored sign-in',
    load: async () => (await import('./commands/logout.ts')).registerLogoutCommand,
  },
  {
    name: 'whoami',
    summary: 'show who is signed in, with roles and models',
    load: async () => (await import('./commands/whoami.ts')).registerWhoamiCommand,
  },
  {
    name: 'chat',
    summary: 'continue a text with a model, streaming',
    load: async () => (await import('./commands/chat.ts')).registerChatCommand,
  },
  {
    name: 'token',
    summary: 'print a valid access token, for other programs',
    load: async () => (await import('./commands/token.ts')).registerTokenCommand,
  },
  {
    name: 'env',
    summary: 'print shell assignments for OpenAI clients',
    load: async () => (await import('./commands/env.ts')).registerEnvCommand,
  },
  {
    name: 'connect',
    summary: 'print the code that connects a client library',
    load: async () => (await import('./commands/connect.ts')).registerConnectCommand,
  },
  {
    name: 'doctor',
    summary: 'check the way from here to a model, with repairs',
    load: async () => (await import('./commands/doctor.ts')).registerDoctorCommand,
  },
  {
    name: 'policy',
    summary: 'check, test and explain the policies',
    load: async () => (await import('./commands/policy.ts')).registerPolicyCommands,
  },
  {
    name: 'profile',
    summary: 'list the stored sign-ins, choose the one in use',
    load: async () => (await import('./commands/profile.ts')).registerProfileCommands,
  },
  {
    name: 'model',
    summary: 'list, pull and check model files',
    load: async () => (await import('./commands/model.ts')).registerModelCommands,
  },
  {
    name: 'account',
    summary: 'administer accounts of the embedded identity server',
    load: async () => (await import('./commands/account.ts')).registerAccountCommands,
  },
  {
    name: 'key',
    summary: 'make, list and revoke API keys of your own',
    load: async () => (await import('./commands/key.ts')).registerKeyCommands,
  },
  {
    name: 'relation',
    summary: 'who is related to what, for rules that ask it',
    load: async () => (await import('./commands/relation.ts')).registerRelationCommands,
  },
  {
    name: 'audit',
    summary: 'verify the audit log of a gateway',
    load: async () => (await import('./commands/audit.ts')).registerAuditCommands,
  },
  {
    name: 'completion',
    summary: 'print completion for bash, zsh or fish',
    load: async () => {
      const { registerCompletionCommand } = await import('./commands/completion.ts');
      return (program) =>
        registerCompletionCommand(program, () => createProgram(everyCommand, processTerminal()));
    },
  },
];

/** Runs one command line and sets the exit code of the process. */
export async function run(words: readonly string[]): Promise<void> {
  const terminal = processTerminal();
  // A reader that leaves early (`| head -1`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const code = await execute(words, terminal);
  if (code !== null) process.exitCode = code;
}

async function execute(words: readonly string[], terminal: Terminal): Promise<ExitCode | null> {
  try {
    const program = await createProgram(requestedCommand(words), terminal);
    if (words.filter((word) => word !== '--no-color').length === 0) {
      program.outputHelp();
      return exitCodes.done;
    }
    await program.parseAsync(words, { from: 'user' });
    // A command that runs on, such as a server, or that decided its own exit code keeps it.
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    return reportFailure(error, terminal);
  }
}

// No command line can say it: it stands for a tree with all commands loaded.
const everyCommand = Symbol('every command');

async function createProgram(
  wanted: string | typeof everyCommand | undefined,
  terminal: Terminal,
): Promise<Command> {
  const program = new Command('sallyport')
    .description('The guarded door between people and language models.')
    .version(packageVersion, '-V, --version', 'print the version')
    .option('--no-color', 'no colour, also with NO_COLOR=1')
    .helpOption('-h, --help', 'show this help')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureHelp({ formatHelp })
    .configureOutput({
      outputError: (text) => terminal.say(usageFailure(text, terminal)),
      getOutHelpWidth: () => terminal.width,
      getErrHelpWidth: () => terminal.width,
    });
  program.helpCommand(false);
  for (const entry of entries) {
    if (entry.name === wanted || wanted === everyCommand) (await entry.load())(program);
    else program.command(entry.name).description(entry.summary);
  }
  addHelpCommand(program, terminal);
  return program;
}

/** The first word that is not a flag; after `help`, the one that help is wanted for. */
function requestedCommand(words: readonly string[]): string | undefined {
  const operands = words.filter((word) => !word.startsWith('-'));
  return operands[0] === 'help' ? operands[1] : operands[0];
}

function addHelpCommand(program: Command, terminal: Terminal): void {
  program
    .command('help [command...]')
    .description('show help for a command, or: help exit-codes')
    .action((path: readonly string[]) => {
      if (path[0] === 'exit-codes') {
        terminal.write(exitCodeHelp());
        return;
      }
      let command = program;
      for (const name of path) {
        const next = command.commands.find((candidate) => candidate.name() === name);
        if (next === undefined)
          command.error(`error: unknown command '${name}'`, { code: 'commander.unknownCommand' });
        else command = next;
      }
      command.outputHelp();
    });
}

function exitCodeHelp(): string {
  const lines = exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`);
  return ['Exit codes of every command, the same through npx:', '', ...lines, ''].join('\n');
}
