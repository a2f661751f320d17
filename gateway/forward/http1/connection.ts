// One kept-alive connection, one request at a time. An answer is given to the request in flight only; on a connection
// that has carried one before it must echo that request's `x-request-id`. Whatever is in doubt ends the connection.
import type { Socket } from 'node:net';
import { GatewayError } from '../../../core/errors.ts';
import { AnswerReader, type AnswerReceiver } from './answer-reader.ts';
import type { Exchange } from './exchange.ts';
import type { AnswerHead } from './head-reader.ts';
import { maxJoinedBody, type RequestWriter } from './request-writer.ts';
import { restMsOf } from './rest-time.ts';
import type { Connect } from './connect.ts';

/** What a connection needs of the pool. */
export interface ConnectionOwner {
  /** Counts up while time passes. */
  readonly tick: number;
  readonly writer: RequestWriter;
  readonly reuseUnproven: boolean;
  /** Whether further requests on a connection make sense. */
  readonly keepsAlive: boolean;
  /** How many ticks are at least so many milliseconds. */
  ticksFor(ms: number): number;
  /** It carried a whole answer and stands; `isProven` says that the answer echoed its request's id. */
  release(connection: Connection, isProven: boolean): void;
  /** It may not be used again. */
  discard(connection: Connection): void;
  /** It ended before a byte of this request was sent, which another connection may therefore still carry. */
  replace(connection: Connection, exchange: Exchange): void;
}

/** How long each state may last, in ticks. */
export interface TimeLimits {
  readonly connect: number;
  readonly head: number;
  readonly idle: number;
}

const connecting = 0;
const idle = 1;
// A request is chosen for it, nothing is sent: until the end of the turn, bytes and a FIN of the peer are still noticed.
const assigned = 2;
const sent = 3;
const inBody = 4;
const closed = 5;

/** A socket and what happens on it. */
export class Connection implements AnswerReceiver {
  readonly #owner: ConnectionOwner;
  readonly #limits: TimeLimits;
  readonly #socket: Socket;
  readonly #reader = new AnswerReader(this);
  #exchange: Exchange | null = null;
  #state = connecting;
  #since: number;
  #hasCarried = false;
  #mayStay = false;
  #isProven = false;
  #isPaused = false;
  #keepAlive: string | undefined;
  #restTicks: number;

  constructor(owner: ConnectionOwner, limits: TimeLimits, open: { connect: Connect; readyEvent: string }) {
    this.#owner = owner;
    this.#limits = limits;
    this.#since = owner.tick;
    this.#restTicks = owner.ticksFor(restMsOf(undefined));
    this.#socket = open.connect(this.#onRead);
    this.#socket.once(open.readyEvent, () => this.#onReady());
    this.#socket.on('end', () => this.#onEnd());
    this.#socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#onBroken(error.code ?? error.name, error),
    );
    this.#socket.on('close', () => this.#onBroken('closed'));
  }

  /** Takes a request; returns whether `send` must be called. A new connection sends it as soon as it stands. */
  assign(exchange: Exchange): boolean {
    this.#exchange = exchange;
    exchange.connection = this;
    if (this.#state === idle) this.#state = assigned;
    return this.#state === assigned;
  }

  /** Sends the assigned request, unless it or the connection has ended in the meantime. */
  send(): void {
    const exchange = this.#exchange;
    if (this.#state !== assigned || exchange === null) return;
    const { body } = exchange.request;
    this.#mayStay = this.#owner.keepsAlive;
    try {
      const bytes = this.#owner.writer.write(exchange.request, !this.#mayStay);
      this.#state = sent;
      this.#since = this.#owner.tick;
      this.#reader.next();
      if (body !== null && body.length > maxJoinedBody) {
        this.#socket.cork();
        this.#socket.write(bytes);
        this.#socket.write(body);
        this.#socket.uncork();
      } else this.#socket.write(bytes);
    } catch (error) {
      this.#fail(new GatewayError('internal_error', { cause: error }));
    }
  }

  get isClosed(): boolean {
    return this.#state === closed;
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    // Time that the sink took is not the upstream's.
    this.#since = this.#owner.tick;
    this.#socket.resume();
  }

  /** Cuts it; nobody hears of it any more. */
  destroy(): void {
    this.#state = closed;
    this.#reader.stop();
    this.#exchange = null;
    this.#socket.destroy();
  }

  /** Settles when the system has let go of it. */
  async gone(): Promise<void> {
    if (!this.#socket.closed) await new Promise((resolve) => this.#socket.once('close', resolve));
  }

  /** Ends it with this refusal of its request, if it has one. */
  refuse(refusal: GatewayError): void {
    this.#fail(refusal);
  }

  /** Looks whether it has been in its state for too long. */
  checkTime(tick: number): void {
    const ticks = tick - this.#since;
    if (this.#state === connecting) {
      if (ticks >= this.#limits.connect) this.#onBroken('connect_timeout');
    } else if (this.#state === sent) {
      if (ticks >= this.#limits.head) this.#timeOut('upstream_head_timeout');
    } else if (this.#state === inBody) {
      if (ticks >= this.#limits.idle && !this.#isPaused) this.#timeOut('upstream_body_timeout');
    } else if (this.#state === idle && ticks >= this.#restTicks) this.#owner.discard(this);
  }

  head(head: AnswerHead): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#isProven = head.headers['x-request-id'] === exchange.request.id;
    if (this.#hasCarried && !this.#isProven && !this.#owner.reuseUnproven) {
      this.#invalid('answer_out_of_step');
      return;
    }
    this.#state = inBody;
    this.#since = this.#owner.tick;
    if (head.closes || !hasClearEnd(head)) this.#mayStay = false;
    this.#noteKeepAlive(head.keepAlive);
    exchange.sink.head(head.status, head.headers, exchange);
  }

  body(bytes: Buffer): void {
    this.#exchange?.sink.chunk(bytes);
  }

  end(hasSurplus: boolean): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    // A request that is not wholly sent would be followed by the rest of its body, not by the next request.
    const mayStay = this.#mayStay && !hasSurplus && this.#socket.writableLength === 0;
    this.#exchange = null;
    exchange.leave();
    this.#state = idle;
    this.#since = this.#owner.tick;
    this.#hasCarried = true;
    this.resume();
    // The sink first: what it starts next must not find this connection while its answer is still being handled.
    exchange.sink.end();
    if (mayStay) this.#owner.release(this, this.#isProven);
    else this.#owner.discard(this);
  }

  readonly #onRead = (count: number, bytes: Buffer): boolean => {
    if (this.#state === inBody) this.#since = this.#owner.tick;
    else if (this.#state !== sent) {
      // Nobody asked for these bytes.
      this.#onBroken('stray_bytes');
      return false;
    }
    const exchange = this.#exchange;
    try {
      const fault = this.#reader.push(bytes, count);
      if (fault !== null) this.#invalid(fault);
    } catch (error) {
      // A sink threw: its request must end all the same, whatever it has heard before.
      this.#owner.discard(this);
      exchange?.leave();
      exchange?.sink.failed(new GatewayError('internal_error', { cause: error }));
    }
    return !this.isClosed;
  };

  #onReady(): void {
    if (this.#state !== connecting) return;
    this.#state = this.#exchange === null ? idle : assigned;
    this.#since = this.#owner.tick;
    this.send();
  }

  #onEnd(): void {
    if (this.#state !== inBody) {
      this.#onBroken('closed');
      return;
    }
    const fault = this.#reader.close();
    if (fault !== null) this.#invalid(fault);
  }

  /** The socket has ended or brought what it should not; what that means depends on how far things were. */
  #onBroken(reason: string, cause?: unknown): void {
    const exchange = this.#exchange;
    const state = this.#state;
    if (state === closed) return;
    if (state === assigned && exchange !== null) this.#owner.replace(this, exchange);
    else if ((state === sent && !this.#reader.isBeforeHead) || state === inBody) this.#invalid(reason, cause);
    else this.#fail(new GatewayError('upstream_unavailable', { reason: `upstream_${reason}`, cause }));
  }

  #invalid(fault: string, cause?: unknown): void {
    this.#fail(new GatewayError('upstream_invalid_response', { reason: `upstream_${fault}`, cause }));
  }

  #timeOut(reason: string): void {
    this.#fail(new GatewayError('upstream_timeout', { reason }));
  }

  #fail(refusal: GatewayError): void {
    const exchange = this.#exchange;
    this.#owner.discard(this);
    exchange?.fail(refusal);
  }

  #noteKeepAlive(stated: string | undefined): void {
    if (stated === this.#keepAlive) return;
    this.#keepAlive = stated;
    const ms = restMsOf(stated);
    this.#restTicks = this.#owner.ticksFor(ms);
    if (ms <= 0) this.#mayStay = false;
  }
}

/** Whether the answer's own framing says where the next one would begin; a body where none may be says nothing. */
function hasClearEnd({ status, length, isChunked }: AnswerHead): boolean {
  if (status === 204 || status === 304) return length <= 0 && !isChunked;
  return length >= 0 || isChunked;
}
