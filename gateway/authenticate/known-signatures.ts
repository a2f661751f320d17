// Which access tokens had a good signature of which key, in a table of fixed size: 36 bytes each, where a principal takes
// thousands. A token whose principal was dropped for room is judged anew by every rule, but its signature is not checked
// a second time: the SHA-256 of the whole text is the same, so the text is, and so is its signature.
import type { IssuerKey } from './issuer-keys.ts';

/** Eight words of the digest and the number of the key. */
const words = 9;
/** Places for a digest; the next one takes the place of the first. */
const ways = 8;
const defaultSets = 16_384;

/** Signatures that were good: 131,072 in 4.5 MiB, which the system hands out as they fill. */
export class KnownSignatures {
  readonly #sets: number;
  readonly #table: Int32Array;
  /** The place in each set that is overwritten next. */
  readonly #turns: Uint8Array;
  /** A key has its number for as long as it lives; no number is given twice. Zero is no key. */
  readonly #numbers = new WeakMap<IssuerKey, number>();
  #lastNumber = 0;

  /** `sets` is a power of two. */
  constructor(sets = defaultSets) {
    this.#sets = sets;
    this.#table = new Int32Array(sets * ways * words);
    this.#turns = new Uint8Array(sets);
  }

  /** Bytes that the table takes at most. */
  get maxBytes(): number {
    return this.#table.byteLength + this.#turns.byteLength;
  }

  /** Whether a signature of this very key was good; `digest` is the SHA-256 of the token in latin1. */
  has(digest: string, key: IssuerKey): boolean {
    const number = this.#numbers.get(key);
    if (number === undefined) return false;
    const place = this.#placeOf(digest);
    return place !== null && this.#table[place + words - 1] === number;
  }

  /** Remembers that the signature is good. */
  add(digest: string, key: IssuerKey): void {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = ++this.#lastNumber;
      this.#numbers.set(key, number);
    }
    const place = this.#placeOf(digest) ?? this.#newPlace(digest);
    for (let word = 0; word < words - 1; word++) this.#table[place + word] = wordOf(digest, word);
    this.#table[place + words - 1] = number;
  }

  #placeOf(digest: string): number | null {
    const set = this.#setOf(digest);
    const first = wordOf(digest, 0);
    for (let way = 0; way < ways; way++) {
      const place = (set * ways + way) * words;
      if (this.#table[place] === first && this.#isAt(place, digest)) return place;
    }
    return null;
  }

  #isAt(place: number, digest: string): boolean {
    if (this.#table[place + words - 1] === 0) return false;
    for (let word = 1; word < words - 1; word++)
      if (this.#table[place + word] !== wordOf(digest, word)) return false;
    return true;
  }

  #newPlace(digest: string): number {
    const set = this.#setOf(digest);
    const way = this.#turns[set] ?? 0;
    this.#turns[set] = (way + 1) % ways;
    return (set * ways + way) * words;
  }

  #setOf(digest: string): number {
    return wordOf(digest, 7) & (this.#sets - 1);
  }
}

function wordOf(digest: string, word: number): number {
  const at = word * 4;
  return (
    digest.charCodeAt(at) |
    (digest.charCodeAt(at + 1) << 8) |
    (digest.charCodeAt(at + 2) << 16) |
    (digest.charCodeAt(at + 3) << 24)
  );
}
