// The real OpenAI clients, unmodified, through the gateway to real inference: version 7, version 6 and the Azure class.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI, { AzureOpenAI } from 'openai';
import OpenAI6, { AzureOpenAI as AzureOpenAI6 } from 'openai-v6';
import { startModelServerFor, type TestModelServer } from '../support/start-model-server.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let models: TestModelServer;
let gateway: TestGateway;

before(async () => {
  models = await startModelServerFor();
  gateway = await startTestGateway({ modelServer: models });
});
after(async () => {
  await gateway.close();
  await models.close();
});

const model = 'tiny-gpt2';
const messages = [{ role: 'user' as const, content: 'Tell me of the sea.' }];

/** The shape that both major versions share; their types differ only in members that are not used here. */
type Client = OpenAI;

const clients: [name: string, create: (accessToken: () => Promise<string>) => Client][] = [
  ['openai 7', (apiKey) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey })],
  ['openai 6', (apiKey) => new OpenAI6({ baseURL: `${gateway.url}/v1`, apiKey }) as unknown as Client],
  [
    'AzureOpenAI 7',
    (azureADTokenProvider) =>
      new AzureOpenAI({ endpoint: gateway.url, apiVersion: '2024-10-21', azureADTokenProvider }),
  ],
  [
    'AzureOpenAI 6',
    (azureADTokenProvider) =>
      new AzureOpenAI6({
        endpoint: gateway.url,
        apiVersion: '2024-10-21',
        azureADTokenProvider,
      }) as unknown as Client,
  ],
  ['openai 7 on /openai/v1', (apiKey) => new OpenAI({ baseURL: `${gateway.url}/openai/v1`, apiKey })],
];

for (const [name, create] of clients) {
  describe(name, () => {
    let client: Client;
    before(() => {
      client = create(() => gateway.mint());
    });

    it('completes a chat with usage', async () => {
      const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 8 });
      assert.equal(answer.object, 'chat.completion');
      assert.equal(typeof answer.choices[0]?.message.content, 'string');
      assert.ok((answer.usage?.completion_tokens ?? 0) > 0);
      assert.match(answer._request_id ?? '', /^req_/);
    });

    it('streams a chat that is the same text as without streaming, and a usage chunk', async () => {
      const fixed = { model, messages, max_completion_tokens: 12, seed: 7, temperature: 0.8 };
      const whole = await client.chat.completions.create(fixed);
      const stream = await client.chat.completions.create({
        ...fixed,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = '';
      let usage: unknown = null;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, whole.choices[0]?.message.content);
      assert.deepEqual(usage, whole.usage);
    });

    it('completes and streams raw text', async () => {
      const fixed = { model, prompt: 'The future of AI is', max_tokens: 12, seed: 3 };
      const whole = await client.completions.create(fixed);
      let text = '';
      for await (const chunk of await client.completions.create({ ...fixed, stream: true }))
        text += chunk.choices[0]?.text ?? '';
      assert.equal(text, whole.choices[0]?.text);
    });

    it('embeds, in base64 by default', async () => {
      const answer = await client.embeddings.create({
        model,
        input: ['a ship at sea', 'a boat on the water'],
      });
      assert.equal(answer.data.length, 2);
      assert.ok((answer.data[0]?.embedding.length ?? 0) > 100);
      const plain = await client.embeddings.create({
        model,
        input: 'a ship at sea',
        encoding_format: 'float',
      });
      assert.ok(Math.abs((plain.data[0]?.embedding[0] ?? 0) - (answer.data[0]?.embedding[0] ?? 1)) < 1e-3);
    });

    it('lists only the models that the caller may use', async () => {
      const list = await client.models.list();
      assert.deepEqual(
        list.data.map((entry) => entry.id),
        [model],
      );
    });

    it('gets the error class of the status with code and request id', async () => {
      await assert.rejects(client.chat.completions.create({ model: 'gpt-4', messages }), (error: unknown) => {
        assert.equal((error as { status: number }).status, 404);
        assert.equal((error as { code: string }).code, 'model_not_found');
        assert.match((error as { requestID: string }).requestID, /^req_/);
        return true;
      });
      await assert.rejects(
        client.chat.completions.create({
          model,
          messages: [{ role: 'user', content: 'word '.repeat(2000) }],
        }),
        (error: unknown) =>
          (error as { code: string }).code === 'context_length_exceeded' &&
          (error as { status: number }).status === 400,
      );
      await assert.rejects(
        client.chat.completions.create({ model, messages, max_completion_tokens: 100_000 }),
        (error: unknown) => (error as { code: string }).code === 'parameter_above_ceiling',
      );
      await assert.rejects(
        client.chat.completions.create({
          model,
          messages: [{ role: 'user', content: 'Sallyport-Denied-Example' }],
        }),
        (error: unknown) => (error as { code: string }).code === 'content_blocked',
      );
    });

    it('is told that its token is no good, once', async () => {
      let calls = 0;
      const stranger = create(async () => {
        calls++;
        return 'not-a-token';
      });
      await assert.rejects(
        stranger.models.list(),
        (error: unknown) => (error as { status: number }).status === 401,
      );
      assert.equal(calls, 1);
    });

    it('aborts a stream, and the model server stops generating', async () => {
      const stream = await client.completions.create({
        model,
        prompt: 'Once',
        max_tokens: 400,
        stream: true,
      });
      for await (const piece of stream) {
        assert.ok(piece);
        stream.controller.abort();
        break;
      }
      await models.idle();
    });
  });
}
