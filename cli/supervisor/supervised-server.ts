// One server process under supervision: started, watched, restarted with growing pauses, stopped. It runs in a process
// group of its own, so that Ctrl-C in the terminal reaches the supervisor alone and a kill reaches its descendants too.
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { serverMessage, type ServerMessage } from './messages.ts';

/** What the supervisor hears about a server. */
export type ServerEvent =
  | { readonly kind: 'ready'; readonly address: string; readonly isRestart: boolean; readonly tookMs: number }
  | { readonly kind: 'firstAdministrator'; readonly username: string; readonly password: string }
  | { readonly kind: 'draining'; readonly open: number }
  /** The first start failed; there will be no restart. */
  | { readonly kind: 'failed'; readonly lines: readonly string[]; readonly exitCode: number }
  | {
      readonly kind: 'stopped';
      readonly how: string;
      readonly restartInMs: number;
      readonly lines: readonly string[];
    }
  | { readonly kind: 'line'; readonly line: string };

export interface SupervisedServerOptions {
  /** For sentences: `model server`. */
  readonly title: string;
  /** Starts the process with piped stdout and stderr, IPC and its own process group. */
  readonly spawn: () => ChildProcess;
  readonly onEvent: (event: ServerEvent) => void;
  /** Pause before the first restart; doubles each time. */
  readonly firstPauseMs?: number;
}

/** A server process with a lifetime. */
export interface SupervisedServer {
  /** Asks it to drain and end; after `limitMs` it is killed. Resolves when it is gone. */
  readonly stop: (limitMs: number) => Promise<void>;
  /** Kills it and its descendants now. */
  readonly kill: () => void;
  readonly pid: () => number | undefined;
}

const longestPauseMs = 30_000;
// A server that held this long is healthy again: its next failure counts as the first.
const healthyAfterMs = 60_000;
const keptLines = 5;

/** Starts a server process and keeps it running until it is stopped. */
export function superviseServer(options: SupervisedServerOptions): SupervisedServer {
  const firstPauseMs = options.firstPauseMs ?? 1000;
  let child: ChildProcess | undefined;
  let stopping = false;
  let everReady = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let gone = Promise.resolve();

  const launch = (): void => {
    const startedAt = performance.now();
    const attempt = {
      readyAt: 0,
      failed: undefined as Extract<ServerMessage, { event: 'failed' }> | undefined,
      lines: [] as string[],
    };
    const started = options.spawn();
    child = started;
    gone = new Promise((resolve) => {
      started.once('error', () => resolve()); // The process could not be made; `exit` does not follow.
      started.once('close', () => resolve());
    });
    const keep = (line: string): void => {
      attempt.lines = [...attempt.lines.slice(1 - keptLines), line];
      options.onEvent({ kind: 'line', line });
    };
    for (const stream of [started.stdout, started.stderr]) if (stream !== null) readLines(stream, keep);
    started.on('message', (received) => {
      const parsed = serverMessage.safeParse(received);
      if (!parsed.success) return;
      const message = parsed.data;
      if (message.event === 'ready') {
        attempt.readyAt = performance.now();
        options.onEvent({
          kind: 'ready',
          address: message.address,
          isRestart: everReady,
          tookMs: attempt.readyAt - startedAt,
        });
        everReady = true;
      } else if (message.event === 'first_administrator') {
        options.onEvent({
          kind: 'firstAdministrator',
          username: message.username,
          password: message.password,
        });
      } else if (message.event === 'draining') options.onEvent({ kind: 'draining', open: message.open });
      else attempt.failed = message;
    });
    started.once('close', (code, signal) => {
      child = undefined;
      if (stopping) return;
      const how = signal ?? `exit code ${code ?? 'unknown'}`;
      const lines = attempt.failed?.lines ?? [];
      if (!everReady) {
        const unexplained = [
          `✗ The ${options.title} stopped (${how}) before it was ready.`,
          ...attempt.lines.filter(isForPeople).map((line) => `  ${line}`),
        ];
        options.onEvent({
          kind: 'failed',
          lines: lines.length > 0 ? lines : unexplained,
          exitCode: attempt.failed?.exitCode ?? 1,
        });
        return;
      }
      if (attempt.readyAt > 0 && performance.now() - attempt.readyAt > healthyAfterMs) failures = 0;
      const restartInMs = Math.min(firstPauseMs * 2 ** failures, longestPauseMs);
      failures += 1;
      options.onEvent({ kind: 'stopped', how, restartInMs, lines });
      timer = setTimeout(launch, restartInMs);
    });
  };

  const kill = (): void => {
    stopping = true;
    clearTimeout(timer);
    if (child?.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  };

  launch();
  return {
    async stop(limitMs) {
      stopping = true;
      clearTimeout(timer);
      if (child === undefined) return;
      child.kill('SIGTERM');
      const limit = setTimeout(kill, limitMs);
      await gone;
      clearTimeout(limit);
    },
    kill,
    pid: () => child?.pid,
  };
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Infinity }).on('line', onLine);
}

/** Log records and stack lines are not for the screen. */
function isForPeople(line: string): boolean {
  return (
    line.trim() !== '' && !line.startsWith('{') && !/^\s+at /.test(line) && !line.startsWith('Node.js v')
  );
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // No such group (it is ending, or was not made): the process itself is tried next.
    }
  }
}
