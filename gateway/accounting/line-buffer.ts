// Lines that wait for the disk, as bytes outside the heap of JavaScript. Kept as strings they outlive the young generation
// by the time they are written, and the garbage collector copies each of them twice and then has to search the whole
// heap for them: that cost more than all lines together. They lie in pieces of one size that are used again and again: memory
// that is taken anew for each rush lets the collector search the whole heap, too, five times a second at full load.

/** Bytes of a piece. */
const pieceBytes = 131_072;
/** How long pieces that nobody needed are kept, ms. */
const idleMs = 5_000;

/** Pieces that are free, of all lines; as many as were in use at once, since what waits is bounded by those who add lines. */
class Pieces {
  #free: Buffer[] = [];
  /** The least number that was free since the last look. */
  #idle = 0;
  #lookedAt = 0;

  take(): Buffer {
    const piece = this.#free.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
    this.#idle = Math.min(this.#idle, this.#free.length);
    return piece;
  }

  giveBack(pieces: readonly Buffer[], nowMs: number): void {
    for (const { buffer } of pieces) this.#free.push(Buffer.from(buffer));
    if (nowMs - this.#lookedAt < idleMs) return;
    this.#lookedAt = nowMs;
    this.#free.splice(0, this.#idle);
    this.#idle = this.#free.length;
  }
}

const shared = new Pieces();

/** Text of one byte per character (ASCII), in its order. */
export class LineBuffer {
  #full: Buffer[] = [];
  #last: Buffer | null = null;
  #lastLength = 0;
  readonly #now: () => number;

  /** `now` is a monotonic clock in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#full.length * pieceBytes + this.#lastLength;
  }

  /** Adds text; `text` is ASCII. */
  add(text: string): void {
    for (let rest = text; rest !== '';) {
      this.#last ??= shared.take();
      const written = this.#last.write(rest, this.#lastLength, 'latin1');
      this.#lastLength += written;
      if (this.#lastLength === pieceBytes) {
        this.#full.push(this.#last);
        this.#last = null;
        this.#lastLength = 0;
      }
      if (written === rest.length) return;
      rest = rest.slice(written);
    }
  }

  /** Everything that waits, in pieces; what is added from now on waits anew. Valid until it is given back. */
  take(): readonly Buffer[] {
    const taken = this.#full;
    if (this.#last !== null && this.#lastLength > 0) {
      taken.push(this.#last.subarray(0, this.#lastLength));
      this.#last = null;
      this.#lastLength = 0;
    }
    this.#full = [];
    return taken;
  }

  /** Ends the use of what was taken: its memory takes the next lines. */
  giveBack(taken: readonly Buffer[]): void {
    shared.giveBack(taken, this.#now());
  }
}

/** Bytes of all pieces together. */
export function bytesOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}
