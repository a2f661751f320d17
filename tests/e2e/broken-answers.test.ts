// What an application sees when something breaks: the real OpenAI clients must throw, never take half an answer for a
// whole one, and never sleep or hammer on a refusal that says when to come back.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import OpenAI6 from 'openai-v6';
import {
  chunk,
  hang,
  startFakeUpstream,
  httpAnswer,
  json,
  lastChunk,
  reset,
  stream,
  streamHead,
  type Script,
} from '../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startTestGateway();
});
after(() => gateway.close());

const model = 'tiny-gpt2';
const messages = [{ role: 'user' as const, content: 'hello' }];
const event = (text: string): string =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`;

/** The ways a stream can die after its first event. */
const deaths: [title: string, script: Script][] = [
  [
    'the connection is reset',
    (request, socket) => {
      socket.write(streamHead(request) + chunk(event('half')));
      setTimeout(() => socket.resetAndDestroy(), 30);
    },
  ],
  [
    'the connection is closed in mid-body',
    (request, socket) => {
      socket.write(streamHead(request) + chunk(event('half')));
      setTimeout(() => socket.end(), 30);
    },
  ],
  ['the body ends well but without [DONE]', stream([event('half')])],
  [
    'the chunk framing turns to garbage',
    (request, socket) => {
      socket.write(`${streamHead(request)}${chunk(event('half'))}ZZZ\r\nnonsense`);
    },
  ],
  [
    'half an event is the last thing',
    (request, socket) => {
      socket.write(streamHead(request) + chunk(event('half')) + chunk('data: {"id":') + lastChunk);
    },
  ],
];

const clients: [
  name: string,
  create: (options: { baseURL: string; apiKey: string; maxRetries: number }) => OpenAI,
][] = [
  ['openai 7', (options) => new OpenAI(options)],
  ['openai 6', (options) => new OpenAI6(options) as unknown as OpenAI], // The members used here are the same.
];

for (const [name, create] of clients) {
  describe(`${name}, when the upstream dies in mid-stream`, () => {
    let client: OpenAI;
    before(async () => {
      client = create({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.mint(), maxRetries: 0 });
    });

    for (const [title, script] of deaths) {
      it(`throws when ${title}, after handing over what came`, async () => {
        gateway.upstream.use(script);
        const answer = await client.chat.completions.create({ model, messages, stream: true });
        let text = '';
        await assert.rejects(
          async () => {
            for await (const piece of answer) text += piece.choices[0]?.delta.content ?? '';
          },
          (error: unknown) => /^upstream_/.test((error as { code?: string }).code ?? ''),
        );
        assert.equal(text, 'half');
      });
    }

    it('throws 502 when the answer is garbage', async () => {
      gateway.upstream.use((_request, socket) => void socket.end('garbage\r\n\r\n'));
      await assert.rejects(
        client.chat.completions.create({ model, messages }),
        (error: unknown) => (error as { status: number }).status === 502,
      );
    });
    it('throws 502 when the connection is reset before an answer', async () => {
      gateway.upstream.use(reset);
      await assert.rejects(
        client.chat.completions.create({ model, messages }),
        (error: unknown) => (error as { status: number }).status === 502,
      );
    });
    it('throws 503 with the overload code when the model server is busy', async () => {
      gateway.upstream.use(
        json(
          { error: { message: 'busy', type: 'server_error', param: null, code: 'server_is_overloaded' } },
          { status: 503, headers: { 'retry-after': '1' } },
        ),
      );
      await assert.rejects(
        client.chat.completions.create({ model, messages }),
        (error: unknown) => (error as { code: string }).code === 'server_is_overloaded',
      );
    });
    it('never shows what an upstream says about itself', async () => {
      gateway.upstream.use(
        (_request, socket) =>
          void socket.end(
            httpAnswer(
              500,
              { server: 'secret-host/1.0', 'content-type': 'text/plain' },
              'Traceback at /srv/secret.py',
            ),
          ),
      );
      await assert.rejects(
        client.chat.completions.create({ model, messages }),
        (error: unknown) => !JSON.stringify(error).includes('secret'),
      );
    });
    it('retries a transient failure by itself and then succeeds', async () => {
      let calls = 0;
      gateway.upstream.use((request, socket) => {
        calls++;
        void (calls === 1 ? reset : json(chatAnswer))(request, socket);
      });
      const patient = create({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.mint(), maxRetries: 2 });
      const answer = await patient.chat.completions.create({ model, messages });
      assert.equal(answer.choices[0]?.message.content, 'hello');
      assert.equal(calls, 2);
    });
  });

  describe(`${name}, over the limit`, () => {
    it('does not wait when the window is longer than 20 seconds, and says which limit', async () => {
      const strict = await startTestGateway({ edit: { 'limits.yaml': [['requests: 600', 'requests: 1']] } });
      try {
        const client = create({ baseURL: `${strict.url}/v1`, apiKey: await strict.mint(), maxRetries: 3 });
        await client.chat.completions.create({ model, messages });
        await assert.rejects(client.chat.completions.create({ model, messages }), (error: unknown) => {
          const { status, code, headers } = error as { status: number; code: string; headers: Headers };
          assert.deepEqual([status, code], [429, 'rate_limit_exceeded']);
          assert.equal(headers.get('x-should-retry'), 'false');
          assert.ok(Number(headers.get('retry-after')) > 20);
          assert.ok(Number(headers.get('retry-after-ms')) > 20_000);
          assert.equal(headers.get('x-ratelimit-remaining-requests'), '0');
          return true;
        });
        assert.equal(strict.upstream.requests.length, 1);
      } finally {
        await strict.close();
      }
    });
    it('waits out a short window by itself and then succeeds', async () => {
      const short = await startTestGateway({
        edit: { 'limits.yaml': [['requests: 600, window: 1m', 'requests: 1, window: 1s']] },
      });
      try {
        const client = create({ baseURL: `${short.url}/v1`, apiKey: await short.mint(), maxRetries: 3 });
        await client.chat.completions.create({ model, messages });
        await client.chat.completions.create({ model, messages });
        assert.equal(short.upstream.requests.length, 2);
      } finally {
        await short.close();
      }
    });
  });
}

describe('a hanging upstream', () => {
  it('is a 504 in the stated time, and a stream that falls silent ends with an error event', async () => {
    const upstream = await startFakeUpstream(hang);
    const timeouts = { connect_ms: 500, first_byte_ms: 300, idle_ms: 300 };
    const tested = await startTestGateway({
      config: {
        upstreams: {
          embedded: { kind: 'openai', url: upstream.url, models: [model], timeouts },
          accounts: { kind: 'http', url: upstream.url },
        },
      },
    });
    try {
      const client = new OpenAI({ baseURL: `${tested.url}/v1`, apiKey: await tested.mint(), maxRetries: 0 });
      await assert.rejects(
        client.chat.completions.create({ model, messages }),
        (error: unknown) => (error as { status: number }).status === 504,
      );
      upstream.use((request, socket) => void socket.write(streamHead(request) + chunk(event('half'))));
      const answer = await client.chat.completions.create({ model, messages, stream: true });
      await assert.rejects(
        async () => {
          for await (const piece of answer) assert.ok(piece);
        },
        (error: unknown) => (error as { code: string }).code === 'upstream_timeout',
      );
    } finally {
      await tested.close();
      await upstream.close();
    }
  });
});
