// Reads one HTTP/1.1 answer after another from the bytes of a connection: head, body, end, and whether anything stands
// behind it. Knows no sockets; whoever feeds it says when an answer may begin.
import { ChunkedBody } from './chunked-body.ts';
import { cr, lf } from './bytes.ts';
import { HeadReader, maxHeadBytes, type AnswerHead, type HeadFault } from './head-reader.ts';

/** Hears of the parts of one answer, in order; may call `stop` in between. */
export interface AnswerReceiver {
  head(head: AnswerHead): void;
  /** `bytes` are only lent: they change once this has returned. */
  body(bytes: Buffer): void;
  /** `hasSurplus`: more bytes came in the same piece, behind the answer. */
  end(hasSurplus: boolean): void;
}

/** Why an answer cannot be believed. */
export type AnswerFault = HeadFault | 'bad_chunk' | 'bad_interim' | '100' | '101' | 'cut';

const beforeHead = 0;
const inHead = 1;
const inLength = 2;
const inChunks = 3;
const untilClose = 4;
const over = 5;

/**
 * The reader of one connection.
 * Checks: what `HeadReader` and `ChunkedBody` check; interim answers have no body and are skipped, except 100 (nothing
 * of ours expects it) and 101 (a tunnel that nobody asked for); a body has exactly its length.
 * Does not check: whose answer it is (the connection does).
 */
export class AnswerReader {
  readonly #to: AnswerReceiver;
  readonly #heads = new HeadReader();
  readonly #chunks = new ChunkedBody();
  #phase = over;
  #left = 0;
  /** An unfinished line of a head, in the pieces that it came in. */
  #rest: Buffer[] = [];
  #restBytes = 0;

  constructor(to: AnswerReceiver) {
    this.#to = to;
  }

  /** Begins with the next answer. */
  next(): void {
    this.#phase = beforeHead;
    this.#rest = [];
    this.#restBytes = 0;
    this.#heads.next(false);
  }

  /** The receiver hears nothing more of this answer. */
  stop(): void {
    this.#phase = over;
  }

  /** Whether no byte of the answer has come. */
  get isBeforeHead(): boolean {
    return this.#phase === beforeHead;
  }

  /** Whether the whole head has come, and the end has not. */
  get isInBody(): boolean {
    return this.#phase > inHead && this.#phase < over;
  }

  /** Takes the first `count` bytes, which it may move about; returns why the answer is refused, or null. */
  push(given: Buffer, count: number): AnswerFault | null {
    if (this.#phase > inHead) return this.#body(given, 0, count);
    this.#phase = inHead;
    if (this.#restBytes === 0) return this.#head(given, count);
    const piece = Buffer.from(given.subarray(0, count));
    // A field line that comes byte by byte is read once, when its end has come, not again with every byte.
    const isField = this.#rest[0]?.[0] !== cr;
    if (isField && this.#restBytes + count <= maxHeadBytes && !piece.includes(lf)) return this.#keep(piece);
    const joined = Buffer.concat([...this.#rest, piece]);
    this.#rest = [];
    this.#restBytes = 0;
    return this.#head(joined, joined.length);
  }

  #keep(piece: Buffer): null {
    this.#rest.push(piece);
    this.#restBytes += piece.length;
    return null;
  }

  /** The peer has ended the connection: the end of an answer without a length, and too early for any other. */
  close(): AnswerFault | null {
    if (this.#phase !== untilClose) return 'cut';
    this.#end(false);
    return null;
  }

  #head(bytes: Buffer, to: number): AnswerFault | null {
    let at = 0;
    for (;;) {
      at = this.#heads.read(bytes, at, to);
      if (at === -1) return this.#heads.fault;
      const { head } = this.#heads;
      if (head === null) {
        return at < to ? this.#keep(Buffer.from(bytes.subarray(at, to))) : null;
      }
      if (head.status >= 200) {
        this.#begin(head);
        return this.#body(bytes, at, to);
      }
      if (head.status === 100) return '100';
      if (head.status === 101) return '101';
      // RFC 9110 §8.6, RFC 9112 §6.1: no length and no coding in an answer that has no body; nor an end of the connection,
      // which would leave the answer itself behind the end.
      if (head.length !== -1 || head.isChunked || head.closes) return 'bad_interim';
      this.#heads.next(true);
    }
  }

  /** RFC 9112 §6.3: how the end of the body is found. */
  #begin(head: AnswerHead): void {
    this.#left = head.status === 204 || head.status === 304 ? 0 : head.length;
    if (this.#left >= 0) this.#phase = inLength;
    else if (head.isChunked) {
      this.#phase = inChunks;
      this.#chunks.next();
    } else this.#phase = untilClose;
    this.#to.head(head);
  }

  #body(bytes: Buffer, from: number, to: number): AnswerFault | null {
    if (this.#phase === inLength) this.#lengthBody(bytes, from, to);
    else if (this.#phase === inChunks) return this.#chunkedBody(bytes, from, to);
    else if (this.#phase === untilClose && from < to) this.#to.body(bytes.subarray(from, to));
    return null;
  }

  #lengthBody(bytes: Buffer, from: number, to: number): void {
    const end = Math.min(to, from + this.#left);
    this.#left -= end - from;
    if (end > from) this.#to.body(bytes.subarray(from, end));
    if (this.#left === 0) this.#end(end < to);
  }

  #chunkedBody(bytes: Buffer, from: number, to: number): AnswerFault | null {
    const end = this.#chunks.decode(bytes, from, to);
    const { startsAt } = this.#chunks;
    if (end > startsAt) this.#to.body(bytes.subarray(startsAt, end));
    if (this.#chunks.isBroken) return 'bad_chunk';
    if (this.#chunks.isWhole) this.#end(this.#chunks.stoppedAt < to);
    return null;
  }

  #end(hasSurplus: boolean): void {
    // Stopped by the receiver in the meantime.
    if (this.#phase === over) return;
    this.#phase = over;
    this.#to.end(hasSurplus);
  }
}
