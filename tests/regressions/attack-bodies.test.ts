// The attack suite, bodies: what a hostile or confused caller with a good token can send on every judged route. Refused
// means a 4xx of the catalogue and nothing at the upstream; what passes arrives byte for byte as it was judged.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { sendRaw, type RawAnswer } from './raw-connection.ts';

let gateway: TestGateway;
let accessToken: string;

before(async () => {
  gateway = await startTestGateway();
  accessToken = await gateway.mint();
});
after(() => gateway.close());

const routes: Readonly<Record<string, string>> = {
  chat: '/v1/chat/completions',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
  'Azure chat': '/openai/deployments/tiny-gpt2/chat/completions?api-version=2024-10-21',
  'Azure completions': '/openai/deployments/tiny-gpt2/completions?api-version=2024-10-21',
  'Azure v1 chat': '/openai/v1/chat/completions',
  generate: '/generate',
};

/** What makes a body acceptable on a route. */
function goodBody(route: string): Record<string, unknown> {
  if (route.includes('chat')) return { model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }] };
  if (route === 'embeddings') return { model: 'tiny-gpt2', input: 'hello' };
  return { model: 'tiny-gpt2', prompt: 'hello' };
}

async function send(
  route: string,
  body: string | Buffer,
  fields: readonly string[] = [],
): Promise<RawAnswer> {
  const bytes = Buffer.from(body as string);
  const head = [
    `POST ${routes[route] ?? route} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${accessToken}`,
    ...(fields.some((field) => /^content-type:/i.test(field)) ? [] : ['Content-Type: application/json']),
    `Content-Length: ${bytes.length}`,
    ...fields,
    '',
    '',
  ].join('\r\n');
  const { answers, text } = await sendRaw(Buffer.concat([Buffer.from(head), bytes]), {
    port: gateway.port,
    until: 1,
  });
  const [answer] = answers;
  assert.ok(answer, `no answer: ${text.slice(0, 200)}`);
  assert.doesNotMatch(answer.body, /\bat .*\(|node:internal|node_modules|Error:/);
  return answer;
}

async function assertRefused(
  route: string,
  body: string | Buffer,
  expected: { statuses?: readonly number[]; code?: string; fields?: readonly string[] } = {},
): Promise<void> {
  const seen = gateway.upstream.requests.length;
  const answer = await send(route, body, expected.fields);
  const said = `${route}: ${answer.status} ${answer.body.slice(0, 300)}`;
  assert.ok((expected.statuses ?? [400]).includes(answer.status), said);
  const { error, code } = JSON.parse(answer.body) as { error?: { code: string }; code?: string };
  assert.equal(typeof (error?.code ?? code), 'string', said);
  if (expected.code !== undefined) assert.equal(error?.code ?? code, expected.code, said);
  assert.equal(gateway.upstream.requests.length, seen, `${said}: the upstream received something`);
}

/** Bodies that are refused on every judged route, made from a good one. */
const unreadable: Readonly<Record<string, (good: string) => string | Buffer>> = {
  nothing: () => '',
  blanks: () => '  \r\n ',
  'an open object': () => '{',
  'a list': (good) => `[${good}]`,
  text: () => '"hello"',
  null: () => 'null',
  number: () => '1',
  'two documents': (good) => good + good,
  'rubbish behind': (good) => `${good}x`,
  'a NUL behind': (good) => `${good}\0`,
  'a byte order mark': (good) => `\ufeff${good}`,
  'UTF-16': (good) => Buffer.from(good, 'utf16le'),
  'UTF-16 with mark': (good) => Buffer.from(`\ufeff${good}`, 'utf16le'),
  'bytes that are not UTF-8': (good) => Buffer.from(good.replace('hello', 'hell\xff'), 'latin1'),
  'an overlong slash': (good) => Buffer.from(good.replace('hello', 'hell\xc0\xaf'), 'latin1'),
  'half a character in UTF-8': (good) => Buffer.from(good.replace('hello', 'hell\xed\xa0\x80'), 'latin1'),
  'a comment': (good) => `/* x */${good}`,
  'a line comment': (good) => `${good}// x`,
  'single quotes': (good) => good.replaceAll('"', "'"),
  'a comma too many': (good) => good.replace(/\}$/, ',}'),
  'a name without quotes': (good) => good.replace('"model"', 'model'),
  NaN: (good) => good.replace(/\}$/, ',"temperature":NaN}'),
  Infinity: (good) => good.replace(/\}$/, ',"temperature":Infinity}'),
  '1e400': (good) => good.replace(/\}$/, ',"temperature":1e400}'),
  'a number with leading zero': (good) => good.replace(/\}$/, ',"seed":01}'),
  'a hexadecimal number': (good) => good.replace(/\}$/, ',"seed":0x1}'),
  'a line end in text': (good) => good.replace('hello', 'hel\nlo'),
  'model twice': (good) => good.replace(/^\{/, '{"model":"other",'),
  'model twice, once escaped': (good) => good.replace(/^\{/, '{"mod\\u0065l":"other",'),
  'model twice, the second last': (good) => good.replace(/\}$/, ',"model":"other"}'),
  'Model beside model': (good) => good.replace(/\}$/, ',"Model":"other"}'),
  'MODEL beside model': (good) => good.replace(/\}$/, ',"MODEL":"other"}'),
  'stream twice': (good) => good.replace(/\}$/, ',"stream":false,"stream":true}'),
  'ſtream beside stream': (good) => good.replace(/\}$/, ',"ſtream":true}'),
  'a nested member twice': (good) => good.replace(/\}$/, ',"metadata":{"a":1,"a":2}}'),
  __proto__: (good) => good.replace(/\}$/, ',"__proto__":{"model":"other"}}'),
  '__proto__, escaped': (good) => good.replace(/\}$/, ',"__pr\\u006fto__":{"model":"other"}}'),
  '__proto__ within': (good) => good.replace(/\}$/, ',"metadata":{"a":[{"__proto__":{}}]}}'),
  'nesting of 33 levels': (good) => good.replace(/\}$/, `,"metadata":${'['.repeat(33)}${']'.repeat(33)}}`),
  'nesting of 100,000 levels': (good) =>
    good.replace(/\}$/, `,"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
  'objects of 50,000 levels': (good) =>
    good.replace(/\}$/, `,"x":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`),
  'model as number': (good) => good.replace('"tiny-gpt2"', '1'),
  'model as list': (good) => good.replace('"tiny-gpt2"', '["tiny-gpt2"]'),
  'model as object': (good) => good.replace('"tiny-gpt2"', '{"$ne":null}'),
  'model null': (good) => good.replace('"tiny-gpt2"', 'null'),
  'model empty': (good) => good.replace('"tiny-gpt2"', '""'),
};

const otherModels = [
  'other',
  'TINY-GPT2',
  'tiny-gpt2 ',
  ' tiny-gpt2',
  'tiny-gpt2\\u0000',
  'tiny-gpt2/../other',
  '__proto__',
  'constructor',
  'toString',
  '*',
  'tiny-*',
  '../tiny-gpt2',
  "' OR 1=1 --",
  'http://evil.example',
  'tiny‐gpt2',
  'x'.repeat(100_000),
];

const parameters: Readonly<Record<string, readonly string[]>> = {
  max_tokens: ['0', '-1', '1.5', '"8"', '[8]', '{}', 'true', '1e400', '1025', '1e9', '9007199254740993'],
  n: ['0', '-1', '5', '1e9', '"1"', '1.5', '[1]', 'true'],
  stream: ['"true"', '1', '0', '[]', '{}', '"false"'],
  stop: ['1', '{}', '[1]', '[["x"]]', 'true'],
};

describe('a body that cannot be read in one way only', () => {
  for (const [title, make] of Object.entries(unreadable)) {
    it(`is refused on every route: ${title}`, async () => {
      for (const route of Object.keys(routes)) {
        await assertRefused(route, make(JSON.stringify(goodBody(route))));
      }
    });
  }
  it('pollutes no prototype', () => {
    assert.equal(({} as { model?: string }).model, undefined);
    assert.equal(Object.keys(Object.prototype).length, 0);
  });
});

describe('another model', () => {
  for (const model of otherModels) {
    it(`is not there: ${model.slice(0, 30)}`, async () => {
      for (const route of ['chat', 'completions', 'embeddings', 'Azure chat', 'generate']) {
        const body = JSON.stringify(goodBody(route)).replace('"tiny-gpt2"', `"${model}"`);
        const seen = gateway.upstream.requests.length;
        const answer = await send(route, body);
        assert.equal(answer.status, route.startsWith('Azure') ? 400 : 404, `${route}: ${answer.body}`);
        assert.ok(answer.body.length < 1_000, 'the answer repeats what was sent');
        assert.equal(gateway.upstream.requests.length, seen);
      }
    });
  }
  for (const segment of [
    'other',
    '__proto__',
    'constructor',
    '*',
    'TINY-GPT2',
    'tiny-gpt2:x',
    "tiny-gpt2'--",
    '$ne',
    '@evil.example',
  ]) {
    it(`is not there in the Azure path: ${segment}`, () =>
      assertRefused(
        `/openai/deployments/${segment}/chat/completions`,
        '{"messages":[{"role":"user","content":"x"}]}',
        {
          statuses: [404],
        },
      ));
  }
  for (const place of ['?model=other', '?deployment=other', '?upstream=other']) {
    it(`is not chosen by the query ${place}`, async () => {
      const seen = gateway.upstream.requests.length;
      const body = JSON.stringify(goodBody('chat'));
      const answer = await send(`/v1/chat/completions${place}`, body, [
        'X-Model: other',
        'OpenAI-Model: other',
      ]);
      assert.equal(answer.status, 200);
      const forwarded = gateway.upstream.requests.at(seen);
      assert.equal(forwarded?.path, '/v1/chat/completions');
      assert.equal(forwarded.body.toString(), body);
    });
  }
  for (const member of [
    'api_base',
    'base_url',
    'api_key',
    'api_version',
    'custom_llm_provider',
    'deployment_id',
    'extra_headers',
    'mock_response',
  ]) {
    it(`nor another upstream by the member ${member}`, async () => {
      const seen = gateway.upstream.requests.length;
      await send('chat', JSON.stringify({ ...goodBody('chat'), [member]: 'http://127.0.0.1:1/' }));
      assert.ok(gateway.upstream.requests.length <= seen + 1);
      for (const request of gateway.upstream.requests.slice(seen)) {
        assert.equal(request.path, '/v1/chat/completions');
        assert.ok(!request.head.includes('127.0.0.1:1/'));
      }
    });
  }
});

describe('a parameter', () => {
  for (const [name, values] of Object.entries(parameters)) {
    for (const value of values) {
      it(`is refused: ${name} ${value}`, async () => {
        for (const route of ['chat', 'completions', 'Azure chat']) {
          const good = JSON.stringify(goodBody(route));
          await assertRefused(route, good.replace(/\}$/, `,"${name}":${value}}`));
        }
      });
    }
  }
  for (const messages of [
    '[]',
    '{}',
    '"hello"',
    'null',
    '[null]',
    '["hello"]',
    '[[]]',
    '[{}]',
    '[{"role":"root","content":"x"}]',
    '[{"role":["user"],"content":"x"}]',
    '[{"role":"user","content":1}]',
    '[{"role":"user","content":{}}]',
    '[{"role":"user","content":[1]}]',
    '[{"role":"user","content":["x"]}]',
    '[{"role":"user","content":[{"text":"x"}]}]',
    '[{"role":"user","content":[{"type":"text","text":{}}]}]',
    '[{"role":"user","content":"x","name":1}]',
  ]) {
    it(`is refused: messages ${messages}`, async () => {
      for (const route of ['chat', 'Azure chat', 'Azure v1 chat'])
        await assertRefused(route, `{"model":"tiny-gpt2","messages":${messages}}`);
    });
  }
  for (const prompt of [
    '{}',
    '1',
    'true',
    '[]',
    '[{}]',
    '["a",1]',
    '[1,"a"]',
    '[[]]',
    '[["a"]]',
    '[1.5]',
    '[[1],["a"]]',
    '[null]',
    JSON.stringify(Array.from({ length: 17 }, () => 'a')),
    '[1,2,3]',
    '[[1,2],[3]]',
  ]) {
    it(`is refused: prompt and input ${prompt.slice(0, 30)}`, async () => {
      await assertRefused('completions', `{"model":"tiny-gpt2","prompt":${prompt}}`);
      await assertRefused('Azure completions', `{"prompt":${prompt}}`);
      await assertRefused('embeddings', `{"model":"tiny-gpt2","input":${prompt}}`);
      await assertRefused('generate', `{"model":"tiny-gpt2","prompt":${prompt}}`);
    });
  }
  for (const member of [
    '"max_length":1025',
    '"max_length":0',
    '"max_length":"8"',
    '"max_length":null,"max_length":1',
    '"n":1',
    '"stream":true',
    '"messages":[]',
    '"max_tokens":99999',
    '"x":1',
    '"prompt_extra":"x"',
  ]) {
    it(`is refused on /generate: ${member}`, () =>
      assertRefused('generate', `{"model":"tiny-gpt2","prompt":"hello",${member}}`));
  }
});

describe('a denied word', () => {
  const word = 'sallyport-denied-example';
  const spellings: readonly string[] = [
    word,
    word.toUpperCase(),
    'Sallyport-Denied-Example',
    'ｓａｌｌｙｐｏｒｔ-denied-example',
    'sally\u200bport-denied-example',
    'sallyport\u00ad-denied-example',
    'sallyport-denied-ex\u2060ample',
    'sallyport-denied-example\u0000',
    'sally\u0000port-denied-example',
    'sallyport-denied-ex\ufe0fample',
    'say: "sallyport-denied-example".',
    '\nsallyport-denied-example\n',
    'ꜱ sallyport-denied-example',
    `${'a '.repeat(20_000)}${word}`,
  ];
  for (const [index, spelling] of spellings.entries()) {
    it(`is found in spelling ${index}`, async () => {
      const found = { code: 'content_blocked' };
      const messages = [{ role: 'user', content: spelling }];
      await assertRefused('chat', JSON.stringify({ model: 'tiny-gpt2', messages }), found);
      await assertRefused('Azure chat', JSON.stringify({ messages }), found);
      await assertRefused('completions', JSON.stringify({ model: 'tiny-gpt2', prompt: spelling }), found);
      await assertRefused('generate', JSON.stringify({ prompt: spelling }), found);
      await assertRefused(
        'embeddings',
        JSON.stringify({ model: 'tiny-gpt2', input: ['a', spelling] }),
        found,
      );
    });
  }
  const user = { role: 'user', content: 'hello' };
  const places: Readonly<Record<string, Record<string, unknown>>> = {
    'a system message': { messages: [{ role: 'system', content: word }, user] },
    'an assistant message': { messages: [{ role: 'assistant', content: word }, user] },
    'the last of a hundred messages': {
      messages: [...Array.from({ length: 99 }, () => user), { role: 'user', content: word }],
    },
    'a part': { messages: [{ role: 'user', content: [{ type: 'text', text: word }] }] },
    'two parts': {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: word.slice(0, 9) },
            { type: 'text', text: word.slice(9) },
          ],
        },
      ],
    },
    'a part of unknown kind': { messages: [{ role: 'user', content: [{ type: 'x', y: { z: [word] } }] }] },
    'a name': { messages: [{ ...user, name: word }] },
    'an unknown member of a message': { messages: [{ ...user, refusal: word }] },
    'a member named Content': { messages: [{ ...user, Content: word }] },
    'tool call arguments': {
      messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: word } }] }],
    },
    'the description of a tool': {
      messages: [user],
      tools: [{ type: 'function', function: { name: 'x', description: word } }],
    },
    'the name of a property': {
      messages: [user],
      tools: [{ type: 'function', function: { name: 'x', parameters: { properties: { [word]: {} } } } }],
    },
    'an unknown member': { messages: [user], instructions: word },
    'prompt beside messages': { messages: [user], prompt: word },
    suffix: { messages: [user], suffix: word },
    'a prediction': { messages: [user], prediction: { type: 'content', content: word } },
    'stop texts': { messages: [user], stop: [word] },
    'the response format': {
      messages: [user],
      response_format: { type: 'json_schema', json_schema: { description: word } },
    },
  };
  for (const [place, members] of Object.entries(places)) {
    it(`is found in ${place}`, () =>
      assertRefused('chat', JSON.stringify({ model: 'tiny-gpt2', ...members }), { code: 'content_blocked' }));
  }
  it('is found when the body spells it with escapes', async () => {
    const escaped = Array.from(word)
      .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join('');
    await assertRefused('generate', `{"prompt":"${escaped}"}`, { code: 'content_blocked' });
  });
  it('carries no role of the caller’s making', async () => {
    await assertRefused(
      'chat',
      JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: word, content: 'x' }] }),
    );
  });
});

describe('a media type or coding', () => {
  const fields = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'application/json; charset=utf-7',
    'application/json; charset=utf-8; charset=utf-16',
    'application/json, text/plain',
    'application/jsonx',
    'application/json+x',
    'text/json',
    'application/x-json',
    '*/*',
    'application/*',
    'application',
    '',
    'application/json;charset',
    'application/json; x=y',
    '"application/json"',
    'application/json\t;\tcharset=\x22utf-16\x22',
    '__proto__',
  ];
  for (const type of fields) {
    it(`is refused with 415: ${JSON.stringify(type)}`, async () => {
      for (const route of ['chat', 'generate'])
        await assertRefused(route, JSON.stringify(goodBody(route)), {
          statuses: [415],
          fields: [`Content-Type: ${type}`],
        });
    });
  }
  for (const coding of [
    'gzip',
    'br',
    'deflate',
    'zstd',
    'gzip, gzip',
    'GZIP',
    'x-gzip',
    'identity, gzip',
    'chunked',
    'x',
  ]) {
    it(`is refused with 415: Content-Encoding ${coding}`, async () => {
      for (const route of ['chat', '/users', '/token'])
        await assertRefused(route, JSON.stringify(goodBody('chat')), {
          statuses: [415],
          fields: [`Content-Encoding: ${coding}`],
        });
    });
  }
});

describe('what is unusual but right', () => {
  const bodies: readonly string[] = [
    '{ "messages" : [ {"content":"h\\u0065llo","role":"user"} ] ,\n"model":"tiny-gpt2"}',
    '{"mod\\u0065l":"tiny-gpt2","messages":[{"role":"user","content":"{{7*7}} ${7*7} <%= 7*7 %> #{7*7}"}]}',
    `{"model":"tiny-gpt2","messages":[{"role":"user","content":"x"}],"metadata":{${Array.from({ length: 20_000 }, (_, i) => `"${i}":1`).join(',')}}}`,
    '{"model":"tiny-gpt2","messages":[{"role":"user","content":"\\ud83d\\ude00 \\\\ \\" : } { ] [ ,"}],"max_tokens":1e3}',
    '{"model":"tiny-gpt2","messages":[{"role":"user","content":"data: [DONE]\\n\\ndata: x"}],"constructor":{"prototype":{}}}',
  ];
  for (const [index, body] of bodies.entries()) {
    it(`arrives byte for byte (${index}), and soon`, async () => {
      const seen = gateway.upstream.requests.length;
      const answer = await send('chat', body);
      assert.equal(answer.status, 200, answer.body);
      assert.equal(gateway.upstream.requests.at(seen)?.body.toString(), body);
    });
  }
});
