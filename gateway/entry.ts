// Where every request enters: head and target are checked, the route is found, and the request goes to the pipeline or,
// without a route, to the public control surface. There is no other way in.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../core/errors.ts';
import { accountUnrouted } from './accounting/index.ts';
import type { CallerRequest, CallerResponse } from './caller.ts';
import { Chain } from './chain.ts';
import { peerAddress, type CallerAddress } from './caller-address.ts';
import { RequestSignal } from './end-signal.ts';
import { renderRefusal, sendRefusal, surfaceOf, type RefusalContext } from './error-response.ts';
import { newOutcome, type Outcome, type RequestTarget } from './exchange.ts';
import type { Destination } from './ingress/destination.ts';
import { handle } from './pipeline.ts';
import { newRequestId } from './request-id.ts';
import { checkHead } from './request-head.ts';
import { parseTarget } from './request-target.ts';
import { RunningRequest } from './running-request.ts';
import type { Services } from './services.ts';
import type { Snapshot } from './snapshot.ts';

/** What the entry needs of the gateway. */
export interface EntryOptions {
  readonly services: Services;
  readonly current: () => Snapshot;
  readonly callerAddress: CallerAddress;
  /** Answers requests that no policed route matches; calls `unrouted` for what it does not know. */
  readonly control: (request: IncomingMessage, response: ServerResponse) => void;
  readonly isStopping: () => boolean;
}

/** The one way in, and its end. */
export interface Entry {
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  /** A request whose head and target were checked and whose route was found (ingress/). */
  onChecked(request: CallerRequest, response: CallerResponse, destination: Destination): void;
  onMalformed(refusal: GatewayError, socket: Duplex, isUnderWay: boolean): string;
  /** Answers a request outside the pipeline with a refusal and accounts for it. */
  refuseUnrouted(request: CallerRequest, response: CallerResponse, refusal: GatewayError): void;
  /** Aborts what is still running; for the end of a drain. */
  abortAll(): void;
  readonly active: () => number;
  /** Requests that ever began. */
  readonly begun: () => number;
}

/** Creates the request entry. */
export function createEntry(options: EntryOptions): Entry {
  return new RequestEntry(options);
}

class RequestEntry implements Entry {
  readonly #options: EntryOptions;
  readonly #running = new Chain<RunningRequest>();

  constructor(options: EntryOptions) {
    this.#options = options;
    options.services.revocations.onChange(() => this.#cutRevoked());
  }

  readonly active = (): number => this.#running.size;
  readonly begun = (): number => this.#running.joined;

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', noop); // The caller has gone; `close` follows.
    try {
      this.#receive(request, response);
    } catch (error) {
      this.#refuseThrown(request, response, error);
    }
  }

  onChecked(request: CallerRequest, response: CallerResponse, destination: Destination): void {
    try {
      this.#begin(request, response, destination);
    } catch (error) {
      this.#refuseThrown(request, response, error);
    }
  }

  onMalformed(refusal: GatewayError, socket: Duplex, isUnderWay: boolean): string {
    const id = newRequestId(Date.now());
    const rendered = renderRefusal(refusal, this.#refusalContext(id, '/v1'));
    // A net or TLS socket.
    const caller = peerAddress(socket as { remoteAddress?: string });
    if (!isUnderWay) this.#account(id, refusal, { method: '', caller });
    const head = Object.entries({ ...rendered.headers, connection: 'close' }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    return `HTTP/1.1 ${rendered.status} Refused\r\n${head.join('')}\r\n${rendered.body}`;
  }

  refuseUnrouted(request: CallerRequest, response: CallerResponse, refusal: GatewayError): void {
    const id = newRequestId(Date.now());
    if (!response.headersSent)
      sendRefusal(request, response, refusal, this.#refusalContext(id, request.url ?? '/'));
    const caller = this.#options.callerAddress(request);
    this.#account(id, refusal, { method: request.method ?? '', caller });
  }

  abortAll(): void {
    for (const { signal } of this.#running.all()) signal.abort();
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const { current, control } = this.#options;
    const snapshot = current();
    const target = checkedTarget(request);
    const match = snapshot.routes.match(request.method ?? '', target.path);
    if (match === null) {
      control(request, response);
      return;
    }
    if ('allowed' in match) throw methodNotAllowed(match.allowed);
    this.#begin(request, response, { snapshot, target, ...match });
  }

  #begin(request: CallerRequest, response: CallerResponse, destination: Destination): void {
    const { services, callerAddress, isStopping } = this.#options;
    if (isStopping()) throw new GatewayError('gateway_stopping', { headers: { connection: 'close' } });
    const { snapshot, target, route, pathModel } = destination;
    const receivedAt = Date.now();
    const outcome = newOutcome();
    void handle({
      id: newRequestId(receivedAt),
      request,
      response,
      target,
      route,
      pathModel,
      snapshot,
      services,
      callerAddress: callerAddress(request),
      receivedAt,
      startedAt: performance.now(),
      signal: this.#signalFor(response, outcome),
      outcome,
    }); // Never rejects.
  }

  /** Ends what runs on a credential that no longer works: its caller learns why, streams included. */
  #cutRevoked(): void {
    const { revocations } = this.#options.services;
    for (const { signal, outcome } of this.#running.all()) {
      if (outcome.principal !== null && revocations.isRevoked(outcome.principal))
        signal.abort(new GatewayError('credential_revoked', { reason: 'revoked_in_mid_request' }));
    }
  }

  /** Aborts when the caller goes away before the answer is whole, when `abortAll` is called, or with a refusal as its reason. */
  #signalFor(response: CallerResponse, outcome: Outcome): RequestSignal {
    const signal = new RequestSignal();
    const running = new RunningRequest(signal, outcome);
    this.#running.join(running);
    response.once('close', () => {
      this.#running.leave(running);
      if (response.writableFinished) return;
      outcome.aborted = true;
      signal.abort();
    });
    return signal;
  }

  #refuseThrown(request: CallerRequest, response: CallerResponse, error: unknown): void {
    const refusal =
      error instanceof GatewayError ? error : new GatewayError('internal_error', { cause: error });
    if (refusal.code === 'internal_error')
      this.#options.services.log.error({ err: error }, 'a bug of ours refused a request');
    this.refuseUnrouted(request, response, refusal);
  }

  #refusalContext(id: string, path: string): RefusalContext {
    const { services, current } = this.#options;
    return {
      id,
      surface: surfaceOf(path),
      publicUrl: services.publicUrl,
      scopes: current().authentication.scopesSupported,
    };
  }

  #account(id: string, refusal: GatewayError, from: { method: string; caller: string }): void {
    accountUnrouted(this.#options.services, {
      id,
      method: from.method,
      status: refusal.definition.status,
      code: refusal.code,
      reason: refusal.reason ?? null,
      callerAddress: from.caller,
    });
  }
}

function checkedTarget(request: IncomingMessage): RequestTarget {
  checkHead(request);
  const { expect } = request.headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    throw new GatewayError('expectation_failed');
  return parseTarget(request.url ?? '');
}

function methodNotAllowed(methods: readonly string[]): GatewayError {
  const allowed = methods.join(', ');
  return new GatewayError('method_not_allowed', { params: { allowed }, headers: { allow: allowed } });
}

function noop(): void {
  // Intentionally empty.
}
