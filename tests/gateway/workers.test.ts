// Two worker processes on one listener: they must be one gateway to whoever counts.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import { json, startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { chatAnswer } from '../support/start-gateway.ts';

const permitted = 10;
let folder: string;
let issuer: FakeIssuer;
let upstream: FakeUpstream;
let child: ChildProcess;
let port: number;
let internalPort: number;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-workers-'));
  [port, internalPort] = [await freePort(), await freePort()];
  issuer = await startFakeIssuer();
  upstream = await startFakeUpstream(json(chatAnswer));
  cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
  const limits = join(folder, 'policies', 'limits.yaml');
  writeFileSync(limits, readFileSync(limits, 'utf8').replace('requests: 600', `requests: ${permitted}`));
  writeFileSync(
    join(folder, 'gateway.yaml'),
    JSON.stringify({
      gateway: {
        listen: `127.0.0.1:${port}`,
        internal_listen: `127.0.0.1:${internalPort}`,
        workers: 2,
        policies: join(folder, 'policies'),
        data: join(folder, 'gateway'),
        assertion_jwks: join(folder, 'run', 'jwks.json'),
        embedded_issuer: issuer.issuer,
        upstreams: {
          embedded: { kind: 'openai', url: upstream.url, models: ['tiny-gpt2'] },
          accounts: { kind: 'http', url: upstream.url },
        },
      },
    }),
  );
  child = spawn(
    process.execPath,
    [join(packageRoot, 'cli/main.ts'), 'serve', 'gateway', '--config', join(folder, 'gateway.yaml')],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      cwd: folder,
      env: { ...process.env, SALLYPORT_LOG_LEVEL: 'silent' },
    },
  );
  await serving();
});
after(async () => {
  if (child.exitCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
  assert.equal(child.exitCode, 0);
  await Promise.all([issuer.close(), upstream.close()]);
  rmSync(folder, { recursive: true, force: true });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const found = (server.address() as AddressInfo).port;
      server.close(() => resolve(found));
    });
  });
}

async function serving(): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    // The primary listens when every worker does; the public address answers as soon as the first one is there.
    const answer = await fetch(`http://127.0.0.1:${internalPort}/healthz`).catch(() => null);
    if (answer !== null) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the gateway did not start');
}

/** One request on a connection of its own, so that both workers get some. */
async function ask(subject: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${issuer.mint({ aud: 'api://sallyport', sub: subject, scp: 'LLM.Access', roles: ['LLM.User'] })}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await answer.text();
  return answer.status;
}

function workers(): number[] {
  return readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
}

describe('a gateway with two workers', () => {
  it('permits no more requests of one principal than the limit says, however they are spread', async () => {
    const statuses = await Promise.all(Array.from({ length: 40 }, () => ask('alice')));
    const count = (wanted: number): number => statuses.filter((status) => status === wanted).length;
    // On a machine that is far too busy the primary may answer too late: 503, and it was counted all the same.
    assert.equal(count(200) + count(429) + count(503), 40);
    assert.ok(count(200) <= permitted && count(200) + count(503) >= permitted, statuses.join());
  });

  it('adds up the metrics of its workers', async () => {
    const text = await (await fetch(`http://127.0.0.1:${internalPort}/metrics`)).text();
    const counted = [
      ...text.matchAll(/^sallyport_requests_total\{.*route="chat\.completions".*\} (\d+)/gm),
    ].reduce((sum, match) => sum + Number(match[1]), 0);
    assert.equal(counted, 40);
  });

  it(
    'goes on when a worker is killed',
    { skip: process.platform === 'linux' ? false : 'reads /proc' },
    async () => {
      const [victim] = workers();
      assert.ok(victim);
      process.kill(victim, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(await ask('bob'), 200);
    },
  );
});
