// Forwards `kind: http` routes to an internal service with http-proxy-middleware, which moves the bytes. Both heads
// are ours: it is shown a request whose headers come from a fixed list, so that nothing the caller sends as `Trailer`,
// `TE`, `Upgrade`, `Expect`, `Connection` or identity header ever reaches it, and it may not answer by itself.
import type { ClientRequest, IncomingHttpHeaders } from 'node:http';
import type { Plugin } from 'http-proxy-middleware';
import { GatewayError } from '../../core/errors.ts';
import { IncomingMessage, ServerResponse } from '../../core/node-http.ts';
import type { Guarded } from '../exchange.ts';
import { BoundedRequest } from './bounded-request.ts';
import { serviceAnswerHead, serviceRequestHead } from './service-head.ts';
import { refusalOfAbort } from './openai.ts';
import { assertionFor, pathFor, upstreamOf } from './upstream-request.ts';
import type { UpstreamAddress } from './upstream-address.ts';

/** Where the service is and how long it may take. */
export interface HttpServiceOptions {
  readonly address: UpstreamAddress;
  readonly ca: string | null;
  readonly timeouts: { readonly first_byte_ms: number };
}

/** What the library moves is node:http's own request and answer. */
type Streamed = Guarded & { readonly request: IncomingMessage; readonly response: ServerResponse };

const isStreamed = (guarded: Guarded): guarded is Streamed =>
  guarded.request instanceof IncomingMessage && guarded.response instanceof ServerResponse;

/** Moves one request and its answer; settles when the answer has ended or the caller has gone. */
export type HttpService = (guarded: Streamed, request: BoundedRequest) => Promise<void>;

type ServiceMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

/** One service; its middleware is loaded with the first request, opens one connection per request and keeps none. */
export function createHttpService(options: HttpServiceOptions): HttpService {
  let prepared: Promise<ServiceMiddleware> | null = null;
  return async (guarded, request) => {
    const middleware = await (prepared ??= prepareMiddleware(options));
    await move({ guarded, request, middleware, firstByteMs: options.timeouts.first_byte_ms });
  };
}

async function prepareMiddleware(options: HttpServiceOptions): Promise<ServiceMiddleware> {
  const { createProxyMiddleware } = await import('http-proxy-middleware');
  const { origin, socketPath } = options.address;
  const { protocol, hostname, port } = new URL(origin);
  const events: Plugin = (server) => {
    server.on('proxyReq', (outgoing, request) => BoundedRequest.of(request)?.listener?.sent(outgoing));
    server.on('proxyRes', (answer, request) => BoundedRequest.of(request)?.listener?.answered(answer));
    server.on('error', (error, request) => BoundedRequest.of(request)?.listener?.failed(error));
  };
  return createProxyMiddleware({
    target: {
      protocol,
      host: hostname.replaceAll(/[[\]]/g, ''),
      port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
      ...(socketPath === null ? {} : { socketPath }),
      ...(options.ca === null ? {} : { ca: options.ca }),
    },
    changeOrigin: true,
    // One connection per request: the library's own default agent keeps connections alive, and a second response left
    // on one would reach the next caller.
    agent: false,
    selfHandleResponse: true,
    ejectPlugins: true,
    plugins: [events],
  });
}

/**
 * Forwards one request to the service of its route.
 * Checks: no WebSocket upgrade, no content coding, no body on GET and DELETE, the length of the body against the route.
 * Does not check: what the body holds (the service does).
 * @throws GatewayError
 */
export async function forwardHttp(guarded: Guarded): Promise<void> {
  const upstream = upstreamOf(guarded);
  // Only requests of node:http come here (entry.ts).
  if (!isStreamed(guarded)) throw new GatewayError('internal_error', { reason: 'not_a_stream' });
  const { request, route } = guarded;
  if (upstream.httpService === null) throw new GatewayError('internal_error', { reason: 'upstream_kind' });
  refuseUnforwardable(request.headers);
  const stated = Number(request.headers['content-length'] ?? 0);
  const hasBody = stated > 0 || request.headers['transfer-encoding'] !== undefined;
  // Node frames no body of unknown length on these methods, so its bytes would be read as the next request.
  if (hasBody && (request.method === 'GET' || request.method === 'DELETE')) {
    throw new GatewayError('body_invalid', { params: { problem: 'this endpoint takes no body' } });
  }
  if (stated > route.maxBodyBytes) throw tooLarge(route.maxBodyBytes);
  const assertion = await assertionFor(guarded, upstream);
  const query = guarded.target.query === '' ? '' : `?${guarded.target.query}`;
  const bounded = new BoundedRequest({
    method: request.method ?? 'GET',
    url: pathFor(guarded, upstream) + query,
    headers: serviceRequestHead(guarded, {
      assertion,
      authorization: upstream.authorization,
      length: hasBody ? request.headers['content-length'] : '0',
    }),
    socket: request.socket,
    maxBytes: route.maxBodyBytes,
    overflow: tooLarge(route.maxBodyBytes),
  });
  // RFC 9110 §10.1.1: only now is the caller told to go on, so a refused caller never sends the body.
  if (request.headers.expect !== undefined) guarded.response.writeContinue();
  request.pipe(bounded);
  await upstream.httpService(guarded, bounded);
}

/** What would arrive as something else than it is, since its header field is not forwarded. */
function refuseUnforwardable({
  upgrade = '',
  'content-encoding': coding = 'identity',
}: IncomingHttpHeaders): void {
  if (/websocket/i.test(upgrade)) {
    throw new GatewayError('malformed_request', {
      params: { problem: 'WebSocket is not supported here' },
      reason: 'websocket',
    });
  }
  if (coding !== 'identity') throw new GatewayError('unsupported_media_type');
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body_too_large', { params: { limit } });
}

interface Move {
  readonly guarded: Streamed;
  readonly request: BoundedRequest;
  readonly middleware: ServiceMiddleware;
  readonly firstByteMs: number;
}

function move({ guarded, request, middleware, firstByteMs }: Move): Promise<void> {
  const { response, signal, outcome } = guarded;
  return new Promise((resolve, reject) => {
    let outgoing: ClientRequest | null = null;
    let isSettled = false;
    const settle = (refusal: GatewayError | null): void => {
      if (isSettled) return;
      isSettled = true;
      signal.removeEventListener('abort', leave);
      response.off('close', closed);
      if (refusal === null) {
        resolve();
        return;
      }
      outgoing?.destroy();
      guarded.request.unpipe(request);
      guarded.request.resume();
      reject(refusal);
    };
    const closed = (): void => {
      outcome.aborted = !response.writableFinished;
      outgoing?.destroy();
      settle(null);
    };
    const leave = (): void => {
      const isRefused = signal.reason instanceof GatewayError;
      if (response.destroyed || !response.writable || (response.headersSent && !isRefused)) {
        response.destroy();
        closed();
      } else settle(refusalOfAbort(signal)); // Half an answer is cut off by the renderer.
    };
    request.listener = {
      sent(clientRequest) {
        outgoing = clientRequest;
        if (isSettled) clientRequest.destroy();
        // Without a listener Node drops the connection and says nothing; a tunnel is never opened.
        clientRequest.on('upgrade', (answer, socket) => {
          socket.destroy();
          settle(invalidAnswer(answer));
        });
        clientRequest.on('close', () => {
          if (!response.headersSent)
            settle(new GatewayError('upstream_unavailable', { reason: 'upstream_closed' }));
        });
        clientRequest.setTimeout(firstByteMs, () =>
          clientRequest.destroy(new GatewayError('upstream_timeout', { reason: 'upstream_silent' })),
        );
      },
      answered(answer) {
        if (isSettled) return;
        const head = serviceAnswerHead(guarded, answer);
        if (head === null) {
          settle(invalidAnswer(answer));
          return;
        }
        outcome.firstByteAt = performance.now();
        response.writeHead(answer.statusCode ?? 502, head);
        answer.pipe(response);
      },
      failed(error) {
        if (!response.headersSent) settle(refusalOf(error));
        // Half an answer has been sent: closing the connection tells the caller so; there is no event to send here.
        else if (!response.writableFinished) response.destroy();
      },
    };
    response.on('close', closed);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    // The cast shows the library the members of a request that it reads; BoundedRequest lists them.
    else
      middleware(request as unknown as IncomingMessage, response, (error) => settle(refusalOf(error))).catch(
        (error: unknown) => settle(refusalOf(error)),
      );
  });
}

function invalidAnswer(answer: IncomingMessage): GatewayError {
  return new GatewayError('upstream_invalid_response', { reason: `upstream_${answer.statusCode ?? 0}` });
}

function refusalOf(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const code =
    error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  const invalid = code.startsWith('HPE_');
  return new GatewayError(invalid ? 'upstream_invalid_response' : 'upstream_unavailable', {
    reason: `upstream_${code}`,
    cause: error,
  });
}
