import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { AskedOutside } from '../../../../gateway/authorize/outside/asked-outside.ts';
import {
  createOpenFgaStore,
  type RemoteRelationStore,
} from '../../../../gateway/authorize/relations/openfga-store.ts';
import { relationsConfigSchema } from '../../../../gateway/authorize/relations/relations-config.ts';
import { relationSubject, type RelationQuestion } from '../../../../gateway/authorize/relations/store.ts';
import { modelId, startFakeOpenFga, storeId, type FakeOpenFga } from '../../../support/fake-openfga.ts';
import { startTestGateway, type TestGateway } from '../../../support/start-gateway.ts';

const types = {
  user: {},
  group: { member: ['user'] },
  team: { member: ['user', 'team#member', 'group#member'] },
  model: { viewer: ['user', 'team#member', 'group#member'], banned: ['user', 'group#member'] },
};
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Started {
  readonly fake: FakeOpenFga;
  readonly store: RemoteRelationStore;
  readonly asked: AskedOutside[];
}
async function start(
  options: Partial<Parameters<typeof startFakeOpenFga>[0]> = {},
  config: Readonly<Record<string, unknown>> = {},
): Promise<Started> {
  const fake = await startFakeOpenFga({ types, ...options });
  closing.push(() => fake.close());
  const parsed = relationsConfigSchema.parse({
    engine: 'openfga',
    url: fake.url,
    store_id: storeId,
    authorization_model_id: modelId,
    timeout_ms: 10_000,
    ...config,
  });
  assert.equal(parsed.engine, 'openfga');
  const asked: AskedOutside[] = [];
  const store = createOpenFgaStore(parsed, { onAsked: (each) => asked.push(each), onTurn: () => undefined });
  closing.push(() => store.close());
  return { fake, store, asked };
}
const ask = (object: string, memberships: readonly string[] = [], relation = 'viewer'): RelationQuestion => ({
  subject: relationSubject('user:alice', memberships),
  relation,
  object,
});

describe('OpenFGA', () => {
  it('is asked one question by check, with model, consistency and credential', async () => {
    process.env['TEST_FGA_TOKEN'] = 's3cret';
    const { fake, store } = await start(
      { tuples: ['model:a#viewer@user:alice'], token: 's3cret' },
      { api_token: 'env:TEST_FGA_TOKEN', consistency: 'higher_consistency' },
    );
    assert.deepEqual(await store.check([ask('model:a')]), [true]);
    assert.deepEqual(fake.requests, [
      {
        path: `/stores/${storeId}/check`,
        authorization: 'Bearer s3cret',
        body: {
          tuple_key: { user: 'user:alice', relation: 'viewer', object: 'model:a' },
          authorization_model_id: modelId,
          consistency: 'HIGHER_CONSISTENCY',
        },
      },
    ]);
  });

  it('is asked several by one batch-check, more than fifty by two', async () => {
    const { fake, store } = await start({ tuples: ['model:m7#viewer@user:alice'] });
    const questions = Array.from({ length: 60 }, (_, index) => ask(`model:m${index}`));
    const answers = await store.check(questions);
    assert.deepEqual(
      answers.flatMap((answer, index) => (answer === true ? [index] : [])),
      [7],
    );
    assert.deepEqual(
      fake.requests.map(({ path, body }) => [path.split('/').at(-1), (body['checks'] as unknown[]).length]),
      [
        ['batch-check', 50],
        ['batch-check', 10],
      ],
    );
  });

  it('without batch-check is asked one by one', async () => {
    const { fake, store } = await start(
      { tuples: ['model:a#viewer@user:alice'], old: true },
      { cache_ms: 0 },
    );
    assert.deepEqual(await store.check([ask('model:a'), ask('model:b')]), [true, false]);
    assert.deepEqual(await store.check([ask('model:b'), ask('model:a')]), [false, true]);
    assert.equal(fake.requests.filter(({ path }) => path.endsWith('batch-check')).length, 1);
  });

  it('is told the groups of the principal as contextual tuples', async () => {
    const { fake, store } = await start({
      tuples: ['model:a#viewer@team:t#member', 'team:t#member@group:g#member'],
    });
    assert.deepEqual(await store.check([ask('model:a')]), [false]);
    assert.deepEqual(await store.check([ask('model:a', ['group:g#member'])]), [true]);
    assert.deepEqual(fake.requests[1]?.body['contextual_tuples'], {
      tuple_keys: [{ user: 'user:alice', relation: 'member', object: 'group:g' }],
    });
  });

  it('is asked once for a question that is kept or under way, and never mixes up memberships', async () => {
    const { fake, store, asked } = await start(
      { tuples: ['model:a#viewer@group:g#member'] },
      { cache_ms: 3_600_000 },
    );
    const all = await Promise.all([1, 2, 3, 4].map(() => store.check([ask('model:a')])));
    assert.deepEqual(all.flat(), [false, false, false, false]);
    assert.deepEqual(await store.check([ask('model:a', ['group:g#member'])]), [true]);
    assert.deepEqual(await store.check([ask('model:a')]), [false]);
    assert.equal(fake.requests.length, 2);
    assert.equal(
      asked.reduce((sum, each) => sum + (each.outcome === 'cached' ? each.count : 0), 0),
      4,
    );
  });
});

describe('an answer of OpenFGA that is none', () => {
  const good = { status: 200, body: '{"allowed":true}' };
  const bad: [string, FakeOpenFga['behave'], boolean][] = [
    [
      'a fault of its own',
      { status: 500, body: '{"code":"internal_error","message":"Internal Server Error"}' },
      true,
    ],
    [
      'a refused credential',
      { status: 401, body: '{"code":"unauthenticated","message":"unauthenticated"}' },
      true,
    ],
    ['a refused principal', { status: 403, body: '{"code":"forbidden","message":"not authorized"}' }, true],
    [
      'too many requests',
      { status: 429, body: '{"code":"rate_limit_exceeded","message":"slow down"}' },
      true,
    ],
    [
      'an unknown relation',
      { status: 400, body: '{"code":"validation_error","message":"relation not found"}' },
      false,
    ],
    [
      'a store that is gone',
      { status: 404, body: '{"code":"store_id_not_found","message":"Store ID not found"}' },
      false,
    ],
    ['throttling', { status: 422, body: '{"code":"throttled_timeout_error","message":"timeout"}' }, false],
    ['a page of a proxy', { status: 200, body: '<html>login</html>' }, true],
    ['a redirect', { status: 302, body: '{}' }, false],
    ['no member', { status: 200, body: '{}' }, false],
    ['a text', { status: 200, body: '{"allowed":"true"}' }, false],
    ['a number', { status: 200, body: '{"allowed":1}' }, false],
    ['two answers at once', { status: 200, body: '{"allowed":false,"allowed":true}' }, true],
    ['a list', { status: 200, body: '[{"allowed":true}]' }, true],
    ['nothing', { status: 200, body: '' }, true],
    ['an endless one', { status: 200, body: `{"allowed":true,"x":"${'x'.repeat(2_000_000)}"}` }, true],
    ['a broken connection', 'reset', true],
  ];
  for (const [title, behave, isProblem] of bad)
    it(`is not known, and not kept: ${title}`, async () => {
      const { fake, store } = await start({ tuples: ['model:a#viewer@user:alice'] });
      fake.behave = behave;
      assert.deepEqual(await store.check([ask('model:a')]), [null]);
      assert.deepEqual(await store.check([ask('model:a'), ask('model:b')]), [null, null]);
      assert.equal(store.problem() !== null, isProblem, store.problem() ?? 'no problem');
      fake.behave = good;
      assert.deepEqual(await store.check([ask('model:a')]), [true]);
      assert.equal(store.problem(), null);
    });

  it('is not known when it takes too long', async () => {
    const { fake, store } = await start({}, { timeout_ms: 50 });
    fake.behave = 'hang';
    assert.deepEqual(await store.check([ask('model:a')]), [null]);
    assert.equal(store.problem(), 'no whole answer in time');
  });

  it('is not known for one question of a batch, and known for the others', async () => {
    const { store } = await start({ tuples: ['model:a#viewer@user:alice'] });
    assert.deepEqual(await store.check([ask('model:a'), ask('file:a'), ask('model:b')]), [true, null, false]);
  });

  it('is not known for somebody with more groups than can be told', async () => {
    const { fake, store } = await start({ tuples: ['model:a#banned@group:g100#member'] });
    const groups = Array.from({ length: 101 }, (_, index) => `group:g${index}#member`);
    assert.deepEqual(await store.check([ask('model:a', groups, 'banned'), ask('model:b')]), [null, false]);
    assert.equal(fake.requests.length, 1);
  });

  it('is not waited for again and again', async () => {
    const { fake, store } = await start({}, { cache_ms: 0 });
    fake.behave = { status: 503, body: '{"code":"unavailable"}' };
    for (let index = 0; index < 50; index++) await store.check([ask(`model:m${index}`)]);
    assert.ok(fake.requests.length < 50, `${fake.requests.length} requests`);
    assert.equal(store.problem(), 'the answer is 503 unavailable');
  });
});

describe('gateway.relations', () => {
  const section = {
    engine: 'openfga',
    url: 'https://fga.test',
    store_id: storeId,
    authorization_model_id: modelId,
  };
  const refused: [string, Record<string, unknown>][] = [
    ['no store', { store_id: undefined }],
    ['no model', { authorization_model_id: undefined }],
    ['an id that is none', { store_id: 'mine' }],
    ['plain HTTP beyond loopback', { url: 'http://fga.test' }],
    ['an address with a password', { url: 'https://a:b@fga.test' }],
    ['a token in the file', { api_token: 's3cret' }],
    ['half a certificate', { client_cert: 'a.pem' }],
    ['another engine', { engine: 'spicedb' }],
    ['an unknown key', { store: 'x' }],
  ];
  for (const [title, change] of refused)
    it(`is refused with ${title}`, () =>
      assert.equal(relationsConfigSchema.safeParse({ ...section, ...change }).success, false));
  it('takes plain HTTP on loopback, or where it is said to be insecure', () => {
    for (const change of [
      {},
      { url: 'http://127.0.0.1:8080' },
      { url: 'http://fga.test', insecure_plain_http: true },
    ])
      assert.equal(relationsConfigSchema.safeParse({ ...section, ...change }).success, true);
  });
});

describe('the gateway with OpenFGA', () => {
  const rules = `rules:
  - { name: banned, effect: deny, models: ['*'], when: 'related("banned", "model:" + request.model)' }
  - { name: viewers, effect: deny, models: ['*'], when: '!related("viewer", "model:" + request.model)' }`;
  const startGateway = async (): Promise<{ fake: FakeOpenFga; gateway: TestGateway }> => {
    const fake = await startFakeOpenFga({ types, tuples: ['model:tiny-gpt2#viewer@user:alice'] });
    closing.push(() => fake.close());
    const gateway = await startTestGateway({
      config: {
        relations: {
          engine: 'openfga',
          url: fake.url,
          store_id: storeId,
          authorization_model_id: modelId,
          cache_ms: 0,
          timeout_ms: 10_000,
        },
      },
      edit: {
        'rules.yaml': [['rules: []', rules]],
        'relations.yaml': [['types: {}', `types: ${JSON.stringify(types)}`]],
      },
    });
    closing.push(() => gateway.close());
    return { fake, gateway };
  };
  const chat = async (gateway: TestGateway, claims = {}): Promise<Response> =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await gateway.mint(claims)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }] }),
    });

  it('asks it once for all rules of a request, and obeys', async () => {
    const { fake, gateway } = await startGateway();
    assert.equal((await chat(gateway)).status, 200);
    assert.deepEqual(
      fake.requests.map(({ body }) =>
        (body['checks'] as { tuple_key: { relation: string } }[]).map((each) => each.tuple_key.relation),
      ),
      [['banned', 'viewer']],
    );
    assert.equal((await chat(gateway, { sub: 'bob' })).status, 403);
    fake.tuples = ['model:tiny-gpt2#viewer@user:alice', 'model:tiny-gpt2#banned@user:alice'];
    assert.equal((await chat(gateway)).status, 403);
  });

  it('lists the models that it leaves', async () => {
    const { fake, gateway } = await startGateway();
    const list = async (): Promise<unknown[]> => {
      const answer = await fetch(`${gateway.url}/v1/models`, {
        headers: { authorization: `Bearer ${await gateway.mint()}` },
      });
      return ((await answer.json()) as { data: unknown[] }).data;
    };
    assert.equal((await list()).length, 1);
    fake.tuples = [];
    assert.equal((await list()).length, 0);
  });

  it('denies while it is away, says so, and goes on when it is back', async () => {
    const { fake, gateway } = await startGateway();
    fake.behave = { status: 503, body: '{}' };
    const refused = await chat(gateway);
    assert.equal(refused.status, 403);
    const ready = (await (await fetch(`${gateway.internalUrl}/readyz`)).json()) as {
      checks: { kind: string; ready: boolean; problem: string | null }[];
    };
    assert.deepEqual(
      ready.checks.filter(({ kind }) => kind === 'relations').map(({ ready: is, problem }) => [is, problem]),
      [[false, 'the answer is 503']],
    );
    const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
    assert.match(metrics, /sallyport_authorization_questions_total\{of="relations",outcome="failed"\} 1/);
    fake.behave = null;
    assert.equal((await chat(gateway)).status, 200);
  });
});
