// Limits as a caller meets them, at a real gateway: in process memory and with Redis, which may hang.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { verifyAuditLog } from '../../../gateway/accounting/audit-verify.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

const edit = {
  'limits.yaml': [
    ['requests: 600', 'requests: 10'],
    ['model_tokens: 100000,', 'model_tokens: 1000,'],
    ['requests: 120', 'requests: 10'],
    ['requests: 1000', 'requests: 5'],
  ],
} as const;

const ask = (gateway: TestGateway, accessToken: string | null): Promise<Response> =>
  fetch(
    `${gateway.url}/v1/models`,
    accessToken === null ? {} : { headers: { authorization: `Bearer ${accessToken}` } },
  );

async function records(gateway: TestGateway, atLeast: number): Promise<Record<string, unknown>[]> {
  for (let attempt = 0; ; attempt++) {
    const names = readdirSync(gateway.auditFolder).filter((name) => name.endsWith('.jsonl'));
    const lines = names.flatMap((name) =>
      readFileSync(join(gateway.auditFolder, name), 'utf8').split('\n').slice(0, -1),
    );
    if (lines.length >= atLeast || attempt > 200) return lines.map((line) => JSON.parse(line));
    await delay(20);
  }
}

describe('limits at a gateway that counts in its own memory', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({ edit });
  });
  after(() => gateway.close());

  it('answers exactly the limit of 100 parallel requests, and writes each of them down once', async () => {
    const accessToken = await gateway.mint({ sub: 'parallel' });
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(gateway, accessToken)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 10);
    assert.equal(answers.filter(({ status }) => status === 429).length, 90);
    const ids = answers.map(({ headers }) => headers.get('x-request-id'));
    const written = (await records(gateway, 100)).filter(({ request_id: id }) => ids.includes(String(id)));
    assert.equal(written.length, 100);
    assert.equal(
      written.filter(
        ({ code, reason }) => code === 'rate_limit_exceeded' && reason === 'requests-per-principal',
      ).length,
      90,
    );
    assert.ok((await verifyAuditLog(gateway.auditFolder)).ok);
  });

  it('tells of a ceiling instead of asking to come again, when model tokens have run short as well', async () => {
    const headers = {
      authorization: `Bearer ${await gateway.mint({ sub: 'above' })}`,
      'content-type': 'application/json',
    };
    const codeOf = async (maxTokens: number): Promise<unknown> => {
      const body = JSON.stringify({ model: 'tiny-gpt2', prompt: 'a', max_tokens: maxTokens });
      const answer = await fetch(`${gateway.url}/v1/completions`, { method: 'POST', headers, body });
      return answer.ok ? 'ok' : ((await answer.json()) as { error: { code: unknown } }).error.code;
    };
    assert.equal(await codeOf(900), 'ok'); // What the upstream reports of it stays used.
    assert.equal(await codeOf(1024), 'rate_limit_exceeded');
    assert.equal(await codeOf(1025), 'parameter_above_ceiling');
  });

  it('tells the limits on refusals of requests that were counted, and on no others', async () => {
    const headers = {
      authorization: `Bearer ${await gateway.mint({ sub: 'refused' })}`,
      'content-type': 'application/json',
    };
    const post = (body: object): Promise<Response> =>
      fetch(`${gateway.url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(body) });
    const blocked = await post({ model: 'tiny-gpt2', prompt: 'sallyport-denied-example' });
    assert.deepEqual([blocked.status, blocked.headers.get('x-ratelimit-remaining-requests')], [400, '9']);
    assert.match(blocked.headers.get('ratelimit') ?? '', /r=9/);
    const unknown = await post({ model: 'gpt-9', prompt: 'x' });
    assert.deepEqual([unknown.status, unknown.headers.get('ratelimit')], [404, null]);
  });

  it('tells the limits on every answer and the wait on a refusal', async () => {
    const accessToken = await gateway.mint({ sub: 'headers' });
    const first = await ask(gateway, accessToken);
    assert.equal(first.headers.get('ratelimit-policy'), '"requests-per-principal";q=10;w=60');
    assert.match(first.headers.get('ratelimit') ?? '', /^"requests-per-principal";r=9;t=\d+$/);
    assert.equal(first.headers.get('x-ratelimit-limit-requests'), '10');
    assert.equal(first.headers.get('x-ratelimit-remaining-requests'), '9');
    for (let count = 0; count < 9; count++) await ask(gateway, accessToken);
    const refused = await ask(gateway, accessToken);
    assert.equal(refused.status, 429);
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 20 && seconds <= 60);
    assert.ok(Number(refused.headers.get('retry-after-ms')) <= seconds * 1_000);
    assert.equal(refused.headers.get('x-should-retry'), 'false');
    assert.equal(refused.headers.get('x-ratelimit-remaining-requests'), '0');
    assert.equal(((await refused.json()) as { error: { code: string } }).error.code, 'rate_limit_exceeded');
  });

  it('counts model tokens on every route that produces or reads them, Azure-style paths included, as one', async () => {
    const headers = {
      authorization: `Bearer ${await gateway.mint({ sub: 'model tokens' })}`,
      'content-type': 'application/json',
    };
    const post = (path: string, body: object): Promise<Response> =>
      fetch(`${gateway.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    // What a guard refuses is counted and costs nothing: each reserves of the whole.
    const prompt = 'sallyport-denied-example';
    const asked = { model: 'tiny-gpt2', max_tokens: 94 };
    const messages = [{ role: 'user', content: prompt }];
    const paths: readonly (readonly [string, object, number])[] = [
      ['/v1/completions', { ...asked, prompt }, 900],
      ['/v1/chat/completions', { ...asked, messages }, 896],
      ['/v1/embeddings', { model: 'tiny-gpt2', input: prompt }, 994],
      ['/openai/deployments/tiny-gpt2/completions', { ...asked, prompt }, 900],
      ['/openai/v1/chat/completions', { ...asked, messages }, 896],
      ['/openai/v1/embeddings', { model: 'tiny-gpt2', input: prompt }, 994],
    ];
    for (const [path, body, remaining] of paths) {
      const answer = await post(path, body);
      assert.equal(answer.status, 400, path);
      assert.equal(
        answer.headers.get('ratelimit-policy'),
        '"requests-per-principal";q=10;w=60, "tokens-per-principal";q=1000;w=60;qu="model-tokens"',
      );
      assert.match(
        answer.headers.get('ratelimit') ?? '',
        new RegExp(`^"requests-per-principal";r=\\d;t=\\d+, "tokens-per-principal";r=${remaining};t=\\d+$`),
      );
      assert.equal(answer.headers.get('x-ratelimit-limit-tokens'), '1000');
      assert.equal(answer.headers.get('x-ratelimit-remaining-tokens'), String(remaining), path);
      assert.match(answer.headers.get('x-ratelimit-reset-tokens') ?? '', /^\d+(ms|s)$|^1m0s$/);
    }
    assert.equal(
      (await ask(gateway, headers.authorization.slice(7))).headers.get('x-ratelimit-limit-tokens'),
      null,
    );
  });

  it('refuses an address that keeps bringing bad credentials, good ones included, but not for asking without one', async () => {
    for (let count = 0; count < 8; count++) assert.equal((await ask(gateway, null)).status, 401);
    for (let count = 0; count < 5; count++) assert.equal((await ask(gateway, 'bad')).status, 401);
    assert.equal((await ask(gateway, 'bad')).status, 429);
    const refused = await ask(gateway, await gateway.mint({ sub: 'good' }));
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    assert.equal((await records(gateway, 1)).at(-1)?.['event'], 'request');
  });
});

describe('limits at gateways that count in Redis', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let one: TestGateway;
  let other: TestGateway;
  before(async () => {
    redis = await startRedis();
    const config = { redis: { url: redis.setting } };
    [one, other] = await Promise.all([
      startTestGateway({ edit, config }),
      startTestGateway({ edit, config }),
    ]);
  });
  after(async () => {
    redis.resume();
    await Promise.all([one.close(), other.close()]);
    await redis.close();
  });

  it('answer exactly the limit together', async () => {
    const body = JSON.stringify({ username: 'x', password: 'y' });
    const register = (gateway: TestGateway): Promise<Response> =>
      fetch(`${gateway.url}/users`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, number) => register(number % 2 === 0 ? one : other)),
    );
    assert.equal(answers.filter(({ status }) => status !== 429).length, 10);
  });

  it('refuse together an address that has failed at one of them', async () => {
    for (let count = 0; count < 5; count++) await ask(one, 'bad');
    await delay(1_100); // What others counted is known a second later.
    assert.equal((await ask(other, await other.mint({ sub: 'elsewhere' }))).status, 429);
  });

  it('refuse with 503 and Retry-After while Redis hangs, and say so', async () => {
    redis.hang();
    // The address has failed too often before; that is known for a second without Redis.
    let refused = await ask(one, await one.mint({ sub: 'hung' }));
    for (let attempt = 0; refused.status === 429 && attempt < 100; attempt++) {
      await delay(100);
      refused = await ask(one, await one.mint({ sub: 'hung' }));
    }
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.equal(
      ((await refused.json()) as { error: { code: string } }).error.code,
      'limit_store_unavailable',
    );
    const ready = await fetch(`${one.url}/readyz`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /Redis does not answer in time/);
    redis.resume();
  });
});
