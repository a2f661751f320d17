// The way in for completions: takes each connection of the listener first, and gives those that bring anything but
// requests of the simple shape to node:http, with the bytes that have come. docs/decisions/0013 says why that is safe.
import type { Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { GatewayError } from '../../core/errors.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import { KnownHeads } from './known-heads.ts';

/** Times as node:http has them, ms. */
export interface IngressLimits {
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly connectionsCheckingInterval: number;
}

/** Who takes the requests, and what bounds them. */
export interface IngressOptions extends Pick<
  ConnectionContext,
  'current' | 'isStopping' | 'onRequest' | 'onMalformed'
> {
  readonly limits: IngressLimits;
}

/** The connections that node:http does not know of. */
export interface Ingress {
  /** Ends those that no request is under way on. */
  closeIdleConnections(): void;
  /** Cuts them all. */
  closeAllConnections(): void;
}

/** Takes the place of node:http's own listener for connections; called once, before the server listens. */
export function takeConnections(server: Server, options: IngressOptions): Ingress {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  const own = server.listeners(event)[0] as ((socket: Socket) => void) | undefined; // What http and https put there.
  if (own === undefined) throw new Error('node:http has no listener for connections');
  server.off(event, own);
  const ingress = new OpenConnections(options, (socket) => own.call(server, socket));
  server.on(event, (socket: Socket) => ingress.accept(socket));
  server.on('close', () => ingress.stop());
  return ingress;
}

class OpenConnections implements Ingress {
  readonly #limits: IngressLimits;
  readonly #connections = new Set<Connection>();
  readonly #heads = new KnownHeads();
  readonly #context: ConnectionContext;
  readonly #clock: NodeJS.Timeout;
  #turn = 0;

  constructor(options: IngressOptions, giveToNode: (socket: Socket) => void) {
    const { limits, current, isStopping, onRequest, onMalformed } = options;
    this.#limits = limits;
    this.#context = {
      heads: this.#heads,
      current,
      isStopping,
      onRequest,
      onMalformed,
      handOver: (connection, unread) => {
        this.#connections.delete(connection);
        handOver(connection, unread, giveToNode);
      },
      closed: (connection) => this.#connections.delete(connection),
      keepAliveSeconds: Math.floor(limits.keepAliveTimeout / 1_000),
      turn: () => this.#turn,
    };
    // One clock for all connections: a timer for each request would cost more than its times are worth.
    this.#clock = setInterval(() => this.#tick(), limits.connectionsCheckingInterval).unref();
  }

  accept(socket: Socket): void {
    this.#connections.add(new Connection(socket, this.#context));
  }

  stop(): void {
    clearInterval(this.#clock);
  }

  closeIdleConnections(): void {
    for (const connection of this.#connections) {
      const { kind } = connection.state;
      if (kind === 'idle' || kind === 'silent') connection.end();
    }
  }

  closeAllConnections(): void {
    for (const { socket } of this.#connections) socket.destroy();
  }

  #tick(): void {
    this.#turn++;
    this.#heads.turn();
    for (const connection of this.#connections) this.#look(connection);
  }

  /** Ends what takes too long; times are whole turns, and never shorter than stated. */
  #look(connection: Connection): void {
    const { kind, since } = connection.state;
    const lastedMs = (this.#turn - since - 1) * this.#limits.connectionsCheckingInterval;
    if (kind === 'silent' && lastedMs >= this.#limits.headersTimeout) connection.refuseRequest(tooSlow());
    // Its own clock for slow heads begins then.
    else if (kind === 'heading' && lastedMs >= 0) connection.handOver();
    else if (kind === 'receiving' && lastedMs >= this.#limits.requestTimeout)
      connection.refuseRequest(tooSlow());
    else if (kind === 'idle' && lastedMs >= this.#limits.keepAliveTimeout && connection.isFlushed)
      connection.end();
    else if (kind === 'ending' && lastedMs >= 0 && connection.isFlushed) connection.socket.destroy();
  }
}

/** The socket is stopped, so that nothing comes between our listeners and those of node:http. */
function handOver(connection: Connection, unread: Buffer | null, giveToNode: (socket: Socket) => void): void {
  const { socket } = connection;
  socket.pause();
  connection.release();
  if (unread !== null) socket.unshift(unread);
  giveToNode(socket);
  socket.resume();
}

function tooSlow(): GatewayError {
  return new GatewayError('request_timeout', { reason: 'ERR_HTTP_REQUEST_TIMEOUT' });
}
