// How the supervisor ends: Ctrl-C or SIGTERM drains, a second one kills, a vanished npm or terminal stops everything.
import type { DataLock } from './data-lock.ts';
import type { StartReport } from './start-report.ts';
import type { Supervisor } from './supervisor.ts';

export interface StopOptions {
  readonly supervisor: Supervisor;
  readonly report: StartReport;
  readonly lock: DataLock;
}

const parentCheckMs = 200;
// Whoever killed npm expects nothing to be left two seconds later.
const orphanedStopMs = 1000;
// A stop that is quicker than this needs no sentence about waiting.
const silentMs = 80;

/** Stops the supervisor and this process with the signals of the operating system. */
export function stopWithSignals({ supervisor, report, lock }: StopOptions): void {
  let stopping = false;
  const end = (code: number): never => {
    lock.release();
    process.exit(code);
  };
  const stop = (limitMs?: number): void => {
    if (stopping) {
      supervisor.kill();
      report.note('!', 'stopped now; open answers were cut');
      end(1);
    }
    stopping = true;
    const sentence = setTimeout(
      () => report.note(' ', 'stopping: open answers may finish. Ctrl-C again stops now.'),
      silentMs,
    );
    void supervisor.stop(limitMs).then(() => {
      clearTimeout(sentence);
      report.note('✓', 'stopped');
      end(0);
    });
  };
  process.on('SIGINT', () => stop());
  process.on('SIGTERM', () => stop());
  process.on('SIGHUP', () => (process.stdout.isTTY ? stop() : supervisor.reload()));
  watchParent(() => (stopping ? undefined : stop(orphanedStopMs)));
}

// npm dies of SIGTERM without passing it on, and this process would live on under init.
function watchParent(onGone: () => void): void {
  const startedByNpm = process.env['npm_lifecycle_event'] !== undefined;
  if (!startedByNpm) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) onGone();
  }, parentCheckMs).unref();
}
