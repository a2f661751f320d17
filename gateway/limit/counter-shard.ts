// Counters by the digest of their key, in typed arrays of open addressing: 32 bytes a counter and nothing on the heap. As
// entries of a Map with a string for each key they took three times as much, and each collection looked at all of them.
import { hash, randomBytes } from 'node:crypto';
import { KeptTexts } from '../second-sight.ts';

/** 128 bits of the SHA-256 of a key. Four small integers are quicker to compare than a string. */
export interface KeyDigest {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

/** Nobody outside can tell where a key lies, so nobody can crowd one place. */
const salt = randomBytes(16).toString('latin1');
/** A longer key would make this memory as large as its callers like. */
const longestKept = 512;
/** Of those who come again, so that they are not hashed again. One request asks up to three times. */
const digests = new KeptTexts<KeyDigest>({ most: 4_096, sights: 4 });

/** The digest of a key. Nobody can choose a key whose 128 bits are those of another. */
export function digestOf(key: string): KeyDigest {
  const known = digests.find(key);
  if (known !== undefined) return known;
  // As text of one byte a character (latin1 by its older name): a Buffer of each digest would be an allocation outside the heap.
  const text = hash('sha256', salt + key, 'binary');
  const digest = { a: wordOf(text, 0), b: wordOf(text, 4), c: wordOf(text, 8), d: wordOf(text, 12) };
  if (key.length <= longestKept) digests.offer(key, digest);
  return digest;
}

function wordOf(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  );
}

const leastCapacity = 8; // Typed arrays of 64 bytes lie in the heap and cost little while they are empty.
const wordsPerKey = 4;
/** Fuller than this, a search for what is not there takes long. */
const fullest = 13 / 16;

const asWords = new Int32Array(wordsPerKey);

/** In one array for all, good until the next call. */
function wordsOf({ a, b, c, d }: KeyDigest): Int32Array {
  asWords[0] = a;
  asWords[1] = b;
  asWords[2] = c;
  asWords[3] = d;
  return asWords;
}

/** Counters that are only ever added; they go all together with the shard. A slot is valid until the next `begin`. */
export class CounterShard {
  #words = new Int32Array(leastCapacity * wordsPerKey);
  #spent = new Float64Array(leastCapacity);
  /** Epoch ms; zero is an empty place. */
  #ends = new Float64Array(leastCapacity);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes of all places. */
  get bytes(): number {
    return this.#words.byteLength + this.#spent.byteLength + this.#ends.byteLength;
  }

  /** Where the counter of a key is; -1 when there is none. */
  find({ a, b, c, d }: KeyDigest): number {
    const mask = this.#ends.length - 1;
    // A shard is chosen by other bits (window-table.ts).
    for (let slot = b & mask; this.#ends[slot] !== 0; slot = (slot + 1) & mask) {
      const at = slot * wordsPerKey;
      const words = this.#words;
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return slot;
    }
    return -1;
  }

  /** Begins a window of nothing that ends at `endMs`, in the key's own place or a new one. */
  begin(digest: KeyDigest, endMs: number): number {
    let slot = this.find(digest);
    if (slot === -1) {
      if (this.#size + 1 > this.#ends.length * fullest) this.#grow();
      slot = this.#placeOf(wordsOf(digest), 0);
      this.#size++;
    }
    this.#spent[slot] = 0;
    this.#ends[slot] = endMs;
    return slot;
  }

  spentAt(slot: number): number {
    return this.#spent[slot] ?? 0;
  }

  endOf(slot: number): number {
    return this.#ends[slot] ?? 0;
  }

  spend(slot: number, spent: number): void {
    this.#spent[slot] = spent;
  }

  /** A free place for the key that stands at `from` in `words`, which it then holds. */
  #placeOf(words: Int32Array, from: number): number {
    const mask = this.#ends.length - 1;
    let slot = (words[from + 1] ?? 0) & mask;
    while (this.#ends[slot] !== 0) slot = (slot + 1) & mask;
    for (let word = 0; word < wordsPerKey; word++)
      this.#words[slot * wordsPerKey + word] = words[from + word] ?? 0;
    return slot;
  }

  #grow(): void {
    const [words, spent, ends] = [this.#words, this.#spent, this.#ends];
    this.#words = new Int32Array(words.length * 2);
    this.#spent = new Float64Array(spent.length * 2);
    this.#ends = new Float64Array(ends.length * 2);
    // By index: iterators and views would cost several times the move.
    for (let slot = 0; slot < ends.length; slot++) {
      const endMs = ends[slot] ?? 0;
      if (endMs === 0) continue;
      const from = slot * wordsPerKey;
      const place = this.#placeOf(words, from);
      this.#spent[place] = spent[slot] ?? 0;
      this.#ends[place] = endMs;
    }
  }
}
