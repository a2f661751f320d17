// The answer to a request of ingress/: what the stages use of node:http's ServerResponse, and no more. Head and a short
// body leave in one write.
import type { OutgoingHttpHeaders } from 'node:http';
import type { CallerEvent, CallerResponse } from '../caller.ts';
import { responseHead } from './response-head.ts';

/** What an answer needs of its connection. */
export interface AnswerPath {
  readonly isWritable: boolean;
  readonly keepAliveSeconds: number;
  /** @returns false when the caller reads too slowly */
  write(text: string, encoding: 'latin1' | 'utf8'): boolean;
  writeBytes(head: string, bytes: Buffer): boolean;
  /** Whether the connection must end with the answer that is written now. */
  mustEnd(): boolean;
  /** The answer has been written whole. */
  answered(response: IngressResponse): void;
  cut(): void;
}

interface Listener {
  readonly event: CallerEvent;
  readonly run: () => void;
  readonly isOnce: boolean;
}

/** One answer. */
export class IngressResponse implements CallerResponse {
  statusCode = 200;
  shouldKeepAlive = true;
  headersSent = false;
  writableEnded = false;
  writableFinished = false;
  destroyed = false;
  readonly #path: AnswerPath;
  /** Set beforehand, for whatever head comes. */
  #fields: OutgoingHttpHeaders | null = null;
  /** The head until it is written with the first piece of the body. */
  #head = '';
  #isChunked = false;
  /** Bytes of the body that are still to come, where its length was stated. */
  #missingBytes = 0;
  #listeners: Listener[] | null = null;

  constructor(path: AnswerPath) {
    this.#path = path;
  }

  get writable(): boolean {
    return !this.writableEnded && !this.destroyed && this.#path.isWritable;
  }

  setHeader(name: string, value: number | string | readonly string[]): void {
    if (this.headersSent) throw new Error('the head has been written');
    this.#fields ??= {};
    this.#fields[name] = typeof value === 'object' ? [...value] : value;
  }

  writeHead(status: number, given: OutgoingHttpHeaders = {}): void {
    if (this.headersSent) throw new Error('the head has been written');
    let fields = this.#fields === null ? given : { ...this.#fields, ...given };
    if (fields.connection !== undefined) {
      // The only thing that anybody here says of a connection is that it ends.
      this.shouldKeepAlive = false;
      fields = { ...fields };
      delete fields.connection;
    }
    const length = fields['content-length'];
    this.#isChunked = length === undefined;
    this.#missingBytes = length === undefined ? 0 : Number(length);
    if (this.#path.mustEnd()) this.shouldKeepAlive = false;
    this.#head = responseHead(status, fields, {
      isChunked: this.#isChunked,
      isLast: !this.shouldKeepAlive,
      keepAliveSeconds: this.#path.keepAliveSeconds,
    });
    this.statusCode = status;
    this.headersSent = true;
  }

  write(chunk: string | Buffer, encoding: 'latin1' | 'utf8' = 'utf8'): boolean {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (!this.writable) return false;
    return this.#put(chunk, '', encoding);
  }

  end(chunk: string | Buffer = ''): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (!this.writable) return;
    this.#put(chunk, this.#isChunked ? '0\r\n\r\n' : '');
    this.writableEnded = true;
    // A length that was stated and not kept would make the next answer a part of this one.
    if (this.#missingBytes !== 0) {
      this.destroy();
      return;
    }
    this.writableFinished = true;
    this.#path.answered(this);
    this.closed();
  }

  /** Never needed: requests with an expectation take their way through node:http. */
  writeContinue(): void {
    // Intentionally empty.
  }

  destroy(): void {
    this.#path.cut();
  }

  on(event: CallerEvent, run: () => void): void {
    this.#listen({ event, run, isOnce: false });
  }

  once(event: CallerEvent, run: () => void): void {
    this.#listen({ event, run, isOnce: true });
  }

  off(event: CallerEvent, run: () => void): void {
    if (this.#listeners === null) return;
    this.#listeners = this.#listeners.filter((each) => each.event !== event || each.run !== run);
  }

  /** The connection takes bytes again. */
  drained(): void {
    this.#emit('drain');
  }

  /** The answer has ended, or the connection; told once. */
  closed(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#emit('close');
    this.#listeners = null;
  }

  /** Writes one piece of the body with the head before it, if that is still to be written, and the end behind it. */
  #put(chunk: string | Buffer, end: string, encoding: 'latin1' | 'utf8' = 'utf8'): boolean {
    const bytes = typeof chunk === 'string' && encoding === 'utf8' ? Buffer.byteLength(chunk) : chunk.length;
    const head = this.#head;
    this.#head = '';
    if (!this.#isChunked) {
      this.#missingBytes -= bytes;
      // More than was stated would be read as the next answer.
      if (this.#missingBytes < 0) return false;
      if (typeof chunk !== 'string') return this.#path.writeBytes(head, chunk);
      return this.#path.write(head + chunk, bytes === chunk.length ? 'latin1' : 'utf8');
    }
    // A chunk of no bytes would end the body.
    const piece = bytes === 0 ? '' : typeof chunk === 'string' ? chunk : chunk.toString('latin1');
    const framed = bytes === 0 ? head + end : `${head}${bytes.toString(16)}\r\n${piece}\r\n${end}`;
    if (framed === '') return true;
    return this.#path.write(framed, bytes === piece.length ? 'latin1' : 'utf8');
  }

  #listen(listener: Listener): void {
    (this.#listeners ??= []).push(listener);
  }

  #emit(event: CallerEvent): void {
    const listeners = this.#listeners;
    if (listeners === null) return;
    for (const listener of listeners) {
      if (listener.event !== event) continue;
      if (listener.isOnce) this.off(event, listener.run);
      listener.run();
    }
  }
}
