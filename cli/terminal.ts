// What a command may write and where: data to stdout, talk to stderr, colour and moving lines only for a person.
// Decides once from the environment: no escape byte leaves unless the stream is a terminal that wants colour.
import type { Readable, Writable } from 'node:stream';

type Output = Writable & { readonly isTTY?: boolean };
/** `setRawMode` is there on a terminal only. */
type Input = Readable & { readonly isTTY?: boolean; readonly setRawMode?: (raw: boolean) => unknown };

/** The streams and manners of one run of the command line. */
export interface Terminal {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input;
  /** Whether a person sits there: keys can be read and a line may be redrawn. */
  readonly interactive: boolean;
  /** Whether escape sequences may be written to stderr. */
  readonly colour: boolean;
  readonly width: number;
  /** `npx sallyport` or `sallyport`, as the person called it. */
  readonly command: string;
  /** Writes data to stdout, byte for byte. */
  readonly write: (text: string) => void;
  /** Writes one JSON value and a newline to stdout. */
  readonly json: (value: unknown) => void;
  /** Writes one line of talk to stderr. */
  readonly say: (line?: string) => void;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

export interface TerminalSources {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input;
}

/** Reads NO_COLOR, TERM, CI, COLUMNS and `--no-color` once. */
export function createTerminal({ argv, env, stdout, stderr, stdin }: TerminalSources): Terminal {
  const plain =
    isSet(env['NO_COLOR']) || env['TERM'] === 'dumb' || isSet(env['CI']) || argv.includes('--no-color');
  const colour = stderr.isTTY === true && !plain;
  const style = (open: number, close: number) => (text: string) =>
    colour ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  const columns = Number(env['COLUMNS']);
  return {
    stdout,
    stderr,
    stdin,
    interactive: stdin.isTTY === true && stderr.isTTY === true && env['TERM'] !== 'dumb' && !isSet(env['CI']),
    colour,
    width: Number.isInteger(columns) && columns >= 20 ? columns : 80,
    command: env['npm_command'] === 'exec' ? 'npx sallyport' : 'sallyport',
    write: (text) => void stdout.write(text),
    json: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    say: (line = '') => void stderr.write(`${line}\n`),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
    dim: style(2, 22),
    bold: style(1, 22),
  };
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return createTerminal({
    argv: process.argv,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
  });
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}
