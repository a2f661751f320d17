// Kept-alive connections to one upstream, one request at a time on each. An answer is only ever given to the request
// that it belongs to: a connection that has carried an answer before must prove with every further answer, by echoing
// our `x-request-id`, that it is still in step; a second response left on it by a buggy or hostile upstream carries an
// older id or none and is dropped with the connection. Upstreams that do not echo get one connection per request.
// The protocol is spoken in http1/ (docs/decisions/0014).
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../core/errors.ts';
import { Chain } from '../chain.ts';
import { connectorTo, hostOf, readyEvent, type Connect } from './http1/connect.ts';
import { Connection, type ConnectionOwner, type TimeLimits } from './http1/connection.ts';
import { Exchange, type ExchangeOwner } from './http1/exchange.ts';
import { RequestWriter } from './http1/request-writer.ts';

/** One request as it is sent. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Names and values in turn; includes `x-request-id`, whose value is `id`. */
  readonly headers: string[];
  readonly body: Buffer | null;
  readonly id: string;
}

/** What a sink may do to the answer that it receives. */
export interface AnswerControl {
  /** Stops reading from the upstream until `resume`; what was read already, at most 64 KiB, still comes. */
  pause(): void;
  resume(): void;
  /** Drops the answer and its connection; the sink hears nothing more. */
  abort(): void;
}

/** Receives one answer: `head`, any number of `chunk`s, then `end`; or `failed` at any moment, and nothing after it. */
export interface AnswerSink {
  head(status: number, headers: IncomingHttpHeaders, control: AnswerControl): void;
  /** `bytes` are only lent: they change once this has returned. */
  chunk(bytes: Buffer): void;
  end(): void;
  failed(refusal: GatewayError): void;
}

/** Where the upstream is, and how long things may take. */
export interface ConnectionOptions {
  readonly origin: string;
  readonly socketPath: string | null;
  readonly ca: string | null;
  readonly maxConnections: number;
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
  /** Reuse connections also of an upstream that does not echo: a stray response can then reach a wrong caller. */
  readonly reuseUnproven: boolean;
}

/** The pool. */
export interface Connections {
  /** Sends one request as soon as a connection is free; the sink hears of it asynchronously or at once. */
  send(request: UpstreamRequest, sink: AnswerSink): AnswerControl;
  close(): Promise<void>;
}

// Callers beyond this number wait for nothing good: they get 503 at once.
const maxWaiting = 1024;
// Time is counted in ticks of an eighth of the shortest time-out: one timer for all connections, none per request.
const ticksPerTimeout = 8;
const shortestTickMs = 10;
const longestTickMs = 500;

/**
 * Opens nothing yet; connections are made when they are needed and live in `Connections`.
 * @throws Error when the CA is unusable
 */
export function createConnections(options: ConnectionOptions): Connections {
  return new ConnectionPool(options);
}

class ConnectionPool implements Connections, ConnectionOwner, ExchangeOwner {
  tick = 0;
  readonly writer: RequestWriter;
  readonly reuseUnproven: boolean;
  readonly #maxConnections: number;
  readonly #open: { readonly connect: Connect; readonly readyEvent: string };
  readonly #tickMs: number;
  readonly #limits: TimeLimits;
  readonly #idle: Connection[] = [];
  readonly #waiting = new Chain<Exchange>();
  readonly #all = new Set<Connection>();
  /** Requests that go out at the end of this turn, and connections that are idle from then on. */
  #starting: Connection[] = [];
  #resting: Connection[] = [];
  #isTurnWatched = false;
  #timer: NodeJS.Timeout | null = null;
  // Learnt from answers; only spares the handshake of a connection that would be thrown away, safety never rests on it.
  #echoes = true;
  #closed = false;

  constructor(options: ConnectionOptions) {
    const { connectMs, firstByteMs, idleMs } = options;
    this.writer = new RequestWriter(hostOf(options.origin));
    this.reuseUnproven = options.reuseUnproven;
    this.#maxConnections = options.maxConnections;
    this.#open = { connect: connectorTo(options), readyEvent: readyEvent(options.origin) };
    const shortest = Math.min(connectMs, firstByteMs, idleMs) / ticksPerTimeout;
    this.#tickMs = Math.min(Math.max(shortest, shortestTickMs), longestTickMs);
    this.#limits = {
      connect: this.ticksFor(connectMs),
      head: this.ticksFor(firstByteMs),
      idle: this.ticksFor(idleMs),
    };
  }

  get keepsAlive(): boolean {
    return this.#echoes || this.reuseUnproven;
  }

  ticksFor(ms: number): number {
    // One more, since the first one may come at once.
    return Math.ceil(ms / this.#tickMs) + 1;
  }

  send(request: UpstreamRequest, sink: AnswerSink): AnswerControl {
    const exchange = new Exchange(this, request, sink);
    this.#place(exchange);
    return exchange;
  }

  #place(exchange: Exchange): void {
    const connection = this.#idle.pop() ?? this.#openOne();
    if (connection !== null) this.#start(exchange, connection);
    else if (this.#closed) exchange.fail(stopping());
    else if (this.#waiting.size >= maxWaiting)
      exchange.fail(
        new GatewayError('server_is_overloaded', { reason: 'upstream_queue_full', retryAfterSeconds: 1 }),
      );
    else {
      exchange.waitsSince = this.tick;
      this.#waiting.join(exchange);
    }
  }

  #openOne(): Connection | null {
    if (this.#closed || this.#all.size >= this.#maxConnections) return null;
    const connection = new Connection(this, this.#limits, this.#open);
    this.#all.add(connection);
    if (this.#timer === null) {
      this.#timer = setInterval(() => this.#onTick(), this.#tickMs);
      this.#timer.unref();
    }
    return connection;
  }

  #start(exchange: Exchange, connection: Connection): void {
    if (!connection.assign(exchange)) return;
    this.#starting.push(connection);
    this.#watchTurn();
  }

  /** After a whole answer: `isProven` says that it echoed its request's id. */
  release(connection: Connection, isProven: boolean): void {
    this.#echoes = isProven;
    if (this.#closed || !(isProven || this.reuseUnproven)) {
      this.discard(connection);
      return;
    }
    this.#resting.push(connection);
    this.#watchTurn();
  }

  discard(connection: Connection): void {
    this.#remove(connection);
    const fresh = this.#waiting.size === 0 ? null : this.#openOne();
    if (fresh !== null) this.#hand(fresh);
  }

  replace(connection: Connection, exchange: Exchange): void {
    this.#remove(connection);
    exchange.connection = null;
    this.#place(exchange);
  }

  forget(exchange: Exchange): void {
    this.#waiting.leave(exchange);
  }

  #remove(connection: Connection): void {
    connection.destroy();
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
  }

  #hand(connection: Connection): void {
    const next = this.#waiting.oldest;
    if (next === null) {
      this.#idle.push(connection);
      return;
    }
    this.#waiting.leave(next);
    this.#start(next, connection);
  }

  #watchTurn(): void {
    if (this.#isTurnWatched) return;
    this.#isTurnWatched = true;
    setImmediate(this.#onTurn);
  }

  /**
   * The end of a turn of the event loop, once for all requests of the turn. A connection rests from its answer to the
   * end of that turn, and a request goes out at the end of the turn in which it got its connection: between an answer
   * and the next request the system was asked for news, so a FIN or a stray answer that had come by then was met by
   * an idle connection, which it ends, and the request moves to another.
   */
  readonly #onTurn = (): void => {
    this.#isTurnWatched = false;
    const starting = this.#starting;
    const resting = this.#resting;
    this.#starting = [];
    this.#resting = [];
    for (const connection of starting) connection.send();
    for (const connection of resting) if (!connection.isClosed) this.#hand(connection);
  };

  #onTick(): void {
    this.tick++;
    for (const connection of this.#all) connection.checkTime(this.tick);
    for (;;) {
      // In order of their arrival.
      const { oldest } = this.#waiting;
      if (oldest === null || this.tick - oldest.waitsSince < this.#limits.head) break;
      this.#waiting.leave(oldest);
      oldest.fail(
        new GatewayError('server_is_overloaded', { reason: 'upstream_queue_timeout', retryAfterSeconds: 1 }),
      );
    }
    if (this.#all.size > 0 || this.#waiting.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const exchange of this.#waiting.all()) {
      this.#waiting.leave(exchange);
      exchange.fail(stopping());
    }
    const connections = [...this.#all];
    for (const connection of connections) connection.refuse(stopping());
    await Promise.all(connections.map((connection) => connection.gone()));
    if (this.#timer !== null) clearInterval(this.#timer);
  }
}

function stopping(): GatewayError {
  return new GatewayError('gateway_stopping', { retryAfterSeconds: 5 });
}
