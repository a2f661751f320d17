// Which texts came lately, by fingerprint. What is kept of each text that comes once outlives the young generation, pushes
// out what is used, and is never used itself; so memories keep a text from its second sight on.

/** Of fixed size; it may take a text for one that came, and forget one that did. */
export class SecondSight {
  readonly #last: Int32Array;

  /** `places` is a power of two; each takes four bytes. */
  constructor(places = 8_192) {
    this.#last = new Int32Array(places);
  }

  /** Whether a text came lately; it has now. */
  came(text: string): boolean {
    const sum = fingerprint(text);
    const place = ((sum >>> 16) ^ sum) & (this.#last.length - 1);
    if (this.#last[place] === sum) return true;
    this.#last[place] = sum;
    return false;
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
