/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/restrict-plus-operands -- JSON of answers is asserted, not typed. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type Answer, type Gateway } from './start.ts';

describe('embeddings of the shipped model', () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway.close());

  const embed = (body: Record<string, unknown>): Promise<Answer> =>
    gateway.call('/v1/embeddings', { body: { model: 'tiny-gpt2', ...body } });
  const dot = (one: number[], other: number[]): number =>
    one.reduce((sum, component, index) => sum + component * (other[index] ?? 0), 0);

  it('are nearer for texts of one subject than for texts of two', async () => {
    const { json } = await embed({
      input: [
        'The ship sailed over the sea.',
        'The boat went across the ocean.',
        'She paid the bill with money.',
      ],
    });
    const [ship, boat, bill] = json.data.map((entry: any) => entry.embedding);
    assert.ok(dot(ship, boat) > dot(ship, bill) + 0.05);
  });

  it('have length 1, an index and an exact count', async () => {
    const { json } = await embed({ input: ['Hello', 'Hello world'] });
    assert.deepEqual(
      json.data.map((entry: any) => [entry.object, entry.index, entry.embedding.length]),
      [
        ['embedding', 0, 320],
        ['embedding', 1, 320],
      ],
    );
    assert.ok(Math.abs(dot(json.data[0].embedding, json.data[0].embedding) - 1) < 1e-5);
    const counts = await Promise.all(
      ['Hello', 'Hello world'].map(
        async (text) =>
          (await gateway.call('/v1/tokenize', { body: { model: 'tiny-gpt2', text } })).json.count,
      ),
    );
    assert.equal(json.usage.prompt_tokens, counts[0] + counts[1]);
    assert.equal(json.usage.total_tokens, json.usage.prompt_tokens);
  });

  it('are the same as base64 of little-endian float32', async () => {
    const floats = (await embed({ input: 'Hello', encoding_format: 'float' })).json.data[0].embedding;
    const bytes = Buffer.from(
      (await embed({ input: 'Hello', encoding_format: 'base64' })).json.data[0].embedding,
      'base64',
    );
    assert.deepEqual(
      floats,
      Array.from({ length: 320 }, (_, index) => bytes.readFloatLE(index * 4)),
    );
  });

  it('are the same for text and for its tokens', async () => {
    const { json } = await gateway.call('/v1/tokenize', {
      body: { model: 'tiny-gpt2', text: 'Hello', return_tokens: true },
    });
    const fromText = (await embed({ input: 'Hello' })).json.data[0].embedding;
    assert.deepEqual((await embed({ input: json.tokens })).json.data[0].embedding, fromText);
    assert.deepEqual(
      (await embed({ input: [json.tokens, json.tokens], dimensions: 320 })).json.data[1].embedding,
      fromText,
    );
  });

  it('do not change while completions run', async () => {
    const alone = (await embed({ input: 'Hello' })).json.data[0].embedding;
    const running = gateway.call('/v1/completions', {
      body: { model: 'tiny-gpt2', prompt: 'The', max_tokens: 200, n: 2 },
    });
    assert.deepEqual((await embed({ input: 'Hello' })).json.data[0].embedding, alone);
    await running;
  });

  const refusedBodies: readonly [
    title: string,
    body: Record<string, unknown>,
    code: string,
    param: string,
  ][] = [
    ['an empty text', { input: '' }, 'body_invalid', 'input'],
    ['an empty text among others', { input: ['a', ''] }, 'body_invalid', 'input'],
    ['no input', {}, 'body_invalid', 'input'],
    ['an empty list', { input: [] }, 'body_invalid', 'input'],
    ['mixed texts and tokens', { input: ['a', 1] }, 'body_invalid', 'input'],
    ['other dimensions', { input: 'a', dimensions: 64 }, 'body_invalid', 'dimensions'],
    ['another encoding', { input: 'a', encoding_format: 'hex' }, 'body_invalid', 'encoding_format'],
    ['a token beyond the vocabulary', { input: [4096] }, 'body_invalid', 'input'],
    ['too many texts', { input: Array.from({ length: 257 }, () => 'a') }, 'body_invalid', 'input'],
    ['a text beyond the context', { input: 'word '.repeat(600) }, 'context_length_exceeded', 'input'],
  ];
  for (const [title, body, code, param] of refusedBodies) {
    it(`are refused for ${title}`, async () => {
      const { status, json } = await embed(body);
      assert.deepEqual([status, json.error.code, json.error.param], [400, code, param]);
    });
  }
});
