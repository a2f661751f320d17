import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventsOf, startGateway, textOf, until, type Gateway } from './start.ts';

describe('when the engine dies', () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway({ max_queue: 8 }, { sequences: 2 });
  });
  after(() => gateway.close());

  const ready = (): Promise<void> =>
    until(async () => (await gateway.call('/healthz', { assertion: null })).status === 200, 'ready');
  const kill = (): void => gateway.server.engineProcessIds().forEach((id) => process.kill(id, 'SIGKILL'));
  const long = { model: 'tiny-gpt2', prompt: 'The', max_tokens: 500 };

  it('ends a running stream with an error event and no [DONE], answers the waiting 503, and recovers', async () => {
    const stream = await gateway.open('/v1/completions', { body: { ...long, stream: true } });
    await new Promise((resolve) => stream.once('data', resolve));
    const text = textOf(stream);
    const others = Array.from({ length: 4 }, () => gateway.call('/v1/completions', { body: long }));
    await until(() => gateway.server.load().waiting === 3, 'three wait');
    kill();

    const events = eventsOf(await text);
    assert.equal(events.at(-1).error.code, 'server_is_overloaded');
    assert.ok(!events.includes('[DONE]'));
    for (const answer of await Promise.all(others)) {
      assert.deepEqual([answer.status, answer.json.error.code], [503, 'server_is_overloaded']);
      assert.ok(Number(answer.headers['retry-after']) >= 1);
    }
    assert.deepEqual(gateway.server.load(), { running: 0, waiting: 0 });

    const health = await gateway.call('/healthz', { assertion: null });
    assert.deepEqual([health.status, health.json.models['tiny-gpt2'].ready], [503, false]);
    const early = await gateway.call('/v1/completions', { body: long });
    assert.equal(early.status, 503);
    await ready();
    const again = await gateway.call('/v1/completions', { body: { ...long, max_tokens: 3 } });
    assert.equal(again.status, 200);
    assert.equal((await gateway.call('/healthz', { assertion: null })).json.models['tiny-gpt2'].restarts, 1);
  });

  it('gives the same text for the same seed afterwards', async () => {
    const text = async (): Promise<string> =>
      (await gateway.call('/v1/completions', { body: { ...long, max_tokens: 30, seed: 4 } })).json.choices[0]
        .text;
    const first = await text();
    kill();
    await until(
      async () => (await gateway.call('/healthz', { assertion: null })).status === 503,
      'the loss is noticed',
    );
    await ready();
    assert.equal(await text(), first);
  });
});

describe('when one of two engines dies', () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway({ max_queue: 8 }, { sequences: 2, engines: 2 });
  });
  after(() => gateway.close());

  const health = async (): Promise<{ status: number; engines: unknown; running: number }> => {
    const { status, json } = await gateway.call('/healthz', { assertion: null });
    return { status, ...json.models['tiny-gpt2'] };
  };
  const start = async (): Promise<{ text: Promise<string> }> => {
    const body = { model: 'tiny-gpt2', prompt: 'The', max_tokens: 480, stream: true };
    const stream = await gateway.open('/v1/completions', { body });
    await new Promise((resolve) => stream.once('data', resolve));
    return { text: textOf(stream) };
  };

  it('the other goes on with what it has, takes what waits, and both serve again', async () => {
    assert.deepEqual((await health()).engines, { ready: 2, configured: 2 });
    const streams = [await start(), await start()];
    const [first] = gateway.server.engineProcessIds();
    assert.ok(first !== undefined);
    process.kill(first, 'SIGKILL');
    const texts = await Promise.all(streams.map(({ text }) => text));
    const ended = texts.map((text) => eventsOf(text).at(-1));
    assert.equal(ended.filter((event) => event === '[DONE]').length, 1, 'one stream ends as it should');
    assert.equal(ended.find((event) => event !== '[DONE]').error.code, 'server_is_overloaded');

    await until(async () => (await health()).status === 200, 'ready');
    const answers = await Promise.all(
      Array.from({ length: 6 }, () =>
        gateway.call('/v1/completions', { body: { model: 'tiny-gpt2', prompt: 'The', max_tokens: 3 } }),
      ),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 200),
    );
    await until(
      async () => JSON.stringify((await health()).engines) === '{"ready":2,"configured":2}',
      'both',
    );
    assert.deepEqual(gateway.server.load(), { running: 0, waiting: 0 });
    const { text } = await gateway.call('/metrics', { assertion: null });
    assert.match(text, /^sallyport_model_engines_ready\{[^}]*\} 2$/m);
    assert.match(text, /^sallyport_model_engine_restarts_total\{[^}]*\} 1$/m);
  });

  it('whoever waits is admitted when it is back', async () => {
    const [first] = gateway.server.engineProcessIds();
    assert.ok(first !== undefined);
    process.kill(first, 'SIGKILL');
    await until(
      async () => JSON.stringify((await health()).engines) !== '{"ready":2,"configured":2}',
      'lost',
    );
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        gateway.call('/v1/completions', { body: { model: 'tiny-gpt2', prompt: 'The', max_tokens: 100 } }),
      ),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 200),
    );
  });
});
