import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventsOf, startGateway, type Answer, type Gateway } from './start.ts';

/** The texts of an answer's choices, in their order. */
const textsOf = ({ choices }: { choices: readonly { text: string }[] }): string[] =>
  choices.map(({ text }) => text);

describe('completions of the shipped model', () => {
  let gateway: Gateway;
  before(async () => {
    // What is kept of earlier prompts changes the rounding; prefixes.test.ts is about that.
    gateway = await startGateway({ max_queue: 64 }, { sequences: 8, keep_prefix_ms: 0 });
  });
  after(() => gateway.close());

  const complete = (body: Record<string, unknown>, subject?: string): Promise<Answer> =>
    gateway.call('/v1/completions', {
      body: { model: 'tiny-gpt2', prompt: 'The gate opened and', ...body },
      ...(subject === undefined ? {} : { subject }),
    });
  const textAt = async (body: Record<string, unknown>): Promise<string> =>
    (await complete(body)).json.choices[0].text;
  const chat = (body: Record<string, unknown>): Promise<Answer> =>
    gateway.call('/v1/chat/completions', {
      body: { model: 'tiny-gpt2', messages: [{ role: 'user', content: 'Who are you?' }], ...body },
    });
  const count = async (text: string): Promise<number> =>
    (await gateway.call('/v1/tokenize', { body: { model: 'tiny-gpt2', text } })).json.count;

  it('answers in the shape of the completions API with exact usage', async () => {
    const { status, json } = await complete({ seed: 3 });
    assert.equal(status, 200);
    assert.match(json.id, /^cmpl-/);
    assert.equal(json.object, 'text_completion');
    assert.deepEqual(Object.keys(json.choices[0]).sort(), ['finish_reason', 'index', 'logprobs', 'text']);
    assert.equal(json.choices[0].finish_reason, 'length');
    const promptTokens = await count('The gate opened and');
    assert.deepEqual(json.usage, {
      prompt_tokens: promptTokens,
      completion_tokens: 16,
      total_tokens: promptTokens + 16,
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  it('gives the same text for the same seed, alone and decoded with others', async () => {
    const alone = await textAt({ seed: 11, max_tokens: 60 });
    const crowd = await Promise.all(
      Array.from({ length: 8 }, (_, number) =>
        textAt({ seed: number === 3 ? 11 : 100 + number, max_tokens: 30 + 30 * (number % 2) }),
      ),
    );
    assert.equal(crowd[3], alone);
    assert.equal(new Set(crowd).size, 8);
  });

  it('gives two callers in the same second different texts when neither names a seed', async () => {
    const [one, other] = await Promise.all([
      complete({ max_tokens: 40 }, 'issuer|alice'),
      complete({ max_tokens: 40 }, 'issuer|bob'),
    ]);
    assert.notEqual(one.json.choices[0].text, other.json.choices[0].text);
  });

  it('decodes eight at once in common batches', async () => {
    const before = await batches();
    await Promise.all(Array.from({ length: 8 }, (_, seed) => complete({ seed, max_tokens: 40 })));
    const after = await batches();
    assert.ok(
      (after.items - before.items) / (after.batches - before.batches) > 3,
      'fewer than three sequences per batch',
    );
  });
  const batches = async (): Promise<{ batches: number; items: number }> => {
    const { text } = await gateway.call('/metrics', { assertion: null });
    const read = (name: string): number =>
      Number(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'm').exec(text)?.[1]);
    return {
      batches: read('sallyport_model_batches_total'),
      items: read('sallyport_model_batch_items_total'),
    };
  };

  it('is greedy at temperature 0, whatever the seed', async () => {
    assert.equal(await textAt({ temperature: 0, seed: 1 }), await textAt({ temperature: 0, seed: 2 }));
  });

  it('samples at temperature 1 by default', async () => {
    assert.notEqual(await textAt({ seed: 1 }), await textAt({ seed: 2 }));
  });

  it('draws from one candidate with top_k 1 or a tiny top_p', async () => {
    const greedy = await textAt({ temperature: 0 });
    assert.equal(await textAt({ top_k: 1, seed: 5 }), greedy);
    assert.equal(await textAt({ top_p: 0, seed: 5 }), greedy);
  });

  it('ends before a stop text that is split over several tokens, and never emits a part of it', async () => {
    const whole = await textAt({ temperature: 0, max_tokens: 40 });
    const stop = whole.slice(23, 34); // Begins and ends inside of words.
    const stopped = await complete({ temperature: 0, max_tokens: 40, stop });
    assert.equal(stopped.json.choices[0].text, whole.slice(0, whole.indexOf(stop)));
    assert.equal(stopped.json.choices[0].finish_reason, 'stop');
    const streamed = await complete({
      temperature: 0,
      max_tokens: 40,
      stop: ['no such text', stop],
      stream: true,
    });
    const text = eventsOf(streamed.text)
      .map((event) => event.choices?.[0]?.text ?? '')
      .join('');
    assert.equal(text, whole.slice(0, whole.indexOf(stop)));
  });

  it('emits what only looked like the beginning of a stop text', async () => {
    const whole = await textAt({ temperature: 0, max_tokens: 20 });
    const almost = `${whole.slice(-4)}\u0001`;
    assert.equal(await textAt({ temperature: 0, max_tokens: 20, stop: almost }), whole);
  });

  it('gives n different choices, the same again for the same seed', async () => {
    const one = await complete({ n: 3, seed: 9, max_tokens: 12 });
    const other = await complete({ n: 3, seed: 9, max_tokens: 12 });
    const texts = textsOf(one.json);
    assert.deepEqual(
      one.json.choices.map(({ index }: { index: number }) => index),
      [0, 1, 2],
    );
    assert.equal(new Set(texts).size, 3);
    assert.deepEqual(textsOf(other.json), texts);
    assert.equal(one.json.usage.completion_tokens, 36);
  });

  it('gives the same texts for one seed, however often the engine tries which way of computing is cheaper', async () => {
    const texts = new Set<string>();
    for (let round = 0; round < 14; round++) {
      const { json } = await complete({ n: 3, seed: 9, max_tokens: 12 });
      texts.add(JSON.stringify(textsOf(json)));
      await complete({ n: 3, max_tokens: 8 });
    }
    assert.equal(texts.size, 1);
  });

  it('answers each of several prompts, as texts or as tokens', async () => {
    const texts = await complete({ prompt: ['The gate', 'A dog'], temperature: 0, max_tokens: 5 });
    const ids = await Promise.all(
      ['The gate', 'A dog'].map(
        async (text) =>
          (await gateway.call('/v1/tokenize', { body: { model: 'tiny-gpt2', text, return_tokens: true } }))
            .json.tokens,
      ),
    );
    const tokenised = await complete({ prompt: ids, temperature: 0, max_tokens: 5 });
    assert.equal(texts.json.choices.length, 2);
    assert.deepEqual(tokenised.json.choices, texts.json.choices);
    assert.deepEqual(tokenised.json.usage, texts.json.usage);
  });

  it('repeats the prompt with echo', async () => {
    const { json } = await complete({ echo: true, temperature: 0, max_tokens: 3 });
    assert.ok(json.choices[0].text.startsWith('The gate opened and'));
  });

  it('bans a token by logit_bias and repeats less under penalties', async () => {
    const first = await complete({ prompt: 'and and and and and', temperature: 0, max_tokens: 1 });
    const { json } = await gateway.call('/v1/tokenize', {
      body: { model: 'tiny-gpt2', text: first.json.choices[0].text, return_tokens: true },
    });
    const biased = await complete({
      prompt: 'and and and and and',
      temperature: 0,
      max_tokens: 1,
      logit_bias: { [json.tokens[0]]: -100 },
    });
    assert.notEqual(biased.json.choices[0].text, first.json.choices[0].text);

    const plain = await textAt({ temperature: 0, max_tokens: 120 });
    const penalised = await textAt({
      temperature: 0,
      max_tokens: 120,
      frequency_penalty: 2,
      presence_penalty: 2,
    });
    const distinct = (text: string): number => new Set(text.split(' ')).size;
    assert.ok(distinct(penalised) > distinct(plain));
  });

  it('echoes text of any script unchanged', async () => {
    const text = '« Où ? » — “naïve” 😀 日本 , ok .';
    const echoed = await complete({ prompt: text, echo: true, max_tokens: 1, temperature: 0 });
    assert.ok(echoed.json.choices[0].text.startsWith(text));
  });

  it('treats special words in a prompt as text', async () => {
    assert.ok((await count('<|endoftext|>')) > 1);
  });

  it('cuts max_tokens to the rest of the context and says length', async () => {
    const prompt = 'word '.repeat(500).trim();
    const { json } = await complete({ prompt, max_tokens: 10_000 });
    assert.equal(json.choices[0].finish_reason, 'length');
    assert.equal(json.usage.total_tokens, 512);
  });

  it('answers a prompt that leaves room for exactly one token, and refuses one that leaves none', async () => {
    const ids = Array.from({ length: 511 }, () => 300);
    const fits = await complete({ prompt: ids });
    assert.equal(fits.json.usage.completion_tokens, 1);
    const refused = await complete({ prompt: [...ids, 300] });
    assert.equal(refused.status, 400);
    assert.equal(refused.json.error.code, 'context_length_exceeded');
    assert.equal(refused.json.error.param, 'prompt');
  });

  it('refuses an overlong text without reading it by tokens', async () => {
    const { status, json } = await complete({ prompt: 'x'.repeat(900_000) });
    assert.deepEqual([status, json.error.code], [400, 'context_length_exceeded']);
  });

  it('continues from nothing for an empty prompt', async () => {
    const { status, json } = await complete({ prompt: '', seed: 1 });
    assert.equal(status, 200);
    assert.equal(json.usage.prompt_tokens, 1);
  });

  it('streams the same text in chunks, with usage last when asked', async () => {
    const whole = await textAt({ seed: 21, max_tokens: 24 });
    const { text, headers } = await complete({
      seed: 21,
      max_tokens: 24,
      stream: true,
      stream_options: { include_usage: true },
    });
    assert.match(headers['content-type'] ?? '', /^text\/event-stream/);
    assert.equal(headers['x-accel-buffering'], 'no');
    const events = eventsOf(text);
    assert.equal(events.at(-1), '[DONE]');
    assert.deepEqual(events.at(-2).choices, []);
    assert.equal(events.at(-2).usage.completion_tokens, 24);
    assert.ok(events.slice(0, -2).every((event) => event.usage === null));
    assert.equal(events.at(-3).choices[0].finish_reason, 'length');
    assert.equal(
      events
        .slice(0, -2)
        .map((event) => event.choices[0].text)
        .join(''),
      whole,
    );
  });

  it('streams no usage member when it was not asked for', async () => {
    const events = eventsOf((await complete({ max_tokens: 3, stream: true })).text);
    assert.ok(events.slice(0, -1).every((event) => !('usage' in event)));
  });

  it('pads streamed chunks unless told not to', async () => {
    const padded = eventsOf((await complete({ max_tokens: 6, stream: true })).text);
    assert.ok(padded.some((event) => typeof event.obfuscation === 'string'));
    const plain = eventsOf(
      (await complete({ max_tokens: 6, stream: true, stream_options: { include_obfuscation: false } })).text,
    );
    assert.ok(plain.every((event) => event.obfuscation === undefined));
  });

  it('answers a conversation, the role first when streaming', async () => {
    const { json } = await chat({ seed: 3, max_tokens: 20 });
    assert.equal(json.object, 'chat.completion');
    assert.equal(json.choices[0].message.role, 'assistant');
    assert.equal(json.usage.prompt_tokens, await count('User: Who are you?\nAssistant:'));
    const events = eventsOf((await chat({ seed: 3, max_tokens: 20, stream: true })).text);
    assert.deepEqual(events[0].choices[0].delta, { role: 'assistant', content: '', refusal: null });
    assert.equal(events[0].object, 'chat.completion.chunk');
    assert.equal(
      events
        .slice(1, -1)
        .map((event) => event.choices[0].delta.content ?? '')
        .join(''),
      json.choices[0].message.content,
    );
    assert.equal(events.at(-2).choices[0].finish_reason, 'length');
  });

  it('reads content parts, system messages and max_completion_tokens', async () => {
    const { json } = await chat({
      messages: [
        { role: 'system', content: 'A tale.' },
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: 'Yes?' },
        { role: 'user', content: 'Go on.', name: 'ann' },
      ],
      max_completion_tokens: 2,
    });
    assert.equal(
      json.usage.prompt_tokens,
      await count('A tale.\n\nUser: Hello\nAssistant: Yes?\nUser: Go on.\nAssistant:'),
    );
    assert.equal(json.usage.completion_tokens, 2);
  });

  const refusedBodies: readonly [
    title: string,
    path: string,
    body: Record<string, unknown>,
    param: string,
  ][] = [
    ['a temperature above 2', '/v1/completions', { prompt: 'a', temperature: 3 }, 'temperature'],
    ['n of 0', '/v1/completions', { prompt: 'a', n: 0 }, 'n'],
    ['more choices than the server allows', '/v1/completions', { prompt: 'a', n: 17 }, 'n'],
    ['five stop texts', '/v1/completions', { prompt: 'a', stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    ['an empty stop text', '/v1/completions', { prompt: 'a', stop: '' }, 'stop'],
    ['a suffix', '/v1/completions', { prompt: 'a', suffix: 'b' }, 'suffix'],
    ['logprobs', '/v1/completions', { prompt: 'a', logprobs: 2 }, 'logprobs'],
    ['best_of above n', '/v1/completions', { prompt: 'a', best_of: 3 }, 'best_of'],
    ['an unknown parameter', '/v1/completions', { prompt: 'a', min_p: 0.1 }, 'min_p'],
    ['a missing prompt', '/v1/completions', {}, 'prompt'],
    ['a prompt of null', '/v1/completions', { prompt: null }, 'prompt'],
    ['an id beyond the vocabulary', '/v1/completions', { prompt: [99_999] }, 'prompt'],
    ['a bias on the end token', '/v1/completions', { prompt: 'a', logit_bias: { 0: -100 } }, 'logit_bias'],
    [
      'a bias beyond the vocabulary',
      '/v1/completions',
      { prompt: 'a', logit_bias: { 99999: 1 } },
      'logit_bias',
    ],
    [
      'stream_options without stream',
      '/v1/completions',
      { prompt: 'a', stream_options: { include_usage: true } },
      'stream_options',
    ],
    ['max_tokens of 0', '/v1/completions', { prompt: 'a', max_tokens: 0 }, 'max_tokens'],
    ['a seed that is no integer', '/v1/completions', { prompt: 'a', seed: 1.5 }, 'seed'],
    ['no messages', '/v1/chat/completions', { messages: [] }, 'messages'],
    ['tools', '/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }], tools: [{}] }, 'tools'],
    [
      'a response format',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'a' }], response_format: { type: 'json_object' } },
      'response_format',
    ],
    [
      'an image',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      'messages.0.content',
    ],
    [
      'a tool message',
      '/v1/chat/completions',
      { messages: [{ role: 'tool', content: 'a' }] },
      'messages.0.role',
    ],
    [
      'two different limits',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'a' }], max_tokens: 1, max_completion_tokens: 2 },
      'max_tokens',
    ],
  ];
  for (const [title, path, body, param] of refusedBodies) {
    it(`refuses ${title} and names ${param}`, async () => {
      const { status, json } = await gateway.call(path, { body: { model: 'tiny-gpt2', ...body } });
      assert.deepEqual([status, json.error.code, json.error.param], [400, 'body_invalid', param]);
    });
  }

  it('accepts null and harmless members', async () => {
    const { status } = await complete({
      max_tokens: 1,
      user: 'u',
      store: false,
      metadata: {},
      stop: null,
      seed: null,
      logit_bias: null,
      logprobs: null,
    });
    assert.equal(status, 200);
    const chatted = await chat({
      max_tokens: 1,
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      logprobs: false,
      safety_identifier: 'x',
    });
    assert.equal(chatted.status, 200);
  });
});
