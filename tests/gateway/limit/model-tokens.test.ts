// Model tokens as a caller meets them, at a real gateway: reserved before, settled after, never more than the limit.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../../core/package.ts';
import { estimatedAnswer, estimatedPrompt } from '../../../gateway/limit/estimated-tokens.ts';
import { parseStrictJson } from '../../../gateway/strict-json.ts';
import { spanOf } from '../../../gateway/limit/period.ts';
import { chunk, hang, httpAnswer, json, requestId, streamHead } from '../../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

const issuers = readFileSync(join(packageRoot, 'policies/issuers.yaml'), 'utf8');
const edit = {
  'limits.yaml': [
    [
      'account-requests:',
      'per-window: { by: principal, model_tokens: 100, window: 1h }\n  per-month: { by: client, model_tokens: 200, period: month }\n  account-requests:',
    ],
  ],
  'routes.yaml': [
    [
      'action: completions.create, limits: [requests-per-principal, tokens-per-principal]',
      'action: completions.create, limits: [requests-per-principal, per-window, per-month]',
    ],
  ],
} as const;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly code: string | undefined;
}

async function complete(gateway: TestGateway, accessToken: string, body: object = {}): Promise<Answer> {
  const response = await fetch(`${gateway.url}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-gpt2', prompt: 'Hello there', max_tokens: 20, ...body }),
  });
  const { error } = (await response.json().catch(() => ({}))) as { error?: { code: string } };
  return { status: response.status, headers: response.headers, code: error?.code };
}

const remaining = ({ headers }: Answer): number => Number(headers.get('x-ratelimit-remaining-tokens'));

const httpStatus200 =
  (body: string) =>
  (request: Parameters<typeof requestId>[0], socket: { write(bytes: string): unknown }): void => {
    socket.write(httpAnswer(200, { 'x-request-id': requestId(request), 'content-type': 'text/html' }, body));
  };

describe('limits on model tokens', () => {
  let gateway: TestGateway;
  /** A principal of a client of its own, so that tests do not share quotas. */
  const mintOwn = (name: string): Promise<string> =>
    gateway.mint({ sub: name, azp: `client-of-${name}`, client_id: `client-of-${name}` });
  /** A request that reserves one model token and is refused after it was counted: shows what is left. */
  const peek = (accessToken: string): Promise<Answer> =>
    complete(gateway, accessToken, { prompt: 'sallyport-denied-example', max_tokens: 0 });
  /** Waits until so much is left: usage is settled beside the end of the answer. */
  const remains = async (accessToken: string, expected: number): Promise<void> => {
    const cost = 6;
    for (let attempt = 0; attempt < 200; attempt++) {
      if (remaining(await peek(accessToken)) + cost === expected) return;
      await delay(10);
    }
    assert.equal(remaining(await peek(accessToken)) + cost, expected);
  };
  before(async () => {
    gateway = await startTestGateway({
      edit: {
        ...edit,
        'issuers.yaml': [[/client_ids:(\n {6}- .*)+/.exec(issuers)?.[0] ?? '', 'client_ids: { any: true }']],
      },
    });
  });
  after(() => gateway.close());

  it('tells OpenAI clients of the limit with least left, and names the unit in the draft headers', async () => {
    const answer = await complete(gateway, await gateway.mint({ sub: 'teller' }));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-ratelimit-limit-tokens'), '100');
    assert.equal(remaining(answer), 100 - 23);
    assert.match(
      answer.headers.get('ratelimit-policy') ?? '',
      /"per-window";q=100;w=3600;qu="model-tokens", "per-month";q=200;qu="model-tokens"/,
    );
  });

  it('replaces the reservation by what the upstream reports', async () => {
    const accessToken = await mintOwn('settled');
    assert.equal(remaining(await complete(gateway, accessToken)), 77);
    await remains(accessToken, 100 - 4);
  });

  it('refuses parallel requests that could exceed the limit together, and admits again what they did not use', async () => {
    const accessToken = await mintOwn('parallel');
    const answers: (() => void)[] = [];
    gateway.upstream.use(async (request, socket) => {
      await new Promise<void>((resolve) => answers.push(resolve));
      await json(chatAnswer)(request, socket);
    });
    const asked = Array.from({ length: 12 }, () => complete(gateway, accessToken));
    let refused = 0;
    for (const one of asked)
      void one.then(({ status }) => {
        if (status === 429) refused++;
      });
    while (answers.length < 4 || refused < 8) await delay(5); // The four wait for their answers.
    assert.deepEqual([answers.length, refused], [4, 8]);
    answers.forEach((answer) => answer());
    const codes = await Promise.all(asked.map(async (one) => (await one).code));
    assert.ok(codes.every((code) => code === undefined || code === 'rate_limit_exceeded'));
    gateway.upstream.use(json(chatAnswer));
    await remains(accessToken, 100 - 4 * 4);
  });

  for (const [what, body, script] of [
    ['a guard refuses the content', { prompt: 'sallyport-denied-example' }, json(chatAnswer)],
    ['the upstream answers with an error', {}, json({ error: { message: 'no' } }, { status: 500 })],
    ['the upstream sends what is no answer', {}, httpStatus200('<html>')],
  ] as const) {
    it(`costs nothing when ${what}`, async () => {
      const accessToken = await mintOwn(what.replaceAll(' ', '-'));
      gateway.upstream.use(script);
      assert.ok((await complete(gateway, accessToken, body)).status >= 400);
      gateway.upstream.use(json(chatAnswer));
      await remains(accessToken, 100);
    });
  }

  it('keeps the reservation of a caller who goes away in the middle, since nobody knows what he used', async () => {
    const accessToken = await mintOwn('leaver');
    gateway.upstream.use((request, socket) => {
      socket.write(streamHead(request) + chunk('data: {"choices":[{"index":0,"text":"hel"}]}\n\n'));
    });
    const leaving = new AbortController();
    const response = await fetch(`${gateway.url}/v1/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny-gpt2', prompt: 'Hello there', max_tokens: 20, stream: true }),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    leaving.abort();
    gateway.upstream.use(json(chatAnswer));
    await remains(accessToken, 100 - 23);
  });

  it('takes a request for more than the whole limit only while nothing of it is used', async () => {
    const accessToken = await mintOwn('greedy');
    gateway.upstream.use(hang);
    const before = gateway.upstream.requests.length;
    const held = complete(gateway, accessToken, { max_tokens: 1000 }).catch(() => null);
    await gateway.upstream.arrived(before + 1);
    gateway.upstream.use(json(chatAnswer));
    assert.equal((await complete(gateway, accessToken)).code, 'rate_limit_exceeded');
    void held;
  });

  it('counts all principals of one client in its own quota, and says when the period is over', async () => {
    const client = { azp: 'shared-client', client_id: 'shared-client' };
    gateway.upstream.use(
      json({ ...chatAnswer, usage: { prompt_tokens: 90, completion_tokens: 5, total_tokens: 95 } }),
    );
    for (const sub of ['a', 'b']) {
      const accessToken = await gateway.mint({ sub: `client-${sub}`, ...client });
      assert.equal((await complete(gateway, accessToken)).status, 200);
      while (remaining(await peek(accessToken)) > 20) await delay(5);
    }
    const refused = await complete(gateway, await gateway.mint({ sub: 'client-c', ...client }));
    gateway.upstream.use(json(chatAnswer));
    assert.equal(refused.status, 429);
    assert.equal(refused.code, 'insufficient_quota');
    assert.equal(refused.headers.get('x-should-retry'), 'false');
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
  });
});

describe('the estimate of model tokens', () => {
  const estimatedTokens = (body: Readonly<Record<string, unknown>>, openAnswer: number): number =>
    estimatedPrompt(body) + estimatedAnswer(body, openAnswer);

  for (const [what, body, expected] of [
    ['a short prompt with a maximum', { prompt: 'Hello there', max_tokens: 20 }, 3 + 20],
    ['an answer of open length', { prompt: 'Hello there' }, 3 + 256],
    ['several answers', { prompt: 'Hello there', max_tokens: 10, n: 3 }, 3 + 30],
    ['several prompts', { prompt: ['Hell', 'Hell'], max_tokens: 10 }, 2 + 20],
    ['token ids', { prompt: [1, 2, 3], max_tokens: 1 }, 3 + 1],
    ['an embedding, which has no answer', { input: ['abcd', 'abcd'] }, 2],
    ['messages', { messages: [{ role: 'user', content: 'abcdefgh' }], max_completion_tokens: 5 }, 2 + 4 + 5],
    ['a script of several bytes per character', { prompt: 'ключ', max_tokens: 0 }, 1 + 4],
    ['a text in a member that nobody has heard of', { prompt: '', hidden: 'abcd', max_tokens: 0 }, 1],
  ] as const) {
    it(`counts ${what}`, () => {
      assert.equal(estimatedTokens(body, 256), expected);
      // What the strict parse tells of the texts saves looking at them and changes nothing.
      const { json, isPlain } = parseStrictJson(Buffer.from(JSON.stringify(body)));
      assert.equal(estimatedPrompt(json, isPlain), estimatedPrompt(body));
    });
  }

  it('takes the largest of contradicting maxima', () => {
    assert.equal(estimatedTokens({ prompt: '', max_tokens: 1, max_completion_tokens: 50 }, 256), 50);
  });
});

describe('a period of the calendar', () => {
  for (const [period, at, start, end] of [
    ['hour', '2026-03-29T02:30:00Z', '2026-03-29T02:00:00Z', '2026-03-29T03:00:00Z'],
    ['day', '2026-12-31T23:59:59Z', '2026-12-31T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['week', '2026-11-22T12:00:00Z', '2026-11-16T00:00:00Z', '2026-11-23T00:00:00Z'],
    ['week', '2026-11-23T00:00:00Z', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
    ['month', '2028-02-29T00:00:00Z', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
    ['year', '2026-11-22T12:00:00Z', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ] as const) {
    it(`is the ${period} in UTC that holds ${at}`, () => {
      const { startMs, endMs } = spanOf(period, Date.parse(at));
      assert.deepEqual([startMs, endMs], [Date.parse(start), Date.parse(end)]);
    });
  }
});
