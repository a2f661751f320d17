// Revocation across processes: a gateway with two workers and no Redis. What is revoked at one process is refused by
// each, and the streams of each are cut.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import { chunk, json, startFakeUpstream, streamHead, type FakeUpstream } from '../support/fake-upstream.ts';
import { eventually, freePort, serve, statusOf, type Served } from '../support/serve.ts';
import { chatAnswer } from '../support/start-gateway.ts';

let folder: string;
let issuer: FakeIssuer;
let upstream: FakeUpstream;
let gateway: Served;
let url: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-revoking-'));
  const [port, internalPort] = [await freePort(), await freePort()];
  url = `http://127.0.0.1:${port}`;
  issuer = await startFakeIssuer();
  upstream = await startFakeUpstream((request, socket) => {
    if (!request.body.toString().includes('"stream":true')) return json(chatAnswer)(request, socket);
    const event = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'tiny-gpt2', choices: [] };
    socket.write(streamHead(request) + chunk(`data: ${JSON.stringify(event)}\n\n`));
  });
  cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
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
  gateway = serve('gateway', join(folder, 'gateway.yaml'));
  await eventually(
    'all workers listen',
    async () => (await statusOf(`http://127.0.0.1:${internalPort}/healthz`)) === 200,
  );
});
after(async () => {
  await gateway.stop();
  await Promise.all([issuer.close(), upstream.close()]);
  rmSync(folder, { recursive: true, force: true });
});

function mint(claims: Readonly<Record<string, unknown>>): string {
  return issuer.mint({ aud: 'api://sallyport', scp: 'LLM.Access', roles: ['LLM.User'], ...claims });
}

/** On a connection of its own: the workers take turns. */
function chat(accessToken: string, members: object = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${accessToken}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }], ...members }),
  });
}

async function statuses(accessToken: string): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: 8 }, () => chat(accessToken)));
  return Promise.all(answers.map(async (answer) => (await answer.arrayBuffer(), answer.status)));
}

async function revoke(body: object): Promise<void> {
  const answer = await fetch(`${url}/admin/revocations`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${mint({ sub: 'admin', roles: ['LLM.Admin'] })}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 201, await answer.text());
}

const allAre = (wanted: number, given: readonly number[]): boolean =>
  given.every((status) => status === wanted);

describe('a revocation at one of two workers', () => {
  it('reaches both: the token is refused wherever it comes, and every stream of it ends', async () => {
    const accessToken = mint({ sub: 'alice', jti: 'revoked' });
    assert.deepEqual(new Set(await statuses(accessToken)), new Set([200]));
    const streams = await Promise.all(Array.from({ length: 6 }, () => chat(accessToken, { stream: true })));
    const texts = streams.map((stream) => stream.text());
    await revoke({ issuer: 'embedded', credential: 'revoked' });
    for (const text of await Promise.all(texts)) {
      assert.match(text, /data: \{"error":\{[^\n]*"code":"credential_revoked"[^\n]*\n\n$/);
      assert.doesNotMatch(text, /\[DONE\]/);
    }
    await eventually('every worker refuses it', async () => allAre(401, await statuses(accessToken)));
    assert.deepEqual(new Set(await statuses(mint({ sub: 'alice' }))), new Set([200]));
  });

  it('holds after a restart of all of them', async () => {
    const accessToken = mint({ sub: 'bob', jti: 'before the restart' });
    await revoke({ issuer: 'embedded', subject: 'bob' });
    await gateway.stop();
    gateway.start();
    await eventually('the gateway answers', async () =>
      allAre(200, await statuses(mint({ sub: 'carol' })).catch(() => [0])),
    );
    assert.deepEqual(new Set(await statuses(accessToken)), new Set([401]));
  });
});
