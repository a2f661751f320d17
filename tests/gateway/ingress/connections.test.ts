// Connections as they are used for long: bodies that come slowly, callers that leave, readers that do not read, the clock,
// and the stop. The reader is real, in front of a real http.Server; what lies behind it is given.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import type { CallerRequest, CallerResponse } from '../../../gateway/caller.ts';
import { takeConnections, type Ingress } from '../../../gateway/ingress/index.ts';
import type { Snapshot } from '../../../gateway/snapshot.ts';
import { testRoute } from '../../support/received.ts';

type Handle = (request: CallerRequest, response: CallerResponse) => void;

let server: Server;
let ingress: Ingress;
let port: number;
let handle: Handle;
let isStopping = false;
const malformed: string[] = [];
const sockets: net.Socket[] = [];

/** The one member that the reader asks. */
const snapshot = {
  routes: {
    match: (_method: string, path: string) =>
      path === testRoute.path ? { route: testRoute, pathModel: null } : null,
  },
} as unknown as Snapshot;

before(async () => {
  server = createServer((_request, response) => response.end('node'));
  ingress = takeConnections(server, {
    limits: {
      headersTimeout: 400,
      requestTimeout: 400,
      keepAliveTimeout: 2_000,
      connectionsCheckingInterval: 200,
    },
    current: () => snapshot,
    isStopping: () => isStopping,
    onRequest: (request, response) => handle(request, response),
    onMalformed: (refusal, _socket, isUnderWay) => {
      malformed.push(`${refusal.code} ${isUnderWay}`);
      return 'HTTP/1.1 400 Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(() => {
  isStopping = false;
  malformed.length = 0;
  for (const socket of sockets.splice(0)) socket.destroy();
});
after(() => {
  ingress.closeAllConnections();
  server.closeAllConnections();
  server.close();
});

interface Caller {
  readonly socket: net.Socket;
  text: string;
  readonly closed: Promise<unknown>;
  until(pattern: RegExp): Promise<void>;
}

async function connect(): Promise<Caller> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  sockets.push(socket);
  socket.on('error', () => undefined);
  const caller: Caller = {
    socket,
    text: '',
    closed: once(socket, 'close'),
    until: (pattern) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!pattern.test(caller.text)) return;
          socket.off('data', look);
          resolve();
        };
        socket.on('data', look);
        look();
      }),
  };
  socket.on('data', (chunk) => (caller.text += chunk.toString('latin1')));
  await once(socket, 'connect');
  return caller;
}

const head = (length: number, more = ''): string =>
  `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n${more}\r\n`;

/** Answers with the body that came. */
const echo: Handle = (request, response) => {
  void Promise.resolve()
    .then(() => request.collectBody?.(1_000_000))
    .then((body) => {
      response.writeHead(200, { 'content-length': body?.length ?? 0 });
      response.end(body);
    })
    .catch(() => response.destroy());
};
const count = (text: string): number => text.split('HTTP/1.1 200 OK').length - 1;

describe('a body', () => {
  it('is whole when it comes in pieces, and the next request is apart from it', async () => {
    handle = echo;
    const caller = await connect();
    for (const piece of [head(10), 'abc', 'defghij' + head(2), 'xy' + head(0) + head(1), 'z']) {
      caller.socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await caller.until(/z$/);
    assert.deepEqual(
      caller.text.split('\r\n\r\n').map((part) => part.replace(/HTTP[^]*/, '')),
      ['', 'abcdefghij', 'xy', '', 'z'],
    );
  });
  it('is held back by the system until it is asked for', async () => {
    const seen: CallerRequest[] = [];
    handle = (request) => void seen.push(request);
    const caller = await connect();
    caller.socket.write(head(90_000_000));
    const block = Buffer.alloc(1_000_000, 'a');
    for (let written = 0; written < 60; written++) caller.socket.write(block);
    await new Promise((resolve) => setTimeout(resolve, 300));
    // The buffers of the system take a few MB; the rest is still the caller's.
    assert.ok(caller.socket.writableLength > 30_000_000, String(caller.socket.writableLength));
  });
  it('is refused when it is longer than its stage permits, before it is read', async () => {
    let code = '';
    handle = (request, response) => {
      try {
        void request.collectBody?.(5);
      } catch (error) {
        code = error instanceof GatewayError ? error.code : 'other';
      }
      response.writeHead(413, { 'content-length': 0 });
      response.end();
    };
    const caller = await connect();
    caller.socket.write(head(6));
    await caller.closed;
    assert.equal(code, 'body_too_large');
    assert.match(caller.text, /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n/);
  });
  it('that nobody asked for ends the connection, and never becomes a request', async () => {
    let requests = 0;
    handle = (_request, response) => {
      requests++;
      response.writeHead(401, { 'content-length': 0 });
      response.end();
    };
    const caller = await connect();
    const smuggled = head(0);
    caller.socket.write(head(smuggled.length) + smuggled + head(0));
    await caller.closed;
    assert.equal(requests, 1);
    assert.match(caller.text, /\r\nConnection: close\r\n/);
    assert.equal(caller.text.split('HTTP/1.1').length, 2);
  });
  it('that does not come in time is refused, and its stage learns that it was cut off', async () => {
    let refused: unknown;
    let isClosed = false;
    handle = (request, response) => {
      response.on('close', () => (isClosed = true));
      void Promise.resolve(request.collectBody?.(100)).catch((error: unknown) => (refused = error));
    };
    const caller = await connect();
    caller.socket.write(`${head(10)}abc`);
    await caller.closed;
    // The connection of the test before is looked at by the same clock.
    assert.ok(malformed.every((each) => each === 'request_timeout true') && malformed.length > 0);
    assert.ok(refused instanceof GatewayError && refused.code === 'body_invalid' && isClosed);
    assert.match(caller.text, /^HTTP\/1\.1 400 Refused/);
  });
});

describe('a caller', () => {
  it('that goes away closes its answer', async () => {
    const closed = new Promise<boolean>((resolve) => {
      handle = (_request, response) => response.on('close', () => resolve(response.writableFinished));
    });
    const caller = await connect();
    caller.socket.write(head(0));
    setTimeout(() => caller.socket.destroy(), 50);
    assert.equal(await closed, false);
  });
  it('that reads nothing stops the answer, and goes on when it reads', async () => {
    let drains = 0;
    let pieces = 0;
    handle = (request, response) => {
      request.collectBody?.(10);
      const piece = 'a'.repeat(100_000);
      const write = (): void => {
        while (pieces < 200) {
          pieces++;
          if (!response.write(piece)) {
            response.once('drain', () => {
              drains++;
              write();
            });
            return;
          }
        }
        response.end();
      };
      response.writeHead(200, {});
      write();
    };
    const caller = await connect();
    caller.socket.pause();
    caller.socket.write(head(0));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(pieces < 200, 'all was written to a caller that reads nothing');
    let bytes = 0;
    let end = '';
    caller.socket
      .removeAllListeners('data')
      .resume()
      .on('data', (chunk) => {
        bytes += chunk.length;
        end = (end + chunk.toString('latin1')).slice(-7);
      });
    while (end !== '\r\n0\r\n\r\n') await once(caller.socket, 'data');
    assert.ok(drains > 0);
    assert.ok(bytes > 20_000_000);
  });
  it('that pipelines without reading has its later requests wait', async () => {
    let requests = 0;
    const large = Buffer.alloc(300_000, 'a');
    handle = (request, response) => {
      requests++;
      request.collectBody?.(10);
      response.writeHead(200, { 'content-length': large.length });
      response.end(large);
    };
    const caller = await connect();
    caller.socket.pause();
    caller.socket.write(head(0).repeat(100));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(requests < 100, 'thirty megabytes wait for a caller that reads nothing');
    let bytes = 0;
    caller.socket
      .removeAllListeners('data')
      .resume()
      .on('data', (chunk) => (bytes += chunk.length));
    while (bytes < 30_000_000) await once(caller.socket, 'data');
    assert.equal(requests, 100);
  });
  it('that sends nothing is told so in time, and one that only waits between requests is not', async () => {
    handle = echo;
    const [silent, waiting] = await Promise.all([connect(), connect()]);
    waiting.socket.write(head(1) + 'a');
    await silent.closed;
    assert.match(silent.text, /^HTTP\/1\.1 400 Refused/);
    assert.deepEqual(malformed, ['request_timeout false']);
    waiting.socket.write(head(1) + 'b');
    await waiting.until(/b$/);
    await waiting.closed; // After the time between requests.
    assert.deepEqual(malformed, ['request_timeout false']);
  });
});

describe('a head', () => {
  it('may come in two pieces, wherever it is cut, without the connection leaving the fast way', async () => {
    handle = echo;
    const caller = await connect();
    const whole = head(2, 'X-A: b\r\n');
    for (let cut = 'POST /'.length; cut < whole.length; cut += 7) {
      caller.text = '';
      caller.socket.write(whole.slice(0, cut));
      await new Promise((resolve) => setTimeout(resolve, 5));
      caller.socket.write(`${whole.slice(cut)}ok`);
      await caller.until(/ok$/);
      assert.doesNotMatch(caller.text, /node/);
    }
  });
  it('that is cut off is refused', async () => {
    const caller = await connect();
    caller.socket.end(head(2).slice(0, 50));
    await caller.closed;
    assert.deepEqual(malformed, ['malformed_request false']);
  });
  it('that drips, or does not go on, is left to node:http', async () => {
    const [dripping, waiting] = await Promise.all([connect(), connect()]);
    const whole = head(2).replace('POST /v1/chat/completions', 'POST /elsewhere');
    waiting.socket.write(whole.slice(0, 30));
    for (const byte of whole) {
      dripping.socket.write(byte);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await dripping.until(/node$/);
    await new Promise((resolve) => setTimeout(resolve, 900));
    waiting.socket.write(whole.slice(30));
    await waiting.until(/node$/);
  });
});

describe('what is no simple request', () => {
  it('is answered by node:http, also behind simple ones, and so is all that follows', async () => {
    handle = echo;
    const caller = await connect();
    caller.socket.write(`${head(1)}a${head(1)}bGET / HTTP/1.1\r\nHost: x\r\n\r\n`);
    await caller.until(/node$/);
    caller.text = '';
    caller.socket.write(`${head(1)}c`);
    await caller.until(/node$/);
    assert.equal(count(caller.text), 1);
  });
  it('is given to node:http byte by byte as it comes', async () => {
    const caller = await connect();
    for (const byte of 'GET / HTTP/1.1\r\nHost: x\r\n\r\n') caller.socket.write(byte);
    await caller.until(/node$/);
    assert.equal(count(caller.text), 1);
  });
});

describe('a stop', () => {
  it('ends idle connections, says so on those under way, and takes no further request on them', async () => {
    const underWay: CallerResponse[] = [];
    handle = (request, response) => {
      request.collectBody?.(10);
      underWay.push(response);
    };
    const answer = async (): Promise<void> => {
      while (underWay.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      underWay[0]?.writeHead(200, { 'content-length': 2 });
      underWay.shift()?.end('ok');
    };
    const [idle, busy] = await Promise.all([connect(), connect()]);
    idle.socket.write(head(0));
    await answer();
    await idle.until(/ok$/);
    busy.socket.write(head(0) + head(0));
    while (underWay.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    isStopping = true;
    ingress.closeIdleConnections();
    await idle.closed;
    assert.ok(!busy.socket.destroyed);
    await answer();
    await busy.closed;
    assert.match(busy.text, /\r\nConnection: close\r\n[^]*ok$/);
    assert.equal(count(busy.text), 1);
  });
});
