// Nonces of the gateway for DPoP proofs (RFC 9449 §9), without a memory: an HMAC over the current step of time. Whoever
// shares the key accepts them, so all workers of a gateway do.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a nonce in a proof is worth. */
export type NonceState = 'current' | 'previous' | 'unknown';

/** Gives nonces and knows them again. */
export interface DpopNonces {
  current(nowMs: number): string;
  /** `previous`: still good for one step, and the caller should learn the current one. */
  judge(nonce: unknown, nowMs: number): NonceState;
}

const stepMs = 60_000;

/** Nonces of one key. */
export function createDpopNonces(key: Buffer): DpopNonces {
  const nonceOf = (step: number): string =>
    createHmac('sha256', key).update(`dpop-nonce ${step}`).digest().subarray(0, 18).toString('base64url');
  const stepAt = (nowMs: number): number => Math.floor(nowMs / stepMs);
  return {
    current: (nowMs) => nonceOf(stepAt(nowMs)),
    judge(nonce, nowMs) {
      if (typeof nonce !== 'string') return 'unknown';
      if (isSame(nonce, nonceOf(stepAt(nowMs)))) return 'current';
      return isSame(nonce, nonceOf(stepAt(nowMs) - 1)) ? 'previous' : 'unknown';
    },
  };
}

/**
 * Nonces of the key in `folder`, which is made if it is missing; of several processes that start at once, all use the
 * key of the first.
 * Checks: the file is readable by its owner only and holds 32 bytes.
 * @throws Error that names the file and what to do
 */
export function openDpopNonces(folder: string): DpopNonces {
  const file = join(folder, 'dpop-nonce-key');
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, randomBytes(32), { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // A cast at the border to Node's error shape.
  } finally {
    rmSync(draft);
  }
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Error(`${file} is readable by others; run: chmod 600 ${file}`);
  const key = readFileSync(file);
  if (key.length !== 32)
    throw new Error(`${file} is not a key; delete it and the gateway makes a new one at its next start`);
  return createDpopNonces(key);
}

function isSame(given: string, expected: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.length === right.length && timingSafeEqual(left, right);
}
