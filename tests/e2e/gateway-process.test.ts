// `sallyport serve gateway` as its operating system sees it: signals, a disk that is full, descriptors that run out.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { packageRoot } from '../../core/package.ts';
import { verifyAuditLog } from '../../gateway/accounting/audit-verify.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import {
  chunk,
  json,
  lastChunk,
  startFakeUpstream,
  streamHead,
  type FakeUpstream,
} from '../support/fake-upstream.ts';
import { eventually, freePort, serve, statusOf, type Served } from '../support/serve.ts';
import { chatAnswer } from '../support/start-gateway.ts';

let issuer: FakeIssuer;
let upstream: FakeUpstream;
let folder: string;
let url: string;
let gateway: Served | null = null;

before(async () => {
  issuer = await startFakeIssuer();
});
after(() => issuer.close());
beforeEach(async () => {
  upstream = await startFakeUpstream(json(chatAnswer));
  folder = mkdtempSync(join(tmpdir(), 'sallyport-process-'));
});
afterEach(async () => {
  await gateway?.kill();
  gateway = null;
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

const policy = (name: string): string => join(folder, 'policies', name);
const auditFolder = (): string => join(folder, 'data', 'audit');

async function start(wrapper: readonly string[] = []): Promise<Served> {
  const [port, internalPort] = [await freePort(), await freePort()];
  cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
  const limits = readFileSync(policy('limits.yaml'), 'utf8');
  writeFileSync(policy('limits.yaml'), limits.replace(/requests: \d+/g, 'requests: 100000'));
  const file = join(folder, 'gateway.yaml');
  writeFileSync(
    file,
    stringify({
      gateway: {
        listen: `127.0.0.1:${port}`,
        internal_listen: `127.0.0.1:${internalPort}`,
        policies: join(folder, 'policies'),
        require_tests: false, // The policies are edited into what their own tests forbid.
        data: join(folder, 'data'),
        assertion_jwks: join(folder, 'gateway-jwks.json'),
        embedded_issuer: issuer.issuer,
        drain_ms: 60_000,
        upstreams: {
          embedded: { kind: 'openai', url: upstream.url, models: ['tiny-gpt2'] },
          accounts: { kind: 'http', url: upstream.url },
        },
      },
    }),
  );
  url = `http://127.0.0.1:${port}`;
  gateway = serve('gateway', file, { wrapper });
  await eventually('the gateway is ready', async () => (await statusOf(`${url}/readyz`)) === 200);
  return gateway;
}

function send(body: Readonly<Record<string, unknown>> = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${issuer.mint({ aud: 'api://sallyport', scp: 'LLM.Access', roles: ['LLM.User'] })}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }], ...body }),
  });
}

async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { error?: { code: string } };
  return `${response.status} ${body.error?.code ?? 'ok'}`;
}

/** A stream that has begun and ends when it is told to. */
async function openStream(): Promise<{ response: Response; finish: () => void }> {
  let finish = (): void => undefined;
  upstream.use((request, socket) => {
    const event = (text: string): string =>
      chunk(`data: {"id":"1","choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`);
    socket.write(streamHead(request) + event('begun'));
    finish = () => socket.write(event('ended') + chunk('data: [DONE]\n\n') + lastChunk);
  });
  const response = await send({ stream: true });
  assert.equal(response.status, 200);
  upstream.use(json(chatAnswer));
  return { response, finish: () => finish() };
}

describe('the process of a gateway', () => {
  it('on SIGTERM lets a running stream end, refuses new connections, and exits with 0', async () => {
    const { stop } = await start();
    const { response, finish } = await openStream();
    const ended = stop();
    await eventually('nobody gets in any more', async () => (await statusOf(`${url}/readyz`)) === 0);
    finish();
    const text = await response.text();
    assert.match(text, /begun[^]*ended[^]*\[DONE\]/);
    assert.equal(await ended, 0);
    assert.deepEqual((await verifyAuditLog(auditFolder())).findings, []);
    assert.match(readAudit(), /"code":"ok"[^\n]*"streamed":true/);
  });

  it('on a second SIGTERM ends at once with 1, and the log of what it did verifies', async () => {
    const { stop, signal } = await start();
    const { response } = await openStream();
    const ended = stop();
    await eventually('nobody gets in any more', async () => (await statusOf(`${url}/readyz`)) === 0);
    signal('SIGTERM');
    assert.equal(await ended, 1);
    await assert.rejects(response.text());
    assert.ok((await verifyAuditLog(auditFolder())).findings.every(({ code }) => code === 'line_torn'));
  });

  it('on SIGHUP judges the next request by the new policies, and leaves a stream that runs alone', async () => {
    const { signal } = await start();
    const { response, finish } = await openStream();
    const roles = readFileSync(policy('roles.yaml'), 'utf8');
    writeFileSync(policy('roles.yaml'), roles.replace('chat.completions.create, ', ''));
    signal('SIGHUP');
    await eventually('the right is gone', async () => (await codeOf(await send())) === '403 access_denied');
    finish();
    assert.match(await response.text(), /begun[^]*ended[^]*\[DONE\]/);
    writeFileSync(policy('roles.yaml'), roles);
    signal('SIGHUP');
    await eventually('the right is back', async () => (await codeOf(await send())) === '200 ok');
  });

  it('refuses everything while the disk is full, and goes on with a whole chain when there is room', async () => {
    // A file may have 128 KiB: what a full disk does to the audit log, without filling a disk.
    await start(['sh', '-c', 'ulimit -f 256; exec "$@"', 'sh']);
    await eventually('it is full', async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, () => send().then(codeOf)));
      return answers.every((code) => code === '503 audit_unavailable');
    });
    const { headers } = await send();
    assert.ok(Number(headers.get('retry-after')) > 0);
    const served = upstream.requests.length;
    for (let attempt = 0; attempt < 20; attempt++)
      assert.equal(await codeOf(await send()), '503 audit_unavailable');
    assert.equal(upstream.requests.length, served, 'nothing is served that cannot be recorded');
    assert.equal(await statusOf(`${url}/readyz`), 503);
    assert.equal(await statusOf(`${url}/healthz`), 200);
    const [full = ''] = auditFiles();
    renameSync(join(auditFolder(), full), join(folder, full)); // Somebody makes room.
    await eventually('it serves again', async () => (await send()).status === 200);
    await gateway?.stop();
    // The write that failed may stand half in the file that was moved, and stands whole in the next one.
    const lines = new Map<number, string>();
    for (const line of `${readFileSync(join(folder, full), 'utf8')}\n${readAudit()}`.split('\n')) {
      if (!line.endsWith('"}')) continue;
      const { seq } = JSON.parse(line) as { seq: number };
      assert.equal(lines.get(seq) ?? line, line);
      lines.set(seq, line);
    }
    const whole = mkdtempSync(join(folder, 'whole-'));
    writeFileSync(join(whole, full), `${[...lines.values()].join('\n')}\n`);
    assert.deepEqual((await verifyAuditLog(whole)).findings, [], 'what was moved and the rest are one chain');
    const codes = new Set([...lines.values()].map((line) => /"code":"(\w+)"/.exec(line)?.[1]));
    assert.ok(codes.has('ok') && codes.has('audit_unavailable'));
  });

  it('outlives a flood of connections that leaves no descriptor, and serves afterwards', async () => {
    await start(['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh']);
    assert.equal((await send()).status, 200);
    const port = Number(new URL(url).port);
    const flood: Socket[] = Array.from({ length: 300 }, () =>
      connect(port, '127.0.0.1').on('error', () => undefined),
    );
    await eventually('some were turned away', () =>
      flood.some((socket) => socket.closed || socket.destroyed),
    );
    for (const socket of flood) socket.destroy();
    await eventually(
      'it serves',
      async () =>
        (await send().then(
          ({ status }) => status,
          () => 0,
        )) === 200,
    );
    assert.deepEqual((await verifyAuditLog(auditFolder())).findings, []);
    assert.equal(await gateway?.stop(), 0);
  });
});

function auditFiles(): string[] {
  return readdirSync(auditFolder()).filter((name) => name.endsWith('.jsonl'));
}

function readAudit(): string {
  return auditFiles()
    .map((name) => readFileSync(join(auditFolder(), name), 'utf8'))
    .join('');
}
