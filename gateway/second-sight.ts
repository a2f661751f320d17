// Memories of fixed size that keep a text from its second sight on. What is kept of each text that comes once outlives the
// young generation, pushes out what is used, and is never used itself. That a text came is known by a fingerprint of a
// few of its characters, which decides nothing else.

/** Places of which a text may take any: with one, two that come in turn would push each other out for ever. */
const ways = 8;

/** How often fingerprints came lately; it may forget one that did. */
export class Sights {
  readonly #sums: Int32Array;
  readonly #counts: Uint8Array;
  #turn = 0;

  /** `places` is a power of two; each takes five bytes. */
  constructor(places: number) {
    this.#sums = new Int32Array(Math.max(places, ways));
    this.#counts = new Uint8Array(this.#sums.length);
  }

  /** How often a fingerprint, which is not zero, has come lately, this time included; no more than 255 is told. */
  count(sum: number): number {
    const first = spread(sum) & (this.#sums.length - 1) & -ways;
    let free = -1;
    for (let place = first; place < first + ways; place++) {
      const there = this.#sums[place];
      if (there === sum) return (this.#counts[place] = Math.min((this.#counts[place] ?? 0) + 1, 255));
      if (there === 0 && free === -1) free = place;
    }
    if (free === -1) {
      free = first + this.#turn;
      this.#turn = (this.#turn + 1) % ways;
    }
    this.#sums[free] = sum;
    return (this.#counts[free] = 1);
  }
}

/** Which texts came lately. It may take a text for another one, and forget one that came. */
export class SecondSight {
  readonly #sights: Sights;

  constructor(places = 16_384) {
    this.#sights = new Sights(places);
  }

  /** Whether a text came lately; it has now. */
  came(text: string): boolean {
    return this.#sights.count(fingerprint(text)) > 1;
  }
}

/** How large a memory is, and how soon it keeps a text. */
export interface KeptTextsOptions {
  readonly most: number;
  /** A text is kept when it has been offered so often lately, at most 255. Default: twice. */
  readonly sights?: number;
}

/** How long values stay at least, once they were too many: were all in use to go at once, none would be found again. */
const leastStayMs = 5_000;

/** Values by text; all go when there are too many, but not soon after the last time. */
export class KeptTexts<T> {
  readonly #values = new Map<string, T>();
  readonly #most: number;
  readonly #needed: number;
  readonly #sights: Sights;
  #clearedAt = Number.NEGATIVE_INFINITY;

  constructor({ most, sights = 2 }: KeptTextsOptions) {
    this.#most = most;
    this.#needed = sights;
    this.#sights = new Sights(1 << (32 - Math.clz32(most)));
  }

  /** What is kept of the text. */
  find(text: string): T | undefined {
    return this.#values.get(text);
  }

  /** Keeps the value if the text has come often enough. */
  offer(text: string, value: T): void {
    if (this.#sights.count(fingerprint(text)) < this.#needed) return;
    if (this.#values.size >= this.#most && !this.#cleared()) return;
    this.#values.set(text, value);
  }

  #cleared(): boolean {
    const now = performance.now();
    if (now - this.#clearedAt < leastStayMs) return false;
    this.#clearedAt = now;
    this.#values.clear();
    return true;
  }
}

/** Of the last characters, where names of one kind differ. */
const looked = 24;

function fingerprint(text: string): number {
  const { length } = text;
  let sum = length;
  for (let at = Math.max(length - looked, 0); at < length; at++)
    sum = (Math.imul(sum, 31) + text.charCodeAt(at)) | 0;
  return sum === 0 ? 1 : sum; // Zero is an empty place.
}

/** Each bit of a sum in each bit of the place, so that names that are counted up do not crowd (MurmurHash3, its finaliser). */
function spread(sum: number): number {
  let bits = Math.imul(sum ^ (sum >>> 16), 0x85eb_ca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
  return bits ^ (bits >>> 16);
}
