import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { decisionPointSchema } from '../../../../gateway/authorize/decision-point/decision-point-config.ts';
import {
  createDecisionPoint,
  type DecisionPoint,
} from '../../../../gateway/authorize/decision-point/decision-point.ts';
import { metadataUrl } from '../../../../gateway/authorize/decision-point/endpoints.ts';
import type { EvaluationRequest } from '../../../../gateway/authorize/evaluation.ts';
import type { AskedOutside } from '../../../../gateway/authorize/outside/asked-outside.ts';
import { certificateFor } from '../../../support/certificate.ts';
import { createAuthority, createCertificate } from '../../../support/certificates.ts';
import {
  startFakeDecisionPoint,
  type FakeDecisionPoint,
  type FakeDecisionPointOptions,
} from '../../../support/fake-decision-point.ts';
import { eventually } from '../../../support/serve.ts';
import { startTestGateway, type TestGateway } from '../../../support/start-gateway.ts';
import { principalWith } from '../../parsed-request.ts';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Started {
  readonly fake: FakeDecisionPoint;
  readonly point: DecisionPoint;
  readonly asked: AskedOutside[];
}
async function start(
  config: Readonly<Record<string, unknown>> = {},
  options: FakeDecisionPointOptions = {},
): Promise<Started> {
  const fake = await startFakeDecisionPoint(options);
  closing.push(() => fake.close());
  const asked: AskedOutside[] = [];
  const explicit =
    config['evaluation_url'] === undefined ? {} : { evaluation_url: `${fake.url}/access/v1/evaluation` };
  const parsed = decisionPointSchema.parse({ url: fake.url, timeout_ms: 10_000, ...config, ...explicit });
  const point = createDecisionPoint(parsed, { onAsked: (each) => asked.push(each), onTurn: () => undefined });
  closing.push(() => point.close());
  return { fake, point, asked };
}

const request = (
  model: string | null = 'tiny-gpt2',
  claims: Record<string, unknown> = {},
): EvaluationRequest => ({
  subject: {
    type: 'principal',
    id: 'http://issuer.test alice',
    properties: principalWith({ claims: { email: 'a@example.org', secret: 'x', ...claims } }),
  },
  action: { name: 'chat.completions.create' },
  resource: model === null ? { type: 'gateway', id: 'sallyport' } : { type: 'model', id: model },
  context: {
    now: 1,
    callerAddress: '192.0.2.7',
    route: 'chat',
    body: { model, messages: [{ role: 'user', content: 'a secret prompt' }] },
  },
});
const kinds = async (point: DecisionPoint, ...requests: EvaluationRequest[]): Promise<string[]> =>
  (await point.verdicts(requests.length === 0 ? [request()] : requests, 'req_1')).map(({ kind }) => kind);

describe('a decision point', () => {
  it('is found by its metadata, and gets subject, listed claims, action, resource and context: no prompt, no other claim', async () => {
    process.env['TEST_PDP_TOKEN'] = 's3cret';
    const { fake, point } = await start({ claims: ['email', 'department'], api_token: 'env:TEST_PDP_TOKEN' });
    assert.deepEqual(await kinds(point), ['permit']);
    const [metadata, evaluation] = fake.requests;
    assert.deepEqual([metadata?.method, metadata?.path], ['GET', '/.well-known/authzen-configuration']);
    assert.deepEqual(
      [
        evaluation?.method,
        evaluation?.path,
        evaluation?.headers.authorization,
        evaluation?.headers['x-request-id'],
      ],
      ['POST', '/access/v1/evaluation', 'Bearer s3cret', 'req_1'],
    );
    assert.equal(evaluation?.headers['content-type'], 'application/json');
    assert.deepEqual(evaluation.body, {
      subject: { type: 'user', id: 'http://issuer.test alice', properties: { email: 'a@example.org' } },
      action: { name: 'chat.completions.create' },
      resource: { type: 'model', id: 'tiny-gpt2' },
      context: { route: 'chat', client_id: 'cli' },
    });
  });

  it('gets what the configuration names otherwise', async () => {
    const { fake, point } = await start({
      subject_type: 'person',
      subject_id: 'subject',
      context: ['caller_address'],
    });
    await kinds(point, request(null));
    assert.deepEqual(fake.requests.at(-1)?.body, {
      subject: { type: 'person', id: 'alice' },
      action: { name: 'chat.completions.create' },
      resource: { type: 'gateway', id: 'sallyport' },
      context: { caller_address: '192.0.2.7' },
    });
  });

  it('without metadata is asked where the configuration says', async () => {
    const { fake, point } = await start({ url: undefined, evaluation_url: 'FAKE' });
    assert.deepEqual(await kinds(point), ['permit']);
    assert.deepEqual(
      fake.requests.map(({ path }) => path),
      ['/access/v1/evaluation'],
    );
  });

  it('below a path has its metadata between host and path', async () => {
    assert.equal(
      metadataUrl('https://pdp.test/tenant1'),
      'https://pdp.test/.well-known/authzen-configuration/tenant1',
    );
    const { point } = await start({}, { path: '/tenant1' });
    assert.deepEqual(await kinds(point), ['permit']);
  });

  it('is asked about several resources at once, answered in their order', async () => {
    const { fake, point } = await start({}, { decide: ({ resource }) => resource.id !== 'b' });
    assert.deepEqual(await kinds(point, request('a'), request('b'), request('c')), [
      'permit',
      'deny',
      'permit',
    ]);
    const { path, body } = fake.requests.at(-1) ?? {};
    assert.equal(path, '/access/v1/evaluations');
    assert.deepEqual(
      body?.['evaluations'],
      ['a', 'b', 'c'].map((id) => ({ resource: { type: 'model', id } })),
    );
    assert.deepEqual(body['action'], { name: 'chat.completions.create' });
  });

  it('without Access Evaluations is asked one by one', async () => {
    const { fake, point } = await start({}, { decide: ({ resource }) => resource.id !== 'b' });
    fake.metadata = { access_evaluations_endpoint: undefined };
    assert.deepEqual(await kinds(point, request('a'), request('b'), request('c')), [
      'permit',
      'deny',
      'permit',
    ]);
    assert.equal(fake.requests.filter(({ path }) => path === '/access/v1/evaluation').length, 3);
  });

  it('is asked once for the whole question, and again when anything in it differs', async () => {
    const { fake, point, asked } = await start({ cache_ms: 3_600_000, claims: ['email'] });
    await Promise.all([1, 2, 3].map(() => kinds(point)));
    await kinds(point);
    await kinds(point, request('tiny-gpt2', { secret: 'another' }));
    assert.equal(fake.requests.length, 2);
    await kinds(point, request('tiny-gpt2', { email: 'b@example.org' }));
    await kinds(point, request('other'));
    assert.equal(fake.requests.length, 4);
    assert.deepEqual(asked.map(({ outcome }) => outcome).toSorted(), [
      'cached',
      'cached',
      'cached',
      'cached',
      'permit',
      'permit',
      'permit',
    ]);
  });

  it('gives its reason and the sign-in that it wants', async () => {
    const { fake, point } = await start({ cache_ms: 0 });
    const of = async (context: unknown): Promise<unknown> => {
      fake.decide = () => ({ decision: false, context });
      const [verdict] = await point.verdicts([request()], 'req_1');
      return verdict;
    };
    const denied = { kind: 'deny', reason: null, stepUp: null };
    assert.deepEqual(await of(undefined), denied);
    assert.deepEqual(await of('text'), denied);
    assert.deepEqual(await of({ reason: 'no contract' }), { ...denied, reason: 'no contract' });
    assert.deepEqual(await of({ reason: 'x', reason_admin: { en: 'policy 7\u0000\nfails' } }), {
      ...denied,
      reason: 'policy 7 fails',
    });
    assert.deepEqual(await of({ error: { status: 404, message: 'unknown' } }), {
      ...denied,
      reason: 'unknown',
    });
    assert.deepEqual(await of({ acr_values: 'gold silver', max_age: 60 }), {
      ...denied,
      stepUp: { acrValues: ['gold', 'silver'], maxAge: 60 },
    });
    assert.deepEqual(await of({ acr_values: ['a"b', 7, ''], max_age: -1 }), denied);
  });
});

describe('an answer that is no decision', () => {
  const json = (body: string): FakeDecisionPoint['behave'] => ({ status: 200, body });
  const answers: [string, FakeDecisionPoint['behave'], 'invalid' | 'unreachable'][] = [
    ['no member', json('{}'), 'invalid'],
    ['a text', json('{"decision":"true"}'), 'invalid'],
    ['a number', json('{"decision":1}'), 'invalid'],
    ['null', json('{"decision":null}'), 'invalid'],
    ['two decisions', json('{"decision":false,"decision":true}'), 'invalid'],
    ['a list', json('[{"decision":true}]'), 'invalid'],
    ['true alone', json('true'), 'invalid'],
    ['nothing', json(''), 'invalid'],
    ['a page', json('<html>'), 'invalid'],
    [
      'the answer to another request',
      { status: 200, body: '{"decision":true}', headers: { 'x-request-id': 'req_2' } },
      'invalid',
    ],
    ['400', { status: 400, body: '{"decision":true}' }, 'invalid'],
    ['401', { status: 401, body: '{"decision":true}' }, 'invalid'],
    ['403', { status: 403, body: '{"decision":true}' }, 'invalid'],
    ['204', { status: 204, body: '' }, 'invalid'],
    [
      'a redirect',
      { status: 307, body: '{"decision":true}', headers: { location: 'http://127.0.0.1:1/' } },
      'invalid',
    ],
    ['429', { status: 429, body: '{"decision":true}' }, 'unreachable'],
    ['500', { status: 500, body: '{"decision":true}' }, 'unreachable'],
    ['503', { status: 503, body: '' }, 'unreachable'],
    ['a broken connection', 'reset', 'unreachable'],
    ['an endless one', json(`{"decision":true,"x":"${'x'.repeat(2_000_000)}"}`), 'unreachable'],
  ];
  for (const [title, behave, kind] of answers)
    it(`is ${kind}, alone and among several: ${title}`, async () => {
      const { fake, point, asked } = await start({ cache_ms: 3_600_000 });
      await point.warm();
      fake.behave = behave;
      assert.deepEqual(await kinds(point), [kind]);
      assert.deepEqual(await kinds(point, request('a'), request('b')), [kind, kind]);
      assert.deepEqual([...new Set(asked.map(({ outcome }) => outcome))], ['failed']);
      fake.behave = null;
      assert.deepEqual(await kinds(point), ['permit']);
      assert.equal(point.problem(), null);
    });

  const batches: [string, string][] = [
    ['one decision too few', '{"evaluations":[{"decision":true}]}'],
    ['one too many', '{"evaluations":[{"decision":true},{"decision":true},{"decision":true}]}'],
    ['no list', '{"evaluations":{"decision":true}}'],
    ['one decision for all', '{"decision":true}'],
  ];
  for (const [title, body] of batches)
    it(`is invalid for every question: ${title}`, async () => {
      const { fake, point } = await start();
      await point.warm();
      fake.behave = json(body);
      assert.deepEqual(await kinds(point, request('a'), request('b')), ['invalid', 'invalid']);
    });

  it('is invalid for the one that has none', async () => {
    const { fake, point } = await start();
    await point.warm();
    fake.behave = json('{"evaluations":[{"decision":true},{"context":{}}]}');
    assert.deepEqual(await kinds(point, request('a'), request('b')), ['permit', 'invalid']);
  });

  it('is unreachable when it takes too long', async () => {
    const { fake, point } = await start({ timeout_ms: 100 });
    fake.behave = 'hang';
    assert.deepEqual(await kinds(point), ['unreachable']);
    assert.equal(point.problem(), 'no whole answer in time');
  });

  it('is not waited for again and again', async () => {
    const { fake, point } = await start({ cache_ms: 0 });
    await point.warm();
    fake.behave = { status: 503, body: '' };
    for (let index = 0; index < 50; index++) assert.deepEqual(await kinds(point), ['unreachable']);
    assert.ok(fake.requests.length < 50, `${fake.requests.length} requests`);
  });

  it('cannot open the way for others by questions that it does not take', async () => {
    const { fake, point } = await start({ cache_ms: 0 });
    await point.warm();
    fake.behave = { status: 400, body: '' };
    for (let index = 0; index < 20; index++) assert.deepEqual(await kinds(point), ['invalid']);
    fake.behave = null;
    assert.deepEqual(await kinds(point), ['permit']);
  });
});

describe('metadata that cannot be used', () => {
  const bad: [string, Record<string, unknown>][] = [
    ['another identifier', { policy_decision_point: 'https://evil.test' }],
    ['no identifier', { policy_decision_point: undefined }],
    ['no endpoint', { access_evaluation_endpoint: undefined }],
    ['an endpoint that is none', { access_evaluation_endpoint: 'javascript:alert(1)' }],
    ['an endpoint over plain HTTP beyond loopback', { access_evaluation_endpoint: 'http://pdp.test/access' }],
  ];
  for (const [title, metadata] of bad)
    it(`has no verdict for ${title}`, async () => {
      const { fake, point } = await start();
      fake.metadata = metadata;
      await point.warm();
      assert.ok(point.problem());
      assert.deepEqual(await kinds(point), ['invalid']);
      assert.ok(fake.requests.every(({ path }) => path.startsWith('/.well-known/')));
    });
});

describe('metadata that cannot be had', () => {
  it('is asked for again, and endpoints that were good go on', async () => {
    const { fake, point } = await start({ cache_ms: 0 });
    fake.metadataStatus = 503;
    assert.deepEqual(await kinds(point), ['unreachable']);
    assert.equal(point.problem(), 'the answer for its metadata is 503');
    fake.metadataStatus = 200;
    assert.deepEqual(await kinds(point), ['permit']);
    fake.metadataStatus = 503;
    assert.deepEqual(await kinds(point), ['permit']);
  });

  it('is invalid where there is none', async () => {
    const { fake, point } = await start();
    fake.metadataStatus = 404;
    assert.deepEqual(await kinds(point), ['invalid']);
    assert.equal(point.problem(), 'it has no metadata (status 404)');
  });
});

describe('over TLS', () => {
  it('is believed by its authority alone, and sees the certificate of the gateway', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-point-'));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const own = await certificateFor({ type: 'ip', value: '127.0.0.1' });
    const authority = await createAuthority();
    const client = await createCertificate({ authority });
    const tls = { ...own, ca: authority.cert };
    const ca = file('ca.pem', own.cert);
    const shown = { client_cert: file('c.pem', client.cert), client_key: file('k.pem', client.key) };
    assert.deepEqual(await kinds((await start({ ca, ...shown }, { tls })).point), ['permit']);
    assert.deepEqual(await kinds((await start({ ca }, { tls })).point), ['unreachable']);
    const { point } = await start(shown, { tls });
    assert.deepEqual(await kinds(point), ['unreachable']);
    assert.match(point.problem() ?? '', /self-signed/);
  });
});

describe('gateway.decision_point', () => {
  const url = 'https://pdp.test';
  const refused: [string, Record<string, unknown>][] = [
    ['no address', {}],
    ['two addresses', { url, evaluation_url: `${url}/x` }],
    ['evaluations alone', { url, evaluations_url: `${url}/x` }],
    ['plain HTTP beyond loopback', { url: 'http://pdp.test' }],
    ['plain HTTP for the second', { evaluation_url: url, evaluations_url: 'http://pdp.test' }],
    ['a password in the address', { url: 'https://a:b@pdp.test' }],
    ['a query in the address', { url: 'https://pdp.test/?a=b' }],
    ['a secret in the file', { url, api_token: 's3cret' }],
    ['a failure mode that hides what it is', { url, on_failure: 'allow' }],
    ['an unknown key', { url, action: ['*'] }],
  ];
  for (const [title, section] of refused)
    it(`is refused with ${title}`, () => assert.equal(decisionPointSchema.safeParse(section).success, false));
  it('refuses by default while there is no answer', () =>
    assert.equal(decisionPointSchema.parse({ url }).on_failure, 'deny'));
});

describe('the gateway with a decision point', () => {
  const startGateway = async (
    section: Readonly<Record<string, unknown>> = {},
    options: Parameters<typeof startTestGateway>[0] = {},
  ): Promise<{ fake: FakeDecisionPoint; gateway: TestGateway }> => {
    const fake = await startFakeDecisionPoint();
    closing.push(() => fake.close());
    const gateway = await startTestGateway({
      ...options,
      config: { decision_point: { url: fake.url, cache_ms: 0, timeout_ms: 10_000, ...section } },
    });
    closing.push(() => gateway.close());
    return { fake, gateway };
  };
  const evaluations = (fake: FakeDecisionPoint): number =>
    fake.requests.filter(({ method }) => method === 'POST').length;
  const call = async (
    gateway: TestGateway,
    { path = '/v1/chat/completions', claims = {} }: { path?: string; claims?: Record<string, unknown> } = {},
  ): Promise<Response> =>
    fetch(`${gateway.url}${path}`, {
      headers: { authorization: `Bearer ${await gateway.mint(claims)}`, 'content-type': 'application/json' },
      ...(path.startsWith('/v1/models')
        ? {}
        : {
            method: 'POST',
            body: JSON.stringify({
              model: 'tiny-gpt2',
              messages: [{ role: 'user', content: 'a secret prompt' }],
            }),
          }),
    });
  const codeOf = async (answer: Response): Promise<string> =>
    ((await answer.json()) as { error: { code: string } }).error.code;
  const lastRecord = async (gateway: TestGateway): Promise<Record<string, unknown>> => {
    let found: Record<string, unknown> | undefined;
    await eventually('the request is recorded', () => {
      const lines = readdirSync(gateway.auditFolder)
        .filter((name) => name.endsWith('.jsonl'))
        .flatMap((name) => readFileSync(join(gateway.auditFolder, name), 'utf8').trim().split('\n'));
      const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const requests = records.map((each) => (each['record'] ?? each) as Record<string, unknown>);
      found = requests.findLast((each) => each['event'] === 'request');
      return found !== undefined;
    });
    return found ?? {};
  };

  it('forwards what both permit, and never tells the prompt', async () => {
    const { fake, gateway } = await startGateway();
    assert.equal((await call(gateway)).status, 200);
    assert.equal(evaluations(fake), 1);
    assert.ok(!JSON.stringify(fake.requests).includes('secret prompt'));
  });

  it('refuses what it denies, with its reason in the audit record alone', async () => {
    const { fake, gateway } = await startGateway();
    fake.decide = () => ({ decision: false, context: { reason: 'no contract for this team' } });
    const answer = await call(gateway);
    assert.equal(answer.status, 403);
    const text = await answer.text();
    assert.match(text, /access_denied/);
    assert.ok(!text.includes('contract'));
    const record = await lastRecord(gateway);
    assert.deepEqual(
      [record['decided_by'], record['reason'], record['code']],
      ['decision_point', 'decision_point no contract for this team', 'access_denied'],
    );
    assert.equal(gateway.upstream.requests.length, 0);
  });

  it('is not asked about what the policies refuse: it can take away, never give', async () => {
    const { fake, gateway } = await startGateway();
    assert.equal((await call(gateway, { claims: { roles: [] } })).status, 403);
    assert.equal(evaluations(fake), 0);
  });

  it('asks the caller for a better sign-in where it says so', async () => {
    const { fake, gateway } = await startGateway();
    fake.decide = () => ({ decision: false, context: { acr_values: 'gold' } });
    const answer = await call(gateway);
    assert.equal(answer.status, 401);
    assert.match(
      answer.headers.get('www-authenticate') ?? '',
      /insufficient_user_authentication.*acr_values="gold"/,
    );
  });

  it('takes models off the list', async () => {
    const { fake, gateway } = await startGateway();
    const ids = async (): Promise<string[]> =>
      ((await (await call(gateway, { path: '/v1/models' })).json()) as { data: { id: string }[] }).data.map(
        ({ id }) => id,
      );
    assert.deepEqual(await ids(), ['tiny-gpt2']);
    fake.decide = () => false;
    assert.deepEqual(await ids(), []);
    assert.equal((await call(gateway, { path: '/v1/models/tiny-gpt2' })).status, 404);
    fake.behave = { status: 503, body: '' };
    assert.equal((await call(gateway, { path: '/v1/models' })).status, 503);
  });

  it('is asked about the named actions and models alone', async () => {
    const other = await startGateway({ actions: ['admin.*'] });
    other.fake.behave = { status: 503, body: '' };
    assert.equal((await call(other.gateway)).status, 200);
    const model = await startGateway({ models: ['premium-*'] });
    model.fake.behave = { status: 503, body: '' };
    assert.equal((await call(model.gateway)).status, 200);
    assert.equal(evaluations(other.fake) + evaluations(model.fake), 0);
  });

  it('refuses with 503 while it does not answer, says so, and goes on when it is back', async () => {
    const { fake, gateway } = await startGateway();
    fake.behave = { status: 503, body: '' };
    const refused = await call(gateway);
    assert.deepEqual([refused.status, await codeOf(refused)], [503, 'decision_point_unavailable']);
    assert.ok(refused.headers.get('retry-after'));
    const ready = (await (await fetch(`${gateway.internalUrl}/readyz`)).json()) as {
      status: string;
      checks: { kind: string; problem: string | null }[];
    };
    assert.deepEqual(
      [ready.status, ready.checks.find(({ kind }) => kind === 'decision_point')?.problem],
      ['degraded', 'the answer is 503'],
    );
    assert.match(
      await (await fetch(`${gateway.internalUrl}/metrics`)).text(),
      /sallyport_authorization_questions_total\{of="decision_point",outcome="failed"\} 1/,
    );
    fake.behave = null;
    assert.equal((await call(gateway)).status, 200);
  });

  it('lets pass what the policies permit while it is out of reach, only where that is said, and never by a bad answer', async () => {
    const { fake, gateway } = await startGateway({ on_failure: 'insecurely_permit' });
    fake.behave = { status: 503, body: '' };
    assert.equal((await call(gateway)).status, 200);
    assert.equal((await call(gateway, { claims: { roles: [] } })).status, 403);
    for (const behave of [
      { status: 200, body: '{}' },
      { status: 400, body: '' },
      { status: 401, body: '' },
    ]) {
      fake.behave = behave;
      assert.equal((await call(gateway)).status, 503, behave.body);
    }
    fake.behave = { status: 200, body: '{"decision":false}' };
    assert.equal((await call(gateway)).status, 403);
  });
});
