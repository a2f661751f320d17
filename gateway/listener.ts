// The public HTTP(S) listener: time-outs, size limits and the answers to what Node's strict parser refuses.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../core/errors.ts';

/** Certificates, and who takes what comes. */
export interface ListenerOptions {
  /** PEM files; without them the listener speaks plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * Renders the answer to what the parser refused; it is written as it is. `isUnderWay`: the head was good and the
   * request is in the pipeline, which accounts for it.
   */
  readonly onMalformed: (refusal: GatewayError, socket: Duplex, isUnderWay: boolean) => string;
}

const limits = {
  maxHeaderSize: 32 * 1024,
  /** A head that drips in slower is cut (slow headers). */
  headersTimeout: 10_000,
  /** Head and body together. */
  requestTimeout: 60_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 75_000,
  insecureHTTPParser: false,
  requireHostHeader: true,
} as const;

/** Creates the listener; the caller decides where it listens. */
export function createListener(options: ListenerOptions): Server {
  const server =
    options.tls === undefined
      ? createServer(limits)
      : createTlsServer({ ...limits, ...readPair(options.tls), minVersion: 'TLSv1.2' });
  // Node silently drops fields past this count; checkHead refuses long before.
  server.maxHeadersCount = 2000;
  server.on('request', options.onRequest);
  // Expect: 100-continue is answered by the body stage, after authentication; any other expectation is refused there.
  server.on('checkContinue', options.onRequest);
  server.on('checkExpectation', options.onRequest);
  // Node closes a CONNECT without a word when nobody listens for it.
  server.on('connect', (_request, socket: Duplex) => {
    socket.on('error', () => socket.destroy());
    const allowed = 'GET, HEAD, POST';
    const refusal = new GatewayError('method_not_allowed', {
      params: { allowed },
      headers: { allow: allowed },
    });
    socket.end(options.onMalformed(refusal, socket, false));
  });
  const refused = new WeakSet<Duplex>();
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    if (refused.has(socket)) return; // Whatever else comes on a connection that is being refused.
    refused.add(socket);
    const refusal = refusalOf(error);
    const current = answerUnderWay(socket);
    if (current === null || current.req.complete) {
      // The fault lies behind whole requests: those are answered first, in their order.
      whenAnswered(socket, () => socket.end(options.onMalformed(refusal, socket, false)));
    } else if (current.headersSent) {
      socket.destroy(); // An answer already on its way must not be followed by a second one.
    } else {
      socket.end(options.onMalformed(refusal, socket, true));
    }
  });
  return server;
}

function answerUnderWay(socket: Duplex): ServerResponse | null {
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? null; // Node keeps it there.
}

/** Calls `then` once no answer is under way on a connection that still takes one. */
function whenAnswered(socket: Duplex, then: () => void): void {
  const current = answerUnderWay(socket);
  if (current !== null) current.once('close', () => setImmediate(whenAnswered, socket, then));
  else if (socket.writable) then();
}

/** Reads certificate and key. @throws Error naming the file */
function readPair(tls: { readonly cert: string; readonly key: string }): {
  cert: Buffer;
  key: Buffer;
} {
  return { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
}

function refusalOf(error: NodeJS.ErrnoException): GatewayError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new GatewayError('headers_too_large', { reason: error.code });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new GatewayError('body_too_large', {
        params: { limit: limits.maxHeaderSize },
        reason: error.code,
      });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new GatewayError('request_timeout', { reason: error.code });
    case undefined:
    default:
      return new GatewayError('malformed_request', {
        params: { problem: 'it is not valid HTTP' },
        reason: error.code ?? 'parse',
      });
  }
}
