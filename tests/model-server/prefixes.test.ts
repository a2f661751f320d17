/* eslint-disable @typescript-eslint/restrict-plus-operands -- JSON of answers is asserted, not typed. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventsOf, startGateway, type Gateway } from './start.ts';

const beginning =
  'It was a dark evening in the harbour, and the old captain had lit his pipe for the third time. He looked over the water and said to the boy';
const ending = ', who had been waiting for an answer:';

describe('what one principal has sent before', () => {
  let gateway: Gateway;
  let fresh: Gateway;
  before(async () => {
    [gateway, fresh] = await Promise.all([
      startGateway({ max_queue: 64 }, { sequences: 3 }),
      startGateway({}, { sequences: 1, keep_prefix_ms: 0 }),
    ]);
  });
  after(() => Promise.all([gateway.close(), fresh.close()]));

  let principals = 0;
  const newPrincipal = (): string => `issuer|${++principals}`;
  const complete = async (
    subject: string,
    prompt: string,
    options: { on?: Gateway; body?: Record<string, unknown>; clientId?: string } = {},
  ): Promise<{ text: string; cached: number; prompt: number }> => {
    const { on = gateway, body, clientId } = options;
    const assertion = await on.assert({ subject, ...(clientId === undefined ? {} : { clientId }) });
    const answer = await on.call('/v1/completions', {
      body: { model: 'tiny-gpt2', prompt, temperature: 0, max_tokens: 20, ...body },
      assertion,
    });
    assert.equal(answer.status, 200, answer.text);
    const { choices, usage } = answer.json;
    return {
      text: choices[0].text,
      cached: usage.prompt_tokens_details.cached_tokens,
      prompt: usage.prompt_tokens,
    };
  };

  it('is not read again, is counted as cached, and changes nothing in the answer', async () => {
    const alice = newPrincipal();
    const first = await complete(alice, beginning);
    const second = await complete(alice, beginning + ending);
    const plain = await complete(alice, beginning + ending, { on: fresh });
    assert.equal(first.cached, 0);
    assert.ok(second.cached >= 16 && second.cached < second.prompt, `cached ${second.cached}`);
    assert.deepEqual([plain.cached, plain.prompt], [0, second.prompt]);
    assert.equal(second.text, plain.text);
  });

  it('is not read again when the answer is part of the next prompt, as in a conversation', async () => {
    const alice = newPrincipal();
    const first = await complete(alice, beginning);
    const whole = beginning + first.text + ending;
    const second = await complete(alice, whole);
    assert.ok(second.cached > first.prompt, 'the answer itself is reused');
    assert.equal(second.text, (await complete(alice, whole, { on: fresh })).text);
  });

  it('gives the same text for the same seed, with and without it', async () => {
    const alice = newPrincipal();
    const body = { temperature: 1, seed: 5, max_tokens: 40 };
    const first = await complete(alice, beginning, { body });
    const second = await complete(alice, beginning, { body });
    assert.deepEqual([second.text, second.cached], [first.text, first.prompt - 1]);
  });

  it('is nothing to another principal with the same prompt', async () => {
    await complete(newPrincipal(), beginning);
    const other = await complete(newPrincipal(), beginning);
    assert.equal(other.cached, 0);
  });

  it('leaves no trace in what others are answered on the same sequence', async () => {
    const alone = await startGateway({}, { sequences: 1 });
    const other = 'The gate opened and the children ran out into the';
    const body = { max_tokens: 40 };
    await complete(newPrincipal(), beginning + ending, { on: alone, body });
    const answered = await complete(newPrincipal(), other, { on: alone, body });
    const back = await complete(newPrincipal(), `${beginning} again`, { on: alone, body });
    await alone.close();
    assert.deepEqual([answered.cached, back.cached], [0, 0]);
    assert.equal(answered.text, (await complete(newPrincipal(), other, { on: fresh, body })).text);
    assert.equal(back.text, (await complete(newPrincipal(), `${beginning} again`, { on: fresh, body })).text);
  });

  it('is found again in whichever of two engines it was read', async () => {
    const two = await startGateway({}, { sequences: 2, engines: 2 });
    const [alice, bob] = [newPrincipal(), newPrincipal()];
    // At the same time, so that each is read in an engine of its own.
    await Promise.all([
      complete(alice, beginning, { on: two }),
      complete(bob, ending + beginning, { on: two }),
    ]);
    const again = [
      await complete(bob, ending + beginning + ending, { on: two }),
      await complete(alice, beginning + ending, { on: two }),
      await complete(bob, beginning + ending, { on: two }),
    ];
    await two.close();
    assert.ok((again[0]?.cached ?? 0) > 16 && (again[1]?.cached ?? 0) > 16);
    assert.equal(again[2]?.cached, 0);
  });

  it('is nothing to the same principal through another client', async () => {
    const alice = newPrincipal();
    await complete(alice, beginning, { clientId: 'one' });
    assert.equal((await complete(alice, beginning, { clientId: 'other' })).cached, 0);
    assert.ok((await complete(alice, beginning, { clientId: 'one' })).cached > 0);
  });

  it('is nothing to a principal whose name is made to look alike', async () => {
    await complete('issuer|al', beginning, { clientId: 'ice' });
    assert.equal((await complete('issuer|alice', beginning, { clientId: '' })).cached, 0);
    assert.equal((await complete('issuer|al","ice', beginning, { clientId: '' })).cached, 0);
  });

  it('is nothing to others in whatever order and however many ask at once', async () => {
    const known = new Set<string>();
    const all = Array.from({ length: 4 }, newPrincipal);
    for (let round = 0; round < 6; round++) {
      // Three sequences and four principals: each sequence changes hands all the time.
      const askers = all.filter((_, index) => (round + index) % 3 !== 0);
      const answers = await Promise.all(
        askers.map((subject) => complete(subject, beginning, { body: { max_tokens: 2 + round } })),
      );
      for (const [index, { cached, text }] of answers.entries()) {
        const subject = askers[index] ?? '';
        if (!known.has(subject)) assert.equal(cached, 0, `${subject} in round ${round}`);
        assert.ok(text.length > 0);
      }
      for (const subject of askers) known.add(subject);
    }
  });

  it('is nothing to others while it is still being read or has just been left', async () => {
    const long = `${beginning} `.repeat(8);
    const leaving = await gateway.open('/v1/completions', {
      body: { model: 'tiny-gpt2', prompt: long, max_tokens: 200, stream: true },
      subject: newPrincipal(),
    });
    const during = await complete(newPrincipal(), long);
    leaving.destroy();
    const afterwards = await Promise.all([
      complete(newPrincipal(), long),
      complete(newPrincipal(), long),
      complete(newPrincipal(), long),
    ]);
    assert.deepEqual(
      [during, ...afterwards].map(({ cached }) => cached),
      [0, 0, 0, 0],
    );
  });

  it('of the gateway itself is never kept', async () => {
    await complete('urn:sallyport:gateway', beginning);
    assert.equal((await complete('urn:sallyport:gateway', beginning)).cached, 0);
  });

  it('is said in chat completions and in the last event of a stream', async () => {
    const alice = newPrincipal();
    const messages = [
      { role: 'system', content: beginning },
      { role: 'user', content: 'Who are you?' },
    ];
    const chat = { model: 'tiny-gpt2', messages, max_tokens: 4 };
    const first = await gateway.call('/v1/chat/completions', { body: chat, subject: alice });
    assert.equal(first.json.usage.prompt_tokens_details.cached_tokens, 0);
    const streamed = await gateway.call('/v1/chat/completions', {
      body: { ...chat, stream: true, stream_options: { include_usage: true } },
      subject: alice,
    });
    const { usage } = eventsOf(streamed.text).at(-2);
    assert.equal(usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens - 1);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  });

  it('counts as cached only what was computed for no choice', async () => {
    const alice = newPrincipal();
    await complete(alice, beginning);
    assert.equal((await complete(alice, beginning, { body: { n: 3 } })).cached, 0);
  });

  it('is counted in the metrics', async () => {
    const { text } = await gateway.call('/metrics', { assertion: null });
    const counted = Number(/^sallyport_model_cached_prompt_tokens_total\{[^}]*\} (\d+)/m.exec(text)?.[1]);
    assert.ok(counted > 100);
  });

  it('is gone when nothing is to be kept', async () => {
    await complete('issuer|alice', beginning, { on: fresh });
    assert.equal((await complete('issuer|alice', beginning, { on: fresh })).cached, 0);
  });
});
