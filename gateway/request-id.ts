// Request ids: `req_` and a ULID (48 bits of time, 80 random bits, Crockford base32), sortable and unguessable enough
// to be quoted in a support request. Random bytes come from a pool, because a system call per request would show.
import { randomFillSync } from 'node:crypto';
import type { CallerRequest } from './caller.ts';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Two characters for each number of ten bits: joining 26 single ones took three times as long. */
const pairs = Array.from(
  { length: 1024 },
  (_, bits) => alphabet.charAt(bits >> 5) + alphabet.charAt(bits & 31),
);
const pool = Buffer.allocUnsafe(10 * 256);
let used = pool.length;
let stampedMs = Number.NaN;
let stamp = '';

/** A new request id, e.g. `req_01JD4Q7MZX2J5T8K9P3R6V0WYB`. */
export function newRequestId(nowMs: number): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  if (nowMs !== stampedMs) {
    stampedMs = nowMs;
    stamp = stampOf(nowMs);
  }
  const start = used;
  used += 10;
  return stamp + fortyBits(start) + fortyBits(start + 5);
}

function stampOf(ms: number): string {
  let text = 'req_';
  for (let shift = 45; shift >= 0; shift -= 5) text += alphabet.charAt(Math.floor(ms / 2 ** shift) % 32);
  return text;
}

/** Eight characters from five bytes of the pool. */
function fortyBits(at: number): string {
  const high = pool.readUInt8(at);
  const low = pool.readUInt32BE(at + 1);
  return (
    pair((high << 2) | (low >>> 30)) +
    pair((low >>> 20) & 1023) +
    pair((low >>> 10) & 1023) +
    pair(low & 1023)
  );
}

const pair = (bits: number): string => pairs[bits] ?? '';

/**
 * The header that sends an asking service its own request id back.
 * Checks: printable ASCII, at most 256 characters; any other is not echoed, and ours stays.
 */
export function echoOf({ headers }: Pick<CallerRequest, 'headers'>): Readonly<Record<string, string>> {
  const id = headers['x-request-id'];
  // AuthZEN 1.0 §10.1: a request identifier of the caller is the one in the response.
  return typeof id === 'string' && /^[\x20-\x7e]{1,256}$/.test(id) ? { 'x-request-id': id } : {};
}
