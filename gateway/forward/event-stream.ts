// Scans a `text/event-stream` body as it arrives and yields whole events. Linear: every byte is looked at once, and
// what is kept is bounded. WHATWG HTML §9.2.6: lines end with LF, CRLF or CR; an empty line ends an event.
import { isUtf8 } from 'node:buffer';

/** An event's data, or a comment line (an upstream's own heartbeat). */
export type StreamEvent = { readonly kind: 'data'; readonly text: string } | { readonly kind: 'comment' };

/** Why a stream cannot be read on. */
export type StreamFault = 'event_too_long' | 'not_utf8' | 'unknown_field';

/** A scanner in the middle of a stream. */
export interface EventScanner {
  /** Takes the next bytes; appends whole events to `events`. After a fault nothing more may be pushed. */
  push(bytes: Buffer, events: StreamEvent[]): StreamFault | null;
  /** Whether the bytes so far end with a whole event. */
  readonly isBetweenEvents: boolean;
}

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
  let tail: Buffer[] = [];
  let tailBytes = 0;
  let dataLines: string[] = [];
  let eventBytes = 0;
  let hasSkippedCr = false;
  let isFirstLine = true;

  const endOfLine = (line: Buffer, events: StreamEvent[]): StreamFault | null => {
    if (line.length === 0) {
      if (dataLines.length > 0)
        events.push({
          kind: 'data',
          text: dataLines.length === 1 ? (dataLines[0] ?? '') : dataLines.join('\n'),
        });
      dataLines = [];
      eventBytes = 0;
      return null;
    }
    eventBytes += line.length;
    if (eventBytes > maxEventBytes) return 'event_too_long';
    if (!isUtf8(line)) return 'not_utf8';
    const text = line.toString('utf8', isFirstLine && line[0] === 0xef ? 3 : 0);
    isFirstLine = false;
    return field(text, events);
  };

  const field = (text: string, events: StreamEvent[]): StreamFault | null => {
    if (text.startsWith('data:')) {
      dataLines.push(text.slice(text.startsWith(' ', 5) ? 6 : 5));
      return null;
    }
    if (text.startsWith(':')) {
      events.push({ kind: 'comment' });
      return null;
    }
    const colon = text.indexOf(':');
    return ignoredFields.has(colon === -1 ? text : text.slice(0, colon)) ? null : 'unknown_field';
  };

  const takeLine = (piece: Buffer): Buffer => {
    if (tailBytes === 0) return piece;
    tail.push(piece);
    const line = Buffer.concat(tail);
    tail = [];
    tailBytes = 0;
    return line;
  };

  return {
    get isBetweenEvents() {
      return tailBytes === 0 && dataLines.length === 0;
    },
    push(bytes, events) {
      let start = 0;
      const hasCr = bytes.includes(cr);
      if (hasSkippedCr && bytes[0] === lf) start = 1;
      hasSkippedCr = false;
      while (start < bytes.length) {
        const end = hasCr ? nextLineEnd(bytes, start) : bytes.indexOf(lf, start);
        if (end === -1) break;
        const fault = endOfLine(takeLine(bytes.subarray(start, end)), events);
        if (fault !== null) return fault;
        start = end + 1;
        if (bytes[end] !== cr) continue;
        if (start === bytes.length) hasSkippedCr = true;
        else if (bytes[start] === lf) start++;
      }
      if (start >= bytes.length) return null;
      tail.push(bytes.subarray(start));
      tailBytes += bytes.length - start;
      return tailBytes + eventBytes > maxEventBytes ? 'event_too_long' : null;
    },
  };
}

function nextLineEnd(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) if (bytes[at] === lf || bytes[at] === cr) return at;
  return -1;
}
