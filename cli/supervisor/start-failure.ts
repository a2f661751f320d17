// A start that cannot go on, as one screen: what failed, the way out, the setting with its place. Never a stack.
import { dirname, relative } from 'node:path';
import { formatAddress, type ListenAddress } from '../../core/address.ts';
import { ConfigurationError, formatFinding } from '../../core/yaml-file.ts';
import type { Configuration } from '../compose.ts';
import { missingFileHint, namesMissingFile } from '../failure.ts';
import { portHolder } from './port-holder.ts';

/** Servers by the name that `sallyport serve` takes. */
export type ServerName = 'gateway' | 'identity' | 'model-server';

/** How a server is called in a sentence. */
export const serverTitles: Readonly<Record<ServerName, string>> = {
  gateway: 'gateway',
  identity: 'identity server',
  'model-server': 'model server',
};

/** What the operator reads when a start fails. */
export class StartFailure extends Error {
  readonly lines: readonly string[];
  /** 1 in general, 3 when the configuration or a policy is invalid. */
  readonly exitCode: number;

  constructor(lines: readonly string[], exitCode = 1) {
    super(lines.join('\n'));
    this.name = 'StartFailure';
    this.lines = lines;
    this.exitCode = exitCode;
  }
}

const maxFindings = 12;

/** Turns whatever a server threw while starting into one screen. */
export function describeFailure(
  error: unknown,
  server: ServerName,
  configuration?: Configuration,
): StartFailure {
  if (error instanceof StartFailure) return error;
  if (error instanceof ConfigurationError) return describeFindings(error);
  const problem = error instanceof Error ? error : new Error(String(error));
  if (configuration !== undefined && isListenError(problem))
    return describeListen(problem, server, configuration);
  const unwritable = configuration === undefined ? null : describeUnwritable(problem, server, configuration);
  if (unwritable !== null) return unwritable;
  const [, setting, sentence] =
    /^((?:gateway|identity|model_server)\.[A-Za-z0-9._:-]*[A-Za-z0-9_-]):\s*(.+)$/s.exec(problem.message) ??
    [];
  const lines = [`✗ The ${serverTitles[server]} cannot start: ${firstLines(sentence ?? problem.message)}`];
  if (setting !== undefined && configuration !== undefined) lines.push(settingLine(setting, configuration));
  return new StartFailure(lines);
}

/** `Setting: gateway.listen in config/sallyport.yaml:3`, or the flag or variable that set it. */
export function settingLine(keyPath: string, configuration: Configuration): string {
  const place = configuration.placeOf(keyPath);
  return place.includes(':') ? `  Setting: ${keyPath} in ${place}` : `  Setting: ${place} (${keyPath})`;
}

function describeFindings(error: ConfigurationError): StartFailure {
  const shown = error.findings
    .slice(0, maxFindings)
    .map((finding) => `  ${formatFinding(finding).replace(/^(SALLYPORT_\w+|--\w+):1:1/, '$1')}`);
  const count = error.findings.length;
  const more = count > maxFindings ? [`  … and ${count - maxFindings} more`] : [];
  const title =
    count === 1
      ? '✗ A setting is invalid; nothing is running.'
      : `✗ ${count} settings are invalid; nothing is running.`;
  return new StartFailure(
    [
      title,
      ...shown,
      ...more,
      namesMissingFile(error) ? `  ${missingFileHint}` : '  Correct the file and run the same command again.',
    ],
    3,
  );
}

interface ListenError extends Error {
  readonly code: string;
  readonly address?: string;
  readonly port?: number;
}

function isListenError(error: Error): error is ListenError {
  return 'syscall' in error && (error.syscall === 'listen' || error.syscall === 'bind') && 'code' in error;
}

function describeListen(error: ListenError, server: ServerName, configuration: Configuration): StartFailure {
  const { keyPath, listen } = failedListener(error, server, configuration);
  const place = listen === undefined ? (error.address ?? '') : formatAddress(listen);
  const cannot = `✗ The ${serverTitles[server]} cannot listen on ${place}`;
  const setting = settingLine(keyPath, configuration);
  if (error.code === 'EADDRINUSE') {
    const holder = error.port === undefined ? undefined : portHolder(error.port);
    const who = holder === undefined ? '' : ` (pid ${holder.pid}, ${holder.program})`;
    const what = error.port === undefined ? 'the socket is in use' : 'port in use';
    const next = (error.port ?? 8080) + 10;
    return new StartFailure([
      `${cannot}: ${what}${who}.`,
      `  Stop that program, or pick another port:  npm start -- --port ${next}`,
      setting,
    ]);
  }
  if (error.code === 'EACCES') {
    return new StartFailure([
      `${cannot}: not permitted.`,
      '  Ports below 1024 need privileges; pick one above, such as 8443.',
      setting,
    ]);
  }
  if (error.code === 'EADDRNOTAVAIL') {
    return new StartFailure([
      `${cannot}: this computer has no such address.`,
      '  Use 127.0.0.1, or an address that `ip address` lists.',
      setting,
    ]);
  }
  return new StartFailure([`${cannot}: ${error.code}.`, setting]);
}

function failedListener(
  error: ListenError,
  server: ServerName,
  configuration: Configuration,
): { keyPath: string; listen: ListenAddress | undefined } {
  if (server === 'gateway') {
    const { gateway } = configuration;
    const internal = gateway?.internal_listen;
    if (internal?.kind === 'tcp' && internal.port === error.port)
      return { keyPath: 'gateway.internal_listen', listen: internal };
    return { keyPath: 'gateway.listen', listen: gateway?.listen };
  }
  if (server === 'identity') return { keyPath: 'identity.listen', listen: configuration.identity?.listen };
  return { keyPath: 'model_server.listen', listen: configuration.modelServer?.listen };
}

const fileProblems: Readonly<Record<string, string>> = {
  EACCES: 'not permitted',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  ENOTDIR: 'a part of the path is no folder',
  EEXIST: 'a file is in the way',
};

/** A folder of a setting that cannot be written; null for everything else. */
function describeUnwritable(
  error: Error & { readonly code?: unknown; readonly path?: unknown },
  server: ServerName,
  configuration: Configuration,
): StartFailure | null {
  const { code, path } = error;
  const why = typeof code === 'string' ? fileProblems[code] : undefined;
  if (why === undefined || typeof path !== 'string') return null;
  const { gateway, identity } = configuration;
  const folders: Readonly<Record<string, string | undefined>> = {
    'gateway.data': gateway?.data,
    'gateway.assertion_jwks': gateway === undefined ? undefined : dirname(gateway.assertion_jwks),
    'identity.data': identity?.data,
  };
  const found = Object.entries(folders).find(
    ([keyPath, folder]) =>
      folder !== undefined &&
      keyPath.startsWith(server) &&
      // A folder that cannot be made, or something in it.
      (isWithin(folder, path) || isWithin(path, folder)),
  );
  if (found === undefined) return null;
  return new StartFailure([
    `✗ The ${serverTitles[server]} cannot write ${path}: ${why}.`,
    '  Give it a folder that its account owns (mode 0700), or change the setting.',
    settingLine(found[0], configuration),
  ]);
}

function isWithin(folder: string, path: string): boolean {
  return !relative(folder, path).startsWith('..');
}

/** A library may throw a page; the first lines say it. */
function firstLines(message: string): string {
  return message
    .split('\n')
    .filter((line) => !/^\s+at /.test(line))
    .slice(0, 8)
    .join('\n  ');
}
