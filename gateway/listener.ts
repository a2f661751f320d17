// The public HTTP(S) listener: time-outs, size limits, TLS and the answers to what Node's strict parser refuses.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsServerOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { CertificateFiles } from '../core/certificate-renewal.ts';
import { GatewayError } from '../core/errors.ts';
import { createServer } from '../core/node-http.ts';
import { noteHandshakes, revocationBlocks, type ClientTrust } from './authenticate/index.ts';
import { takeConnections, type IngressOptions } from './ingress/index.ts';

/** Names of PEM files. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Who vouches for client certificates; without it none is asked for. */
  readonly client_ca?: string | undefined;
  /** Which of them are revoked: one list, or one for each authority. */
  readonly client_crl?: string | undefined;
}

/** Certificates, and who takes what comes. */
export interface ListenerOptions {
  /** PEM files; without them the listener speaks plain HTTP. */
  readonly tls: TlsFiles | undefined;
  /** Whose client certificates count; null where none are asked for. */
  readonly clientTrust: ClientTrust | null;
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * Renders the answer to what the parser refused; it is written as it is. `isUnderWay`: the head was good and the
   * request is in the pipeline, which accounts for it.
   */
  readonly onMalformed: (refusal: GatewayError, socket: Duplex, isUnderWay: boolean) => string;
  /** Who takes the requests that ingress/ reads; null: node:http reads all of them, for a test that compares the two. */
  readonly ingress: Pick<IngressOptions, 'current' | 'isStopping' | 'onRequest'> | null;
}

/** The listener and all of its connections. */
export interface Listener {
  readonly server: Server;
  /** Ends connections that no request is under way on. */
  closeIdleConnections(): void;
  closeAllConnections(): void;
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
export function createListener(options: ListenerOptions): Listener {
  const server =
    options.tls === undefined
      ? createServer(limits)
      : createTlsServer({ ...limits, ...tlsOptions(options.tls) });
  noteHandshakes(server, options.clientTrust);
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
  const { onMalformed } = options;
  const ingress =
    options.ingress === null ? null : takeConnections(server, { ...options.ingress, onMalformed, limits });
  return {
    server,
    closeIdleConnections: () => {
      server.closeIdleConnections();
      ingress?.closeIdleConnections();
    },
    closeAllConnections: () => {
      server.closeAllConnections();
      ingress?.closeAllConnections();
    },
  };
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

/**
 * What TLS is done with. Client certificates are asked for, not demanded: callers with a Bearer token have none. Whether
 * one was verified is looked at where it counts (authenticate/certificate/connection-certificate.ts).
 * @throws Error naming the file that cannot be read
 */
export function tlsOptions(tls: TlsFiles): TlsServerOptions {
  // RFC 8705 §7.2, RFC 9325 §3.4: nothing of a connection changes after its handshake.
  const secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
  const own = { cert: readFileSync(tls.cert), key: readFileSync(tls.key), minVersion: 'TLSv1.2' } as const;
  if (tls.client_ca === undefined) return { ...own, secureOptions };
  return {
    ...own,
    ca: readFileSync(tls.client_ca),
    ...(tls.client_crl === undefined ? {} : { crl: revocationBlocks(tls.client_crl) }),
    requestCert: true,
    rejectUnauthorized: false,
    // Without tickets no session is resumed, so every connection shows its certificate and has it verified again.
    secureOptions: secureOptions | constants.SSL_OP_NO_TICKET,
  };
}

/** What a renewal of the certificate follows, and how it is read again, with the trust in client certificates. */
export function followedFiles(
  tls: TlsFiles | undefined,
  clientTrust: ClientTrust | null,
): CertificateFiles | undefined {
  if (tls === undefined) return undefined;
  const further = [tls.client_ca, tls.client_crl].filter((file) => file !== undefined);
  const read = (): TlsServerOptions => {
    // First, so that a server certificate that cannot be used does not keep a revocation away.
    clientTrust?.reload();
    return tlsOptions(tls);
  };
  return { cert: tls.cert, key: tls.key, further, read };
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
