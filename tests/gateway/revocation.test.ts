// Revocation through the whole gateway: who may revoke, what then stops to work, and what is cut while it runs.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { chunk, hang, json, streamHead, type Script } from '../support/fake-upstream.ts';
import { eventually } from '../support/serve.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startTestGateway();
});
after(() => gateway.close());

const messages = [{ role: 'user' as const, content: 'hello' }];

/** Begins a stream and never ends it. */
const endless: Script = (request, socket) => {
  const event = {
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'tiny-gpt2',
    choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }],
  };
  socket.write(streamHead(request) + chunk(`data: ${JSON.stringify(event)}\n\n`));
};

function chat(accessToken: string, members: object = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-gpt2', messages, ...members }),
  });
}

async function revoke(body: object, roles: readonly string[] = ['LLM.Admin']): Promise<Response> {
  return fetch(`${gateway.url}/admin/revocations`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await gateway.mint({ sub: 'admin', roles })}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  });
}

async function codeOf(answer: Response): Promise<string> {
  const body = (await answer.json()) as { code?: string; error?: { code: string } };
  return body.error?.code ?? body.code ?? '';
}

/** The audit record of a request, once it is written. */
async function recordOf(requestId: string | null): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  await eventually(`a record of ${requestId}`, () => {
    found = audit().find(({ request_id: id, event }) => id === requestId && event === 'request');
    return found !== undefined;
  });
  return found ?? {};
}

function audit(): Record<string, unknown>[] {
  return readdirSync(gateway.auditFolder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(gateway.auditFolder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a revoked access token', () => {
  it('is refused from then on, with its challenge, while others of the same person work', async () => {
    gateway.upstream.use(json(chatAnswer));
    const [revoked, other] = [await gateway.mint({ jti: 'one' }), await gateway.mint({ jti: 'two' })];
    assert.equal((await chat(revoked)).status, 200);
    const done = await revoke({ issuer: 'embedded', credential: 'one' });
    assert.equal(done.status, 201);
    const told = (await done.json()) as Record<string, unknown>;
    // Its API keys may live without an end.
    assert.deepEqual(
      [told['issuer'], told['credential'], typeof told['at'], told['until']],
      ['embedded', 'one', 'number', null],
    );
    const refused = await chat(revoked);
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
    assert.equal(await codeOf(refused), 'credential_revoked');
    assert.equal((await chat(other)).status, 200);
  });

  it('is refused at its first sight too', async () => {
    assert.equal((await revoke({ issuer: gateway.issuer.issuer, credential: 'unseen' })).status, 201);
    assert.equal((await chat(await gateway.mint({ jti: 'unseen' }))).status, 401);
  });

  it('that brings its subject: all tokens issued up to then are refused, later ones are not', async () => {
    const now = Math.floor(Date.now() / 1_000);
    const early = await gateway.mint({ sub: 'eve', jti: undefined, iat: now - 5 });
    assert.equal((await chat(early)).status, 401, 'at+jwt needs a jti');
    const token = await gateway.mint({ sub: 'eve', iat: now - 5 });
    assert.equal((await chat(token)).status, 200);
    assert.equal((await revoke({ issuer: 'embedded', subject: 'eve' })).status, 201);
    assert.equal((await chat(token)).status, 401);
    // Within the clock skew that the policy permits.
    assert.equal((await chat(await gateway.mint({ sub: 'eve', iat: now + 20 }))).status, 200);
    assert.equal((await chat(await gateway.mint({ sub: 'eve2', iat: now - 5 }))).status, 200);
  });

  it('stays refused after a reload of the policies', async () => {
    const revoked = await gateway.mint({ jti: 'reload' });
    assert.equal((await revoke({ issuer: 'embedded', credential: 'reload' })).status, 201);
    gateway.running.reload();
    assert.equal((await chat(revoked)).status, 401);
  });
});

describe('a request that runs on what is revoked', () => {
  it('a stream ends with an error event and no [DONE]; the upstream is let go; it is accounted for', async () => {
    gateway.upstream.use(endless);
    const answer = await chat(await gateway.mint({ jti: 'stream' }), { stream: true });
    assert.equal(answer.status, 200);
    const text = answer.text();
    assert.equal((await revoke({ issuer: 'embedded', credential: 'stream' })).status, 201);
    const events = (await text).split('\n\n').filter((event) => event !== '');
    assert.match(events.at(-1) ?? '', /^data: \{"error":\{.*"code":"credential_revoked"/);
    assert.doesNotMatch(events.join(), /\[DONE\]/);
    const record = await recordOf(answer.headers.get('x-request-id'));
    assert.deepEqual(
      [record['code'], record['reason'], record['aborted']],
      ['credential_revoked', 'revoked_in_mid_request', false],
    );
  });

  it('the openai client sees an API error in mid-stream', async () => {
    gateway.upstream.use(endless);
    const client = new OpenAI({
      baseURL: `${gateway.url}/v1`,
      apiKey: await gateway.mint({ jti: 'sdk' }),
      maxRetries: 0,
    });
    const stream = await client.chat.completions.create({ model: 'tiny-gpt2', messages, stream: true });
    await assert.rejects(async () => {
      for await (const event of stream) {
        assert.equal(event.object, 'chat.completion.chunk');
        assert.equal((await revoke({ issuer: 'embedded', credential: 'sdk' })).status, 201);
      }
    }, OpenAI.APIError);
  });

  it('an answer that has not begun is a 401', async () => {
    gateway.upstream.use(hang);
    const before = gateway.upstream.requests.length;
    const answer = chat(await gateway.mint({ sub: 'waiting' }));
    await gateway.upstream.arrived(before + 1);
    assert.equal((await revoke({ issuer: 'embedded', subject: 'waiting' })).status, 201);
    assert.equal((await answer).status, 401);
    assert.equal(await codeOf(await answer), 'credential_revoked');
  });

  it('an answer of another service that has not begun is a 401, one that has begun is cut off', async () => {
    for (const [jti, script] of [
      ['silent', hang],
      ['begun', endless],
    ] as const) {
      gateway.upstream.use(script);
      const before = gateway.upstream.requests.length;
      const asked = fetch(`${gateway.url}/admin/users`, {
        headers: {
          authorization: `Bearer ${await gateway.mint({ jti, sub: 'lister', roles: ['LLM.Admin'] })}`,
        },
      });
      await gateway.upstream.arrived(before + 1);
      if (script === endless) await asked;
      assert.equal((await revoke({ issuer: 'embedded', credential: jti })).status, 201);
      const answer = await asked;
      if (script === hang) assert.equal(answer.status, 401);
      else await assert.rejects(answer.text());
      const record = await recordOf(answer.headers.get('x-request-id'));
      assert.equal(record['code'], 'credential_revoked');
    }
  });

  it('runs on when somebody else is revoked', async () => {
    gateway.upstream.use(endless);
    const answer = await chat(await gateway.mint({ jti: 'other', sub: 'other' }), { stream: true });
    assert.equal((await revoke({ issuer: 'embedded', credential: 'not this one' })).status, 201);
    assert.equal((await revoke({ issuer: 'embedded', subject: 'somebody' })).status, 201);
    const reader = answer.body?.getReader();
    assert.equal((await reader?.read())?.done, false);
    assert.equal((await revoke({ issuer: 'embedded', credential: 'other' })).status, 201);
    let last = '';
    for (let piece = await reader?.read(); piece?.done === false; piece = await reader?.read())
      last += Buffer.from(piece.value).toString();
    assert.match(last, /credential_revoked/);
  });

  it('shows in the metrics', async () => {
    const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
    assert.match(text, /^sallyport_revocations [1-9]/m);
    assert.match(text, /^sallyport_revocation_source_ready\{source="files"\} 1$/m);
  });
});

describe('POST /admin/revocations', () => {
  it('is for administrators', async () => {
    assert.equal((await revoke({ issuer: 'embedded', credential: 'x' }, ['LLM.User'])).status, 403);
    const anonymous = await fetch(`${gateway.url}/admin/revocations`, { method: 'POST', body: '{}' });
    assert.equal(anonymous.status, 401);
  });

  it('leaves a record of who revoked what', async () => {
    const done = await revoke({ issuer: 'embedded', credential: 'recorded' });
    assert.equal(done.status, 201);
    await eventually('the record', () =>
      audit().some(({ event, credential }) => event === 'revocation' && credential === 'recorded'),
    );
    const record = audit().find(({ credential }) => credential === 'recorded');
    assert.deepEqual(
      [record?.['by'], record?.['issuer'], record?.['subject'], record?.['complete']],
      [`${gateway.issuer.issuer} admin`, 'embedded', null, true],
    );
  });

  it('ends with expires_at, and a second time is no fault', async () => {
    const expires = Math.floor(Date.now() / 1_000) + 300;
    for (let time = 0; time < 2; time++) {
      const done = await revoke({ issuer: 'embedded', credential: 'soon', expires_at: expires });
      assert.equal(((await done.json()) as { until: number }).until, expires + 60);
    }
  });

  it('answers who has revoked himself', async () => {
    assert.equal((await revoke({ issuer: 'embedded', subject: 'admin' })).status, 201);
    await eventually(
      'a new sign-in works',
      async () => (await revoke({ issuer: 'embedded', credential: 'y' })).status === 201,
    );
  });

  const past = Math.floor(Date.now() / 1_000) - 3_600;
  for (const [title, body] of [
    ['no member', {}],
    ['no issuer', { credential: 'x' }],
    ['an issuer that is not accepted', { issuer: 'https://evil.example', credential: 'x' }],
    ['neither credential nor subject', { issuer: 'embedded' }],
    ['both', { issuer: 'embedded', credential: 'x', subject: 'y' }],
    ['an unknown member', { issuer: 'embedded', credential: 'x', jti: 'x' }],
    ['an empty id', { issuer: 'embedded', credential: '' }],
    ['a number', { issuer: 'embedded', credential: 7 }],
    ['a long text', { issuer: 'embedded', credential: 'x'.repeat(513) }],
    ['an access token', { issuer: 'embedded', credential: 'eyJhbGciOiJSUzI1NiJ9.eyJ9.x' }],
    ['an API key', { issuer: 'embedded', credential: 'sp_abcdefghijkl_abcdefghijklmnopqrstuvwxyz012345' }],
    ['expires_at of a subject', { issuer: 'embedded', subject: 'x', expires_at: 4_000_000_000 }],
    ['expires_at in the past', { issuer: 'embedded', credential: 'x', expires_at: past }],
    ['expires_at as text', { issuer: 'embedded', credential: 'x', expires_at: 'soon' }],
  ] as const) {
    it(`refuses ${title}`, async () => {
      const answer = await revoke(body);
      assert.equal(answer.status, 400);
      assert.equal(await codeOf(answer), 'body_invalid');
    });
  }
});
