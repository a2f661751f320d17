// Lines that wait for the disk, as bytes outside the heap of JavaScript. Kept as strings they outlive the young generation
// by the time they are written, and the garbage collector copies each of them twice and then has to search the whole
// heap for them: that cost more than all lines together.

/** Memory is taken in steps of doubling, from this on. */
const leastBytes = 65_536;
/** More than this is given back to the system after a rush. */
const mostKeptBytes = 1_048_576;

/** Text of one byte per character (ASCII), in its order. */
export class LineBuffer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(leastBytes);
  #length = 0;
  #spare: Buffer | null = null;

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  /** Adds text; `text` is ASCII. */
  add(text: string): void {
    const end = this.#length + text.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.write(text, this.#length, 'latin1');
    this.#length = end;
  }

  /** Everything that waits; what is added from now on waits anew. Valid until it is given back. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = this.#spare ?? Buffer.allocUnsafeSlow(leastBytes);
    this.#spare = null;
    this.#length = 0;
    return taken;
  }

  /** Ends the use of what was taken: its memory takes the next lines. */
  giveBack(taken: Buffer): void {
    if (taken.buffer.byteLength <= mostKeptBytes) this.#spare = Buffer.from(taken.buffer);
  }

  #grow(least: number): void {
    let size = this.#bytes.length * 2;
    while (size < least) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
