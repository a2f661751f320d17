// API keys of the embedded identity through the whole gateway: looked up, remembered for a short time, counted by their
// owner, revoked by the feed, and refused while nobody can tell.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import OpenAI, { AzureOpenAI } from 'openai';
import { startFakeIdentity, type FakeIdentity } from '../support/fake-identity.ts';
import { chunk, json, streamHead, type Script } from '../support/fake-upstream.ts';
import { eventually } from '../support/serve.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let folder: string;
let identity: FakeIdentity;
let gateway: TestGateway;
let serial = 0;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-api-keys-'));
  const jwksFile = join(folder, 'jwks.json');
  identity = await startFakeIdentity({ jwksFile });
  gateway = await startTestGateway({
    config: {
      assertion_jwks: jwksFile,
      embedded_identity: { url: identity.url, tolerate_feed_loss: '1s' },
    },
  });
  await eventually('the feed is followed', () => identity.feedCount() === 1);
});
after(async () => {
  await gateway.close();
  await identity.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => gateway.upstream.use(json(chatAnswer)));

const now = (): number => Math.floor(Date.now() / 1_000);
const model = 'tiny-gpt2';
const messages = [{ role: 'user' as const, content: 'hello' }];

/** A key that identity knows; its secret is of no meaning here. */
function newKey(members: Readonly<Record<string, unknown>> = {}): { key: string; id: string } {
  const id = `key${String(++serial).padStart(9, '0')}`;
  const key = `sp_${id}_${'s'.repeat(32)}`;
  identity.know(key, {
    active: true,
    token_type: 'api_key',
    iss: gateway.issuer.issuer,
    sub: 'alice',
    client_id: '5a11b0a7-0000-4000-8000-000000000005',
    aud: 'api://sallyport',
    scope: 'LLM.Access',
    roles: ['LLM.User'],
    jti: id,
    iat: now() - 1_000,
    username: 'alice',
    ...members,
  });
  return { key, id };
}

function chat(key: string, members: object = {}, headers: object = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, messages, ...members }),
  });
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}

async function codeOf(answer: Promise<Response>): Promise<[number, string]> {
  const given = await answer;
  return [given.status, ((await given.json()) as { error?: { code: string } }).error?.code ?? 'ok'];
}

const endless: Script = (request, socket) => {
  const event = {
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model,
    choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }],
  };
  socket.write(streamHead(request) + chunk(`data: ${JSON.stringify(event)}\n\n`));
};

describe('an API key', () => {
  it('works for the openai client, streaming included', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: newKey().key, maxRetries: 0 });
    assert.equal((await client.chat.completions.create({ model, messages })).id, chatAnswer.id);
    assert.deepEqual(
      (await client.models.list()).data.map(({ id }) => id),
      [model],
    );
  });

  it('works for the Azure client, which sends it as api-key', async () => {
    const client = new AzureOpenAI({
      endpoint: gateway.url,
      apiVersion: '2024-10-21',
      apiKey: newKey().key,
      maxRetries: 0,
    });
    assert.equal((await client.chat.completions.create({ model, messages })).id, chatAnswer.id);
  });

  it('is looked up once for many uses at the same time, and not again while the answer is fresh', async () => {
    const { key } = newKey();
    const before = identity.lookups.length;
    const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(chat(key))));
    assert.deepEqual(new Set(statuses), new Set([200]));
    assert.equal(await statusOf(chat(key)), 200);
    assert.deepEqual(identity.lookups.slice(before), [key]);
    assert.equal(identity.strangers(), 0);
  });

  it('never reaches the upstream', async () => {
    const { key } = newKey();
    await statusOf(chat(key));
    assert.doesNotMatch(gateway.upstream.received.map(String).join(), new RegExp(key));
  });

  it('counts for its owner, together with his access tokens', async () => {
    const remaining = async (credential: string): Promise<number> => {
      const answer = await chat(credential);
      await answer.arrayBuffer();
      return Number(answer.headers.get('x-ratelimit-remaining-requests'));
    };
    const first = await remaining(newKey({ sub: 'counted' }).key);
    assert.equal(await remaining(newKey({ sub: 'counted' }).key), first - 1);
    assert.equal(await remaining(await gateway.mint({ sub: 'counted' })), first - 2);
  });

  it('does not do what a role of its owner does not permit', async () => {
    assert.deepEqual(await codeOf(chat(newKey({ roles: [] }).key)), [403, 'access_denied']);
  });

  it('is refused where only bound access tokens are good, and as DPoP', async () => {
    assert.equal(await statusOf(chat(newKey().key, {}, { authorization: `DPoP ${newKey().key}` })), 401);
  });

  for (const [title, members, wanted] of [
    ['is expired', { exp: 1_000 }, [401, 'invalid_token']],
    ['expires as text', { exp: 'tomorrow' }, [401, 'invalid_token']],
    ['is for another audience', { aud: 'api://other' }, [401, 'invalid_token']],
    ['names no audience', { aud: undefined }, [401, 'invalid_token']],
    ['is of a client that is not listed', { client_id: 'other' }, [401, 'invalid_token']],
    ['names no client', { client_id: undefined }, [401, 'invalid_token']],
    ['is of another issuer', { iss: 'https://evil.example' }, [401, 'invalid_token']],
    ['has no subject', { sub: undefined }, [401, 'invalid_token']],
    ['is a refresh token', { token_type: 'refresh_token' }, [401, 'invalid_token']],
    ['is a refresh token by its use', { token_use: 'refresh_token' }, [401, 'invalid_token']],
    ['is a password', { token_type: 'password' }, [401, 'invalid_token']],
    ['says that it is DPoP and names no key', { token_type: 'DPoP' }, [401, 'invalid_token']],
    ['is bound to something that we do not know', { cnf: { kid: 'x' } }, [401, 'invalid_token']],
    ['begins to be good later', { nbf: 4_000_000_000 }, [401, 'invalid_token']],
    ['was issued in the future', { iat: 4_000_000_000 }, [401, 'invalid_token']],
    ['lacks the scope', { scope: 'other' }, [403, 'insufficient_scope']],
    ['has roles of an odd type', { roles: 'LLM.Admin'.split('').map(Number) }, [401, 'invalid_token']],
    ['is inactive', { active: false }, [401, 'invalid_token']],
    ['is active in words', { active: 'true' }, [503, 'issuer_unavailable']],
    ['is active as a number', { active: 1 }, [503, 'issuer_unavailable']],
    ['does not say whether it is active', { active: undefined }, [503, 'issuer_unavailable']],
  ] as const) {
    it(`is refused when identity says that it ${title}`, async () => {
      assert.deepEqual(await codeOf(chat(newKey(members).key)), wanted);
    });
  }

  it('that nobody knows is refused, and for a while without asking again', async () => {
    const before = identity.lookups.length;
    for (let use = 0; use < 3; use++)
      assert.deepEqual(await codeOf(chat('sp_unknown')), [401, 'invalid_token']);
    assert.deepEqual(identity.lookups.slice(before), ['sp_unknown']);
  });

  it('asks nobody about a JWT, or about anything else that identity does not issue', async () => {
    const before = identity.lookups.length;
    assert.equal(await statusOf(chat(await gateway.mint())), 200);
    for (const other of ['a.b.c', 'opaque', 'SP_x', 'a.b.c.d.e', 'eyJhbGciOiJub25lIn0.e30.'])
      await statusOf(chat(other));
    assert.equal(identity.lookups.length, before);
  });
});

describe('an API key that identity revokes', () => {
  it('stops to work at once, and its stream is cut', async () => {
    const { key, id } = newKey();
    gateway.upstream.use(endless);
    const stream = await chat(key, { stream: true });
    assert.equal(stream.status, 200);
    identity.know(key, { active: false });
    identity.emit({ type: 'revoked', credential: id, at: now() });
    assert.match(await stream.text(), /"code":"credential_revoked"[^\n]*\n\n$/);
    assert.deepEqual(await codeOf(chat(key)), [401, 'credential_revoked']);
    gateway.upstream.use(json(chatAnswer));
    assert.equal(await statusOf(chat(newKey().key)), 200);
  });

  it('stays refused when the lookup was under way and still said that it is good', async () => {
    const { key, id } = newKey();
    const release = identity.hold();
    const answer = chat(key);
    await eventually('it is looked up', () => identity.lookups.includes(key));
    identity.emit({ type: 'revoked', credential: id, at: now() });
    await eventually('the gateway has heard', async () =>
      /sallyport_revocations [1-9]/.test(await (await fetch(`${gateway.internalUrl}/metrics`)).text()),
    );
    await revokedHere(id);
    release();
    assert.deepEqual(await codeOf(answer), [401, 'credential_revoked']);
  });

  it('is not concerned when the sessions of its owner end', async () => {
    const { key } = newKey({ sub: 'changes-password' });
    const token = await gateway.mint({ sub: 'changes-password', iat: now() - 10 });
    assert.deepEqual([await statusOf(chat(key)), await statusOf(chat(token))], [200, 200]);
    identity.emit({ type: 'revoked_before', subject: 'changes-password', at: now() });
    await eventually('the access token is refused', async () => (await statusOf(chat(token))) === 401);
    assert.equal(await statusOf(chat(key)), 200);
  });

  it('is refused after an administrator named its owner', async () => {
    const { key } = newKey({ sub: 'dismissed' });
    assert.equal(await statusOf(chat(key)), 200);
    const done = await fetch(`${gateway.url}/admin/revocations`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await gateway.mint({ sub: 'admin', roles: ['LLM.Admin'] })}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ issuer: 'embedded', subject: 'dismissed' }),
    });
    assert.equal(done.status, 201);
    assert.equal(((await done.json()) as { until: unknown }).until, null, 'keys may live without an end');
    assert.deepEqual(await codeOf(chat(key)), [401, 'credential_revoked']);
  });
});

/** Waits until this gateway refuses the id of a credential, whoever shows it. */
async function revokedHere(id: string): Promise<void> {
  await eventually(
    'the revocation is in force',
    async () => (await statusOf(chat(await gateway.mint({ jti: id })))) === 401,
  );
}

describe('while identity cannot be asked', () => {
  it('a key whose answer is not fresh is refused with 503, and works again afterwards', async () => {
    const { key } = newKey();
    identity.fail(true);
    for (let use = 0; use < 10; use++) {
      const answer = await chat(key);
      assert.equal(answer.status, 503);
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
      await answer.body?.cancel();
    }
    identity.fail(false);
    await eventually('the key works', async () => (await statusOf(chat(key))) === 200);
  });

  it('is not asked by every request: after a few failures, once in a while', async () => {
    identity.fail(true);
    const before = identity.lookups.length;
    for (let use = 0; use < 40; use++) assert.equal(await statusOf(chat(newKey().key)), 503);
    assert.ok(identity.lookups.length - before < 20);
    const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as {
      checks: { kind: string; ready: boolean }[];
    };
    assert.equal(ready.checks.find(({ kind }) => kind === 'introspection')?.ready, false);
    identity.fail(false);
    await eventually('keys work', async () => (await statusOf(chat(newKey().key))) === 200);
  });

  for (const [title, misbehave] of [
    ['a page', (response) => void response.setHeader('content-type', 'text/html').end('<h1>Hello</h1>')],
    ['a redirect', (response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
    [
      'half an answer',
      (response) =>
        void response
          .writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
          .end('{"active":true'),
    ],
    [
      'a member twice',
      (response) =>
        void response.setHeader('content-type', 'application/json').end('{"active":false,"active":true}'),
    ],
    [
      'a list',
      (response) => void response.setHeader('content-type', 'application/json').end('[{"active":true}]'),
    ],
    [
      'too much',
      (response) =>
        void response
          .setHeader('content-type', 'application/json')
          .end(`{"active":true,"x":"${'x'.repeat(70_000)}"}`),
    ],
    ['nothing', () => undefined],
  ] as const satisfies readonly (readonly [string, (response: ServerResponse) => void])[]) {
    it(`${title} for an answer is none: 503`, async () => {
      await eventually('keys work', async () => (await statusOf(chat(newKey().key))) === 200);
      const key = `sp_misbehaves_${++serial}`;
      identity.know(key, misbehave);
      assert.deepEqual(await codeOf(chat(key)), [503, 'issuer_unavailable']);
    });
  }
});

describe('while the feed is lost', () => {
  after(() => identity.cutFeed(false));

  it('keys are looked up almost every time, access tokens are refused after what is tolerated, and all is well afterwards', async () => {
    const { key } = newKey();
    const token = await gateway.mint();
    assert.deepEqual([await statusOf(chat(key)), await statusOf(chat(token))], [200, 200]);
    identity.cutFeed(true);
    await eventually('/readyz says so', async () => {
      const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as {
        checks: { kind: string; name: string; ready: boolean }[];
      };
      return ready.checks.some(
        (check) => check.kind === 'revocations' && check.name === 'identity' && !check.ready,
      );
    });
    assert.match(
      await (await fetch(`${gateway.internalUrl}/metrics`)).text(),
      /^sallyport_revocation_source_ready\{source="identity"\} 0$/m,
    );
    identity.know(key, { active: false });
    await eventually('the key is refused without the feed', async () => (await statusOf(chat(key))) === 401);
    await eventually(
      'the access token is refused',
      async () => (await codeOf(chat(token)))[1] === 'issuer_unavailable',
    );
    assert.equal(await statusOf(chat(newKey().key)), 200, 'what can be looked up still works');
    const missed = await gateway.mint({ jti: 'missed' });
    identity.emit({ type: 'revoked', credential: 'missed', at: now() });
    identity.cutFeed(false);
    await eventually('the access token works', async () => (await statusOf(chat(token))) === 200);
    assert.deepEqual(
      await codeOf(chat(missed)),
      [401, 'credential_revoked'],
      'what was missed has been caught up',
    );
    assert.ok((identity.feeds.at(-1) ?? 0) > 0, 'the feed goes on where it ended');
  });

  it('an event that cannot be read ends the connection instead of being passed over', async () => {
    await eventually('the feed is followed', () => identity.feedCount() === 1);
    const connections = identity.feeds.length;
    identity.write('id: 99\ndata: {"type":"revoked"}\n\n');
    await eventually('another connection', () => identity.feeds.length > connections);
  });

  it('an event of a kind that is not known yet is passed over', async () => {
    await eventually('the feed is followed', () => identity.feedCount() === 1);
    const connections = identity.feeds.length;
    identity.emit({ type: 'something_new' });
    identity.emit({ type: 'relations_changed' });
    identity.emit({ type: 'revoked', credential: 'after the new', at: now() });
    await revokedHere('after the new');
    assert.equal(identity.feeds.length, connections);
  });
});
