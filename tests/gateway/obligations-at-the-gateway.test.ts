// Obligations of rules as callers and upstreams meet them, at a real gateway.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  json,
  startFakeUpstream,
  stream,
  type FakeRequest,
  type FakeUpstream,
} from '../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const rules = `rules:
  - name: interns
    roles: [LLM.Intern]
    actions: [chat.completions.create, completions.create]
    obligations:
      limits: [few]
      guards: [secrets]
      ceilings: { max_tokens: 50, n: 1 }
      upstream_headers: { x-team: interns, x-caller: { from: subject } }
  - name: interns-are-told
    roles: [LLM.Intern]
    actions: [chat.completions.create]
    obligations: { system_message: 'Answer "briefly", ä.' }
  - name: admins-are-named
    actions: [admin.users.list]
    obligations: { upstream_headers: { x-admin: { from: subject } } }
`;

const edit = {
  'rules.yaml': [['rules: []', rules]],
  'roles.yaml': [
    [
      '  LLM.Admin:',
      '  LLM.Intern:\n    permits: [models.list, chat.completions.create, completions.create]\n    models: [tiny-gpt2]\n  LLM.Admin:',
    ],
  ],
  'limits.yaml': [
    ['requests: 600,', 'requests: 100000,'],
    ['  account-requests:', '  few: { by: principal, requests: 3, window: 1m }\n  account-requests:'],
  ],
  'guards.yaml': [['  ceilings:', '  secrets: { kind: denied_words, words: [secret] }\n  ceilings:']],
} as const;

const said = (content: string): object => ({ model: 'tiny-gpt2', messages: [{ role: 'user', content }] });

describe('obligations at a gateway', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({ edit });
  });
  after(() => gateway.close());

  const post = async (body: object, who: Readonly<Record<string, unknown>>, path = '/v1/chat/completions') =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await gateway.mint(who)}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const intern = (sub: string) => ({ sub, roles: ['LLM.Intern'] });
  const last = (): FakeRequest => {
    const request = gateway.upstream.requests.at(-1);
    assert.ok(request);
    return request;
  };
  const sent = (): Record<string, unknown> => JSON.parse(last().body.toString()) as Record<string, unknown>;
  const record = async (id: string | null): Promise<Record<string, unknown>> => {
    for (let attempt = 0; attempt < 200; attempt++) {
      for (const name of readdirSync(gateway.auditFolder).filter((each) => each.endsWith('.jsonl'))) {
        const lines = readFileSync(join(gateway.auditFolder, name), 'utf8').split('\n');
        const line = lines.find((each) => each.includes(`"request_id":"${id}"`));
        if (line !== undefined) return JSON.parse(line) as Record<string, unknown>;
      }
      await delay(20);
    }
    return assert.fail('no record');
  };

  it('leave other callers alone: the bytes are theirs, no header is added', async () => {
    const body = `{ "model":"tiny-gpt2",  "messages":[{"role":"user","content":"hi"}], "seed": 1.0 }`;
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await gateway.mint()}`, 'content-type': 'application/json' },
      body,
    });
    assert.equal(answer.status, 200);
    assert.equal(last().body.toString(), body);
    assert.equal(last().headers.get('x-team'), undefined);
    assert.equal((await record(answer.headers.get('x-request-id')))['obliged_by'], null);
  });

  it('put the system message first, bound the answer, add headers, count the limit and are written down', async () => {
    const answer = await post(said('hi'), intern('anna/ä'));
    assert.equal(answer.status, 200);
    assert.deepEqual(sent(), {
      model: 'tiny-gpt2',
      messages: [
        { role: 'system', content: 'Answer "briefly", ä.' },
        { role: 'user', content: 'hi' },
      ],
      max_tokens: 50,
    });
    assert.equal(Number(last().headers.get('content-length')?.[0]), last().body.length);
    assert.deepEqual(last().headers.get('x-team'), ['interns']);
    assert.deepEqual(last().headers.get('x-caller'), ['anna%2F%C3%A4']);
    assert.match(answer.headers.get('ratelimit-policy') ?? '', /"requests-per-principal".*, "few";q=3;w=60/);
    assert.equal(answer.headers.get('x-ratelimit-remaining-requests'), '2');
    const written = await record(answer.headers.get('x-request-id'));
    assert.deepEqual(
      [written['decided_by'], written['obliged_by']],
      ['roles.LLM.Intern', ['rules.interns', 'rules.interns-are-told']],
    );
    assert.ok(!JSON.stringify(written).includes('briefly'));
  });

  it('never let a caller set the headers', async () => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await gateway.mint(intern('eve'))}`,
        'content-type': 'application/json',
        'x-team': 'admins',
        'x-caller': 'root',
      },
      body: JSON.stringify(said('hi')),
    });
    assert.equal(answer.status, 200);
    assert.deepEqual(last().headers.get('x-team'), ['interns']);
    assert.deepEqual(last().headers.get('x-caller'), ['eve']);
  });

  it('refuse by the limit of the rule when it is reached', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(said('hi'), intern('many'))));
    assert.equal(answers.filter(({ status }) => status === 200).length, 3);
    const refused = answers.find(({ status }) => status === 429);
    const written = await record(refused?.headers.get('x-request-id') ?? null);
    assert.deepEqual([written['code'], written['reason']], ['rate_limit_exceeded', 'few']);
  });

  it('refuse by guards and ceilings of the rule', async () => {
    const count = gateway.upstream.requests.length;
    const codeOf = async (body: object, path?: string): Promise<unknown> => {
      const answer = await post(body, intern(`judged ${JSON.stringify(body)}`), path);
      const { error } = (await answer.json()) as { error: { code: string; param: string | null } };
      return [answer.status, error.code, error.param];
    };
    assert.deepEqual(await codeOf(said('a secret word')), [400, 'content_blocked', null]);
    assert.deepEqual(await codeOf({ ...said('x'), max_tokens: 51 }), [
      400,
      'parameter_above_ceiling',
      'max_tokens',
    ]);
    assert.deepEqual(await codeOf({ ...said('x'), max_completion_tokens: 51 }), [
      400,
      'parameter_above_ceiling',
      'max_completion_tokens',
    ]);
    assert.deepEqual(await codeOf({ ...said('x'), n: 2 }), [400, 'parameter_above_ceiling', 'n']);
    assert.deepEqual(await codeOf({ model: 'tiny-gpt2' }), [400, 'body_invalid', 'messages']);
    assert.deepEqual(await codeOf({ ...said('x'), chat_template: 'x' }), [
      400,
      'body_invalid',
      'chat_template',
    ]);
    assert.deepEqual(await codeOf({ model: 'tiny-gpt2', prompt: 'x', max_tokens: 51 }, '/v1/completions'), [
      400,
      'parameter_above_ceiling',
      'max_tokens',
    ]);
    assert.equal(gateway.upstream.requests.length, count);
  });

  it('hold on Azure paths and on the generation route as well', async () => {
    await post(
      { messages: [{ role: 'user', content: 'hi' }] },
      intern('azure'),
      '/openai/deployments/tiny-gpt2/chat/completions?api-version=2024-10-21',
    );
    const { model, messages, max_tokens: length } = sent();
    assert.deepEqual([model, (messages as object[]).length, length], ['tiny-gpt2', 2, 50]);
    gateway.upstream.use(json({ choices: [{ text: ' there' }] }));
    try {
      const generated = await post({ prompt: 'hi', max_length: 20 }, intern('generating'), '/generate');
      assert.equal(generated.status, 200);
      assert.equal(sent()['max_tokens'], 20);
      assert.deepEqual(last().headers.get('x-team'), ['interns']);
      const above = await post({ prompt: 'hi', max_length: 51 }, intern('generating'), '/generate');
      assert.equal(above.status, 400);
    } finally {
      gateway.upstream.use(json(chatAnswer));
    }
  });

  it('leave streaming as it is', async () => {
    gateway.upstream.use(
      stream([
        'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n',
        'data: {"id":"1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\n',
        'data: [DONE]\n\n',
      ]),
    );
    try {
      const answer = await post({ ...said('hi'), stream: true }, intern('streaming'));
      const text = await answer.text();
      assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/);
      assert.match(text, /"hel"[\s\S]*\[DONE\]/);
      assert.doesNotMatch(text, /usage/);
      assert.deepEqual(sent()['stream_options'], { include_usage: true });
      assert.equal((sent()['messages'] as object[]).length, 2);
      const written = await record(answer.headers.get('x-request-id'));
      assert.deepEqual([written['prompt_tokens'], written['completion_tokens']], [9, 2]);
    } finally {
      gateway.upstream.use(json(chatAnswer));
    }
  });

  it('add headers towards internal services, too', async () => {
    const answer = await fetch(`${gateway.url}/admin/users`, {
      headers: {
        authorization: `Bearer ${await gateway.mint({ sub: 'root', roles: ['LLM.Admin'] })}`,
        'x-admin': 'eve',
      },
    });
    assert.equal(answer.status, 200);
    assert.deepEqual(last().headers.get('x-admin'), ['root']);
  });

  it('refuse when two rules oblige to different values of a header', async () => {
    const path = join(gateway.policies, 'rules.yaml');
    const before = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      `${before}  - { name: others, actions: [chat.completions.create], obligations: { upstream_headers: { x-team: everybody } } }\n`,
    );
    try {
      let answer = await post(said('hi'), intern('torn 0'));
      for (let attempt = 1; answer.status === 200 && attempt < 400; attempt++) {
        await delay(20);
        answer = await post(said('hi'), intern(`torn ${attempt}`));
      }
      assert.equal(answer.status, 403);
      const written = await record(answer.headers.get('x-request-id'));
      assert.deepEqual(
        [written['code'], written['decided_by'], written['reason']],
        ['access_denied', 'rules.interns', 'rules.interns obligations_conflict'],
      );
    } finally {
      writeFileSync(path, before);
    }
  });
});

describe('attributes of models at a gateway', () => {
  let gateway: TestGateway;
  let upstream: FakeUpstream;
  before(async () => {
    upstream = await startFakeUpstream(json(chatAnswer));
    const models = [
      { id: 'tiny-gpt2', attributes: { tier: 'small', secret_note: 'internal' } },
      { id: 'large', attributes: { tier: 'premium' } },
      'plain',
    ];
    gateway = await startTestGateway({
      config: {
        upstreams: {
          embedded: { kind: 'openai', url: upstream.url, models },
          accounts: { kind: 'http', url: upstream.url },
        },
      },
      edit: {
        'roles.yaml': [['models: [tiny-gpt2]', "models: ['*']"]],
        'rules.yaml': [
          [
            'rules: []',
            `rules:\n  - { name: small-only, effect: deny, actions: [chat.completions.create], when: 'resource.attributes.tier != "small"' }\n`,
          ],
        ],
      },
    });
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });

  it('decide by model, and a model without the attribute is denied', async () => {
    const headers = { authorization: `Bearer ${await gateway.mint()}`, 'content-type': 'application/json' };
    const statusOn = async (model: string): Promise<number> => {
      const body = JSON.stringify({ ...said('hi'), model });
      return (await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body })).status;
    };
    assert.deepEqual(
      [await statusOn('tiny-gpt2'), await statusOn('large'), await statusOn('plain')],
      [200, 403, 403],
    );
  });

  it('are in no answer to callers', async () => {
    const headers = { authorization: `Bearer ${await gateway.mint()}` };
    for (const path of ['/v1/models', '/v1/models/tiny-gpt2']) {
      const text = await (await fetch(`${gateway.url}${path}`, { headers })).text();
      assert.match(text, /tiny-gpt2/);
      assert.doesNotMatch(text, /tier|secret_note|internal/);
    }
  });
});
