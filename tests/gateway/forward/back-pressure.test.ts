// What the gateway holds of a stream whose caller reads slowly: docs/reference/upstreams.md states the bound. The upstream
// and the callers are real sockets; what is taken is counted where the sink gets it, what is handed on where Node counts it.
import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import type { Guarded } from '../../../gateway/exchange.ts';
import {
  createConnections,
  type AnswerSink,
  type Connections,
} from '../../../gateway/forward/connections.ts';
import { createStreamAnswer } from '../../../gateway/forward/stream-answer.ts';
import { chunk, startFakeUpstream, streamHead, type FakeUpstream } from '../../support/fake-upstream.ts';

const bound = 131_072;
// What HTTP puts around a piece on its way to the caller, and our own head.
const framing = 1_024;
const eventText = `data: ${JSON.stringify({ choices: [{ delta: { content: 'x'.repeat(900) } }] })}\n\n`;
const wantedBytes = 300_000_000;

interface Stream {
  readonly response: ServerResponse;
  taken: number;
  most: number;
}

describe('a stream that is read slowly', () => {
  let upstream: FakeUpstream;
  let connections: Connections;
  let gateway: Server;
  const streams: Stream[] = [];
  let wrote = 0;
  let eventsPerStream = Math.ceil(wantedBytes / eventText.length);

  before(async () => {
    upstream = await startFakeUpstream((request, socket) => {
      socket.write(streamHead(request));
      // Many events in one write, as a fast upstream would send them to a fast reader.
      const piece = chunk(eventText).repeat(50);
      let left = eventsPerStream;
      const more = (): void => {
        while (left > 0) {
          left -= 50;
          wrote += piece.length;
          if (!socket.write(piece)) return void socket.once('drain', more);
        }
        socket.write(`${chunk('data: [DONE]\n\n')}0\r\n\r\n`);
      };
      more();
    });
    connections = createConnections({
      origin: upstream.url,
      socketPath: null,
      ca: null,
      maxConnections: 64,
      connectMs: 20_000,
      firstByteMs: 20_000,
      idleMs: 600_000,
      reuseUnproven: false,
    });
    gateway = createServer((_request, response) => {
      const stream: Stream = { response, taken: 0, most: 0 };
      streams.push(stream);
      const outcome = { streamed: false, firstByteAt: null };
      // The members that the sink reads.
      const guarded = {
        id: 'req_x',
        response,
        outcome,
        reservation: { headers: {} },
        model: 'm',
      } as unknown as Guarded;
      const sink = createStreamAnswer(guarded, {
        isOurs: true,
        hidesUsage: false,
        stallMs: 600_000,
        heartbeatMs: 15_000,
        done: () => undefined,
        failed: () => void response.destroy(),
      });
      const id = `req_${streams.length}`;
      const control = connections.send(
        { method: 'GET', path: '/', headers: ['x-request-id', id], body: null, id },
        counted(sink, stream),
      );
      response.on('close', () => {
        control.abort();
        sink.stop();
      });
    });
    await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    gateway.closeAllConnections();
    await new Promise((resolve) => gateway.close(resolve));
    await connections.close();
    await upstream.close();
  });

  /** Taken from the upstream, and not yet handed to the system for the caller. */
  function held({ response, taken }: Stream): number {
    const { socket } = response;
    return socket === null ? 0 : taken - (socket.bytesWritten - socket.writableLength);
  }

  function counted(sink: AnswerSink, stream: Stream): AnswerSink {
    return {
      head: (status, headers, control) => sink.head(status, headers, control),
      chunk: (bytes) => {
        stream.taken += bytes.length;
        sink.chunk(bytes);
        stream.most = Math.max(stream.most, held(stream), stream.response.writableLength);
      },
      end: () => sink.end(),
      failed: (refusal) => sink.failed(refusal),
    };
  }

  function call(): Socket {
    const caller = connect((gateway.address() as AddressInfo).port, '127.0.0.1');
    caller.on('error', () => undefined);
    caller.pause();
    caller.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    return caller;
  }

  /** Reads on until the end of the stream, and counts its events. */
  function readWhole(caller: Socket): Promise<{ events: number; done: boolean }> {
    return new Promise((resolve) => {
      let events = 0;
      let tail = '';
      caller.on('data', (bytes: Buffer) => {
        const text = tail + bytes.toString('latin1');
        events += text.split('"choices"').length - 1;
        // A word that is cut is counted with the next piece.
        tail = text.slice(-8);
        if (!text.includes('[DONE]')) return;
        resolve({ events, done: true });
        caller.destroy();
      });
      caller.resume();
    });
  }

  /** Settles when the upstream could write nothing for a while. */
  async function stuck(): Promise<void> {
    for (let beforeThat = -1; beforeThat !== wrote || wrote === 0;) {
      beforeThat = wrote;
      await sleep(250);
    }
  }

  it('holds at most 128 KiB while hundreds of megabytes wait, and goes on unharmed', async () => {
    streams.length = 0;
    wrote = 0;
    eventsPerStream = 50 * Math.ceil(wantedBytes / eventText.length / 50);
    const caller = call();
    await stuck();
    const [stream] = streams;
    assert.ok(stream !== undefined && stream.taken > 0);
    assert.ok(held(stream) <= bound + framing, String(held(stream)));
    // The rest waits at the upstream and in the buffers of the system.
    assert.ok(wrote < 40_000_000, String(wrote));
    // Reading a little moves a little.
    const takenBefore = stream.taken;
    for (let read = 0; read < 20_000_000;) {
      const bytes: unknown = caller.read();
      if (Buffer.isBuffer(bytes)) read += bytes.length;
      else await sleep(1);
    }
    await stuck();
    assert.ok(stream.taken > takenBefore);
    assert.ok(stream.most <= bound + framing, String(stream.most));
    assert.ok(held(stream) <= bound + framing, String(held(stream)));
    caller.destroy();
  });

  it('holds as little for each of many at once, and every one gets all of it in the end', async () => {
    streams.length = 0;
    wrote = 0;
    eventsPerStream = 8_000;
    const callers = Array.from({ length: 24 }, call);
    await stuck();
    assert.equal(streams.length, callers.length);
    const all = streams.reduce((sum, stream) => sum + held(stream), 0);
    assert.ok(all <= callers.length * (bound + framing), String(all));
    const texts = await Promise.all(callers.map(readWhole));
    for (const text of texts) assert.deepEqual(text, { events: eventsPerStream, done: true });
    for (const stream of streams) assert.ok(stream.most <= bound + framing, String(stream.most));
  });
});

describe('a stream of the shortest events', () => {
  it('does not grow on its way to a slow caller', async () => {
    const upstream = await startFakeUpstream((request, socket) => {
      socket.write(
        streamHead(request) + chunk(':\n'.repeat(30_000)) + chunk('data: [DONE]\n\n') + '0\r\n\r\n',
      );
    });
    const connections = createConnections({
      origin: upstream.url,
      socketPath: null,
      ca: null,
      maxConnections: 1,
      connectMs: 20_000,
      firstByteMs: 20_000,
      idleMs: 20_000,
      reuseUnproven: false,
    });
    let length = 0;
    await new Promise<void>((done, failed) => {
      const response = {
        headersSent: false,
        writeHead: () => undefined,
        write: (text: string) => (length += text.length) > 0,
        end: (text: string) => (length += text.length),
        off: () => undefined,
      };
      const outcome = { streamed: false, firstByteAt: null };
      const guarded = {
        id: 'x',
        response,
        outcome,
        reservation: { headers: {} },
        model: 'm',
      } as unknown as Guarded;
      const options = { isOurs: true, hidesUsage: false, stallMs: 1_000, heartbeatMs: 15_000, done, failed };
      connections.send(
        { method: 'GET', path: '/', headers: ['x-request-id', 'x'], body: null, id: 'x' },
        createStreamAnswer(guarded, options),
      );
    });
    assert.ok(length < 60_000, String(length));
    await connections.close();
    await upstream.close();
  });
});
