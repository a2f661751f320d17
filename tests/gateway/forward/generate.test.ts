import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { json, startFakeUpstream, type FakeUpstream } from '../../support/fake-upstream.ts';
import { call, startStubGateway, type Answer, type StubGateway } from './stub-gateway.ts';

const route = {
  kind: 'generate',
  name: 'generate',
  path: '/generate',
  upstreamPath: '/v1/completions',
  surface: 'problem',
} as const;
const completion = { choices: [{ text: ' bright.' }], usage: { prompt_tokens: 5, completion_tokens: 2 } };

describe('a generation in the shape of the tutorial', () => {
  let upstream: FakeUpstream;
  let gateway: StubGateway;
  before(async () => {
    upstream = await startFakeUpstream(json(completion));
    gateway = await startStubGateway({ url: upstream.url, route });
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });
  const generate = (body: object): Promise<Answer> =>
    call(gateway, { path: '/generate', body: JSON.stringify(body) });

  it('is one completion, answered with the prompt and its continuation', async () => {
    const answer = await generate({ prompt: 'The future of AI is', max_length: 20 });
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.text), {
      generated_text: 'The future of AI is bright.',
      model: 'tiny-gpt2',
      model_name: 'tiny-gpt2',
    });
    const request = upstream.requests.at(-1);
    assert.equal(request?.path, '/v1/completions');
    assert.deepEqual(JSON.parse(request.body.toString()), {
      model: 'tiny-gpt2',
      prompt: 'The future of AI is',
      max_tokens: 20,
    });
    assert.deepEqual(
      [gateway.outcomes.at(-1)?.promptTokens, gateway.outcomes.at(-1)?.completionTokens],
      [5, 2],
    );
  });

  it('makes 50 tokens unless asked otherwise', async () => {
    await generate({ prompt: 'x', temperature: 0 });
    assert.deepEqual(JSON.parse(upstream.requests.at(-1)?.body.toString() ?? ''), {
      model: 'tiny-gpt2',
      prompt: 'x',
      max_tokens: 50,
      temperature: 0,
    });
  });

  const refusals: [title: string, body: object, code: string][] = [
    ['no prompt', { max_length: 5 }, 'body_invalid'],
    ['an empty prompt', { prompt: '' }, 'body_invalid'],
    ['a list of prompts', { prompt: ['a'] }, 'body_invalid'],
    ['a length as text', { prompt: 'x', max_length: '5' }, 'body_invalid'],
    ['a length of 0', { prompt: 'x', max_length: 0 }, 'body_invalid'],
    ['a broken length', { prompt: 'x', max_length: 1.5 }, 'body_invalid'],
    ['a null length', { prompt: 'x', max_length: null }, 'body_invalid'],
    ['a length above the ceiling', { prompt: 'x', max_length: 1025 }, 'parameter_above_ceiling'],
    ['a member that would reach the completion', { prompt: 'x', max_tokens: 99_999 }, 'body_invalid'],
    ['a stream', { prompt: 'x', stream: true }, 'body_invalid'],
  ];
  for (const [title, body, code] of refusals) {
    it(`is refused with ${title}, and nothing reaches the upstream`, async () => {
      const count = upstream.requests.length;
      const answer = await generate(body);
      assert.deepEqual(
        [answer.status, JSON.parse(answer.text).code, upstream.requests.length],
        [400, code, count],
      );
    });
  }

  it('is 502 when the upstream answers without a choice', async () => {
    for (const value of [
      {},
      { choices: [] },
      { choices: [{}] },
      { choices: [{ text: 7 }] },
      { choices: 'x' },
    ]) {
      upstream.use(json(value));
      assert.equal((await generate({ prompt: 'x' })).status, 502);
    }
  });

  it('passes the refusals of the upstream on as catalogue codes', async () => {
    upstream.use(json({ error: { code: 'context_length_exceeded' } }, { status: 400 }));
    assert.equal(JSON.parse((await generate({ prompt: 'x' })).text).code, 'context_length_exceeded');
  });
});
