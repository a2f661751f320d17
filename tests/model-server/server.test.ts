/* eslint-disable @typescript-eslint/no-explicit-any -- JSON of answers is asserted, not typed. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventsOf, residentBytes, startGateway, textOf, until, type Answer, type Gateway } from './start.ts';

describe('the model server', () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway(
      { max_queue: 3, heartbeat_ms: 40, max_body_bytes: 20_000 },
      { sequences: 2 },
    );
  });
  after(() => gateway.close());

  const body = { model: 'tiny-gpt2', prompt: 'The', max_tokens: 2 };
  const long = { model: 'tiny-gpt2', prompt: 'The', max_tokens: 500, stream: true };
  const complete = (more: Record<string, unknown> = {}): Promise<Answer> =>
    gateway.call('/v1/completions', { body: { ...body, ...more } });
  const idle = (): Promise<void> =>
    until(() => {
      const { running, waiting } = gateway.server.load();
      return running + waiting === 0;
    }, 'idle');

  it('listens on a socket that only its account can open, in a folder that only its account can enter', () => {
    assert.equal(statSync(gateway.socket).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(gateway.socket)).mode & 0o777, 0o700);
  });

  const paths = [
    '/v1/models',
    '/v1/completions',
    '/v1/chat/completions',
    '/v1/embeddings',
    '/v1/tokenize',
    '/nowhere',
    '/',
  ];
  for (const path of paths) {
    it(`refuses ${path} without an assertion`, async () => {
      const { status, json, headers } = await gateway.call(path, {
        assertion: null,
        ...(path.startsWith('/v1/m') ? {} : { body }),
      });
      assert.deepEqual([status, json.error.code], [401, 'missing_credentials']);
      assert.ok(headers['www-authenticate']);
    });
  }

  const badAssertions: readonly [title: string, make: () => Promise<string>][] = [
    ['for another service', () => gateway.assert({ audience: 'urn:sallyport:identity' })],
    ['that has expired', () => gateway.assert({ issuedAt: now() - 300, expiresAt: now() - 200 })],
    [
      'that is older than a minute although it claims to last',
      () => gateway.assert({ issuedAt: now() - 300, expiresAt: now() + 3600 }),
    ],
    ['of a foreign key', () => gateway.assert({ key: generateKeyPairSync('ed25519').privateKey })],
    ['of another type', () => gateway.assert({ type: 'at+jwt' })],
    ['that is garbage', () => Promise.resolve('abc')],
    ['without a signature', async () => `${(await gateway.assert()).split('.').slice(0, 2).join('.')}.`],
  ];
  for (const [title, make] of badAssertions) {
    it(`refuses an assertion ${title}`, async () => {
      const { status } = await gateway.call('/v1/completions', { body, assertion: await make() });
      assert.equal(status, 401);
    });
  }

  it('does not take the assertion as a bearer token', async () => {
    const { status } = await gateway.call('/v1/models', {
      assertion: null,
      headers: { authorization: `Bearer ${await gateway.assert()}` },
    });
    assert.equal(status, 401);
  });

  it('tells health and metrics to whoever can reach it', async () => {
    const health = await gateway.call('/healthz', { assertion: null });
    assert.deepEqual([health.status, health.json.models['tiny-gpt2'].ready], [200, true]);
    const metrics = await gateway.call('/metrics', { assertion: null });
    assert.match(metrics.text, /sallyport_model_queue_length\{model="tiny-gpt2"\} 0/);
  });

  it('lists its models and answers for one', async () => {
    const { json } = await gateway.call('/v1/models');
    assert.deepEqual(
      json.data.map(({ id, object }: any) => [id, object]),
      [['tiny-gpt2', 'model']],
    );
    assert.equal((await gateway.call('/v1/models/tiny-gpt2')).json.id, 'tiny-gpt2');
    assert.equal((await gateway.call('/v1/models/gpt-5')).status, 404);
  });

  const badRequests: readonly [
    title: string,
    call: Parameters<Gateway['call']>[1],
    status: number,
    code: string,
  ][] = [
    ['an unknown model', { body: { ...body, model: 'gpt-5' } }, 404, 'model_not_found'],
    ['no model', { body: { prompt: 'a' } }, 400, 'body_invalid'],
    ['a GET', { method: 'GET' }, 405, 'method_not_allowed'],
    ['broken JSON', { raw: '{"model":' }, 400, 'body_invalid'],
    ['a list', { raw: '[]' }, 400, 'body_invalid'],
    ['invalid UTF-8', { raw: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) }, 400, 'body_invalid'],
    ['a member given twice', { raw: '{"model":"tiny-gpt2","prompt":"a","n":1,"n":2}' }, 400, 'body_invalid'],
    ['__proto__', { raw: '{"model":"tiny-gpt2","prompt":"a","__proto__":{"n":2}}' }, 400, 'body_invalid'],
    [
      'deep nesting',
      { raw: `{"model":"tiny-gpt2","prompt":${'['.repeat(40)}${']'.repeat(40)}}` },
      400,
      'body_invalid',
    ],
    ['a body that is too large', { body: { ...body, prompt: 'x'.repeat(30_000) } }, 413, 'body_too_large'],
    [
      'another media type',
      { body, headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
    ['a compressed body', { body, headers: { 'content-encoding': 'gzip' } }, 415, 'unsupported_media_type'],
  ];
  for (const [title, call, status, code] of badRequests) {
    it(`refuses ${title} with ${code}`, async () => {
      const answer = await gateway.call('/v1/completions', call);
      assert.deepEqual([answer.status, answer.json.error.code], [status, code]);
      assert.doesNotMatch(answer.text, /\bat .*\.ts:/);
    });
  }

  it('answers 503 with Retry-After when the queue is full, and serves those who wait', async () => {
    const answers = await Promise.all(Array.from({ length: 9 }, () => complete({ max_tokens: 60 })));
    const served = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 503);
    assert.equal(served.length, 5);
    assert.equal(refused.length, 4);
    assert.ok(
      refused.every(
        ({ json, headers }) =>
          json.error.code === 'server_is_overloaded' && Number(headers['retry-after']) >= 1,
      ),
    );
  });

  it('ends a running completion when its caller leaves', async () => {
    await idle();
    const response = await gateway.open('/v1/completions', { body: long });
    await new Promise((resolve) => response.once('data', resolve));
    assert.equal(gateway.server.load().running, 1);
    response.destroy();
    await idle();
    assert.equal((await complete()).status, 200);
  });

  it('forgets a waiting completion when its caller leaves', async () => {
    await idle();
    const running = await Promise.all([
      gateway.open('/v1/completions', { body: long }),
      gateway.open('/v1/completions', { body: long }),
    ]);
    const waiting = gateway.open('/v1/completions', { body: long });
    await until(() => gateway.server.load().waiting === 1, 'one waits');
    const response = await waiting; // The first heartbeat carries the head.
    response.destroy();
    await until(() => gateway.server.load().waiting === 0, 'nobody waits');
    for (const stream of running) stream.destroy();
    await idle();
  });

  it('sends a heartbeat while a stream waits', async () => {
    await idle();
    const running = await Promise.all([
      gateway.open('/v1/completions', { body: { ...long, n: 2 } }),
      gateway.open('/v1/completions', { body: { ...long, n: 2 } }),
    ]);
    const waiting = await gateway.open('/v1/completions', { body: { ...long, max_tokens: 2 } });
    const text = textOf(waiting);
    await sleep(50);
    for (const stream of running) stream.destroy();
    const answered = await text;
    assert.match(answered, /^: ping\n\n/);
    assert.equal(eventsOf(answered).at(-1), '[DONE]');
    await idle();
  });

  it('does not let a reader who stops reading hold a sequence', async () => {
    await idle();
    const response = await gateway.open('/v1/completions', { body: { ...long, n: 2 } });
    response.pause();
    await idle();
    const events = eventsOf(await textOf(response));
    assert.equal(events.at(-1), '[DONE]');
    assert.equal(events.filter((event) => typeof event.choices?.[0]?.finish_reason === 'string').length, 2);
  });

  it('survives callers that break off inside the request', async () => {
    const assertion = await gateway.assert();
    for (const part of [
      'POST /v1/comp',
      `POST /v1/completions HTTP/1.1\r\nhost: a\r\nsallyport-assertion: ${assertion}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"mo`,
    ]) {
      const socket = connect(gateway.socket);
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.end(part);
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    assert.equal((await complete()).status, 200);
  });

  it('has no more memory after 200 aborted requests than a warm one needs', async () => {
    const engine = gateway.server.engineProcessIds()[0] ?? 0;
    const abortOne = async (): Promise<void> => {
      const response = await gateway.open('/v1/completions', {
        body: { ...long, prompt: 'word '.repeat(100) },
      });
      await new Promise((resolve) => response.once('data', resolve));
      response.destroy();
    };
    const abortMany = async (count: number): Promise<void> => {
      for (let round = 0; round < count / 4; round++)
        await Promise.all([abortOne(), abortOne(), abortOne(), abortOne()]);
      await idle();
    };
    await abortMany(60);
    const before = residentBytes(engine);
    await abortMany(200);
    assert.ok(
      residentBytes(engine) - before < 30_000_000,
      `${(residentBytes(engine) - before) / 1e6} MB more`,
    );
  });
});

const now = (): number => Math.floor(Date.now() / 1000);
