// Reads the head of an HTTP/1.1 answer, strictly: what RFC 9112 lets a recipient repair is refused here, since two
// readers of a repaired head may disagree about where the answer ends. Resumable: bytes may come in any pieces.
import type { IncomingHttpHeaders } from 'node:http';
import { colon, cr, lf, space, tab, tokenByte, valueByte } from './bytes.ts';

/** A head, as far as the gateway needs it. */
export interface AnswerHead {
  readonly status: number;
  /** Only the kept fields, names in lower case; all others are checked and forgotten. */
  readonly headers: IncomingHttpHeaders;
  /** The stated content-length, or -1. */
  readonly length: number;
  readonly isChunked: boolean;
  /** Whether the connection ends with this answer: HTTP/1.0, or `connection: close`. */
  readonly closes: boolean;
  /** The `keep-alive` field. */
  readonly keepAlive: string | undefined;
}

/** Why a head cannot be believed. */
export type HeadFault =
  | 'bad_status_line'
  | 'bad_field'
  | 'doubled_field'
  | 'bad_length'
  | 'bad_transfer_coding'
  | 'two_lengths'
  | 'head_too_long';

/** A head is a few hundred bytes; more is an attack or a bug. The interim heads before it count as well. */
export const maxHeadBytes = 16_384;

const incomplete = -1;
const refused = -2;
const prefix = Buffer.from('HTTP/1.');
const versionAt = prefix.length;
const statusAt = versionAt + 2;
const reasonAt = statusAt + 4;
const zero = 0x30;
const one = 0x31;
const nine = 0x39;
// More digits are no length of an answer that the gateway would take.
const maxLengthDigits = 15;

// Where each field that somebody reads is kept; the names are compared in lower case.
const contentType = 0;
const contentLength = 1;
const contentEncoding = 2;
const transferEncoding = 3;
const connection = 4;
const keepAlive = 5;
const requestId = 6;
const retryAfter = 7;
const processingMs = 8;
const keptNames = [
  'content-type',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'x-request-id',
  'retry-after',
  'openai-processing-ms',
];
// Up to here: stated twice, nobody can say which one counts, so the head is refused.
const lastUnique = transferEncoding;
/** By length, so that most other fields are told apart by one look-up. */
const keptByLength = Array.from({ length: 32 }, (_, length) =>
  keptNames
    .map((name, index) => ({ index, name: Buffer.from(name) }))
    .filter(({ name }) => name.length === length),
);

/**
 * Reads one head after another.
 * Checks: the status line's exact form, HTTP/1.0 or 1.1, status 100–599; only CRLF ends a line; names are tokens up to
 * the colon; values without control bytes; no folded line; one content-length of digits; `chunked` as the only coding,
 * not beside a length and not in HTTP/1.0; content-type, -length and -encoding at most once; at most 16 KiB.
 * Does not check: what the values mean beyond that (the sinks do).
 */
export class HeadReader {
  fault: HeadFault | null = null;
  head: AnswerHead | null = null;
  #bytesRead = 0;
  #status = 0;
  #isLatest = false;
  readonly #kept: (string | undefined)[] = keptNames.map(() => undefined);

  /** Begins with the next answer's head; after an interim one, its bytes go on being counted. */
  next(isAfterInterim: boolean): void {
    this.head = null;
    this.#status = 0;
    this.#kept.fill(undefined);
    if (!isAfterInterim) this.#bytesRead = 0;
  }

  /**
   * Reads whole lines; `head` is set when the empty line was among them.
   * @returns where the first unread byte is (an unfinished line must be given again, longer), or -1 with `fault` set
   */
  read(bytes: Buffer, from: number, to: number): number {
    let start = from;
    while (start < to && this.head === null) {
      const next = this.#line(bytes, start, to);
      if (next === refused) return -1;
      if (this.#bytesRead + (next === incomplete ? to : next) - start > maxHeadBytes) {
        this.fault = 'head_too_long';
        return -1;
      }
      if (next === incomplete) return start;
      this.#bytesRead += next - start;
      start = next;
    }
    return start;
  }

  #line(bytes: Buffer, start: number, to: number): number {
    if (this.#status === 0) return this.#statusLine(bytes, start, to);
    return bytes[start] === cr ? this.#emptyLine(bytes, start, to) : this.#fieldLine(bytes, start, to);
  }

  #refuse(fault: HeadFault): number {
    this.fault = fault;
    return refused;
  }

  /** RFC 9112 §4: `HTTP/1.1 200 reason`, the blank before a reason also where there is none. */
  #statusLine(bytes: Buffer, start: number, to: number): number {
    // What has come of the line is judged at once: a peer that speaks no HTTP may never end it.
    const reason = start + reasonAt;
    for (let at = start; at < to && at < reason; at++)
      if (!isStatusByte(at - start, bytes[at] ?? 0)) return this.#refuse('bad_status_line');
    if (to <= reason) return incomplete;
    const status = Number(bytes.toString('latin1', start + statusAt, start + statusAt + 3));
    if (status < 100 || status > 599) return this.#refuse('bad_status_line');
    const end = this.#endOfLine(bytes, reason, to);
    if (end === refused) return this.#refuse('bad_status_line');
    if (end === incomplete) return incomplete;
    this.#isLatest = bytes[start + versionAt] === one;
    this.#status = status;
    return end + 2;
  }

  #fieldLine(bytes: Buffer, start: number, to: number): number {
    let at = start;
    // RFC 9112 §5.1, §5.2: no white space before the colon, and none before the name, which would fold the line.
    while (at < to && tokenByte[bytes[at] ?? 0] !== 0) at++;
    if (at === to) return incomplete;
    if (at === start || bytes[at] !== colon) return this.#refuse('bad_field');
    const nameEnd = at++;
    while (at < to && (bytes[at] === space || bytes[at] === tab)) at++;
    const end = this.#endOfLine(bytes, at, to);
    if (end === refused) return this.#refuse('bad_field');
    if (end === incomplete) return incomplete;
    const index = keptIndex(bytes, start, nameEnd);
    if (index === -1) return end + 2;
    // A blank behind a length is nothing that a server writes; parsers differ over it.
    const valueEnd = index === contentLength ? end : trimmedEnd(bytes, at, end);
    return this.#keep(index, bytes.toString('latin1', at, valueEnd)) ? end + 2 : refused;
  }

  #emptyLine(bytes: Buffer, start: number, to: number): number {
    if (start + 1 === to) return incomplete;
    if (bytes[start + 1] !== lf) return this.#refuse('bad_field');
    return this.#finish() ? start + 2 : refused;
  }

  /** Where the CR of this line is. */
  #endOfLine(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && valueByte[bytes[at] ?? 0] === 1) at++;
    if (at < to && bytes[at] !== cr) return refused;
    if (at + 1 >= to) return incomplete;
    return bytes[at + 1] === lf ? at : refused;
  }

  #keep(index: number, value: string): boolean {
    const before = this.#kept[index];
    if (before !== undefined && index <= lastUnique) {
      this.fault = index === contentLength || index === transferEncoding ? 'two_lengths' : 'doubled_field';
      return false;
    }
    this.#kept[index] = before === undefined ? value : `${before}, ${value}`;
    return true;
  }

  /** RFC 9112 §6.3: judges the framing; sets `head` or `fault`. */
  #finish(): boolean {
    const kept = this.#kept;
    const coding = kept[transferEncoding];
    const stated = kept[contentLength];
    const length = stated === undefined ? -1 : lengthOf(stated);
    if (length === -2) this.fault = 'bad_length';
    else if (coding !== undefined && stated !== undefined) this.fault = 'two_lengths';
    else if (coding !== undefined && (!this.#isLatest || coding.toLowerCase() !== 'chunked'))
      this.fault = 'bad_transfer_coding';
    if (this.fault !== null) return false;
    this.head = {
      status: this.#status,
      headers: {
        'content-type': kept[contentType],
        'content-length': stated,
        'content-encoding': kept[contentEncoding],
        'x-request-id': kept[requestId],
        'retry-after': kept[retryAfter],
        'openai-processing-ms': kept[processingMs],
      },
      length,
      isChunked: coding !== undefined,
      closes: !this.#isLatest || saysClose(kept[connection]),
      keepAlive: kept[keepAlive],
    };
    return true;
  }
}

/** Whether a status line may have this byte there, before its reason. */
function isStatusByte(at: number, byte: number): boolean {
  if (at < versionAt) return byte === prefix[at];
  if (at === versionAt) return byte === zero || byte === one;
  if (at === statusAt - 1 || at === reasonAt - 1) return byte === space;
  return byte >= zero && byte <= nine;
}

/** Which of the kept fields has this name, or -1. */
function keptIndex(bytes: Buffer, start: number, end: number): number {
  const candidates = keptByLength[end - start];
  if (candidates === undefined) return -1;
  for (const { index, name } of candidates) if (isSame(bytes, start, name)) return index;
  return -1;
}

function isSame(bytes: Buffer, start: number, name: Buffer): boolean {
  for (let at = 0; at < name.length; at++) if (tokenByte[bytes[start + at] ?? 0] !== name[at]) return false;
  return true;
}

/** Where the value ends without the white space behind it. */
function trimmedEnd(bytes: Buffer, from: number, end: number): number {
  let to = end;
  while (to > from && (bytes[to - 1] === space || bytes[to - 1] === tab)) to--;
  return to;
}

/** The number, or -2 when it is none. */
function lengthOf(stated: string): number {
  if (stated.length === 0 || stated.length > maxLengthDigits) return -2;
  let length = 0;
  for (let at = 0; at < stated.length; at++) {
    const digit = stated.charCodeAt(at) - zero;
    if (digit < 0 || digit > 9) return -2;
    length = length * 10 + digit;
  }
  return length;
}

function saysClose(options: string | undefined): boolean {
  if (options === undefined || options === 'keep-alive') return false;
  return options.split(',').some((option) => option.trim().toLowerCase() === 'close');
}
