// One record and one count for each request, whatever became of it, and nothing in them that should not be.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { GatewayError } from '../../../core/errors.ts';
import type { AuditLog } from '../../../gateway/accounting/audit-log.ts';
import { account, accountUnrouted } from '../../../gateway/accounting/index.ts';
import { createMetrics, type Metrics } from '../../../gateway/accounting/metrics.ts';
import type { Outcome, Received } from '../../../gateway/exchange.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import type { Services } from '../../../gateway/services.ts';
import { received } from '../../support/received.ts';

type AuditRecord = Readonly<Record<string, unknown>>;

function services(): { services: Services; records: AuditRecord[]; metrics: Metrics } {
  const records: AuditRecord[] = [];
  const auditLog: AuditLog = {
    append: (record) => void records.push(record),
    appendText: (members) => void records.push(JSON.parse(`{${members}}`) as AuditRecord),
    problem: () => null,
    close: () => Promise.resolve(),
  };
  const metrics = createMetrics();
  return {
    services: { auditLog, metrics, log: pino({ level: 'silent' }) } as unknown as Services,
    records,
    metrics,
  };
}

const alice = {
  ...anonymousPrincipal('203.0.113.9'),
  issuerName: 'embedded',
  key: 'https://issuer alice',
  clientId: 'cli',
  claims: { secret: 'claim-value' },
};

function accounted(
  outcome: Partial<Outcome>,
  status = 200,
  headers: Record<string, string> = {},
): { record: AuditRecord; metrics: Metrics } {
  const { services: deps, records, metrics } = services();
  const request = received({
    services: deps,
    outcome,
    headers: { authorization: 'Bearer access-token-text', ...headers },
  });
  request.response.writeHead(status);
  account(request);
  assert.equal(records.length, 1);
  return { record: records[0] ?? {}, metrics };
}

const series = async (metrics: Metrics, start: string): Promise<string[]> =>
  (await metrics.render()).body.split('\n').filter((line) => line.startsWith(start));

describe('accounting for a request', () => {
  it('records who did what, by which rule and policy, and what it cost', () => {
    const { record } = accounted({
      principal: alice,
      model: 'tiny-gpt2',
      decidedBy: 'roles.LLM.User',
      upstream: 'embedded',
      promptTokens: 12,
      completionTokens: 34,
      streamed: true,
      firstByteAt: performance.now() + 1,
    });
    const { first_byte_ms: firstByteMs, duration_ms: durationMs, ...rest } = record;
    assert.ok(Number.isFinite(firstByteMs) && Number.isFinite(durationMs));
    assert.deepEqual(rest, {
      event: 'request',
      at: '2026-11-18T11:06:40.000Z',
      request_id: 'req_01JD4Q7MZX2J5T8K9P3R6V0WYB',
      client_request_id: null,
      caller: '203.0.113.9',
      principal: 'https://issuer alice',
      issuer: 'embedded',
      client_id: 'cli',
      method: 'POST',
      route: 'chat.completions',
      action: 'chat.completions.create',
      model: 'tiny-gpt2',
      decided_by: 'roles.LLM.User',
      obliged_by: null,
      policy: 'd1e2',
      upstream: 'embedded',
      status: 200,
      code: 'ok',
      reason: null,
      streamed: true,
      aborted: false,
      prompt_tokens: 12,
      completion_tokens: 34,
    });
  });

  it('says of each request of one principal what was so in that request', () => {
    const { services: deps, records } = services();
    const first = received({
      services: deps,
      outcome: { principal: alice, model: 'tiny-gpt2', decidedBy: 'roles.A' },
    });
    first.response.writeHead(200);
    const changes: readonly (readonly [string, unknown, Partial<Outcome>, Partial<Received>])[] = [
      ['model', 'other', { model: 'other' }, {}],
      ['decided_by', 'rules.b', { decidedBy: 'rules.b' }, {}],
      ['obliged_by', ['rules.c'], { obligedBy: ['rules.c'] }, {}],
      ['upstream', 'far', { upstream: 'far' }, {}],
      ['streamed', true, { streamed: true }, {}],
      ['code', 'caller_gone', { aborted: true }, {}],
      ['reason', 'why', { refusal: new GatewayError('access_denied', { reason: 'why' }) }, {}],
      ['caller', '203.0.113.77', {}, { callerAddress: '203.0.113.77' }],
      ['policy', 'd9', {}, { snapshot: { ...first.snapshot, digest: 'd9' } }],
      ['route', 'other', {}, { route: { ...first.route, name: 'other' } }],
      ['prompt_tokens', 7, { promptTokens: 7 }, {}],
    ];
    for (const [member, value, outcome, parts] of changes) {
      account(first);
      account({ ...first, ...parts, outcome: { ...first.outcome, ...outcome } });
      account(first);
      const [before, changed, after] = records.splice(0);
      assert.deepEqual(changed?.[member], value, member);
      assert.notDeepEqual(before?.[member], value, member);
      assert.deepEqual(after?.[member], before?.[member], member);
    }
  });

  it('writes durations in milliseconds to three places', () => {
    const { services: deps, records } = services();
    const outcome = { principal: alice };
    for (const firstByteMs of [0, 0.0004, 0.001, 0.02, 0.3, 1, 1.0996, 12.34, 61_000.05])
      account({
        ...received({ services: deps, outcome: { ...outcome, firstByteAt: firstByteMs } }),
        startedAt: 0,
      });
    assert.deepEqual(
      records.map((record) => record['first_byte_ms']),
      [0, 0, 0.001, 0.02, 0.3, 1, 1.1, 12.34, 61_000.05],
    );
  });

  it('writes what a caller chose as ASCII, cut to a length', () => {
    const model = `\u202e"\u2028${'é'.repeat(300)}`;
    const { services: deps } = services();
    const texts: string[] = [];
    const auditLog = { ...deps.auditLog, appendText: (members: string) => void texts.push(members) };
    account(received({ services: { ...deps, auditLog }, outcome: { principal: alice, model } }));
    assert.match(texts.join(), /^[\x20-\x7e]+$/);
    const recorded = JSON.parse(`{${texts.join()}}`) as AuditRecord;
    assert.equal(recorded['model'], `${model.slice(0, 256)}…`);
  });

  it('records a refusal with its code and private reason', () => {
    const refusal = new GatewayError('invalid_token', { reason: 'kid_unknown' });
    const { record } = accounted({ refusal }, 401);
    assert.deepEqual(
      [record['status'], record['code'], record['reason'], record['principal']],
      [401, 'invalid_token', 'kid_unknown', null],
    );
  });

  it('records a caller that went away before there was an answer', () => {
    const { services: deps, records } = services();
    account(received({ services: deps, outcome: { aborted: true } }));
    assert.deepEqual(
      [records[0]?.['status'], records[0]?.['code'], records[0]?.['aborted']],
      [null, 'caller_gone', true],
    );
  });

  it("records an upstream's own refusal by its status", () => {
    assert.equal(accounted({}, 422).record['code'], 'http_422');
  });

  it('never records the credential or the claims', () => {
    const text = JSON.stringify(accounted({ principal: alice }).record);
    assert.doesNotMatch(text, /access-token-text|claim-value|Bearer/);
  });

  it("keeps a caller's own request id only when it looks like one", () => {
    assert.equal(
      accounted({}, 200, { 'x-client-request-id': 'abc-123' }).record['client_request_id'],
      'abc-123',
    );
    for (const odd of ['a b', 'x'.repeat(129), 'é', '']) {
      assert.equal(accounted({}, 200, { 'x-client-request-id': odd }).record['client_request_id'], null);
    }
  });

  it('cuts what a caller can make long', () => {
    const { record } = accounted(
      {
        model: 'm'.repeat(10_000),
        refusal: new GatewayError('model_not_found', { reason: 'r'.repeat(10_000) }),
      },
      404,
    );
    assert.ok(JSON.stringify(record).length < 2_000);
  });

  it('never throws, whatever fails below', () => {
    // Services without an audit log or metrics stand for every bug below.
    const deps = { log: pino({ level: 'silent' }) } as unknown as Services;
    account({ ...received(), services: deps });
    accountUnrouted(deps, {
      id: 'req_1',
      method: 'GET',
      status: 404,
      code: 'endpoint_not_found',
      callerAddress: 'x',
    });
  });

  it('records a request that reached no route', async () => {
    const { services: deps, records, metrics } = services();
    accountUnrouted(deps, {
      id: 'req_1',
      method: 'X'.repeat(1_000),
      status: 404,
      code: 'endpoint_not_found',
      callerAddress: '::1',
    });
    assert.equal(records.length, 1);
    assert.deepEqual(
      [records[0]?.['route'], records[0]?.['status'], records[0]?.['code']],
      [null, 404, 'endpoint_not_found'],
    );
    assert.ok(JSON.stringify(records[0]).length < 1_000);
    assert.deepEqual(await series(metrics, 'sallyport_refusals_total{'), [
      'sallyport_refusals_total{code="endpoint_not_found"} 1',
    ]);
  });
});

describe('the metrics', () => {
  it('count requests, model tokens and durations under names of a closed set', async () => {
    const { metrics } = accounted({
      principal: alice,
      model: 'tiny-gpt2',
      promptTokens: 3,
      completionTokens: 4,
      firstByteAt: performance.now() + 1,
    });
    const { body, contentType } = await metrics.render();
    assert.match(contentType, /^text\/plain/);
    for (const line of [
      'sallyport_requests_total{route="chat.completions",model="tiny-gpt2",code="ok"} 1',
      'sallyport_model_tokens_total{model="tiny-gpt2",type="prompt"} 3',
      'sallyport_model_tokens_total{model="tiny-gpt2",type="completion"} 4',
      'sallyport_request_duration_seconds_count{route="chat.completions"} 1',
      'sallyport_time_to_first_byte_seconds_count{route="chat.completions"} 1',
      'sallyport_policy_reloads_total{outcome="refused"} 0',
    ]) {
      assert.ok(body.includes(`${line}\n`), line);
    }
    assert.match(body, /sallyport_build_info\{version="[^"]+",digest=""\} 1/);
    assert.match(body, /process_cpu_seconds_total/);
  });

  it('grow no series for a model, subject or address that a caller chose', async () => {
    const { services: deps, metrics } = services();
    const count = async (): Promise<number> => (await metrics.render()).body.split('\n').length;
    account(received({ services: deps, outcome: { model: 'made-up-0', principal: alice } }));
    const before = await count();
    for (let number = 1; number < 50; number++) {
      const principal = { ...alice, key: `alice-${number}` };
      account(
        received({
          services: deps,
          outcome: { model: `made-up-${number}`, principal },
          callerAddress: `203.0.113.${number}`,
        }),
      );
    }
    assert.equal(await count(), before);
    assert.doesNotMatch((await metrics.render()).body, /made-up|alice|203\.0/);
  });

  it('say which issuer is ready and forget one that was removed', async () => {
    let names = ['embedded', 'contoso'];
    const metrics = createMetrics({
      issuers: () =>
        names.map((name) => ({
          name,
          issuer: `https://${name}`,
          metadataUrl: `https://${name}/.well-known/openid-configuration`,
          ready: name === 'embedded',
          problem: null,
          keyCount: 1,
          keysFetchedAt: null,
        })),
      digest: () => 'abc',
    });
    assert.deepEqual(await series(metrics, 'sallyport_issuer_ready{'), [
      'sallyport_issuer_ready{issuer="embedded"} 1',
      'sallyport_issuer_ready{issuer="contoso"} 0',
    ]);
    names = ['embedded'];
    assert.equal((await series(metrics, 'sallyport_issuer_ready{')).length, 1);
  });

  it('count reloads', async () => {
    const metrics = createMetrics();
    metrics.policyReloaded('refused');
    assert.deepEqual(await series(metrics, 'sallyport_policy_reloads_total{outcome="refused"'), [
      'sallyport_policy_reloads_total{outcome="refused"} 1',
    ]);
  });
});
