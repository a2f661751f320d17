// `sallyport env`: shell assignments for programs that read OPENAI_BASE_URL and OPENAI_API_KEY.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { connect, withConnectionOptions, type ConnectionOptions } from '../connection.ts';
import { processTerminal } from '../terminal.ts';
import { fromNow } from '../wording.ts';

interface EnvOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** Adds `env` to the tree. */
export function registerEnvCommand(program: Command): void {
  withConnectionOptions(program.command('env'))
    .description('Print shell assignments that point OpenAI clients to the gateway, with a fresh token.')
    .addHelpText('before', 'Example:\n  eval "$(sallyport env)"\n')
    .option('--json', 'the same as one JSON object')
    .action(printEnvironment);
}

async function printEnvironment(options: EnvOptions): Promise<void> {
  const terminal = processTerminal();
  const connection = await connect(options);
  const session = await connection.session();
  const assignments: Record<string, string> = {
    OPENAI_BASE_URL: `${connection.address.gateway}/v1`,
    OPENAI_API_KEY: session.access_token,
    ...(connection.certificateAuthority === undefined
      ? {}
      : { NODE_EXTRA_CA_CERTS: resolve(connection.certificateAuthority) }),
  };
  if (options.json === true) {
    terminal.json(assignments);
    return;
  }
  for (const [name, value] of Object.entries(assignments))
    terminal.write(`export ${name}=${shellQuote(value)}\n`);
  if (terminal.interactive)
    terminal.say(terminal.dim(`# the token expires ${fromNow(session.expires_at)}; run it again then`));
}

/** One shell word, whatever it holds. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
