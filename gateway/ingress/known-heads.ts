// Heads that came lately: a caller's next head is byte for byte its last one, so it is compared instead of read. Reading
// is a pure function of the bytes, and all of them are compared, so a known head is never taken for another.
import { readHead, type Head } from './head.ts';

const sets = 512;
/** Longer heads are read each time, so that the memory stays below sets × 2 × this, twice. */
const longestKept = 4096;
/** Turns of the clock that a head is kept without being used: it holds a credential. */
const keptTurns = 15;

interface KnownHead {
  readonly bytes: Buffer;
  readonly head: Head;
  usedAt: number;
}

/** The heads of all connections; two places for each fingerprint. */
export class KnownHeads {
  readonly #places: (KnownHead | null)[] = Array.from({ length: sets * 2 }, () => null);
  /** The last fingerprint that was not kept, for each set: a head is kept from its second sight on, since many tokens come once. */
  readonly #seen = new Int32Array(sets);
  #now = 0;

  /** The head in the first `length` bytes, or null when it is not of the simple shape. */
  find(bytes: Buffer, length: number): Head | null {
    const sum = fingerprint(bytes, length);
    const set = ((sum >>> 16) ^ sum) & (sets - 1);
    const place = set * 2;
    const first = this.#places[place] ?? null;
    if (first !== null && isSame(first.bytes, bytes, length)) return this.#used(first);
    const second = this.#places[place + 1] ?? null;
    if (second !== null && isSame(second.bytes, bytes, length)) return this.#used(second);
    const head = readHead(bytes.toString('latin1', 0, length));
    if (head === null || length > longestKept) return head;
    if (this.#seen[set] !== sum) {
      this.#seen[set] = sum;
      return head;
    }
    head.isKept = true;
    this.#places[place + 1] = first;
    this.#places[place] = { bytes: copyOf(bytes, length), head, usedAt: this.#now };
    return head;
  }

  /** Forgets what was not used for a while; called every few seconds. */
  turn(): void {
    this.#now++;
    for (const [place, known] of this.#places.entries())
      if (known !== null && this.#now - known.usedAt > keptTurns) this.#places[place] = null;
  }

  #used(known: KnownHead): Head {
    known.usedAt = this.#now;
    return known.head;
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
  return sum;
}
