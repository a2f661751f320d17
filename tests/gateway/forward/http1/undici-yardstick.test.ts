// What undici's client refuses, ours refuses, and what both take they read alike. A corpus of answers, and seeded
// mutations of it, are sent to both over real connections; `SEED=… ROUNDS=…` repeats or extends a run.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client } from 'undici';
import { createConnections } from '../../../../gateway/forward/connections.ts';

type Reading = { status: number; body: string } | 'refused';

const ok = 'HTTP/1.1 200 OK\r\n';
const type = 'content-type: application/json\r\n';
const corpus = [
  `${ok}${type}content-length: 13\r\nx-request-id: req_1\r\n\r\n{"a":"bcdefg"}`,
  `${ok}${type}content-length: 14\r\nconnection: close\r\n\r\n{"a":"bcdefg"}`,
  `${ok}${type}transfer-encoding: chunked\r\n\r\n6\r\n{"a":1\r\n1\r\n}\r\n0\r\n\r\n`,
  `${ok}${type}transfer-encoding: chunked\r\n\r\na\r\n{"a":"bc"}\r\n0\r\nx-trailer: y\r\n\r\n`,
  `${ok}${type}\r\n{"a":1}`,
  'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.0 200 OK\r\n\r\n{}',
  'HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n',
  'HTTP/1.1 503 \r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}',
  `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${ok}content-length: 2\r\n\r\n{}`,
  `HTTP/1.1 100 Continue\r\n\r\n${ok}content-length: 2\r\n\r\n{}`,
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
  `${ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: gzip\r\n\r\n{}`,
  `${ok}x: y\r\n z\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x : y\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x: y\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x: a\0b\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}content-length: 2, 2\r\n\r\n{}`,
  `${ok}content-length: +2\r\n\r\n{}`,
  `${ok}transfer-encoding: chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
  `${ok}x: ${'a'.repeat(20_000)}\r\ncontent-length: 2\r\n\r\n{}`,
  'HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.1 99 OK\r\ncontent-length: 2\r\n\r\n{}',
  'ICY 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  '',
];

/** A small generator with a seed (mulberry32), so that a failure can be repeated. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const nasty = [
  '\0',
  '\t',
  '\n',
  '\r',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '  ',
  ':',
  ',',
  ';',
  '0',
  '1',
  '9',
  'a',
  'F',
  '-',
  '+',
  '"',
  '\x7f',
  '\x80',
  '\xff',
  'content-length: 1\r\n',
  'Content-Length: 3\r\n',
  'transfer-encoding: chunked\r\n',
  'Transfer-Encoding: x\r\n',
  'connection: close\r\n',
  'connection: upgrade\r\nupgrade: h2c\r\n',
  'chunked',
  'HTTP/1.1 200 OK\r\n\r\n',
  '0\r\n\r\n',
  ' x: y\r\n',
];

function mutated(random: (below: number) => number): string {
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)] as Item; // Below its length.
  let text = pick(corpus);
  for (let count = 1 + random(3); count > 0; count--) {
    const at = random(text.length + 1);
    const kind = random(5);
    if (kind === 0) text = text.slice(0, at) + text.slice(at + 1 + random(3));
    else if (kind === 1) text = text.slice(0, at) + pick(nasty) + text.slice(at + 1);
    else if (kind === 2) {
      // At the start of a line, where whole fields may stand.
      const line = text.indexOf('\r\n', at);
      text =
        line === -1 ? text + pick(nasty) : `${text.slice(0, line + 2)}${pick(nasty)}${text.slice(line + 2)}`;
    } else if (kind === 3) {
      const other = pick(corpus);
      text = text.slice(0, at) + other.slice(random(other.length + 1));
    } else text = text.slice(0, at) + pick(nasty) + text.slice(at);
  }
  return text;
}

describe('beside undici, our client', () => {
  let server: Server;
  let origin: string;
  /** What the server answers: the path of a request says which. */
  const answers: string[] = [];
  before(async () => {
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (bytes) => {
        const index = Number(/^GET \/(\d+) /.exec(bytes.toString('latin1'))?.[1]);
        socket.end(answers[index] ?? '', 'latin1');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => new Promise((resolve) => server.close(resolve)));

  async function withUndici(path: string): Promise<Reading> {
    const client = new Client(origin, { maxHeaderSize: 16_384, allowH2: false });
    try {
      return await new Promise((resolve) => {
        let status = 0;
        const pieces: Buffer[] = [];
        client.dispatch(
          { method: 'GET', path },
          {
            onRequestStart: () => undefined,
            onResponseStart: (_controller, code) => {
              status = code;
            },
            onResponseData: (_controller, bytes) => void pieces.push(bytes),
            // Our pool refused an answer that had only interim heads, or a switch of protocols, before as well.
            onResponseEnd: () =>
              resolve(status < 200 ? 'refused' : { status, body: Buffer.concat(pieces).toString('latin1') }),
            onResponseError: () => resolve('refused'),
          },
        );
      });
    } finally {
      await client.destroy().catch(() => undefined);
    }
  }

  async function withOurs(path: string): Promise<Reading> {
    const connections = createConnections({
      origin,
      socketPath: null,
      ca: null,
      maxConnections: 1,
      connectMs: 20_000,
      firstByteMs: 20_000,
      idleMs: 20_000,
      reuseUnproven: false,
    });
    try {
      return await new Promise((resolve) => {
        let status = 0;
        let body = '';
        connections.send(
          { method: 'GET', path, headers: ['x-request-id', 'req_1'], body: null, id: 'req_1' },
          {
            head: (code) => {
              status = code;
            },
            chunk: (bytes) => {
              body += bytes.toString('latin1');
            },
            end: () => resolve({ status, body }),
            failed: () => resolve('refused'),
          },
        );
      });
    } finally {
      await connections.close();
    }
  }

  async function compare(text: string): Promise<'alike' | 'stricter'> {
    answers.push(text);
    const path = `/${answers.length - 1}`;
    const [theirs, ours] = await Promise.all([withUndici(path), withOurs(path)]);
    if (ours === 'refused') return theirs === 'refused' ? 'alike' : 'stricter';
    assert.deepEqual(ours, theirs, JSON.stringify(text.slice(0, 400)));
    return 'alike';
  }

  it('refuses every answer of the corpus that undici refuses, and reads the others alike', async () => {
    for (const text of corpus) await compare(text);
  });

  it('refuses every mutated answer that undici refuses, and reads the others alike', async () => {
    const seed = Number(process.env['SEED'] ?? 20_261_122);
    const random = randomFrom(seed);
    let stricter = 0;
    const count = Number(process.env['ROUNDS'] ?? 1_500);
    for (let done = 0; done < count; done += 10) {
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => compare(mutated(random))));
      stricter += outcomes.filter((outcome) => outcome === 'stricter').length;
    }
    // Were ours to refuse everything, this test would say nothing.
    assert.ok(stricter < count / 2, `${stricter} of ${count}, seed ${seed}`);
  });
});
