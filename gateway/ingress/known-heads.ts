// Heads that came lately: a caller's next head is byte for byte its last one, so it is compared instead of read. Reading
// is a pure function of the bytes, and all of them are compared, so a known head is never taken for another.
import { Sights } from '../second-sight.ts';
import { readHead, type Head } from './head.ts';

const sets = 256;
/** Places for a fingerprint; the head that was kept first goes first. */
const ways = 4;
/** Longer heads are read each time, so that the memory stays below sets × ways × this, twice. */
const longestKept = 4096;
/** Turns of the clock that a head is kept without being used: it holds a credential. */
const keptTurns = 15;

interface KnownHead {
  readonly sum: number;
  readonly bytes: Buffer;
  readonly head: Head;
  usedAt: number;
}

/** The heads of all connections. A head is kept from its second sight on, since many tokens come once. */
export class KnownHeads {
  readonly #places: (KnownHead | null)[] = Array.from({ length: sets * ways }, () => null);
  readonly #sights = new Sights(2 * sets * ways);
  #now = 0;

  /** The head in the first `length` bytes, or null when it is not of the simple shape. */
  find(bytes: Buffer, length: number): Head | null {
    const sum = fingerprint(bytes, length);
    const set = (((sum >>> 16) ^ sum) & (sets - 1)) * ways;
    for (let place = set; place < set + ways; place++) {
      const known = this.#places[place] ?? null;
      if (known === null) break;
      if (known.sum !== sum || !isSame(known.bytes, bytes, length)) continue;
      known.usedAt = this.#now;
      return known.head;
    }
    const head = readHead(bytes.toString('latin1', 0, length));
    if (head === null || length > longestKept || this.#sights.count(sum) < 2) return head;
    // Heads in use stay: where more come in turn than there are places, pushing each other out would cost more than reading.
    const last = this.#places[set + ways - 1] ?? null;
    if (last !== null && this.#now - last.usedAt < 2) return head;
    head.isKept = true;
    this.#places.copyWithin(set + 1, set, set + ways - 1);
    this.#places[set] = { sum, bytes: copyOf(bytes, length), head, usedAt: this.#now };
    return head;
  }

  /** Forgets what was not used for a while; called every few seconds. */
  turn(): void {
    this.#now++;
    for (let set = 0; set < this.#places.length; set += ways) {
      const used = this.#places.slice(set, set + ways).filter((known) => this.#isUsed(known));
      for (let way = 0; way < ways; way++) this.#places[set + way] = used[way] ?? null;
    }
  }

  #isUsed(known: KnownHead | null): boolean {
    return known !== null && this.#now - known.usedAt <= keptTurns;
  }
}

/** As bytes: text of a head would be made for each request, for this alone, and thrown away. */
function isSame(known: Buffer, bytes: Buffer, length: number): boolean {
  return known.length === length && bytes.compare(known, 0, length, 0, length) === 0;
}

/** In memory of its own: a part of the pool, or of what was read, would keep all of that. */
function copyOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length);
  bytes.copy(copy, 0, 0, length);
  return copy;
}

/** Sixteen bytes from all over the head; it only chooses a place, equality is decided by all of it. */
function fingerprint(bytes: Buffer, length: number): number {
  let sum = length;
  const stride = Math.max(length >> 4, 1);
  for (let at = length - 1; at > 0; at -= stride) sum = (Math.imul(sum, 31) + (bytes[at] ?? 0)) | 0;
  return sum === 0 ? 1 : sum;
}
