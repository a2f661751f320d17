// Request ids: `req_` and a ULID (48 bits of time, 80 random bits, Crockford base32), sortable and unguessable enough
// to be quoted in a support request. Random bytes come from a pool, because a system call per request would show.
import { randomFillSync } from 'node:crypto';
import type { CallerRequest } from './caller.ts';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const pool = Buffer.allocUnsafe(10 * 256);
let used = pool.length;

/** A new request id, e.g. `req_01JD4Q7MZX2J5T8K9P3R6V0WYB`. */
export function newRequestId(nowMs: number): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let id = 'req_';
  for (let shift = 45; shift >= 0; shift -= 5) id += alphabet.charAt(Math.floor(nowMs / 2 ** shift) % 32);
  // 80 bits in two halves of 40, five bits a character.
  for (let half = 0; half < 2; half++) {
    const high = pool.readUInt8(used);
    const low = pool.readUInt32BE(used + 1);
    used += 5;
    id += alphabet.charAt(high >> 3) + alphabet.charAt(((high & 7) << 2) | (low >>> 30));
    for (let shift = 25; shift >= 0; shift -= 5) id += alphabet.charAt((low >>> shift) & 31);
  }
  return id;
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
