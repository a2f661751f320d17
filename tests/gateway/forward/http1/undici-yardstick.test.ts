// What undici's client refuses, ours refuses, and what both take they read alike. A corpus of answers, and seeded
// mutations of it, are sent to both over real connections; `SEED=… ROUNDS=…` repeats or extends a run.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client } from 'undici';
import { createConnections } from '../../../../gateway/forward/connections.ts';
import { corpus, mutated, randomFrom } from './mutated-answers.ts';

type Reading = { status: number; body: string } | 'refused';

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
    const count = Number(process.env['ROUNDS'] ?? 1_000);
    for (let done = 0; done < count; done += 10) {
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => compare(mutated(random))));
      stricter += outcomes.filter((outcome) => outcome === 'stricter').length;
    }
    // Were ours to refuse everything, this test would say nothing.
    assert.ok(stricter < count / 2, `${stricter} of ${count}, seed ${seed}`);
  });
});
