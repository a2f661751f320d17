// The life of a gateway: what it listens on, how it stops, how it takes up a renewed certificate, and how slow callers end.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest, Agent, type IncomingMessage } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import { certificateFor } from '../support/certificate.ts';
import { chunk, hang, json, streamHead, type Script } from '../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { auditRecordsOf } from '../regressions/audit-records.ts';
import { sendRaw } from '../regressions/raw-connection.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const chat = JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }] });
const streamed = JSON.stringify({ ...JSON.parse(chat), stream: true });

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: Promise<string>;
}

/** One request, answered as soon as the head is there. */
async function ask(
  gateway: TestGateway,
  options: { body?: string; agent?: Agent; socketPath?: string },
): Promise<Answer> {
  const accessToken = await gateway.mint();
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        ...(options.socketPath === undefined
          ? { host: '127.0.0.1', port: gateway.port }
          : { socketPath: options.socketPath }),
        path: options.body === undefined ? '/v1/models' : '/v1/chat/completions',
        method: options.body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
        ...(options.agent === undefined ? {} : { agent: options.agent }),
      },
      (answer) => {
        const text = new Promise<string>((done) => {
          let collected = '';
          answer.setEncoding('utf8').on('data', (piece: string) => (collected += piece));
          answer.on('close', () => done(collected));
        });
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}

const begun: Script = (request, socket) =>
  void socket.write(
    streamHead(request) + chunk('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'),
  );

describe('a gateway on a Unix socket', () => {
  it('serves its own account alone', async () => {
    const socketPath = join(folder, 'gateway.sock');
    const gateway = await startTestGateway({ config: { listen: `unix:${socketPath}` } });
    try {
      assert.equal(statSync(socketPath).mode & 0o777, 0o600);
      assert.equal((await ask(gateway, { socketPath })).status, 200);
    } finally {
      await gateway.close();
    }
  });
});

describe('a gateway whose address is taken', () => {
  it('does not start, and leaves nothing behind that holds the process', async () => {
    const squatter = net.createServer();
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve));
    const { port } = squatter.address() as net.AddressInfo; // A TCP server.
    await assert.rejects(startTestGateway({ config: { listen: `127.0.0.1:${port}` } }), {
      code: 'EADDRINUSE',
    });
    squatter.close();
  });
});

describe('a gateway that stops', () => {
  it('lets a request under way end, and refuses new ones on connections that are open', async () => {
    let answer: (() => void) | undefined;
    const gateway = await startTestGateway({ config: { drain_ms: 20_000 } });
    try {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      // A connection that is busy when the stop begins, and asks again after it.
      gateway.upstream.use((request, socket) => void (answer = () => void json(chatAnswer)(request, socket)));
      const first = ask(gateway, { body: chat, agent });
      const second = ask(gateway, { body: chat, agent });
      await gateway.upstream.arrived(1);
      const stopped = gateway.running.close();
      await assert.rejects(ask(gateway, {}), { code: 'ECONNREFUSED' });
      answer?.();
      const finished = await first;
      assert.equal(finished.status, 200);
      assert.deepEqual(JSON.parse(await finished.text), chatAnswer);
      // Node closes the connection behind the answer, so that the second request finds nobody or is told why.
      const refused = await second.then(
        ({ status, headers }) => [status, headers['retry-after'] !== undefined],
        (error: unknown) => (error as NodeJS.ErrnoException).code,
      );
      assert.ok(
        ['ECONNRESET', 'ECONNREFUSED'].includes(String(refused)) || JSON.stringify(refused) === '[503,true]',
        JSON.stringify(refused),
      );
      await stopped;
      assert.equal(gateway.upstream.requests.length, 1);
      agent.destroy();
    } finally {
      await gateway.close();
    }
  });

  it('does not wait for a connection that was kept open behind its last answer', async () => {
    let answer: (() => void) | undefined;
    const gateway = await startTestGateway({ config: { drain_ms: 3_600_000 } });
    gateway.upstream.use((request, socket) => void (answer = () => void json(chatAnswer)(request, socket)));
    const agent = new Agent({ keepAlive: true });
    const asked = ask(gateway, { body: chat, agent });
    await gateway.upstream.arrived(1);
    const stopped = gateway.running.close();
    answer?.();
    await (
      await asked
    ).text;
    await stopped;
    agent.destroy();
    await gateway.close();
  });

  it('ends what is still running after drain_ms: a stream by an error event, a request by 503', async () => {
    const gateway = await startTestGateway({ config: { drain_ms: 100 } });
    try {
      gateway.upstream.use((request, socket) =>
        request.body.includes('"stream":true') ? begun(request, socket) : hang(request, socket),
      );
      const stream = await ask(gateway, { body: streamed });
      const waiting = ask(gateway, { body: chat });
      await gateway.upstream.arrived(2);
      await gateway.running.close();
      const events = await stream.text;
      assert.match(events, /"code":"gateway_stopping"/);
      assert.doesNotMatch(events, /\[DONE\]/);
      const refused = await waiting.then(
        async ({ status, headers, text }) => [
          status,
          Number(headers['retry-after']) > 0,
          JSON.parse(await text).error.code,
        ],
        (error: unknown) => [(error as NodeJS.ErrnoException).code],
      );
      assert.ok(
        ['[503,true,"gateway_stopping"]', '["ECONNRESET"]'].includes(JSON.stringify(refused)),
        JSON.stringify(refused),
      );
      await gateway.upstream.idle();
    } finally {
      await gateway.close();
    }
  });

  it('may be told to stop twice', async () => {
    const gateway = await startTestGateway();
    await Promise.all([gateway.running.close(), gateway.running.close()]);
    await gateway.close();
  });
});

describe('a gateway with a certificate of its own', () => {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  let gateway: TestGateway;
  const install = async (): Promise<string> => {
    const pair = await certificateFor({ type: 'ip', value: '127.0.0.1' });
    writeFileSync(files.key, pair.key);
    writeFileSync(files.cert, pair.cert);
    return pair.cert;
  };
  /** The certificate that a new connection is shown, or why there is none. */
  const shown = (options: { maxVersion?: 'TLSv1.1' | 'TLSv1.2' } = {}): Promise<string> =>
    new Promise((resolve) => {
      const socket = tlsConnect({
        port: gateway.port,
        host: '127.0.0.1',
        rejectUnauthorized: false, // The certificate itself is looked at below.
        ...options,
        ...(options.maxVersion === 'TLSv1.1'
          ? { minVersion: 'TLSv1' as const, ciphers: 'ALL@SECLEVEL=0' }
          : {}),
      });
      socket.on('secureConnect', () => {
        resolve(socket.getPeerX509Certificate()?.toString().trim() ?? 'none');
        socket.destroy();
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    });
  let first: string;
  before(async () => {
    first = await install();
    gateway = await startTestGateway({ config: { tls: files } });
  });
  after(() => gateway.close());

  it('speaks TLS 1.2 and newer, and nothing in plain text', async () => {
    assert.match(gateway.url, /^https:/);
    assert.equal(await shown(), first.trim());
    assert.equal(await shown({ maxVersion: 'TLSv1.2' }), first.trim());
    assert.match(await shown({ maxVersion: 'TLSv1.1' }), /^E/);
    const { text } = await sendRaw('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', { port: gateway.port });
    assert.doesNotMatch(text, /200/);
  });

  it('takes up a renewed one without a restart, and keeps the old one while the new one is half written', async () => {
    writeFileSync(files.cert, 'half a certificate');
    await delay(4_500);
    assert.equal(await shown(), first.trim());
    const second = await install();
    for (let attempt = 0; attempt < 100 && (await shown()) !== second.trim(); attempt++) await delay(100);
    assert.equal(await shown(), second.trim());
  });
});

describe('a caller whose head drips in', () => {
  it('is told 408 in the end, and that is recorded', async () => {
    const gateway = await startTestGateway();
    try {
      const { answers, closed } = await sendRaw('GET /v1/models HTTP/1.1\r\nHost: x\r\na: b', {
        port: gateway.port,
        silentMs: 20_000,
      });
      assert.deepEqual([answers[0]?.status, closed], [408, true]);
      const [record] = await auditRecordsOf(gateway, answers);
      assert.equal(record?.code, 'request_timeout');
    } finally {
      await gateway.close();
    }
  });
});
