// Where every request enters: head and target are checked, the route is found, and the request goes to the pipeline or,
// without a route, to the public control surface. There is no other way in.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../core/errors.ts';
import { accountUnrouted } from './accounting/index.ts';
import { peerAddress, type CallerAddress } from './caller-address.ts';
import { renderRefusal, sendRefusal, surfaceOf, type RefusalContext } from './error-response.ts';
import { newOutcome, type Received } from './exchange.ts';
import { handle } from './pipeline.ts';
import { newRequestId } from './request-id.ts';
import { checkHead } from './request-head.ts';
import { parseTarget } from './request-target.ts';
import type { Services } from './services.ts';
import type { Snapshot } from './snapshot.ts';

export interface EntryOptions {
  readonly services: Services;
  readonly current: () => Snapshot;
  readonly callerAddress: CallerAddress;
  /** Answers requests that no policed route matches; calls `unrouted` for what it does not know. */
  readonly control: (request: IncomingMessage, response: ServerResponse) => void;
  readonly isStopping: () => boolean;
}

export interface Entry {
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  onMalformed(refusal: GatewayError, socket: Duplex, isUnderWay: boolean): string;
  /** Answers a request outside the pipeline with a refusal and accounts for it. */
  refuseUnrouted(request: IncomingMessage, response: ServerResponse, refusal: GatewayError): void;
  /** Aborts what is still running; for the end of a drain. */
  abortAll(): void;
  readonly active: () => number;
}

/** Creates the request entry. */
export function createEntry(options: EntryOptions): Entry {
  const { services, current, callerAddress } = options;
  const running = new Set<AbortController>();

  const refusalContext = (id: string, path: string): RefusalContext => ({
    id,
    surface: surfaceOf(path),
    publicUrl: services.publicUrl,
    scopes: current().authentication.scopesSupported,
  });

  const refuseUnrouted = (
    request: IncomingMessage,
    response: ServerResponse,
    refusal: GatewayError,
  ): void => {
    const id = newRequestId(Date.now());
    if (!response.headersSent)
      sendRefusal(request, response, refusal, refusalContext(id, request.url ?? '/'));
    accountUnrouted(services, {
      id,
      method: request.method ?? '',
      status: refusal.definition.status,
      code: refusal.code,
      reason: refusal.reason ?? null,
      callerAddress: callerAddress(request),
    });
  };

  const receive = (request: IncomingMessage, response: ServerResponse): void => {
    checkHead(request);
    if (request.headers.expect !== undefined && request.headers.expect.toLowerCase() !== '100-continue') {
      throw new GatewayError('expectation_failed');
    }
    const target = parseTarget(request.url ?? '');
    const snapshot = current();
    const match = snapshot.routes.match(request.method ?? '', target.path);
    if (match === null) {
      options.control(request, response);
      return;
    }
    if ('allowed' in match) {
      const allowed = match.allowed.join(', ');
      throw new GatewayError('method_not_allowed', { params: { allowed }, headers: { allow: allowed } });
    }
    if (options.isStopping())
      throw new GatewayError('gateway_stopping', { headers: { connection: 'close' } });
    const controller = new AbortController();
    running.add(controller);
    const receivedAt = Date.now();
    const received: Received = {
      id: newRequestId(receivedAt),
      request,
      response,
      target,
      route: match.route,
      pathModel: match.pathModel,
      snapshot,
      services,
      callerAddress: callerAddress(request),
      receivedAt,
      startedAt: performance.now(),
      signal: controller.signal,
      outcome: newOutcome(),
    };
    response.once('close', () => {
      running.delete(controller);
      if (response.writableFinished) return;
      received.outcome.aborted = true;
      controller.abort();
    });
    void handle(received); // Never rejects.
  };

  return {
    onRequest(request, response) {
      response.on('error', noop); // The caller has gone; `close` follows.
      try {
        receive(request, response);
      } catch (error) {
        const refusal =
          error instanceof GatewayError ? error : new GatewayError('internal_error', { cause: error });
        if (refusal.code === 'internal_error')
          services.log.error({ err: error }, 'a bug of ours refused a request');
        refuseUnrouted(request, response, refusal);
      }
    },
    onMalformed(refusal, socket, isUnderWay) {
      const id = newRequestId(Date.now());
      const rendered = renderRefusal(refusal, refusalContext(id, '/v1'));
      if (!isUnderWay) {
        accountUnrouted(services, {
          id,
          method: '',
          status: rendered.status,
          code: refusal.code,
          reason: refusal.reason ?? null,
          callerAddress: peerAddress(socket as { remoteAddress?: string }), // A net or TLS socket.
        });
      }
      const head = Object.entries({ ...rendered.headers, connection: 'close' }).map(
        ([name, value]) => `${name}: ${value}\r\n`,
      );
      return `HTTP/1.1 ${rendered.status} Refused\r\n${head.join('')}\r\n${rendered.body}`;
    },
    refuseUnrouted,
    abortAll() {
      for (const controller of running) controller.abort();
    },
    active: () => running.size,
  };
}

function noop(): void {
  // Intentionally empty.
}
