import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import {
  createConnections,
  type AnswerControl,
  type AnswerSink,
  type ConnectionOptions,
  type Connections,
} from '../../../../gateway/forward/connections.ts';
import type { GatewayError } from '../../../../core/errors.ts';
import {
  chunk,
  hang,
  hangUp,
  httpAnswer,
  lastChunk,
  raw,
  requestId,
  reset,
  startFakeUpstream,
  streamHead,
  type FakeRequest,
  type FakeUpstream,
  type Script,
} from '../../../support/fake-upstream.ts';

const answer = (request: FakeRequest, headers: Record<string, string> = {}): string =>
  httpAnswer(
    200,
    { 'content-type': 'application/json', 'x-request-id': requestId(request), ...headers },
    '{}',
  );
const good: Script = (request, socket) => void socket.write(answer(request));

function connectionsTo(upstream: FakeUpstream, changes: Partial<ConnectionOptions> = {}): Connections {
  const isUnix = upstream.url.startsWith('unix:');
  return createConnections({
    origin: isUnix ? 'http://localhost' : upstream.url,
    socketPath: isUnix ? upstream.url.slice('unix:'.length) : null,
    ca: null,
    maxConnections: 8,
    connectMs: 20_000,
    firstByteMs: 20_000,
    idleMs: 20_000,
    reuseUnproven: false,
    ...changes,
  });
}

let count = 0;

interface Heard {
  readonly status: number;
  readonly body: string;
  readonly refusal: GatewayError | null;
}

/** As `sendAtOnce`, when the connections of earlier answers have rested. */
async function send(...[connections, options]: Parameters<typeof sendAtOnce>): Promise<Heard> {
  await sleep(3);
  return sendAtOnce(connections, options);
}

/** Sends one request; `options.sink` is told what its sink hears. */
function sendAtOnce(
  connections: Connections,
  options: { body?: Buffer | null; sent?: (control: AnswerControl) => void; sink?: Partial<AnswerSink> } = {},
): Promise<Heard> {
  const id = `req_${String(count++).padStart(26, '0')}`;
  return new Promise((resolve) => {
    let status = 0;
    let body = '';
    const control = connections.send(
      {
        method: 'POST',
        path: '/',
        headers: ['x-request-id', id],
        body: options.body ?? Buffer.from('{}'),
        id,
      },
      {
        head: (code, headers, answerControl) => {
          status = code;
          options.sink?.head?.(code, headers, answerControl);
        },
        chunk: (bytes) => {
          body += bytes.toString('latin1');
          options.sink?.chunk?.(bytes);
        },
        end: () => {
          options.sink?.end?.();
          resolve({ status, body, refusal: null });
        },
        failed: (refusal) => resolve({ status, body, refusal }),
      },
    );
    options.sent?.(control);
  });
}

/** Runs `test` with an upstream and connections to it, and closes both. */
async function withUpstream(
  script: Script,
  test: (connections: Connections, upstream: FakeUpstream) => Promise<void>,
  changes: Partial<ConnectionOptions> = {},
): Promise<void> {
  const upstream = await startFakeUpstream(script);
  const connections = connectionsTo(upstream, changes);
  try {
    await test(connections, upstream);
  } finally {
    await connections.close();
    await upstream.close();
  }
}

const until = async (isTrue: () => boolean): Promise<void> => {
  while (!isTrue()) await sleep(2);
};

describe('a connection that rests', () => {
  it('and is ended by the upstream costs no request: the next one gets another', async () => {
    await withUpstream(
      (request, socket) => void socket.end(answer(request)),
      async (connections, upstream) => {
        for (let turn = 0; turn < 20; turn++) assert.equal((await send(connections)).status, 200);
        assert.equal(upstream.connectionCount, 20);
      },
    );
  });

  it('and is ended just when a request is given to it costs no request either', async () => {
    // The FIN is on its way when the next request is sent in the same turn of the event loop.
    await withUpstream(
      (request, socket) => {
        socket.write(answer(request));
        setImmediate(() => socket.end());
      },
      async (connections) => {
        for (let turn = 0; turn < 20; turn++) {
          await send(connections);
          const until = performance.now() + 5;
          // Busy, so that the FIN has come and was not read yet.
          await new Promise((resolve) => setImmediate(resolve));
          await new Promise((resolve) => setImmediate(resolve));
          while (performance.now() < until);
          assert.equal((await sendAtOnce(connections)).refusal?.code, undefined);
        }
      },
    );
  });

  it('ends when bytes come that nobody asked for', async () => {
    await withUpstream(
      (request, socket) => {
        socket.write(answer(request));
        setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'), 20);
      },
      async (connections, upstream) => {
        await send(connections);
        await upstream.idle();
        assert.equal((await send(connections)).status, 200);
      },
    );
  });

  it('is closed by us before the upstream does, where it says when', async () => {
    await withUpstream(
      (request, socket) => void socket.write(answer(request, { 'keep-alive': 'timeout=2, max=100' })),
      async (connections, upstream) => {
        await send(connections);
        await upstream.idle();
        await send(connections);
        assert.equal(upstream.connectionCount, 2);
      },
    );
  });

  it('is not kept when its answer said `close` or has no framing of its own', async () => {
    for (const text of [
      (request: FakeRequest) => answer(request, { connection: 'close' }),
      (request: FakeRequest) => answer(request).replace('HTTP/1.1', 'HTTP/1.0'),
      (request: FakeRequest) =>
        `HTTP/1.1 204 x\r\nx-request-id: ${requestId(request)}\r\ncontent-length: 2\r\n\r\n`,
    ]) {
      await withUpstream(raw(text), async (connections, upstream) => {
        await send(connections);
        await upstream.idle();
        await send(connections);
        assert.equal(upstream.connectionCount, 2);
      });
    }
  });

  it('is not kept when the answer came before the request was sent', async () => {
    const upstream = await startFakeUpstream(good);
    let opened = 0;
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      opened++;
      sockets.push(socket.pause());
      socket.on('error', () => undefined);
      // Answers at once and takes nothing of the body.
      socket.write('HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\n{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const connections = connectionsTo(upstream, { origin: `http://127.0.0.1:${port}`, reuseUnproven: true });
    for (let turn = 1; turn <= 2; turn++) {
      assert.equal((await send(connections, { body: Buffer.alloc(30_000_000, 0x20) })).status, 413);
      assert.equal(opened, turn);
    }
    await connections.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await upstream.close();
  });
});

describe('a request', () => {
  it('is refused as unavailable when the connection breaks without a byte, and is not sent again', async () => {
    for (const script of [hangUp, reset])
      await withUpstream(script, async (connections, upstream) => {
        assert.equal((await send(connections)).refusal?.code, 'upstream_unavailable');
        assert.equal(upstream.requests.length, 1);
      });
  });

  it('is refused as unavailable when a used connection breaks without a byte, and is not sent again', async () => {
    await withUpstream(
      (request, socket) => {
        if (request.turn === 0) socket.write(answer(request));
        else socket.resetAndDestroy();
      },
      async (connections, upstream) => {
        await send(connections);
        assert.equal((await send(connections)).refusal?.code, 'upstream_unavailable');
        assert.equal(upstream.requests.length, 2);
      },
    );
  });

  it('is refused as invalid when the connection breaks with half an answer', async () => {
    for (const half of [
      'H',
      'HTTP/1.1 200 OK\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}',
    ])
      for (const ends of [true, false])
        await withUpstream(
          (_request, socket) => {
            if (ends) socket.end(half);
            else socket.write(half, () => setTimeout(() => socket.resetAndDestroy(), 10));
          },
          async (connections) =>
            assert.equal((await send(connections)).refusal?.code, 'upstream_invalid_response', half),
        );
  });

  it('takes a reset for no end of a body that has no length', async () => {
    await withUpstream(
      (_request, socket) =>
        void socket.write('HTTP/1.1 200 OK\r\n\r\n{}', () => setTimeout(() => socket.resetAndDestroy(), 10)),
      async (connections) => {
        const heard = await send(connections);
        assert.deepEqual([heard.body, heard.refusal?.code], ['{}', 'upstream_invalid_response']);
      },
    );
  });

  it('of many megabytes arrives whole, and so does its answer', async () => {
    const body = Buffer.alloc(8_000_000, 'abcdefgh');
    await withUpstream(
      (request, socket) =>
        void socket.write(
          httpAnswer(200, { 'x-request-id': requestId(request) }, request.body.toString('latin1')),
        ),
      async (connections, upstream) => {
        for (let turn = 0; turn < 2; turn++) {
          const heard = await send(connections, { body });
          assert.ok(heard.body === body.toString('latin1'));
        }
        assert.equal(upstream.connectionCount, 1);
      },
    );
  });

  it('whose sender leaves ends its connection, before and after the answer has begun', async () => {
    await withUpstream(hang, async (connections, upstream) => {
      void sendAtOnce(connections, { sent: (control) => control.abort() });
      const abort: (() => void)[] = [];
      void send(connections, { sent: (control) => abort.push(() => control.abort()) });
      await upstream.arrived(1);
      abort[0]?.();
      abort[0]?.();
      await upstream.idle();
      assert.equal(upstream.requests.length, 1);
    });
  });

  it('whose sender leaves long after its end does no harm to the next one', async () => {
    await withUpstream(good, async (connections, upstream) => {
      const controls: AnswerControl[] = [];
      await send(connections, { sent: (control) => controls.push(control) });
      const next = send(connections);
      controls[0]?.pause();
      controls[0]?.abort();
      assert.equal((await next).status, 200);
      assert.equal(upstream.connectionCount, 1);
    });
  });

  it('that waits leaves the queue with its sender', async () => {
    await withUpstream(
      hang,
      async (connections, upstream) => {
        void send(connections);
        void send(connections, { sent: (control) => control.abort() });
        await upstream.arrived(1);
        upstream.use(good);
        const last = sendAtOnce(connections);
        await connections.close();
        assert.equal((await last).refusal?.code, 'gateway_stopping');
        assert.equal(upstream.requests.length, 1);
      },
      { maxConnections: 1 },
    );
  });

  it('beyond a thousand that wait is refused at once', async () => {
    await withUpstream(
      hang,
      async (connections) => {
        for (let at = 0; at < 1_025; at++) void sendAtOnce(connections);
        const heard = await send(connections);
        assert.deepEqual(
          [heard.refusal?.code, heard.refusal?.reason],
          ['server_is_overloaded', 'upstream_queue_full'],
        );
      },
      { maxConnections: 1 },
    );
  });

  it('with a field that may not be sent is a bug of ours, and nothing of it is sent', async () => {
    await withUpstream(good, async (connections, upstream) => {
      const refused = await new Promise<GatewayError>((failed, reject) => {
        const headers = ['x-request-id', 'x\r\nevil: 1'];
        const bug = (): void => reject(new Error('was sent'));
        connections.send(
          { method: 'GET', path: '/', headers, body: null, id: 'x' },
          { head: bug, chunk: bug, end: bug, failed },
        );
      });
      assert.equal(refused.code, 'internal_error');
      assert.equal((await send(connections)).status, 200);
      assert.deepEqual(
        upstream.requests.map(({ method }) => method),
        ['POST'],
      );
    });
  });

  it('whose sink throws ends as internal_error, and the next one is served', async () => {
    for (const member of ['head', 'chunk', 'end'] as const)
      await withUpstream(good, async (connections) => {
        const thrown = (): never => {
          throw new Error('a bug');
        };
        const heard = await send(connections, { sink: { [member]: thrown } });
        assert.equal(heard.refusal?.code, 'internal_error', member);
        assert.equal((await send(connections)).status, 200);
      });
  });

  it('is refused when the connections are closed under it, and so are all later ones', async () => {
    await withUpstream(hang, async (connections, upstream) => {
      const going = send(connections);
      await upstream.arrived(1);
      await connections.close();
      assert.equal((await going).refusal?.code, 'gateway_stopping');
      assert.equal((await send(connections)).refusal?.code, 'gateway_stopping');
      await upstream.idle();
    });
  });
});

describe('time', () => {
  it('runs out for a head that comes byte by byte', async () => {
    await withUpstream(
      (_request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\nx: ');
        const timer = setInterval(() => socket.write('a'), 5);
        socket.on('close', () => clearInterval(timer));
      },
      async (connections) => {
        const { refusal } = await send(connections);
        assert.deepEqual([refusal?.code, refusal?.reason], ['upstream_timeout', 'upstream_head_timeout']);
      },
      { firstByteMs: 100 },
    );
  });

  it('does not begin anew with interim answers', async () => {
    await withUpstream(
      (_request, socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 103 x\r\n\r\n'), 10);
        socket.on('close', () => clearInterval(timer));
      },
      async (connections) => assert.equal((await send(connections)).refusal?.reason, 'upstream_head_timeout'),
      { firstByteMs: 100 },
    );
  });

  it('begins anew with every piece of a body', async () => {
    await withUpstream(
      (request, socket) => {
        socket.write(streamHead(request));
        let left = 40;
        const timer = setInterval(() => {
          socket.write(left-- > 0 ? chunk('x') : lastChunk);
          if (left < 0) clearInterval(timer);
        }, 10);
        socket.on('close', () => clearInterval(timer));
      },
      async (connections) => {
        const heard = await send(connections);
        assert.deepEqual([heard.body.length, heard.refusal], [40, null]);
      },
      // On a busy machine a piece may be late; forty of them take at least as long as this.
      { idleMs: 400, firstByteMs: 20_000 },
    );
  });

  it('runs out for a body that stops', async () => {
    await withUpstream(
      (request, socket) => void socket.write(streamHead(request) + chunk('x')),
      async (connections) => {
        const heard = await send(connections);
        assert.deepEqual([heard.body, heard.refusal?.reason], ['x', 'upstream_body_timeout']);
      },
      { idleMs: 100 },
    );
  });

  it('does not run while the sink has paused', async () => {
    await withUpstream(
      (request, socket) => void socket.write(streamHead(request) + chunk('x')),
      async (connections, upstream) => {
        let control: AnswerControl | null = null;
        const going = send(connections, {
          sink: {
            head: (_status, _headers, given) => {
              control = given;
              given.pause();
            },
          },
        });
        await until(() => control !== null);
        await sleep(400);
        assert.equal(upstream.openCount, 1);
        (control as AnswerControl | null)?.resume();
        assert.equal((await going).refusal?.reason, 'upstream_body_timeout');
      },
      { idleMs: 100 },
    );
  });

  it('runs out for a connection that never stands', async () => {
    // TLS to a peer that says nothing: the connection never becomes ready.
    const silent = createServer((socket) => void socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    await withUpstream(
      good,
      async (connections) => {
        const { refusal } = await send(connections);
        assert.deepEqual(
          [refusal?.code, refusal?.reason],
          ['upstream_unavailable', 'upstream_connect_timeout'],
        );
      },
      { origin: `https://127.0.0.1:${port}`, connectMs: 100 },
    );
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('a paused answer', () => {
  it('is not read further, and goes on unharmed', async () => {
    const piece = 'y'.repeat(50_000);
    let wrote = 0;
    await withUpstream(
      (request, socket) => {
        socket.write(streamHead(request));
        const more = (): void => {
          for (; wrote < 1_000;) {
            wrote++;
            if (!socket.write(chunk(piece))) return void socket.once('drain', more);
          }
          socket.write(lastChunk);
        };
        more();
      },
      async (connections) => {
        let taken = 0;
        let hasPaused = false;
        let control: AnswerControl | null = null;
        const going = send(connections, {
          sink: {
            head: (_status, _headers, given) => {
              control = given;
            },
            chunk: (bytes) => {
              taken += bytes.length;
              if (taken <= 1_000_000 || hasPaused) return;
              hasPaused = true;
              control?.pause();
            },
          },
        });
        await until(() => taken > 1_000_000);
        for (let before = -1; before !== wrote;) {
          before = wrote;
          await sleep(150);
        }
        assert.ok(taken < 1_200_000, String(taken));
        (control as AnswerControl | null)?.resume();
        const heard = await going;
        assert.deepEqual([heard.body.length, heard.refusal], [1_000 * piece.length, null]);
      },
    );
  });

  it('that ended while it was paused leaves a connection that is read again', async () => {
    await withUpstream(good, async (connections, upstream) => {
      for (let turn = 0; turn < 3; turn++)
        await send(connections, {
          sink: { chunk: () => undefined, head: (_status, _headers, control) => control.pause() },
        });
      assert.equal(upstream.connectionCount, 1);
    });
  });
});

it('over a Unix socket connections are kept as well', async () => {
  const upstream = await startFakeUpstream(good, join(tmpdir(), `sallyport-connection-${process.pid}.sock`));
  const connections = connectionsTo(upstream);
  for (let turn = 0; turn < 3; turn++) assert.equal((await send(connections)).status, 200);
  assert.equal(upstream.connectionCount, 1);
  assert.match(upstream.requests[0]?.head ?? '', /\r\nhost: localhost\r\n/);
  await connections.close();
  await upstream.close();
});
