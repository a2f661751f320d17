// Runs the servers as child processes: all at once, reported as they become ready, restarted when they die, stopped
// gateway first, so that streams still have their model while they drain.
import type { ChildProcess } from 'node:child_process';
import type { ServerMessage } from './messages.ts';
import type { TakeLine } from './server-log.ts';
import { serverTitles, StartFailure, type ServerName } from './start-failure.ts';
import type { StartReport } from './start-report.ts';
import { superviseServer, type ServerEvent, type SupervisedServer } from './supervised-server.ts';

export interface SupervisorOptions {
  readonly servers: readonly ServerName[];
  readonly spawn: (server: ServerName) => ChildProcess;
  readonly report: StartReport;
  /** What stands behind a server's ✓. */
  readonly place: (server: ServerName, address: string) => { place: string; detail: string };
  readonly takeLine: (server: ServerName) => TakeLine;
  /** Seconds since the operator asked for the start. */
  readonly secondsSinceStart: () => number;
  /** How long the gateway may drain. */
  readonly drainMs: number;
  readonly firstPauseMs?: number;
}

/** Running servers. */
export interface Supervisor {
  /** Resolves when all are ready. @throws StartFailure when one cannot start; the others are killed by then. */
  readonly started: Promise<void>;
  /** Drains and stops everything; `limitMs` caps the wait. */
  readonly stop: (limitMs?: number) => Promise<void>;
  /** Kills everything now. */
  readonly kill: () => void;
  /** Tells the gateway to read its policies again. */
  readonly reload: () => void;
}

// What a server may take to end after its own drain.
const endingMs = 2000;
// A stop that is quicker than this needs no sentence about waiting.
const silentMs = 80;

/** Starts all servers. */
export function superviseServers(options: SupervisorOptions): Supervisor {
  const { report } = options;
  const running = new Map<ServerName, SupervisedServer>();
  const pending = new Set(options.servers);
  let drainTold = false;
  let settle: { resolve: () => void; reject: (failure: StartFailure) => void } | undefined;
  const started = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  started.catch(() => undefined); // Whoever awaits it hears of it.

  const waiting = setInterval(() => report.waiting([...pending], options.secondsSinceStart()), 1000);
  const kill = (): void => {
    clearInterval(waiting);
    for (const server of running.values()) server.kill();
  };

  const allGone = async (): Promise<void> => {
    await Promise.all([...running.values()].map((server) => server.stop(0)));
  };

  const onReady = (server: ServerName, event: Extract<ServerEvent, { kind: 'ready' }>): void => {
    if (event.isRestart) {
      report.note('✓', `${serverTitles[server]} is back (${(event.tookMs / 1000).toFixed(1)} s)`);
      return;
    }
    const { place, detail } = options.place(server, event.address);
    report.ready(server, place, detail);
    pending.delete(server);
    if (pending.size > 0) return;
    clearInterval(waiting);
    report.complete(options.secondsSinceStart());
    settle?.resolve();
  };
  const onEvent = (server: ServerName, takeLine: TakeLine, event: ServerEvent): void => {
    switch (event.kind) {
      case 'ready':
        onReady(server, event);
        break;
      case 'firstAdministrator':
        report.firstAdministrator(event.username, event.password);
        break;
      case 'draining':
        drainTold = true;
        report.note(' ', drainSentence(event.open, options.drainMs));
        break;
      case 'failed':
        kill();
        // Told only when all are gone, so that the same command can be run again at once.
        void allGone().then(() => settle?.reject(new StartFailure(event.lines, event.exitCode)));
        break;
      case 'stopped':
        for (const line of event.lines) report.note(' ', line);
        report.note('!', restartSentence(serverTitles[server], event));
        break;
      case 'line':
        takeLine(event.line);
    }
  };

  for (const server of options.servers) {
    const takeLine = options.takeLine(server);
    running.set(
      server,
      superviseServer({
        title: serverTitles[server],
        spawn: () => options.spawn(server),
        onEvent: (event) => onEvent(server, takeLine, event),
        ...(options.firstPauseMs === undefined ? {} : { firstPauseMs: options.firstPauseMs }),
      }),
    );
  }

  return {
    started,
    async stop(limitMs = options.drainMs + endingMs) {
      clearInterval(waiting);
      const sentence = setTimeout(() => {
        if (!drainTold) report.note(' ', 'stopping: open answers may finish. Ctrl-C again stops now.');
      }, silentMs);
      const others = [...running].filter(([name]) => name !== 'gateway').map(([, server]) => server);
      await running.get('gateway')?.stop(limitMs);
      await Promise.all(others.map((server) => server.stop(Math.min(limitMs, endingMs))));
      clearTimeout(sentence);
    },
    kill,
    reload() {
      const pid = running.get('gateway')?.pid();
      if (pid !== undefined) process.kill(pid, 'SIGHUP');
    },
  };
}

function restartSentence(title: string, event: Extract<ServerEvent, { kind: 'stopped' }>): string {
  return `${title} stopped (${event.how}); restarting in ${Math.round(event.restartInMs / 100) / 10} s`;
}

/** What the screen says while a stop waits. */
export function drainSentence(open: number, drainMs: number): string {
  const answers = open === 1 ? '1 answer still streaming' : `${open} answers still streaming`;
  return `stopping: ${answers}, up to ${Math.round(drainMs / 1000)} s. Ctrl-C again stops now.`;
}

/** Sends a message to the supervisor; does nothing when there is none. */
export function tellSupervisor(message: ServerMessage): void {
  if (process.connected) process.send?.(message);
}
