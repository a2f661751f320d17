// One supervisor per data folder. The lock is an exclusive transaction on a small SQLite file: the kernel drops it when
// the process dies, however it dies, so there is never a stale lock to clean up (Node has no flock of its own).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StartFailure } from './start-failure.ts';

/** A lock that is held until released or until the process ends. */
export interface DataLock {
  release(): void;
}

/** Takes the lock of a data folder whose `run/` exists. @throws StartFailure that names the process holding it. */
export function lockDataFolder(folder: string): DataLock {
  const pidFile = join(folder, 'run', 'supervisor.pid');
  const database = new DatabaseSync(join(folder, 'run', 'supervisor.lock'), { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    throw new StartFailure([
      `✗ Sallyport is already running on ${folder}/${holder(pidFile)}.`,
      '  Use that one, stop it with Ctrl-C in its terminal, or start a second one beside it:',
      '  npm start -- --port 8090 --data data-2',
      '  Setting: --data (default: data)',
    ]);
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return {
    release: () => {
      if (database.isOpen) database.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && /database is locked/.test(error.message);
}

function holder(pidFile: string): string {
  try {
    return ` (pid ${Number(readFileSync(pidFile, 'utf8'))})`;
  } catch {
    return ''; // The other one has not written it yet.
  }
}
