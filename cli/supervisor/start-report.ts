// What a start tells: on a terminal the block a person reads, elsewhere JSON lines for whoever collects logs.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageVersion } from '../../core/package.ts';
import { paintMark } from './paint.ts';
import { serverTitles, type ServerName } from './start-failure.ts';

/** Everything a start can report; implementations decide how it looks. */
export interface StartReport {
  /** One server answers; `detail` such as the models it serves. */
  ready(server: ServerName, place: string, detail: string): void;
  firstAdministrator(username: string, password: string): void;
  /** A start takes longer than a second: says what for. */
  waiting(servers: readonly ServerName[], seconds: number): void;
  /** All servers answer. */
  complete(seconds: number): void;
  /** Something happened later: a stop, a restart, a warning of a server. Clears the line of `waiting`. */
  note(mark: '✓' | '!' | '✗' | ' ', sentence: string): void;
}

interface Administrator {
  readonly username: string;
  readonly password: string;
}

export interface ReportOptions {
  readonly servers: readonly ServerName[];
  readonly dataFolder: string;
  readonly isFirstRun: boolean;
  /** Policies folder, as configured. */
  readonly policies: string;
  /** Whether only this computer can connect. */
  readonly isLoopback: boolean;
  /** What `sallyport login` needs to find this gateway, such as `--gateway https://127.0.0.1:8080`; empty by default. */
  readonly loginArguments: string;
  /** Certificate authority that other programs must trust; set by `--tls`. */
  readonly authorityFile: string | undefined;
  readonly write: (text: string) => void;
}

const nameColumn = 28;

/** The block for a person: at most 14 lines (18 with what npm prints before), later runs 5 (9). */
export function terminalReport(options: ReportOptions): StartReport {
  const { write } = options;
  const ready = new Map<ServerName, string>();
  const order = (['identity', 'model-server', 'gateway'] as const).filter((name) =>
    options.servers.includes(name),
  );
  let administrator: Administrator | undefined;
  let printed = 0;
  let begun = false;
  let statusShown = false;

  const clearStatus = (): void => {
    if (statusShown) write('\r\x1b[K');
    statusShown = false;
  };
  const line = (text: string): void => {
    clearStatus();
    write(`${paintMark(text)}\n`);
  };
  const begin = (): void => {
    if (begun) return;
    begun = true;
    const folder = `${options.dataFolder}/  (only you can read it)`;
    // A start that failed may have left the folder: what counts is whether the password is about to be shown.
    const isFirst = options.isFirstRun || administrator !== undefined;
    if (isFirst) line(`  ${`Sallyport ${packageVersion}`.padEnd(nameColumn + 2)} embedded defaults`);
    line(row(isFirst && order.includes('identity') ? 'keys, first administrator' : 'keys', folder));
  };
  const flush = (suffix: string): void => {
    for (const name of order.slice(printed)) {
      const text = ready.get(name);
      if (text === undefined) return;
      const isLast = name === order.at(-1);
      if (isLast && suffix === '') return; // Waits for the time that the whole start took.
      begin();
      line(row(shortTitle(name), isLast ? `${text}${suffix}` : text));
      printed += 1;
    }
  };

  return {
    ready(server, place, detail) {
      ready.set(server, detail === '' ? place.padEnd(26) : `${place.padEnd(26)} ${detail}`);
      flush('');
    },
    firstAdministrator(username, password) {
      administrator = { username, password };
      saveAdministrator(options.dataFolder, administrator); // Until the block is shown: a start can still fail.
    },
    waiting(servers, seconds) {
      clearStatus();
      write(`  … starting ${servers.map(shortTitle).join(', ')} (${Math.round(seconds)} s)`);
      statusShown = true;
    },
    complete(seconds) {
      flush(` ready in ${seconds.toFixed(1)} s`);
      for (const text of closingLines(options, administrator)) line(text);
      if (administrator !== undefined) rmSync(administratorFile(options.dataFolder), { force: true });
    },
    note: (mark, sentence) => line(`${mark} ${sentence}`),
  };
}

/** Where the password of the first administrator waits until it was shown or used. */
function administratorFile(dataFolder: string): string {
  return join(dataFolder, 'first-admin');
}

function saveAdministrator(dataFolder: string, administrator: Administrator): string {
  const file = administratorFile(dataFolder);
  writeFileSync(file, `${administrator.username}\n${administrator.password}\n`, { mode: 0o600 });
  return file;
}

function row(name: string, text: string): string {
  return `  ✓ ${name.padEnd(nameColumn)}${text}`.trimEnd();
}

function shortTitle(name: ServerName): string {
  return name === 'identity' ? 'identity' : serverTitles[name];
}

function closingLines(options: ReportOptions, administrator: Administrator | undefined): string[] {
  const policies = `Policies in ${options.policies}/ reload when saved.`;
  const reach = options.isLoopback ? 'Only this computer can connect' : 'Other computers can connect';
  const trust =
    options.authorityFile === undefined
      ? []
      : [`  Trust it elsewhere:  export NODE_EXTRA_CA_CERTS=${options.authorityFile}`];
  if (administrator === undefined && !options.isFirstRun) {
    const file = administratorFile(options.dataFolder);
    const unread = existsSync(file) ? [`  First administrator: password in ${file}`] : [];
    // At the usual address `sallyport login` finds it; elsewhere the command is worth more than the policies.
    const next = options.loginArguments === '' ? policies : `npx sallyport login ${options.loginArguments}`;
    return [...trust, ...unread, `  ${next}  Ctrl-C stops everything.`];
  }
  const account =
    administrator === undefined
      ? []
      : [
          '',
          `  Administrator   ${administrator.username}    its password is shown only now`,
          `  Password        ${administrator.password}`,
        ];
  return [
    `  ${policies}  Ctrl-C stops everything.`,
    ...(trust.length > 0 ? trust : [`  ${reach}; docs/how-to/tls.md says how to change that.`]),
    ...account,
    '',
    '  In a second terminal, in this folder:',
    `    npx sallyport login ${options.loginArguments}`.trimEnd(),
    '    npx sallyport chat "The future of AI is"',
  ];
}

// As in the servers' own records, so that one filter fits all.
const logLevels = new Map([
  ['info', 30],
  ['warn', 40],
  ['error', 50],
] as const);

/** One JSON object per event, for logs that a machine collects. */
export function jsonReport(options: Pick<ReportOptions, 'write' | 'dataFolder'>): StartReport {
  const told = new Set<ServerName>();
  const emit = (
    level: 'info' | 'warn' | 'error',
    message: string,
    extra: Record<string, unknown> = {},
  ): void =>
    options.write(
      `${JSON.stringify({ level: logLevels.get(level), time: new Date().toISOString(), name: 'supervisor', ...extra, msg: message })}\n`,
    );
  return {
    ready: (server, place, detail) =>
      emit('info', `${serverTitles[server]} ready`, {
        server,
        address: place,
        ...(detail === '' ? {} : { detail }),
      }),
    firstAdministrator(username, password) {
      // A log keeps what it is told, so the password goes to a file; identity deletes it at the first sign-in.
      const file = saveAdministrator(options.dataFolder, { username, password });
      emit('info', `first administrator: password in ${file}`);
    },
    waiting(servers) {
      const untold = servers.filter((server) => !told.has(server));
      untold.forEach((server) => told.add(server));
      if (untold.length > 0)
        emit('info', `starting ${untold.map((server) => serverTitles[server]).join(', ')}`);
    },
    complete: (seconds) => emit('info', `ready in ${seconds.toFixed(1)} s`, { event: 'ready' }),
    note: (mark, sentence) => emit(mark === '!' ? 'warn' : mark === '✗' ? 'error' : 'info', sentence.trim()),
  };
}
