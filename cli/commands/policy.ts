// `sallyport policy …`: the policies checked, tested and explained, offline. Each tool is loaded when it is asked for.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { defaultConfigFile } from '../compose.ts';
import type { AccessOptions } from '../policy/access-command.ts';
import type { CheckOptions } from '../policy/check.ts';
import type { ExplainOptions } from '../policy/explain-command.ts';
import type { FmtOptions } from '../policy/fmt.ts';
import type { ImportOptions } from '../policy/import-apim-command.ts';
import type { ReplOptions } from '../policy/repl.ts';
import type { ReplayOptions } from '../policy/replay-command.ts';
import type { TestOptions } from '../policy/test-command.ts';
import { processTerminal } from '../terminal.ts';

const reportFormats = ['human', 'json', 'github', 'sarif', 'junit'];

/** Adds `policy` and its commands to the tree. */
export function registerPolicyCommands(program: Command): void {
  const policy = program
    .command('policy')
    .description('Check, test and explain the policies, offline.')
    .helpCommand(false)
    .addHelpText('before', 'Example:\n  sallyport policy check\n  sallyport policy test --mutate\n');
  const command = (name: string, description: string, example: string): Command =>
    policy
      .command(name)
      .description(description)
      .addHelpText('before', `Example:\n  sallyport policy ${example}\n`)
      .option('--config <file>', 'configuration file', defaultConfigFile)
      .option('--json', 'print JSON');
  const format = (choices: readonly string[]): Option =>
    new Option('--format <format>', 'form of the output').choices(choices).default(choices[0]);

  command('check [directory]', 'Show every fault and oddity of the policies.', 'check --watch')
    .addOption(format(reportFormats))
    .option('--watch', 'check again after every change')
    .action(async (directory: string | undefined, options: CheckOptions) => {
      const { checkCommand } = await import('../policy/check.ts');
      process.exitCode = await checkCommand(directory, options, processTerminal());
    });
  command('test [directory]', 'Run the tests of the policies (tests/*.yaml).', 'test --mutate')
    .addOption(format(reportFormats))
    .option('--filter <text>', 'only tests whose name or file contains this')
    .option('--min-coverage <percent>', 'fail when tests decide fewer roles and rules', percentOf)
    .option('--mutate', 'name small changes of the policies that no test notices')
    .option('--verbose', 'list every passed test')
    .action(async (directory: string | undefined, options: TestOptions) => {
      const { testCommand } = await import('../policy/test-command.ts');
      process.exitCode = testCommand(directory, options, processTerminal());
    });
  command(
    'explain [request-id]',
    'Say why a request is permitted or refused.',
    'explain --roles LLM.User --action models.list',
  )
    .option('--policies <directory>', 'policies to judge by')
    .option('--token-file <file>', 'an access token; its signature is not checked')
    .option('--claims <file>', 'claims as a JSON object')
    .option('--certificate <file>', 'a client certificate (PEM); its chain is not checked')
    .option('--roles <roles>', 'somebody who holds these roles, separated by commas')
    .option('--action <action>', 'what is asked for, e.g. chat.completions.create')
    .option('--model <model>', 'the model that is asked for')
    .option('--now <time>', 'when, e.g. 2026-11-22T10:00:00Z; default: now')
    .option('--from <address>', 'address of the caller', '127.0.0.1')
    .action(async (requestId: string | undefined, options: ExplainOptions) => {
      const { explainCommand } = await import('../policy/explain-command.ts');
      process.exitCode = await explainCommand(requestId, options, processTerminal());
    });
  command('access [directory]', 'Show who can use what.', 'access --principal ada')
    .addOption(format(['table', 'csv', 'json']))
    .option('--model <model>', 'only this model')
    .option('--role <role>', 'only this role')
    .option('--principal <name>', 'what this principal can use: its subject, or issuer and subject')
    .action(async (directory: string | undefined, options: AccessOptions) => {
      const { accessCommand } = await import('../policy/access-command.ts');
      await accessCommand(directory, options, processTerminal());
    });
  command(
    'replay',
    'Try other policies on recorded decisions.',
    'replay --since 7d --candidate policies-next',
  )
    .requiredOption('--candidate <directory>', 'the policies to try')
    .option('--since <time>', 'how far back: 7d, 12h, or a time', '7d')
    .option('--live', 'compare with the policies in use instead of what was decided then')
    .addOption(format(['human', 'json', 'csv']))
    .action(async (options: ReplayOptions) => {
      const { replayCommand } = await import('../policy/replay-command.ts');
      process.exitCode = await replayCommand(options, processTerminal());
    });
  command(
    'repl',
    'Evaluate expressions of rules, line by line.',
    'repl --claims claims.json --model tiny-gpt2',
  )
    .option('--policies <directory>', 'policies to judge by')
    .option('--token-file <file>', 'an access token; its signature is not checked')
    .option('--claims <file>', 'claims as a JSON object')
    .option('--certificate <file>', 'a client certificate (PEM)')
    .option('--roles <roles>', 'somebody who holds these roles, separated by commas')
    .option('--action <action>', 'what is asked for', 'chat.completions.create')
    .option('--model <model>', 'the model that is asked for')
    .option('--request <file>', 'the request body as JSON')
    .option('--from <address>', 'address of the caller', '127.0.0.1')
    .action(async (options: ReplOptions) => {
      const { replCommand } = await import('../policy/repl.ts');
      process.exitCode = await replCommand(options, processTerminal());
    });
  command('fmt [directory]', 'Lay the files out alike; comments stay.', 'fmt --check')
    .option('--check', 'write nothing; fail when a file would change')
    .action(async (directory: string | undefined, options: FmtOptions) => {
      const { fmtCommand } = await import('../policy/fmt.ts');
      process.exitCode = fmtCommand(directory, options, processTerminal());
    });
  policy
    .command('init <directory>')
    .addHelpText('before', 'Example:\n  sallyport policy init my-policies\n')
    .description('Write a first set of policies with tests.')
    .option('--json', 'print JSON')
    .action(async (directory: string, options: { readonly json?: boolean }) => {
      const { initCommand } = await import('../policy/init.ts');
      initCommand(directory, options, processTerminal());
    });
  registerImport(policy);
}

/** `policy import apim`; further sources would stand beside it. */
function registerImport(policy: Command): void {
  const several = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  policy
    .command('import')
    .description('Turn policies of other gateways into ours.')
    .helpCommand(false)
    .addHelpText('before', 'Example:\n  sallyport policy import apim policy.xml --audience api://my-api\n')
    .command('apim <file>')
    .description('Import an Azure API Management policy document, and report what has no equivalent.')
    .addHelpText('before', 'Example:\n  sallyport policy import apim policy.xml --audience api://my-api\n')
    .option('--out <directory>', 'folder to write, which must be new', 'imported-policies')
    .option('--audience <audience>', 'an audience that tokens must name; may be repeated', several, [])
    .option('--tenant <id>', 'the tenant, where the document names none; may be repeated', several, [])
    .option('--named-value <name=value>', 'what {{name}} stands for; may be repeated', several, [])
    .option('--config <file>', 'configuration file', defaultConfigFile)
    .option('--json', 'print JSON')
    .action(async (file: string, options: ImportOptions) => {
      const { importApimCommand } = await import('../policy/import-apim-command.ts');
      process.exitCode = importApimCommand(file, options, processTerminal());
    });
}

function percentOf(text: string): number {
  const percent = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(percent <= 100)) throw new InvalidArgumentError('a percentage is a whole number from 0 to 100.');
  return percent;
}
