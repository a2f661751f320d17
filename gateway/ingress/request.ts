// A request that ingress/ has read: a head that may be shared, and a body that is collected as it comes.
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { GatewayError } from '../../core/errors.ts';
import type { CallerRequest } from '../caller.ts';
import type { Head } from './head.ts';

interface Collector {
  readonly resolve: (body: Buffer) => void;
  readonly reject: (refusal: GatewayError) => void;
}

/** One request on one connection. */
export class IngressRequest implements CallerRequest {
  readonly method = 'POST';
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly headIdentity: object | undefined;
  /** The caller asks for the end of the connection. */
  readonly isLast: boolean;
  readonly socket: Socket;
  /** Bytes of the body that have not come yet. */
  missingBytes: number;
  /** Turn of the clock at which it began. */
  readonly since: number;
  #pieces: Buffer[] = [];
  #isCut = false;
  #collector: Collector | null = null;

  constructor(head: Head, socket: Socket, since: number) {
    this.url = head.url;
    this.headers = head.headers;
    this.rawHeaders = head.rawHeaders;
    this.headIdentity = head.isKept ? head : undefined;
    this.isLast = head.isLast;
    this.missingBytes = head.bodyBytes;
    this.socket = socket;
    this.since = since;
  }

  /** Whether nothing of it is left; a body that nobody asked for is left, even if it has come. */
  get complete(): boolean {
    return this.missingBytes === 0 && this.#pieces.length === 0;
  }

  /** Whether the body was asked for. */
  get isWanted(): boolean {
    return this.#collector !== null;
  }

  /** Takes what belongs to the body; returns what lies behind it, or null. */
  feed(bytes: Buffer): Buffer | null {
    if (bytes.length < this.missingBytes) {
      this.missingBytes -= bytes.length;
      this.#pieces.push(bytes);
      return null;
    }
    const length = this.missingBytes;
    this.missingBytes = 0;
    if (length > 0) this.#pieces.push(bytes.length === length ? bytes : bytes.subarray(0, length));
    this.#collector?.resolve(this.#joined());
    this.#collector = null;
    return bytes.length === length ? null : bytes.subarray(length);
  }

  collectBody(maxBytes: number): Buffer | Promise<Buffer> {
    // The body stage has compared the length before; a body is never collected without a bound.
    if (Number(this.headers['content-length']) > maxBytes)
      throw new GatewayError('body_too_large', { params: { limit: maxBytes } });
    if (this.#isCut) throw cutOff();
    if (this.missingBytes === 0) return this.#joined();
    this.socket.resume();
    return new Promise((resolve, reject) => {
      this.#collector = { resolve, reject };
    });
  }

  /** The connection ended before the body did. */
  cut(): void {
    if (this.missingBytes === 0) return;
    this.#isCut = true;
    this.#collector?.reject(cutOff());
    this.#collector = null;
  }

  #joined(): Buffer {
    const [only] = this.#pieces;
    const body = this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces);
    this.#pieces = [];
    return body;
  }
}

function cutOff(): GatewayError {
  return new GatewayError('body_invalid', { params: { problem: 'it was cut off' }, reason: 'caller_gone' });
}
