// Request ids: `req_` and a ULID (48 bits of time, 80 random bits, Crockford base32), sortable and unguessable enough
// to be quoted in a support request. The random parts of many are made at once: each id is a piece of one text.
import { randomFillSync } from 'node:crypto';
import type { CallerRequest } from './caller.ts';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const codes = Uint8Array.from(alphabet, (character) => character.charCodeAt(0));
/** Characters of the random part, each of five random bits. */
const randomLength = 16;
const pool = Buffer.allocUnsafeSlow(randomLength * 256);
let randomText = '';
let used = 0;
let stampedMs = Number.NaN;
let stamp = '';

/** A new request id, e.g. `req_01JD4Q7MZX2J5T8K9P3R6V0WYB`. */
export function newRequestId(nowMs: number): string {
  if (used === randomText.length) refill();
  if (nowMs !== stampedMs) {
    stampedMs = nowMs;
    stamp = stampOf(nowMs);
  }
  const start = used;
  used += randomLength;
  return stamp + randomText.slice(start, used);
}

/** Each byte becomes a character: 32 divides 256, so all of them are as likely. */
function refill(): void {
  randomFillSync(pool);
  for (let at = 0; at < pool.length; at++) pool[at] = codes[(pool[at] ?? 0) & 31] ?? 0;
  randomText = pool.toString('latin1');
  used = 0;
}

function stampOf(ms: number): string {
  let text = 'req_';
  for (let shift = 45; shift >= 0; shift -= 5) text += alphabet.charAt(Math.floor(ms / 2 ** shift) % 32);
  return text;
}

/**
 * The header that sends an asking service its own request id back.
 * Checks: printable ASCII, at most 256 characters; any other is not echoed, and ours stays.
 */
export function echoOf({ headers }: Pick<CallerRequest, 'headers'>): Readonly<Record<string, string>> {
  const id = headers['x-request-id'];
  // AuthZEN 1.0 §10.1: a request identifier of the caller is the one in the response.
  return typeof id === 'string' && /^[\x20-\x7e]{1,256}$/.test(id) ? { 'x-request-id': id } : {};
}
