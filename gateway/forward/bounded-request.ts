// The request as http-proxy-middleware gets to see it: our head, and the caller's body counted against a limit.
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

/** Who hears what becomes of the request. */
export interface ForwardListener {
  sent(outgoing: ClientRequest): void;
  answered(answer: IncomingMessage): void;
  failed(error: unknown): void;
}

/** The head that is shown, and the bound. */
export interface BoundedRequestOptions {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  readonly maxBytes: number;
  /** The error with which a longer body ends. */
  readonly overflow: Error;
}

/** A stream with the members of `IncomingMessage` that the library reads. */
export class BoundedRequest extends Transform {
  readonly method: string;
  url: string;
  readonly headers: IncomingHttpHeaders;
  readonly httpVersion = '1.1';
  readonly httpVersionMajor = 1;
  readonly socket: Socket;
  readonly connection: Socket;
  listener: ForwardListener | null = null;
  readonly #maxBytes: number;
  readonly #overflow: Error;
  #bytes = 0;

  constructor(options: BoundedRequestOptions) {
    super();
    this.method = options.method;
    this.url = options.url;
    this.headers = options.headers;
    this.socket = options.socket;
    this.connection = options.socket;
    this.#maxBytes = options.maxBytes;
    this.#overflow = options.overflow;
  }

  /** The bounded request behind what the library hands to its event listeners. */
  static of(request: unknown): BoundedRequest | null {
    return request instanceof BoundedRequest ? request : null;
  }

  override _transform(bytes: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) callback(this.#overflow);
    else callback(null, bytes);
  }
}
