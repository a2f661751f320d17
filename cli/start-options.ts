// The options that `sallyport start` and `sallyport serve` share, and how they travel to a child process.
import { InvalidArgumentError, type Command } from 'commander';
import type { ConfigurationSources } from './compose.ts';

/** As commander hands them over; `--data` by its quoted name, since the bare word has no meaning of its own here. */
export interface StartOptions extends Readonly<Partial<Record<'data', string>>> {
  readonly config?: string;
  readonly port?: number;
  readonly tls?: boolean;
  readonly model?: string;
}

/** Adds the options to a command. */
export function addStartOptions(command: Command): Command {
  return command
    .option('--port <n>', 'gateway on port n, identity on n+1, metrics on n+2', parsePort)
    .option('--tls', 'https for everything, with a certificate from a local authority')
    .option('--model <file>', 'serve this GGUF file instead of the configured models')
    .option('--data <dir>', 'folder for keys, accounts and logs (default: data)')
    .option('--config <file>', 'configuration file (default: config/sallyport.yaml)');
}

/** The options as the configuration takes them. */
export function readStartOptions(options: StartOptions): ConfigurationSources {
  return {
    configFile: options.config,
    flags: {
      ...(options.port === undefined ? {} : { port: options.port }),
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(options.model === undefined ? {} : { model: options.model }),
      ...(options['data'] === undefined ? {} : { dataFolder: options['data'].replace(/(?<=.)\/+$/, '') }),
    },
  };
}

/** The same options as words of a command line. */
export function startArguments(options: StartOptions): string[] {
  const words: string[] = [];
  if (options.config !== undefined) words.push('--config', options.config);
  if (options.port !== undefined) words.push('--port', String(options.port));
  if (options.tls === true) words.push('--tls');
  if (options.model !== undefined) words.push('--model', options.model);
  if (options['data'] !== undefined) words.push('--data', options['data']);
  return words;
}

function parsePort(text: string): number {
  const port = Number(text);
  // Two more ports follow the given one.
  if (!/^\d+$/.test(text) || port < 1 || port > 65_533)
    throw new InvalidArgumentError('Give a number from 1 to 65533.');
  return port;
}
