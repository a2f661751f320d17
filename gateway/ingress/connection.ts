// One connection of a caller: requests of the simple shape one after the other, each answered before the next is looked
// at. With the first bytes that are anything else, the connection is node:http's for the rest of its life.
import type { Socket } from 'node:net';
import { GatewayError } from '../../core/errors.ts';
import type { CallerRequest, CallerResponse } from '../caller.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Destination } from './destination.ts';
import { maxHeadBytes, mayBecomeHead } from './head.ts';
import type { KnownHeads } from './known-heads.ts';
import { IngressRequest } from './request.ts';
import { IngressResponse, type AnswerPath } from './response.ts';

/** What a connection needs of the listener. */
export interface ConnectionContext {
  readonly heads: KnownHeads;
  readonly current: () => Snapshot;
  readonly isStopping: () => boolean;
  readonly onRequest: (request: CallerRequest, response: CallerResponse, destination: Destination) => void;
  /** Renders the answer to what did not come whole; `isUnderWay`: the pipeline accounts for it. */
  readonly onMalformed: (refusal: GatewayError, socket: Socket, isUnderWay: boolean) => string;
  /** Gives the connection to node:http, which reads `unread` first. */
  readonly handOver: (connection: Connection, unread: Buffer | null) => void;
  readonly closed: (connection: Connection) => void;
  readonly keepAliveSeconds: number;
  /** Turns of the clock since the listener was made. */
  readonly turn: () => number;
}

/**
 * `silent`: nothing has come yet; `heading`: the head is not whole; `receiving`: the body is not whole; `ending`: waits for
 * the caller to close.
 */
export interface ConnectionState {
  readonly kind: 'silent' | 'idle' | 'heading' | 'receiving' | 'answering' | 'ending';
  readonly since: number;
}

/** An accepted connection, until it ends or is handed over. */
export class Connection implements AnswerPath {
  readonly socket: Socket;
  readonly keepAliveSeconds: number;
  readonly #context: ConnectionContext;
  #request: IngressRequest | null = null;
  #response: IngressResponse | null = null;
  /** What came behind the request that is being answered; bounded by one read, since the socket is paused then. */
  #unread: Buffer | null = null;
  /** Whatever still comes is nobody's request. */
  #isEnding = false;
  /** In the middle of #advance, which sees by itself that an answer is done. */
  #isAdvancing = false;
  #hasServed = false;
  /** How often more of a head was waited for, and since when. */
  #headReads = 0;
  #headSince = 0;
  #idleSince: number;

  constructor(socket: Socket, context: ConnectionContext) {
    this.socket = socket;
    this.#context = context;
    this.keepAliveSeconds = context.keepAliveSeconds;
    this.#idleSince = context.turn();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
    socket.on('drain', this.#onDrain);
    socket.on('error', ignore); // `close` follows.
  }

  /** What it is doing, and since which turn of the clock. */
  get state(): ConnectionState {
    const request = this.#request;
    if (this.#isEnding) return { kind: 'ending', since: this.#idleSince };
    if (this.#headReads > 0) return { kind: 'heading', since: this.#headSince };
    if (request === null) return { kind: this.#hasServed ? 'idle' : 'silent', since: this.#idleSince };
    return { kind: request.missingBytes > 0 ? 'receiving' : 'answering', since: request.since };
  }

  /** Whether all that was written is with the system. */
  get isFlushed(): boolean {
    return this.socket.writableLength === 0;
  }

  get isWritable(): boolean {
    return this.socket.writable;
  }

  /** Ends the connection with what has been written. */
  end(lastWords = ''): void {
    this.#isEnding = true;
    this.#idleSince = this.#context.turn();
    this.#unread = null;
    this.socket.end(lastWords);
    this.socket.resume(); // What still comes is thrown away, so that the caller gets to read the answer.
  }

  /** Ends a request that does not come whole, or a connection on which none came. */
  refuseRequest(refusal: GatewayError): void {
    const isUnderWay = this.#request !== null;
    // An answer already on its way must not be followed by a second one.
    if (this.#response?.headersSent === true) this.socket.destroy();
    else this.end(this.#context.onMalformed(refusal, this.socket, isUnderWay));
    this.#request?.cut();
    this.#leave();
  }

  /** Gives it to node:http, with what has come of a head. */
  handOver(): void {
    const unread = this.#unread;
    this.#unread = null;
    this.#context.handOver(this, unread);
  }

  /** Takes our listeners off; what comes from now on is read by somebody else. */
  release(): void {
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('close', this.#onClose);
    this.socket.off('drain', this.#onDrain);
    this.socket.off('error', ignore);
  }

  write(text: string, encoding: 'latin1' | 'utf8'): boolean {
    return this.socket.write(text, encoding);
  }

  writeBytes(head: string, bytes: Buffer): boolean {
    if (head === '') return this.socket.write(bytes);
    this.socket.cork();
    this.socket.write(head, 'latin1');
    const takesMore = this.socket.write(bytes);
    this.socket.uncork();
    return takesMore;
  }

  mustEnd(): boolean {
    const request = this.#request;
    return request === null || !request.complete || request.isLast || this.#context.isStopping();
  }

  answered(response: IngressResponse): void {
    this.#request = null;
    this.#response = null;
    this.#idleSince = this.#context.turn();
    if (!response.shouldKeepAlive) this.end();
    // Behind everything that the stages still do with this request.
    else if (!this.#isAdvancing && (this.#unread !== null || this.socket.isPaused()))
      process.nextTick(() => this.#advance());
  }

  cut(): void {
    this.socket.destroy();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#isEnding) return;
    const request = this.#request;
    if (request === null) {
      this.#unread = this.#unread === null ? bytes : Buffer.concat([this.#unread, bytes]);
      this.#advance();
      return;
    }
    const rest = request.missingBytes === 0 ? bytes : request.feed(bytes);
    if (rest !== null) this.#unread = this.#unread === null ? rest : Buffer.concat([this.#unread, rest]);
    // Neither a body that nobody has asked for nor the next request is read on: the system holds it back.
    if (this.#unread !== null || (request.missingBytes > 0 && !request.isWanted)) this.socket.pause();
  };

  /** Begins with the next request while there is one; where nothing is left, waits for more. */
  #advance(): void {
    this.#isAdvancing = true;
    let isHeading = false;
    // A caller that reads no answer gets no further one.
    while (
      this.#unread !== null &&
      this.#request === null &&
      !this.#isEnding &&
      !this.socket.writableNeedDrain
    ) {
      const length = this.#unread.indexOf(emptyLine);
      isHeading = length === -1 && this.#waitsForHead(this.#unread);
      if (isHeading) break;
      if (length !== -1 && this.#begin(this.#unread, length)) continue;
      this.#isAdvancing = false;
      this.handOver();
      return;
    }
    this.#isAdvancing = false;
    if (this.#unread !== null && !isHeading) this.socket.pause();
    else if (this.socket.isPaused()) this.socket.resume();
  }

  /** Whether it pays to wait for the rest of a head: networks cut anywhere, but not often in one head. */
  #waitsForHead(bytes: Buffer): boolean {
    if (bytes.length > maxHeadBytes || this.#headReads === maxHeadReads) return false;
    if (!mayBecomeHead(bytes.toString('latin1'))) return false;
    if (this.#headReads === 0) this.#headSince = this.#context.turn();
    this.#headReads++;
    return true;
  }

  /** Begins with the request whose head is so long; false when it is not of the simple shape. */
  #begin(bytes: Buffer, length: number): boolean {
    if (length > maxHeadBytes || bytes[0] !== capitalP) return false;
    const { heads, current, turn, onRequest } = this.#context;
    const head = heads.find(bytes, length);
    const destination = head?.destinationUnder(current());
    if (head === null || destination === undefined || destination === null) return false;
    const request = new IngressRequest(head, this.socket, turn());
    const response = new IngressResponse(this);
    this.#request = request;
    this.#response = response;
    this.#hasServed = true;
    this.#headReads = 0;
    const bodyStart = length + emptyLine.length;
    this.#unread = bodyStart < bytes.length ? request.feed(bytes.subarray(bodyStart)) : null;
    onRequest(request, response, destination);
    return true;
  }

  readonly #onEnd = (): void => {
    const { kind } = this.state;
    if (kind === 'heading' || kind === 'receiving') {
      this.refuseRequest(
        new GatewayError('malformed_request', {
          params: { problem: 'it is not valid HTTP' },
          reason: 'cut_off',
        }),
      );
      return;
    }
    // As with node:http, who has said the last word gets no answer any more.
    this.socket.end();
    this.#leave();
  };

  readonly #onClose = (): void => {
    this.#request?.cut();
    this.#leave();
    this.#context.closed(this);
  };

  readonly #onDrain = (): void => {
    if (this.#response !== null) this.#response.drained();
    else if (this.#unread !== null) this.#advance();
  };

  /** Nobody waits for the answer any more. */
  #leave(): void {
    this.#isEnding = true;
    const response = this.#response;
    this.#request = null;
    this.#response = null;
    response?.closed();
  }
}

const emptyLine = '\r\n\r\n';
/** So often more of one head is waited for; a caller that drips is left to node:http. */
const maxHeadReads = 4;
const capitalP = 'P'.charCodeAt(0);

function ignore(): void {
  // Intentionally empty.
}
