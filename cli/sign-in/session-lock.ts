// One renewal at a time over all processes of a user. The lock is the kernel's (SQLite's on an empty file), so it
// ends with its holder: a kill -9 leaves nothing stale to detect, and nobody's lock can be stolen by mistake.
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';

const retryMs = 15;
const giveUpMs = 40_000;

/** Runs `work` while no other process that uses the same `lockFile` does. */
export async function withLock<Result>(lockFile: string, work: () => Promise<Result>): Promise<Result> {
  closeSync(openSync(lockFile, 'a', 0o600));
  const { DatabaseSync } = await import('node:sqlite');
  const lock = new DatabaseSync(lockFile, { timeout: 0 });
  try {
    const deadline = Date.now() + giveUpMs;
    while (!tryLock(lock)) {
      if (Date.now() > deadline) {
        throw new CommandFailure(
          exitCodes.unexpected,
          `Another process has been renewing the sign-in for ${giveUpMs / 1000} s.`,
          {
            code: 'renewal_blocked',
            hints: [`It holds ${lockFile}; end it, and run the command again.`],
          },
        );
      }
      await sleep(retryMs + Math.random() * retryMs);
    }
    return await work();
  } finally {
    lock.close();
  }
}

function tryLock(lock: { exec: (sql: string) => void }): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    const { errcode } = error as { errcode?: number }; // node:sqlite puts SQLite's result code on its errors.
    if (errcode === 5 || errcode === 261) return false; // SQLITE_BUSY, SQLITE_BUSY_RECOVERY.
    throw error;
  }
}
