// What environment variables and flags lay over the configuration file, as paths and values. Nothing is validated here:
// the schemas judge the merged value (cli/compose.ts).
import { basename } from 'node:path';
import { parse } from 'yaml';

/** One value laid over the file. */
export interface Override {
  readonly path: readonly string[];
  /** The value as YAML reads it: `2` is a number, `true` a boolean, `[a, b]` a list. */
  readonly value: unknown;
  /** The same as it was written, for settings that take text. */
  readonly text: unknown;
  /** What the operator used: `SALLYPORT_GATEWAY__LISTEN` or `--port`. */
  readonly source: string;
}

/** Flags that `start` and `serve` share. */
export interface StartFlags {
  /** The gateway listens on N, the identity server on N+1, the internal listener on N+2. */
  readonly port?: number;
  /** Serves gateway and identity with a certificate of a local authority. */
  readonly tls?: boolean;
  /** A GGUF file, served instead of the models of the file. */
  readonly model?: string;
  /** Folder for everything written at run time; default: `data`. */
  readonly dataFolder?: string;
}

const sections = ['gateway', 'identity', 'model_server'];

/** Reads `SALLYPORT_<SECTION>__<KEY>[__<KEY>…]`; names of records are matched with `_` for `-` and `.`, any case. */
export function environmentOverrides(
  env: Readonly<Record<string, string | undefined>>,
  file: Record<string, unknown>,
): Override[] {
  return Object.entries(env).flatMap(([name, text]) => {
    const [section = '', ...keys] = name
      .replace(/^SALLYPORT_/, '')
      .split('__')
      .map((part) => part.toLowerCase());
    if (!name.startsWith('SALLYPORT_') || keys.length === 0 || !sections.includes(section)) return [];
    if (text === undefined) return [];
    const path = spelledAsInFile([section, ...keys], file);
    return [{ path, value: readScalar(text), text, source: name }];
  });
}

/** The values that flags stand for. */
export function flagOverrides(flags: StartFlags, file: Record<string, unknown>): Override[] {
  const overrides: Override[] = [];
  const add = (keyPath: string, value: unknown, source: string): void => {
    overrides.push({ path: keyPath.split('.'), value, text: value, source });
  };
  if (flags.port !== undefined) {
    for (const [keyPath, port] of [
      ['gateway.listen', flags.port],
      ['identity.listen', flags.port + 1],
      ['gateway.internal_listen', flags.port + 2],
    ] as const) {
      if (file[keyPath.split('.')[0] ?? ''] !== undefined)
        add(keyPath, `${hostAt(file, keyPath)}:${port}`, '--port');
    }
  }
  if (flags.tls === true) {
    for (const section of ['gateway', 'identity']) {
      if (file[section] !== undefined)
        add(`${section}.tls`, { cert: 'data/tls/server.pem', key: 'data/tls/server-key.pem' }, '--tls');
    }
  }
  if (flags.model !== undefined) {
    const name = basename(flags.model)
      .replace(/\.gguf$/i, '')
      .replaceAll(/[^A-Za-z0-9._:-]/g, '-');
    add('model_server.models', { [name]: { path: flags.model } }, '--model');
  }
  return overrides;
}

/** A copy of `value` with `path` set; objects on the way are made where they are missing. */
export function setAt(value: unknown, path: readonly string[], leaf: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return leaf;
  const record = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}; // Parsed YAML.
  return { ...record, [key]: setAt(record[key], rest, leaf) };
}

function hostAt(file: Record<string, unknown>, keyPath: string): string {
  const listen = valueAt(file, keyPath.split('.'));
  const host = typeof listen === 'string' ? /^(.+):\d+$/.exec(listen)?.[1] : undefined;
  return host === undefined || host === 'unix' ? '127.0.0.1' : host;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (level, key) =>
      typeof level === 'object' && level !== null ? (level as Record<string, unknown>)[key] : undefined,
    value,
  );
}

function spelledAsInFile(path: readonly string[], file: Record<string, unknown>): string[] {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-.]/g, '_');
  let level: unknown = file;
  return path.map((key) => {
    const record = typeof level === 'object' && level !== null ? (level as Record<string, unknown>) : {};
    const spelled = Object.keys(record).find((candidate) => plain(candidate) === plain(key)) ?? key;
    level = record[spelled];
    return spelled;
  });
}

function readScalar(text: string): unknown {
  try {
    return parse(text) ?? text;
  } catch {
    return text;
  }
}
