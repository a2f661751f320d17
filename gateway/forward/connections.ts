// Kept-alive connections to one upstream, one request at a time on each. An answer is only ever given to the request
// that it belongs to: a connection that has carried an answer before must prove with every further answer, by echoing
// our `x-request-id`, that it is still in step; a second response left on it by a buggy or hostile upstream carries an
// older id or none and is dropped with the connection. Upstreams that do not echo get one connection per request.
import type { IncomingHttpHeaders } from 'node:http';
import { Client, type Dispatcher } from 'undici';
import { GatewayError } from '../../core/errors.ts';
import { refusalOfFailure } from './upstream-failure.ts';

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
  /** Stops reading from the upstream until `resume`. */
  pause(): void;
  resume(): void;
  /** Drops the answer and its connection; the sink hears nothing more. */
  abort(): void;
}

/** Receives one answer: `head`, any number of `chunk`s, then `end`; or `failed` at any moment, and nothing after it. */
export interface AnswerSink {
  head(status: number, headers: IncomingHttpHeaders, control: AnswerControl): void;
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

/** A connection and whether it has already carried an answer since it was opened. */
interface Connection {
  readonly client: Client;
  hasCarried: boolean;
}

// Callers beyond this number wait for nothing good: they get 503 at once.
const maxWaiting = 1024;
// An answer's head is a few hundred bytes; more is an attack or a bug.
const maxHeaderBytes = 16_384;

/** Opens nothing yet; connections are made when they are needed and live in `Connections`. */
export function createConnections(options: ConnectionOptions): Connections {
  return new ConnectionPool(options);
}

class ConnectionPool implements Connections {
  readonly #options: ConnectionOptions;
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<Exchange>();
  readonly #all = new Set<Connection>();
  // Learnt from answers; only spares the handshake of a connection that would be thrown away, safety never rests on it.
  #echoes = true;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get reuseUnproven(): boolean {
    return this.#options.reuseUnproven;
  }

  send(request: UpstreamRequest, sink: AnswerSink): AnswerControl {
    const exchange = new Exchange(this, request, sink);
    const connection = this.#idle.pop() ?? this.#open();
    if (connection !== null) this.#start(exchange, connection);
    else if (this.#closed || this.#waiting.size >= maxWaiting)
      exchange.fail(
        new GatewayError('server_is_overloaded', { reason: 'upstream_queue_full', retryAfterSeconds: 1 }),
      );
    else this.#wait(exchange);
    return exchange;
  }

  #open(): Connection | null {
    if (this.#closed || this.#all.size >= this.#options.maxConnections) return null;
    const { origin, socketPath, ca, connectMs, firstByteMs, idleMs } = this.#options;
    const client = new Client(origin, {
      connect: {
        timeout: connectMs,
        ...(socketPath === null ? {} : { socketPath }),
        ...(ca === null ? {} : { ca }),
      },
      // One request at a time: an answer can then only be that of the request in flight.
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: firstByteMs,
      bodyTimeout: idleMs,
    });
    const connection = { client, hasCarried: false };
    this.#all.add(connection);
    return connection;
  }

  #wait(exchange: Exchange): void {
    this.#waiting.add(exchange);
    exchange.waitTimer = setTimeout(() => {
      this.#waiting.delete(exchange);
      exchange.fail(
        new GatewayError('server_is_overloaded', { reason: 'upstream_queue_timeout', retryAfterSeconds: 1 }),
      );
    }, this.#options.firstByteMs);
  }

  #start(exchange: Exchange, connection: Connection): void {
    exchange.connection = connection;
    const { method, path, headers, body } = exchange.request;
    try {
      connection.client.dispatch(
        { method, path, headers, body, reset: !this.#echoes && !this.#options.reuseUnproven },
        exchange,
      );
    } catch (error) {
      this.discard(connection);
      exchange.fail(new GatewayError('internal_error', { cause: error }));
    }
  }

  forget(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  /** After a whole answer: `isProven` says that it echoed its request's id. */
  release(connection: Connection, isProven: boolean): void {
    const reusable = isProven || this.#options.reuseUnproven;
    this.#echoes = isProven;
    // The proof of the next answer is needed from now on; a reset connection reopens, and proves itself as well.
    connection.hasCarried = true;
    if (!reusable || this.#closed) this.discard(connection);
    else this.#hand(connection);
  }

  discard(connection: Connection): void {
    this.#all.delete(connection);
    connection.client.destroy().catch(() => undefined);
    if (this.#waiting.size === 0) return;
    const fresh = this.#open();
    if (fresh !== null) this.#hand(fresh);
  }

  #hand(connection: Connection): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#idle.push(connection);
      return;
    }
    this.#waiting.delete(next);
    clearTimeout(next.waitTimer);
    this.#start(next, connection);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const exchange of this.#waiting)
      exchange.fail(new GatewayError('gateway_stopping', { retryAfterSeconds: 5 }));
    this.#waiting.clear();
    await Promise.all([...this.#all].map((connection) => connection.client.destroy().catch(() => undefined)));
    this.#all.clear();
  }
}

/** One request in flight: undici's handler on one side, the sink on the other. */
class Exchange implements AnswerControl, Dispatcher.DispatchHandler {
  readonly request: UpstreamRequest;
  connection: Connection | null = null;
  waitTimer: NodeJS.Timeout | undefined;
  readonly #pool: ConnectionPool;
  readonly #sink: AnswerSink;
  #controller: Dispatcher.DispatchController | null = null;
  #isOver = false;
  #hasBytes = false;
  #hasHead = false;
  #isProven = false;

  constructor(pool: ConnectionPool, request: UpstreamRequest, sink: AnswerSink) {
    this.#pool = pool;
    this.request = request;
    this.#sink = sink;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#controller?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.waitTimer);
    this.#pool.forget(this);
    this.#controller?.abort(new Error('aborted'));
    if (this.connection !== null) this.#pool.discard(this.connection);
  }

  fail(refusal: GatewayError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.waitTimer);
    this.#sink.failed(refusal);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new Error('aborted'));
  }

  onResponseStarted(): void {
    this.#hasBytes = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#isOver) return;
    // Interim answers (102, 103) say nothing that a caller may see; 101 is a tunnel that nobody asked for.
    if (status < 200 && status !== 101) return;
    this.#hasHead = true;
    this.#isProven = headers['x-request-id'] === this.request.id;
    if (status === 101) this.#drop('upstream_101');
    else if (this.connection?.hasCarried === true && !this.#isProven && !this.#pool.reuseUnproven)
      this.#drop('upstream_answer_out_of_step');
    else this.#sink.head(status, headers, this);
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.#isOver) this.#sink.chunk(bytes);
  }

  onResponseEnd(): void {
    if (this.#isOver || this.connection === null) return;
    if (!this.#hasHead) {
      this.#drop('upstream_no_head');
      return;
    }
    this.#isOver = true;
    const { connection } = this;
    // The sink first: what it starts next must not find this connection while its answer is still being handled.
    this.#sink.end();
    // A turn of the event loop, so that bytes behind the answer meet an idle connection, which undici then destroys.
    setImmediate(() => this.#pool.release(connection, this.#isProven));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#isOver) return;
    if (this.connection !== null) this.#pool.discard(this.connection);
    this.fail(refusalOfFailure(error, { hasBytes: this.#hasBytes, hasHead: this.#hasHead }));
  }

  #drop(reason: string): void {
    this.fail(new GatewayError('upstream_invalid_response', { reason }));
    this.#controller?.abort(new Error(reason));
    if (this.connection !== null) this.#pool.discard(this.connection);
  }
}
