// Memories of fixed size that keep a text from its second sight on. What is kept of each text that comes once outlives the
// young generation, pushes out what is used, and is never used itself. That a text came is known by a fingerprint of a
// few of its characters, which decides nothing else.

/** Which texts came lately. It may take a text for one that came, and forget one that did. */
export class SecondSight {
  readonly #last: Int32Array;

  /** `places` is a power of two; each takes four bytes. */
  constructor(places = 8_192) {
    this.#last = new Int32Array(places);
  }

  /** Whether a text came lately; it has now. */
  came(text: string): boolean {
    const sum = fingerprint(text);
    const place = placeOf(sum, this.#last.length);
    if (this.#last[place] === sum) return true;
    this.#last[place] = sum;
    return false;
  }
}

/** How large a memory is, and how soon it keeps a text. */
export interface KeptTextsOptions {
  readonly most: number;
  /** A text is kept when it was offered so often without another of its place between. Default: twice. */
  readonly sights?: number;
}

/** Values by text; all go when there are too many. */
export class KeptTexts<T> {
  readonly #values = new Map<string, T>();
  readonly #most: number;
  readonly #needed: number;
  readonly #last: Int32Array;
  readonly #sights: Uint8Array;

  constructor({ most, sights = 2 }: KeptTextsOptions) {
    this.#most = most;
    this.#needed = sights;
    const places = 1 << (32 - Math.clz32(most));
    this.#last = new Int32Array(places);
    this.#sights = new Uint8Array(places);
  }

  /** What is kept of the text. */
  find(text: string): T | undefined {
    return this.#values.get(text);
  }

  /** Keeps the value if the text has come often enough. */
  offer(text: string, value: T): void {
    const sum = fingerprint(text);
    const place = placeOf(sum, this.#last.length);
    const sights = this.#last[place] === sum ? (this.#sights[place] ?? 0) + 1 : 1;
    this.#last[place] = sum;
    this.#sights[place] = Math.min(sights, this.#needed);
    if (sights < this.#needed) return;
    if (this.#values.size >= this.#most) this.#values.clear();
    this.#values.set(text, value);
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

function placeOf(sum: number, places: number): number {
  return ((sum >>> 16) ^ sum) & (places - 1);
}
