// Two gateways, one of them with two workers, with one Redis and the real identity server: whoever revokes, and wherever,
// every process refuses and every stream ends.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { createAccount, openForAdministration, signOutEverywhere } from '../../identity/administration.ts';
import { insertApiKey, revokeApiKey } from '../../identity/api-keys/api-keys.ts';
import { createEventLog } from '../../identity/revocation/event-log.ts';
import type { Database } from '../../identity/storage/database.ts';
import { startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { chunk, json, startFakeUpstream, streamHead, type FakeUpstream } from '../support/fake-upstream.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../support/redis.ts';
import { eventually, freePort, serve, statusOf, type Served } from '../support/serve.ts';
import { chatAnswer } from '../support/start-gateway.ts';

const password = 'correct horse battery staple';
let folder: string;
let redis: PrivateRedis;
let identity: TestIdentity;
let database: Database;
let upstream: FakeUpstream;
const gateways: { readonly url: string; readonly served: Served }[] = [];
let count = 0;

/** Starts a gateway of so many workers with a data folder of its own. */
async function startGateway(name: string, workers: number): Promise<void> {
  const [port, internalPort] = [await freePort(), await freePort()];
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    JSON.stringify({
      gateway: {
        listen: `127.0.0.1:${port}`,
        internal_listen: `127.0.0.1:${internalPort}`,
        workers,
        policies: join(folder, 'policies'),
        data: join(folder, name),
        assertion_jwks: join(folder, `${name}-jwks.json`),
        embedded_issuer: identity.issuer,
        embedded_identity: { url: identity.base },
        redis: { url: redis.setting },
        upstreams: {
          embedded: { kind: 'openai', url: upstream.url, models: ['tiny-gpt2'] },
          accounts: { kind: 'http', url: identity.base, assertion: 'identity' },
        },
      },
    }),
  );
  const served = serve('gateway', file);
  gateways.push({ url: `http://127.0.0.1:${port}`, served });
  await eventually(
    `${name} listens`,
    async () => (await statusOf(`http://127.0.0.1:${internalPort}/healthz`)) === 200,
  );
  await eventually(`${name} is ready`, async () => (await readiness(`http://127.0.0.1:${port}`)) === 'ready');
}

async function readiness(url: string): Promise<string> {
  const answer = await fetch(`${url}/readyz`, { headers: { connection: 'close' } }).catch(() => null);
  return answer === null ? '' : ((await answer.json()) as { status: string }).status;
}

describe('revocation among gateways', { skip: redisMissing ?? false }, () => {
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-everywhere-'));
    redis = await startRedis();
    identity = await startTestIdentity({
      gateway_jwks: ['one', 'two'].map((name) => join(folder, `${name}-jwks.json`)),
    });
    database = await openForAdministration(identity.config);
    upstream = await startFakeUpstream((request, socket) => {
      if (!request.body.toString().includes('"stream":true')) return json(chatAnswer)(request, socket);
      const event = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'tiny-gpt2', choices: [] };
      socket.write(streamHead(request) + chunk(`data: ${JSON.stringify(event)}\n\n`));
    });
    cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
    await startGateway('one', 2);
    await startGateway('two', 1);
  });
  after(async () => {
    await Promise.all(gateways.map(({ served }) => served.stop()));
    await database.destroy();
    await Promise.all([identity.close(), upstream.close(), redis.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  async function person(): Promise<{ id: string; username: string }> {
    const username = `person-${count++}`;
    const { account } = await createAccount(database, { username, password });
    return { id: account.id, username };
  }

  async function keyOf(owner: string): Promise<{ id: string; text: string }> {
    const made = await insertApiKey(database, {
      owner,
      name: 'test',
      roles: ['LLM.User'],
      lifetimeSeconds: 3_600,
      atMost: 50,
    });
    assert.ok(typeof made !== 'string');
    return { id: made.key.id, text: made.text };
  }

  async function signIn(username: string, secret = password): Promise<string> {
    const answer = await fetch(`${gateways[0]?.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({ username, password: secret }),
    });
    assert.equal(answer.status, 200);
    return ((await answer.json()) as { access_token: string }).access_token;
  }

  /** On a connection of its own: the workers take turns. */
  const chat = (url: string, credential: string, members: object = {}): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${credential}`,
        'content-type': 'application/json',
        connection: 'close',
      },
      body: JSON.stringify({
        model: 'tiny-gpt2',
        messages: [{ role: 'user', content: 'hello' }],
        ...members,
      }),
    });

  /** What every process answers, as far as taking turns reaches each. */
  async function statuses(credential: string): Promise<Set<number>> {
    const asked = gateways.flatMap(({ url }) => Array.from({ length: 4 }, () => chat(url, credential)));
    const answers = await Promise.all(asked);
    return new Set(
      await Promise.all(answers.map(async (answer) => (await answer.arrayBuffer(), answer.status))),
    );
  }

  const streams = async (credential: string): Promise<Promise<string>[]> => {
    const begun = await Promise.all(
      gateways.flatMap(({ url }) => [1, 2, 3].map(() => chat(url, credential, { stream: true }))),
    );
    assert.deepEqual(new Set(begun.map(({ status }) => status)), new Set([200]));
    return begun.map((answer) => answer.text());
  };

  async function isOver(credential: string, running: readonly Promise<string>[]): Promise<void> {
    for (const text of await Promise.all(running)) {
      assert.match(text, /data: \{"error":\{[^\n]*"code":"credential_revoked"[^\n]*\n\n$/);
      assert.doesNotMatch(text, /\[DONE\]/);
    }
    await eventually('every process refuses it', async () => {
      const given = await statuses(credential);
      return given.size === 1 && given.has(401);
    });
  }

  it('an API key that is withdrawn at identity', async () => {
    const { id } = await person();
    const [key, other] = [await keyOf(id), await keyOf(id)];
    assert.deepEqual(await statuses(key.text), new Set([200]));
    const running = await streams(key.text);
    assert.notEqual(await revokeApiKey(createEventLog(database), key.id, null), null);
    await isOver(key.text, running);
    assert.deepEqual(await statuses(other.text), new Set([200]));
  });

  it('everything of an account that is signed out everywhere, and nothing of what it gets afterwards', async () => {
    const { username, id } = await person();
    const [accessToken, key] = [await signIn(username), await keyOf(id)];
    const running = [...(await streams(accessToken)), ...(await streams(key.text))];
    await signOutEverywhere(database, username);
    await isOver(accessToken, running);
    await isOver(key.text, []);
    assert.deepEqual(await statuses(await signIn(username)), new Set([200]));
  });

  it('an access token and a key that an administrator revokes at one gateway', async () => {
    const { username, id } = await person();
    const [accessToken, key] = [await signIn(username), await keyOf(id)];
    const running = [...(await streams(accessToken)), ...(await streams(key.text))];
    const [, claims = ''] = accessToken.split('.');
    const { jti } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { jti: string };
    const { administrator } = identity;
    const admin = await signIn(administrator.username, administrator.password);
    for (const credential of [jti, key.id]) {
      const done = await fetch(`${gateways[1]?.url}/admin/revocations`, {
        method: 'POST',
        headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
        body: JSON.stringify({ issuer: 'embedded', credential }),
      });
      assert.equal(done.status, 201, await done.text());
    }
    await isOver(accessToken, running);
    await isOver(key.text, []);
  });

  it('what was revoked while a gateway was away, and while Redis lost its memory', async () => {
    const { id } = await person();
    const key = await keyOf(id);
    assert.deepEqual(await statuses(key.text), new Set([200]));
    await gateways[1]?.served.stop();
    assert.notEqual(await revokeApiKey(createEventLog(database), key.id, null), null);
    await redis.restart();
    gateways[1]?.served.start();
    await eventually('both are ready', async () => {
      const states = await Promise.all(gateways.map(({ url }) => readiness(url)));
      return states.every((state) => state === 'ready');
    });
    await isOver(key.text, []);
    const { username } = await person();
    const accessToken = await signIn(username);
    const running = await streams(accessToken);
    await signOutEverywhere(database, username);
    await isOver(accessToken, running);
  });
});
