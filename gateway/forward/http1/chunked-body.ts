// Decodes the chunked coding of one body, strictly: sizes of 1 to 8 hexadecimal digits, no chunk extensions, CRLF after
// every line and chunk; trailer fields are checked, bounded and dropped. Every byte is looked at once.
import { colon, cr, hexDigit, lf, tokenByte, valueByte } from './bytes.ts';
import { maxHeadBytes } from './head-reader.ts';

const size = 0;
const sizeLf = 1;
const payload = 2;
const payloadCr = 3;
const payloadLf = 4;
const trailerStart = 5;
const trailerName = 6;
const trailerValue = 7;
const trailerLf = 8;
const lastLf = 9;
const whole = 10;

// RFC 9110 §6.5.1: what frames a message has no place behind it; parsers that merge trailers would be misled.
const framing = new Set(['content-length', 'transfer-encoding']);
const longestFramingName = 17;

// 4 GB; whoever sends a larger chunk, or pads its size with zeros, is no LLM server.
const maxSizeDigits = 8;

/** The decoder of one body after another. */
export class ChunkedBody {
  /** Where the first byte is that was not read. */
  stoppedAt = 0;
  /** Where the payload of the last `decode` begins. */
  startsAt = 0;
  /** Whether the coding is broken: nothing more may be decoded. */
  isBroken = false;
  #state = size;
  #left = 0;
  #digits = 0;
  #trailerBytes = 0;
  #trailerName = '';

  /** Begins with the next body. */
  next(): void {
    this.#state = size;
    this.#left = 0;
    this.#digits = 0;
    this.#trailerBytes = 0;
    this.isBroken = false;
  }

  /** Whether the body has come to its end. */
  get isWhole(): boolean {
    return this.#state === whole;
  }

  /**
   * Reads bytes from `from` to `to` and moves what the chunks hold together, over the sizes between them, so that one read
   * is one piece for the sink: behind what the first of them holds, which stays where it is (`startsAt`).
   * @returns where the payload ends
   */
  decode(bytes: Buffer, from: number, to: number): number {
    let at = from;
    let kept = from;
    this.startsAt = from;
    while (at < to && this.#state !== whole && !this.isBroken) {
      if (this.#state === payload) {
        const count = Math.min(this.#left, to - at);
        if (kept === this.startsAt) this.startsAt = kept = at;
        else if (kept !== at) bytes.copyWithin(kept, at, at + count);
        kept += count;
        at += count;
        this.#left -= count;
        if (this.#left === 0) this.#state = payloadCr;
      } else {
        this.isBroken = !this.#step(bytes[at] ?? 0);
        at++;
      }
    }
    this.stoppedAt = at;
    return kept;
  }

  /** Takes one byte that is no payload; false when it may not stand there. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case size:
        return this.#sizeByte(byte);
      case sizeLf:
        this.#state = this.#left === 0 ? trailerStart : payload;
        this.#digits = 0;
        return byte === lf;
      case payloadCr:
        this.#state = payloadLf;
        return byte === cr;
      case payloadLf:
        this.#state = size;
        return byte === lf;
      case lastLf:
        this.#state = whole;
        return byte === lf;
      default:
        return this.#trailerByte(byte);
    }
  }

  #sizeByte(byte: number): boolean {
    const digit = hexDigit[byte] ?? -1;
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit;
      return ++this.#digits <= maxSizeDigits;
    }
    this.#state = sizeLf;
    return byte === cr && this.#digits > 0;
  }

  #trailerByte(byte: number): boolean {
    if (++this.#trailerBytes > maxHeadBytes) return false;
    if (this.#state === trailerStart) {
      this.#trailerName = '';
      this.#state = byte === cr ? lastLf : trailerName;
      return byte === cr || this.#trailerNameByte(byte);
    }
    if (this.#state === trailerName) {
      if (byte !== colon) return this.#trailerNameByte(byte);
      this.#state = trailerValue;
      return !framing.has(this.#trailerName);
    }
    if (this.#state === trailerValue) {
      if (byte === cr) this.#state = trailerLf;
      return byte === cr || valueByte[byte] === 1;
    }
    this.#state = trailerStart;
    return byte === lf;
  }

  #trailerNameByte(byte: number): boolean {
    const lower = tokenByte[byte] ?? 0;
    if (this.#trailerName.length <= longestFramingName) this.#trailerName += String.fromCharCode(lower);
    return lower !== 0;
  }
}
