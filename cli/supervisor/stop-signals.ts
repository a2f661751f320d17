// How the supervisor ends: Ctrl-C or SIGTERM drains, a second one kills, a vanished npm or terminal stops everything.
import type { DataLock } from './data-lock.ts';
import { npmWatcher } from './npm-parent.ts';
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
// One Ctrl-C comes twice where npm is the direct parent: from the terminal, and passed on by npm.
const echoMs = 50;

/** Stops the supervisor and this process with the signals of the operating system. */
export function stopWithSignals({ supervisor, report, lock }: StopOptions): void {
  let stoppingSince: number | undefined;
  const npmIsGone = npmWatcher();
  const end = (code: number): never => {
    lock.release();
    process.exit(code);
  };
  const stop = (limitMs?: number, canEcho = false): void => {
    if (stoppingSince !== undefined) {
      if (canEcho && npmIsGone !== undefined && performance.now() - stoppingSince < echoMs) return;
      supervisor.kill();
      report.note('!', 'stopped now; open answers were cut');
      end(1);
    }
    stoppingSince = performance.now();
    void supervisor.stop(limitMs).then(() => {
      report.note('✓', 'stopped');
      end(0);
    });
  };
  process.on('SIGINT', () => stop(undefined, true));
  process.on('SIGTERM', () => stop());
  process.on('SIGHUP', () => (process.stdout.isTTY ? stop() : supervisor.reload()));
  if (npmIsGone === undefined) return;
  setInterval(() => {
    if (stoppingSince === undefined && npmIsGone()) stop(orphanedStopMs);
  }, parentCheckMs).unref();
}
