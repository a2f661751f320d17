// One request over a connection of its own: what a slow, broken or hostile service can do to it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { requestOnce, type SingleRequest } from '../../gateway/single-request.ts';

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** A service that answers each connection's first bytes with `answer`; says what it was sent. */
async function service(
  answer: (socket: Socket, sent: string) => void,
  path?: string,
): Promise<{ url: string; connections: () => number }> {
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections++;
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => answer(socket, bytes.toString('latin1')));
    open.push(() => socket.destroy());
  });
  open.push(() => server.close());
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 80;
  return { url: `http://127.0.0.1:${port}/path?query=1`, connections: () => connections };
}

const patient = (): SingleRequest => ({
  headers: { accept: 'application/json' },
  signal: AbortSignal.timeout(60_000),
  connectMs: 60_000,
});

async function textOf(answer: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a single request', () => {
  it('asks, says that the connection ends, and yields the answer', async () => {
    let seen = '';
    const { url, connections } = await service((socket, sent) => {
      seen = sent;
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\netag: "1"\r\n\r\nok');
    });
    const answer = await requestOnce(url, { ...patient(), method: 'POST', body: 'a=1' });
    assert.deepEqual([answer.statusCode, answer.headers.etag, await textOf(answer)], [200, '"1"', 'ok']);
    assert.match(seen, /^POST \/path\?query=1 HTTP\/1\.1\r\n/);
    assert.match(seen, /\r\nconnection: close\r\n/i);
    assert.match(seen, /\r\ncontent-length: 3\r\n/i);
    assert.ok(seen.endsWith('\r\n\r\na=1'));
    assert.equal(connections(), 1);
  });

  it('never hands a second answer on its connection to the next request', async () => {
    const one = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: keep-alive\r\n\r\n';
    let count = 0;
    const { url } = await service((socket) => socket.write(`${one}no ${++count}${one}evil`));
    assert.equal(await textOf(await requestOnce(url, patient())), 'no 1');
    assert.equal(await textOf(await requestOnce(url, patient())), 'no 2');
  });

  it('speaks over a Unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-single-'));
    open.push(() => rmSync(folder, { recursive: true, force: true }));
    const socketPath = join(folder, 's');
    const { url } = await service((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'), socketPath);
    assert.equal((await requestOnce(url, { ...patient(), socketPath })).statusCode, 204);
  });

  it('follows no redirect', async () => {
    const { url, connections } = await service((socket) =>
      socket.end('HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n'),
    );
    assert.equal((await requestOnce(url, patient())).statusCode, 302);
    assert.equal(connections(), 1);
  });

  for (const [what, answer, code] of [
    ['a connection that ends without an answer', '', 'ECONNRESET'],
    [
      'a switch of protocols',
      'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
      'ECONNRESET',
    ],
    ['what is not HTTP', 'SSH-2.0-x\r\n\r\n', 'HPE_INVALID_CONSTANT'],
    [
      'a length that is said twice',
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      'HPE_UNEXPECTED_CONTENT_LENGTH',
    ],
    [
      'a head of more than 16 KiB',
      `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`,
      'HPE_HEADER_OVERFLOW',
    ],
  ] as const)
    it(`refuses ${what}`, async () => {
      const { url } = await service((socket) => socket.end(answer));
      await assert.rejects(requestOnce(url, patient()), { code });
    });

  it('refuses a body that ends before its length', async () => {
    const { url } = await service((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'));
    await assert.rejects(textOf(await requestOnce(url, patient())), { code: 'ECONNRESET' });
  });

  it('gives up on an address where nothing listens', async () => {
    await assert.rejects(requestOnce('http://127.0.0.1:1/', patient()), { code: 'ECONNREFUSED' });
  });

  it('gives up on a TLS handshake that does not come', async () => {
    const { url } = await service(() => undefined);
    const request = requestOnce(url.replace('http:', 'https:'), { ...patient(), connectMs: 50 });
    await assert.rejects(request, { code: 'CONNECT_TIMEOUT' });
  });

  it('gives up on an answer that does not come, when its signal says so or its own time is over', async () => {
    const { url } = await service(() => undefined);
    await assert.rejects(requestOnce(url, { ...patient(), answerMs: 50 }), { code: 'ANSWER_TIMEOUT' });
    await assert.rejects(requestOnce(url, { ...patient(), signal: AbortSignal.timeout(50) }), {
      code: 'ABORT_ERR',
    });
    await assert.rejects(requestOnce(url, { ...patient(), signal: AbortSignal.abort() }), {
      code: 'ABORT_ERR',
    });
  });

  it('gives up on a body that falls silent, when its signal says so or its own time is over', async () => {
    const { url } = await service((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'),
    );
    const silent = await requestOnce(url, { ...patient(), silenceMs: 50 });
    await assert.rejects(textOf(silent), { code: 'SILENCE_TIMEOUT' });
    const stopping = new AbortController();
    const stopped = await requestOnce(url, { ...patient(), signal: stopping.signal });
    setTimeout(() => stopping.abort(), 20);
    await assert.rejects(textOf(stopped));
  });

  it('leaves nothing behind when an answer is not wanted', async () => {
    const closed = Promise.withResolvers<boolean>();
    const { url } = await service((socket) => {
      socket.once('close', () => closed.resolve(true));
      socket.write('HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nhalf');
    });
    (await requestOnce(url, patient())).destroy();
    await closed.promise;
  });
});
