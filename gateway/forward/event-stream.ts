// Scans a `text/event-stream` body as it arrives and yields whole events. Linear: every byte is looked at once, and
// what is kept is bounded. WHATWG HTML §9.2.6: lines end with LF, CRLF or CR; an empty line ends an event.
import { utf8Text } from './utf8.ts';

/** An event's data, or a comment line (an upstream's own heartbeat). */
export type StreamEvent = { readonly kind: 'data'; readonly text: string } | { readonly kind: 'comment' };

/** Why a stream cannot be read on. */
export type StreamFault = 'event_too_long' | 'not_utf8' | 'unknown_field';

/** A scanner in the middle of a stream. */
export interface EventScanner {
  /**
   * The text of bytes that are one whole event as model servers send it, line ends included; null for all else.
   * Takes nothing: an event that is not wanted so may still be pushed.
   */
  usualEvent(bytes: Buffer): string | null;
  /** Takes the next bytes, which are only lent; appends whole events to `events`. After a fault nothing more may be pushed. */
  push(bytes: Buffer, events: StreamEvent[]): StreamFault | null;
  /** Whether the bytes so far end with a whole event. */
  readonly isBetweenEvents: boolean;
}

/** How the text of a usual event begins and ends; between them stands its data. */
export const usualStart = 'data: ';
export const usualEnd = '\n\n';
const lf = 0x0a;
const cr = 0x0d;
// The fields of the format; `event`, `id` and `retry` are not passed on, since no OpenAI answer needs them.
const ignoredFields = new Set(['event', 'id', 'retry']);

/**
 * Creates a scanner.
 * Checks: UTF-8, known fields only, at most `maxEventBytes` for one event (and one line).
 * Does not check: what the data is (the caller parses it).
 */
export function createEventScanner(maxEventBytes: number): EventScanner {
  return new Scanner(maxEventBytes);
}

class Scanner implements EventScanner {
  readonly #maxEventBytes: number;
  /** The unfinished last line, copied: the bytes that come are only lent. */
  #tail: Buffer[] = [];
  #tailBytes = 0;
  /** The data of the unfinished event: its first line, and all of them where there are more. */
  #dataLines: string[] = [];
  #eventBytes = 0;
  #hasSkippedCr = false;
  #isFirstLine = true;

  constructor(maxEventBytes: number) {
    this.#maxEventBytes = maxEventBytes;
  }

  get isBetweenEvents(): boolean {
    return this.#tailBytes === 0 && this.#dataLines.length === 0;
  }

  usualEvent(bytes: Buffer): string | null {
    // Not where a line, an event or its last line end is unfinished, nor where a byte order mark may stand.
    if (this.#eventBytes > 0 || this.#tailBytes > 0 || this.#hasSkippedCr || this.#isFirstLine) return null;
    if (bytes.length > this.#maxEventBytes) return null;
    const text = utf8Text(bytes);
    if (text === null) return null;
    const lineEnd = text.length - 2;
    if (!text.startsWith(usualStart) || text.indexOf('\n') !== lineEnd || text.charCodeAt(lineEnd + 1) !== lf)
      return null;
    return text.includes('\r') ? null : text;
  }

  push(bytes: Buffer, events: StreamEvent[]): StreamFault | null {
    const hasCr = bytes.includes(cr);
    if (hasCr || this.#hasSkippedCr) return this.#pushLineByLine(bytes, 0, events, hasCr);
    let start = 0;
    if (this.#tailBytes > 0) {
      start = bytes.indexOf(lf) + 1;
      if (start === 0) return this.#keepTail(bytes, 0);
      const fault = this.#lineBytes(this.#wholeLine(bytes.subarray(0, start - 1)), events);
      if (fault !== null) return fault;
    }
    const end = bytes.lastIndexOf(lf) + 1;
    // All whole lines are decoded at once, which is most of what there is to save; what cannot be decoded is read line
    // by line, for what stands before the fault.
    const text = utf8Text(bytes, start, end);
    if (text === null) return this.#pushLineByLine(bytes, start, events, hasCr);
    return this.#lines(text, end - start, events) ?? this.#keepTail(bytes, end);
  }

  #lines(text: string, textBytes: number, events: StreamEvent[]): StreamFault | null {
    const isAscii = text.length === textBytes;
    for (let start = 0; start < text.length;) {
      const end = text.indexOf('\n', start);
      const line = text.slice(start, end);
      const fault = this.#line(line, isAscii ? line.length : Buffer.byteLength(line), events);
      if (fault !== null) return fault;
      start = end + 1;
    }
    return null;
  }

  #pushLineByLine(bytes: Buffer, from: number, events: StreamEvent[], hasCr: boolean): StreamFault | null {
    let start = this.#hasSkippedCr && bytes[0] === lf ? 1 : from;
    this.#hasSkippedCr = false;
    while (start < bytes.length) {
      const end = hasCr ? nextLineEnd(bytes, start) : bytes.indexOf(lf, start);
      if (end === -1) break;
      const fault = this.#lineBytes(this.#wholeLine(bytes.subarray(start, end)), events);
      if (fault !== null) return fault;
      start = end + 1;
      if (bytes[end] !== cr) continue;
      if (start === bytes.length) this.#hasSkippedCr = true;
      else if (bytes[start] === lf) start++;
    }
    return this.#keepTail(bytes, start);
  }

  #keepTail(bytes: Buffer, from: number): StreamFault | null {
    if (from >= bytes.length) return null;
    this.#tail.push(Buffer.from(bytes.subarray(from)));
    this.#tailBytes += bytes.length - from;
    return this.#tailBytes + this.#eventBytes > this.#maxEventBytes ? 'event_too_long' : null;
  }

  #wholeLine(piece: Buffer): Buffer {
    if (this.#tailBytes === 0) return piece;
    this.#tail.push(piece);
    const line = Buffer.concat(this.#tail);
    this.#tail = [];
    this.#tailBytes = 0;
    return line;
  }

  #lineBytes(line: Buffer, events: StreamEvent[]): StreamFault | null {
    // Before it is decoded: too long is too long, whatever it holds.
    if (this.#eventBytes + line.length > this.#maxEventBytes) return 'event_too_long';
    const text = utf8Text(line);
    return text === null ? 'not_utf8' : this.#line(text, line.length, events);
  }

  #line(stated: string, lineBytes: number, events: StreamEvent[]): StreamFault | null {
    if (stated === '') {
      this.#dispatch(events);
      return null;
    }
    this.#eventBytes += lineBytes;
    if (this.#eventBytes > this.#maxEventBytes) return 'event_too_long';
    const line = this.#isFirstLine && stated.startsWith('\ufeff') ? stated.slice(1) : stated;
    this.#isFirstLine = false;
    if (line.startsWith('data:')) {
      this.#dataLines.push(line.slice(line.startsWith(' ', 5) ? 6 : 5));
      return null;
    }
    if (line.startsWith(':')) {
      events.push({ kind: 'comment' });
      return null;
    }
    const colon = line.indexOf(':');
    return ignoredFields.has(colon === -1 ? line : line.slice(0, colon)) ? null : 'unknown_field';
  }

  #dispatch(events: StreamEvent[]): void {
    const lines = this.#dataLines;
    this.#eventBytes = 0;
    if (lines.length === 0) return;
    events.push({ kind: 'data', text: lines.length === 1 ? (lines[0] ?? '') : lines.join('\n') });
    this.#dataLines = [];
  }
}

function nextLineEnd(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) if (bytes[at] === lf || bytes[at] === cr) return at;
  return -1;
}
