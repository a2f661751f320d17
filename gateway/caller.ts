// What stages see of the caller's side: the request, the answer that is written, and the signal that ends the work. The
// objects of node:http are such, and so are the lighter ones of ingress/; what needs more (kind http) asks for node:http's.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';

/** A request whose head was checked. */
export interface CallerRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Names in lower case; of a doubled field, what node:http makes of it. */
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** Whether the body has come whole. */
  readonly complete: boolean;
  readonly socket: Socket;
  /**
   * Where the connection knows its heads: one object for all requests with the same head, byte for byte. What is a pure
   * function of the head may be remembered by it (WeakMap); whether that still counts must be asked each time. Undefined:
   * no other request has this head.
   */
  readonly headIdentity?: object | undefined;
  /**
   * The whole body, where the connection collects it; node:http's requests are streams and lack this.
   * @throws GatewayError `body_too_large`, `body_invalid`; or its promise rejects
   */
  collectBody?(maxBytes: number): Buffer | Promise<Buffer>;
}

/** The answer to one request, written once. */
export interface CallerResponse {
  statusCode: number;
  /** Set to false, the connection ends with this answer. */
  shouldKeepAlive: boolean;
  readonly headersSent: boolean;
  /** Whether bytes may still be written. */
  readonly writable: boolean;
  readonly writableEnded: boolean;
  /** Whether the whole answer was handed to the system. */
  readonly writableFinished: boolean;
  readonly destroyed: boolean;
  setHeader(name: string, value: number | string | readonly string[]): unknown;
  writeHead(status: number, headers?: OutgoingHttpHeaders): unknown;
  /** @returns false when the caller reads too slowly: wait for `drain` */
  write(chunk: string | Buffer): boolean;
  /** `latin1` for a text whose characters are bytes already: they need not be counted. */
  write(chunk: string, encoding: 'latin1' | 'utf8'): boolean;
  end(chunk?: string | Buffer): unknown;
  writeContinue(): void;
  /** Cuts the connection. */
  destroy(): unknown;
  on(event: CallerEvent, listener: () => void): unknown;
  once(event: CallerEvent, listener: () => void): unknown;
  off(event: CallerEvent, listener: () => void): unknown;
}

/** `close`: the answer has ended or the caller has gone. */
export type CallerEvent = 'close' | 'drain' | 'error';

/** Says that the work on a request must end; an AbortSignal is one. */
export interface EndSignal {
  readonly aborted: boolean;
  /** A GatewayError where the caller is to be told why. */
  readonly reason: unknown;
  addEventListener(event: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}
