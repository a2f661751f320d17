// How a command fails: one sentence, the way out, an exit code. Never a stack, a secret or a token.
import type { ExitCode } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** A failure that a person can act on; `hints` are further lines, most useful first. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode;
  readonly hints: readonly string[];
  /** Stable word for callers of `sallyport/token` and for `--json`: `sign_in_needed`, `gateway_unreachable` … */
  readonly code: string;

  constructor(
    exitCode: ExitCode,
    message: string,
    options: { hints?: readonly string[]; code?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
    this.hints = options.hints ?? [];
    this.code = options.code ?? 'failed';
  }
}

/** The way out when a configuration file is not there: most often the command runs in another folder. */
export const missingFileHint =
  'Paths start at the folder of the command: run it in the project folder, or give  --config FILE';

/** Whether a ConfigurationError has a finding about a file that is not there. */
export function namesMissingFile(error: Error): boolean {
  const findings: unknown = Reflect.get(error, 'findings');
  return (
    Array.isArray(findings) &&
    findings.some((finding: unknown) => Reflect.get(Object(finding), 'code') === 'missing_file')
  );
}

/** Commands in a sentence, as this person has to type them: under npx there is no `sallyport` on the path. */
export function asTyped(sentence: string, { command }: Pick<Terminal, 'command'>): string {
  return sentence.replaceAll(/(?<![\w./-]|npx )sallyport (?=[a-z])/g, `${command} `);
}

/** Writes a failure to stderr and answers the exit code that belongs to it. */
export function reportFailure(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof CommandFailure) {
    if (error.message !== '') terminal.say(`${terminal.red('✗')} ${asTyped(error.message, terminal)}`);
    for (const hint of error.hints) terminal.say(`  ${asTyped(hint, terminal)}`);
    return error.exitCode;
  }
  // By name, so that the classes of configuration files need not be loaded for every command.
  if (error instanceof Error && error.name === 'ConfigurationError') {
    for (const line of error.message.split('\n')) terminal.say(`${terminal.red('✗')} ${line}`);
    if (namesMissingFile(error)) terminal.say(`  ${missingFileHint}`);
    return 3;
  }
  terminal.say(
    `${terminal.red('✗')} Something unexpected went wrong: ${error instanceof Error ? error.message : String(error)}`,
  );
  return 1;
}
