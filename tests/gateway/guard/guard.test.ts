import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import { compileGuards, guard, guardsSchema } from '../../../gateway/guard/index.ts';
import type { Route } from '../../../gateway/policies/routes.ts';
import { parseStrictJson } from '../../../gateway/strict-json.ts';
import { requestWith, routeWith } from '../parsed-request.ts';

const guards = compileGuards(
  guardsSchema.parse({
    guards: {
      words: { kind: 'denied_words', words: ['Forbidden', 'top secret', 'c++', 'straße', '機密', 'naïve'] },
      ids: { kind: 'denied_words', words: ['forbidden'], allow_token_ids: true },
      ceilings: {
        kind: 'parameter_ceilings',
        max_tokens: 100,
        n: 2,
        prompts: 3,
        messages: 4,
        stop: 2,
        logprobs: 5,
      },
      candidates: { kind: 'parameter_ceilings', n: 2, best_of: 8 },
    },
  }),
);
type Body = Readonly<Record<string, unknown>>;

const chat = routeWith({ guards: ['words', 'ceilings'] });
const completions = routeWith({
  path: '/v1/completions',
  upstreamPath: '/v1/completions',
  guards: ['words', 'ceilings'],
});
const embeddings = routeWith({
  path: '/v1/embeddings',
  upstreamPath: '/v1/embeddings',
  guards: ['words', 'ceilings'],
});
const generate = routeWith({
  kind: 'generate',
  path: '/generate',
  upstreamPath: '/v1/completions',
  guards: ['words', 'ceilings'],
});

function judge(route: Route, body: Body): GatewayError | null {
  try {
    guard(requestWith({ route, body, guards }));
    return null;
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error;
  }
}
const say = (content: unknown, more: Body = {}): Body => ({
  model: 'm',
  messages: [{ role: 'user', content, ...more }],
});
const prompt = (text: unknown): Body => ({ model: 'm', prompt: text });

describe('denied words', () => {
  const blocked: [string, Route, Body][] = [
    ['in a message', chat, say('this is forbidden here')],
    ['in upper case', chat, say('FORBIDDEN')],
    ['at the very end', chat, say('it is forbidden')],
    ['between punctuation', chat, say('"forbidden"!')],
    ['in full-width letters', chat, say('ｆｏｒｂｉｄｄｅｎ')],
    ['in mathematical letters', chat, say('𝐟𝐨𝐫𝐛𝐢𝐝𝐝𝐞𝐧')],
    ['with a zero-width joiner', chat, say('for\u200dbid\u200cden')],
    ['with a zero-width space', chat, say('f\u200bo\u200br\u200bb\u200bi\u200bd\u200bd\u200be\u200bn')],
    ['with soft hyphens', chat, say('for\u00adbidden')],
    ['with a byte order mark', chat, say('forbid\ufeffden')],
    ['with a variation selector', chat, say('forbid\ufe0fden')],
    ['with invisible tags', chat, say('forb\u{e0001}idden')],
    ['with a word joiner', chat, say('forb\u2060idden')],
    ['with a bidirectional override', chat, say('forb\u202eidden')],
    ['with a NUL', chat, say('forb\u0000idden')],
    ['with a ligature', chat, say('top secret'.replace('st', 'ﬆ'))],
    ['with a long s', chat, say('top ſecret')],
    ['as a phrase in capitals', chat, say('TOP SECRET')],
    ['as a phrase over a line break', chat, say('top\n   secret')],
    ['as a phrase with a no-break space', chat, say('top\u00a0secret')],
    ['with a sign at its edge', chat, say('I write C++.')],
    ['with a sharp s in capitals', chat, say('STRAẞE')],
    ['composed of combining marks', chat, say('nai\u0308ve')],
    ['in a script without blanks', chat, say('これは機密です')],
    [
      'in a content part',
      chat,
      say([
        { type: 'text', text: 'hello' },
        { type: 'text', text: 'forbidden' },
      ]),
    ],
    [
      'cut in two by content parts',
      chat,
      say([
        { type: 'text', text: 'forbid' },
        { type: 'text', text: 'den' },
      ]),
    ],
    ['in a part of another type', chat, say([{ type: 'input_text', text: 'forbidden' }])],
    ['in a refusal part', chat, say([{ type: 'refusal', refusal: 'forbidden' }])],
    ['in the name of a speaker', chat, say('hello', { name: 'forbidden' })],
    [
      'in a system message',
      chat,
      {
        model: 'm',
        messages: [
          { role: 'system', content: 'forbidden' },
          { role: 'user', content: 'x' },
        ],
      },
    ],
    ['in a developer message', chat, { model: 'm', messages: [{ role: 'developer', content: 'forbidden' }] }],
    [
      'in an assistant message',
      chat,
      { model: 'm', messages: [{ role: 'assistant', content: 'forbidden' }] },
    ],
    [
      'in the arguments of a tool call',
      chat,
      say(null, {
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{"q":"forbidden"}' } }],
      }),
    ],
    [
      'in the description of a tool',
      chat,
      { ...say('x'), tools: [{ type: 'function', function: { name: 'f', description: 'forbidden' } }] },
    ],
    [
      'as the name of a tool parameter',
      chat,
      {
        ...say('x'),
        tools: [
          {
            type: 'function',
            function: {
              name: 'f',
              parameters: { type: 'object', properties: { forbidden: { type: 'string' } } },
            },
          },
        ],
      },
    ],
    [
      'as an enum value of a tool parameter',
      chat,
      {
        ...say('x'),
        tools: [{ function: { parameters: { properties: { type: { enum: ['forbidden'] } } } } }],
      },
    ],
    [
      'in a response format',
      chat,
      { ...say('x'), response_format: { type: 'json_schema', json_schema: { description: 'forbidden' } } },
    ],
    ['in a predicted output', chat, { ...say('x'), prediction: { type: 'content', content: 'forbidden' } }],
    ['in a member nobody has heard of', chat, { ...say('x'), instructions_v9: { deep: [['forbidden']] } }],
    ['in a prompt', completions, prompt('forbidden')],
    ['in the last of several prompts', completions, prompt(['a', 'b', 'forbidden'])],
    ['in a suffix', completions, { ...prompt('a'), suffix: 'forbidden' }],
    ['in an input', embeddings, { model: 'm', input: 'forbidden' }],
    ['in a list of inputs', embeddings, { model: 'm', input: ['a', 'forbidden'] }],
    ['in a generation', generate, { prompt: 'forbidden', max_length: 5 }],
  ];
  for (const [where, route, body] of blocked) {
    it(`are found ${where}`, () => {
      const refusal = judge(route, body);
      assert.equal(refusal?.code, 'content_blocked');
      assert.match(refusal.reason ?? '', /^guards\.words: words\.\d$/);
    });
  }

  const passed: [string, Body][] = [
    ['part of a longer word', say('unforbidden forbiddenly forbidden2 forbidden_x')],
    ['part of a longer word of another script', say('éforbidden forbiddené ǅforbidden')],
    ['a phrase without its blank', say('topsecret')],
    ['a word with an accent that the policy does not have', say('förbidden')],
    ['in the id of the caller, which no model reads', { ...say('x'), user: 'forbidden' }],
    ['nothing at all', say('')],
    ['an empty content', say(null)],
    ['a lone surrogate beside the edge', say('xforbidden\ud800 \udc00 é')],
  ];
  for (const [what, body] of passed) {
    it(`pass over ${what}`, () => assert.equal(judge(chat, body), null));
  }

  it('are not looked for in token ids: those are refused, because nobody can read them', () => {
    for (const ids of [
      [1, 2],
      [[1, 2], [3]],
    ]) {
      for (const [route, body] of [
        [completions, prompt(ids)],
        [embeddings, { model: 'm', input: ids }],
      ] as const) {
        const refusal = judge(route, body);
        assert.equal(refusal?.code, 'body_invalid');
        assert.match(refusal.reason ?? '', /token_ids/);
      }
    }
    assert.equal(judge({ ...completions, guards: ['ids'] }, prompt([1, 2])), null);
  });

  it('take time that grows with the text, not with its malice', () => {
    const spiteful = compileGuards(
      guardsSchema.parse({
        guards: {
          w: { kind: 'denied_words', words: ['a'.repeat(100), `${'a'.repeat(99)}b`, 'ab'.repeat(50)] },
        },
      }),
    ).byName.get('w');
    // Letters that nearly match everywhere: an automaton needs milliseconds, a backtracking search would never end.
    assert.equal(spiteful?.check(prompt(`${'a'.repeat(1_000_000)}!`)), null);
    assert.equal(spiteful.check(prompt('a'.repeat(101))), null);
    assert.equal(spiteful.check(prompt('a'.repeat(100)))?.code, 'content_blocked');
  });

  it('are found wherever they stand, among words of any length', () => {
    for (const words of [['needle'], ['needle', 'abc'], ['needle', 'ab'], ['needle', 'a'.repeat(256)]]) {
      const compiled = compileGuards(
        guardsSchema.parse({ guards: { w: { kind: 'denied_words', words } } }),
      ).byName.get('w');
      for (let before = 0; before < 40; before++) {
        for (const near of ['.', 'n', 'e ', 'needl', 'Needl_', 'É', '機']) {
          const lead = near.repeat(before);
          const text = `${lead} NeeDLe ${near.repeat(3)}`;
          assert.notEqual(compiled?.check(prompt(text)), null, text);
          assert.equal(compiled?.check(prompt(`${lead} needleless`)), null, lead);
        }
      }
    }
  });

  it('are found in a body as it came, whatever escapes hide them', () => {
    const hidden = [
      'forbidden',
      'f\\u006frbidden',
      'for\\u200bbidden',
      'for\\u00adbidden',
      'for\\bbidden',
      'for\u007fbidden',
      'for\u00adbidden',
      'ｆorbidden',
      'x\\nforbidden\\ty',
      '\\\\ forbidden',
      '\\"forbidden\\"',
    ];
    for (const text of hidden) {
      const body = parseStrictJson(Buffer.from(`{"model":"m","prompt":"${text}"}`));
      const compiled = guards.byName.get('words');
      assert.equal(compiled?.check(body.json, body.isPlain)?.code, 'content_blocked', text);
    }
  });

  it('do not repeat the text in the refusal', () => {
    const refusal = judge(chat, say('the forbidden garden'));
    assert.doesNotMatch(
      JSON.stringify([refusal?.publicMessage, refusal?.reason, refusal?.params]),
      /forbidden|garden/,
    );
  });

  it('find the same as a plain search, for random words and texts', () => {
    let seed = 12_345;
    const random = (below: number): number =>
      (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    const word = (): string => Array.from({ length: 1 + random(4) }, () => 'abc'[random(3)]).join('');
    for (let round = 0; round < 500; round++) {
      const words = Array.from({ length: 1 + random(5) }, word);
      const text = Array.from(
        { length: random(6) },
        () => `${word()}${[' ', '-', '', '.'][random(4)] ?? ''}`,
      ).join('');
      const compiled = compileGuards(
        guardsSchema.parse({ guards: { w: { kind: 'denied_words', words } } }),
      ).byName.get('w');
      const expected = words.some((each) => new RegExp(`(?<![a-z0-9_])${each}(?![a-z0-9_])`).test(text));
      assert.equal(compiled?.check(prompt(text)) !== null, expected, JSON.stringify({ words, text }));
    }
  });
});

describe('parameter ceilings', () => {
  const above: [string, Route, Body][] = [
    ['max_tokens', chat, { ...say('x'), max_tokens: 101 }],
    ['max_completion_tokens', chat, { ...say('x'), max_completion_tokens: 1_000_000 }],
    ['max_completion_tokens', chat, { ...say('x'), max_tokens: 1, max_completion_tokens: 101 }],
    ['max_output_tokens', chat, { ...say('x'), max_output_tokens: 101 }],
    ['max_length', generate, { prompt: 'x', max_length: 101 }],
    ['n', chat, { ...say('x'), n: 3 }],
    ['best_of', completions, { ...prompt('x'), best_of: 3 }],
    ['prompt', completions, prompt(['a', 'b', 'c', 'd'])],
    ['input', embeddings, { model: 'm', input: ['a', 'b', 'c', 'd'] }],
    [
      'messages',
      chat,
      { model: 'm', messages: Array.from({ length: 5 }, () => ({ role: 'user', content: 'x' })) },
    ],
    ['stop', chat, { ...say('x'), stop: ['a', 'b', 'c'] }],
    ['logprobs', completions, { ...prompt('x'), logprobs: 6 }],
    ['top_logprobs', chat, { ...say('x'), top_logprobs: 6 }],
  ];
  for (const [param, route, body] of above) {
    it(`refuse ${param} above its ceiling: ${JSON.stringify(body).slice(0, 60)}`, () => {
      const refusal = judge(route, body);
      assert.deepEqual([refusal?.code, refusal?.param], ['parameter_above_ceiling', param]);
      assert.match(
        refusal?.publicMessage ?? '',
        new RegExp(`parameter ${param} is above its ceiling of \\d+`),
      );
    });
  }

  it('permit what is at the ceiling, and null as absent', () => {
    assert.equal(
      judge(chat, {
        ...say('x'),
        max_tokens: 100,
        n: 2,
        stop: ['a', 'b'],
        top_logprobs: 5,
        max_completion_tokens: null,
      }),
      null,
    );
    assert.equal(judge(completions, prompt(['a', 'b', 'c'])), null);
  });

  it('count a list of token ids as one prompt', () => {
    assert.equal(judge({ ...completions, guards: ['ceilings'] }, prompt([1, 2, 3, 4, 5])), null);
    assert.equal(
      judge({ ...completions, guards: ['ceilings'] }, prompt([[1], [2], [3], [4]]))?.param,
      'prompt',
    );
  });

  it('give best_of a ceiling of its own where one is stated', () => {
    assert.equal(
      judge({ ...completions, guards: ['candidates'] }, { ...prompt('x'), best_of: 8, n: 2 }),
      null,
    );
    assert.equal(
      judge({ ...completions, guards: ['candidates'] }, { ...prompt('x'), best_of: 9 })?.param,
      'best_of',
    );
  });
});

describe('the types of deciding parameters', () => {
  const wrong: [string, Route, Body][] = [
    ['max_tokens', chat, { ...say('x'), max_tokens: '5' }],
    ['max_tokens', chat, { ...say('x'), max_tokens: 0 }],
    ['max_tokens', chat, { ...say('x'), max_tokens: -1 }],
    ['max_tokens', chat, { ...say('x'), max_tokens: 1.5 }],
    ['max_tokens', chat, { ...say('x'), max_tokens: 2 ** 60 }],
    ['max_tokens', chat, { ...say('x'), max_tokens: Number.POSITIVE_INFINITY }],
    ['max_tokens', chat, { ...say('x'), max_tokens: [1] }],
    ['max_tokens', chat, { ...say('x'), max_tokens: true }],
    ['max_length', generate, { prompt: 'x', max_length: 'many' }],
    ['n', chat, { ...say('x'), n: '2' }],
    ['n', chat, { ...say('x'), n: { valueOf: 1 } }],
    ['best_of', completions, { ...prompt('x'), best_of: 0 }],
    ['stream', chat, { ...say('x'), stream: 'true' }],
    ['stream', chat, { ...say('x'), stream: 1 }],
    ['stream_options', chat, { ...say('x'), stream: true, stream_options: [] }],
    ['stream_options', chat, { ...say('x'), stream: true, stream_options: { include_usage: 'no' } }],
    ['stop', chat, { ...say('x'), stop: [1] }],
    ['logprobs', completions, { ...prompt('x'), logprobs: -1 }],
    ['prompt', completions, prompt({ text: 'forbidden' })],
    ['prompt', completions, prompt([])],
    ['prompt', completions, prompt(['a', 1])],
    ['prompt', completions, prompt([['forbidden']])],
    ['prompt', completions, prompt([[]])],
    ['prompt', generate, { prompt: ['a'] }],
    ['prompt', generate, { max_length: 5 }],
    ['input', embeddings, { model: 'm', input: 5 }],
    ['suffix', completions, { ...prompt('x'), suffix: ['forbidden'] }],
    ['messages', chat, { model: 'm' }],
    ['messages', chat, { model: 'm', messages: [] }],
    ['messages', chat, { model: 'm', messages: {} }],
    ['messages', chat, { model: 'm', messages: null }],
    ['messages', chat, { model: 'm', messages: ['forbidden'] }],
    ['messages', chat, { model: 'm', messages: [{ content: 'x' }] }],
    ['messages', chat, { model: 'm', messages: [{ role: 'forbidden words as a role', content: 'x' }] }],
    ['messages', chat, say('x', { name: ['forbidden'] })],
    ['messages', chat, say({ text: 'forbidden' })],
    ['messages', chat, say(['forbidden'])],
    ['messages', chat, say([{ text: 'forbidden' }])],
    ['messages', chat, say([{ type: 'text', text: ['forbidden'] }])],
  ];
  for (const [param, route, body] of wrong) {
    it(`refuse ${JSON.stringify(body).slice(0, 70)}`, () => {
      const refusal = judge({ ...route, guards: [] }, body);
      assert.deepEqual([refusal?.code, refusal?.param], ['body_invalid', param]);
    });
  }

  it('leave members alone that only the upstream reads', () => {
    assert.equal(
      judge(chat, { ...say('x'), temperature: 'hot', seed: 'x', logit_bias: { 50: -100 }, logprobs: true }),
      null,
    );
  });

  it('refuse a guard that does not exist rather than pass', () => {
    assert.equal(judge({ ...chat, guards: ['ghost'] }, say('x'))?.code, 'content_blocked');
  });

  it('are not asked where there is no body', () => {
    const guarded = guard(requestWith({ route: routeWith({ kind: 'models', guards: [] }), guards }));
    assert.equal(guarded.guarded, true);
  });
});
