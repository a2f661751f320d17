// One request on its way to an upstream and back: what its sender may do, and that its sink hears at most one end.
import type { GatewayError } from '../../../core/errors.ts';
import type { Linked } from '../../chain.ts';
import type { AnswerControl, AnswerSink, UpstreamRequest } from '../connections.ts';
import type { Connection } from './connection.ts';

/** What an exchange needs of the pool. */
export interface ExchangeOwner {
  /** The sender has gone before a connection was found. */
  forget(exchange: Exchange): void;
  /** The sender has gone: the connection may still be carrying the answer. */
  discard(connection: Connection): void;
}

/** A request and its sink. */
export class Exchange implements AnswerControl, Linked<Exchange> {
  readonly request: UpstreamRequest;
  readonly sink: AnswerSink;
  /** Null while it waits for one, and after its end. */
  connection: Connection | null = null;
  isOver = false;
  /** Tick of the pool since which it has waited. */
  waitsSince = 0;
  /** Its neighbours while it waits. */
  previous: Exchange | null = null;
  next: Exchange | null = null;
  readonly #owner: ExchangeOwner;

  constructor(owner: ExchangeOwner, request: UpstreamRequest, sink: AnswerSink) {
    this.#owner = owner;
    this.request = request;
    this.sink = sink;
  }

  pause(): void {
    this.connection?.pause();
  }

  resume(): void {
    this.connection?.resume();
  }

  abort(): void {
    if (this.isOver) return;
    const { connection } = this;
    this.leave();
    if (connection === null) this.#owner.forget(this);
    else this.#owner.discard(connection);
  }

  /** Ends it with a refusal. */
  fail(refusal: GatewayError): void {
    if (this.isOver) return;
    this.leave();
    this.sink.failed(refusal);
  }

  /** Nothing more happens to it, and nothing that its sink does reaches the connection, which may serve another. */
  leave(): void {
    this.isOver = true;
    this.connection = null;
  }
}
