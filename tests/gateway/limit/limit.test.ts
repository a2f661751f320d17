// The stage and the gate before authenticate, on real counters in process memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import { renderRefusal } from '../../../gateway/error-response.ts';
import type { Authorized, Limited, Received } from '../../../gateway/exchange.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { goDuration } from '../../../gateway/limit/headers.ts';
import { admit, countFailedAuthentication, limit } from '../../../gateway/limit/index.ts';
import { compileLimits, limitsSchema } from '../../../gateway/limit/limits-policy.ts';
import { createProcessStore } from '../../../gateway/limit/process-store.ts';
import type { LimitStore } from '../../../gateway/limit/store.ts';
import { received, type ReceivedParts } from '../../support/received.ts';

const policy = {
  limits: {
    long: { by: 'principal', requests: 3, window: '1m' },
    short: { by: 'principal', requests: 2, window: '2s' },
    address: { by: 'caller_address', requests: 2, window: '1m' },
  },
  failed_authentications: { requests: 2, window: '1m' },
};

const authorized = (
  store: LimitStore,
  limits: string[],
  parts: ReceivedParts & { principal?: string } = {},
): Authorized => {
  const request = received({
    ...parts,
    route: { limits, ...parts.route },
    services: { limitStore: store, ...parts.services },
    snapshot: { limits: compileLimits(limitsSchema.parse(policy)) },
  });
  const principal = {
    ...anonymousPrincipal(request.callerAddress),
    key: parts.principal ?? 'https://issuer alice',
  };
  return {
    ...request,
    principal,
    body: null,
    model: null,
    effective: {
      roles: new Set(),
      decidedBy: 'test',
      visibleModels: [],
      obligations: null,
      upstreamHeaders: [],
    },
  };
};

/** What the caller is told about trying again by itself. */
const shouldRetry = (refusal: GatewayError): string | undefined =>
  renderRefusal(refusal, { id: 'req_1', surface: 'openai', publicUrl: 'http://gateway', scopes: [] }).headers[
    'x-should-retry'
  ];

/** Whether it is thrown at once or rejected later. */
async function refusalOf(attempt: () => unknown): Promise<GatewayError> {
  let error: unknown = null;
  try {
    await attempt();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof GatewayError, 'expected a refusal');
  return error;
}

describe('the limit stage', () => {
  it('puts the headers of the limits on a permitted answer', async () => {
    const { reservation } = await limit(authorized(createProcessStore(), ['long']));
    assert.equal(reservation.headers['ratelimit-policy'], '"long";q=3;w=60');
    assert.match(reservation.headers['ratelimit'] ?? '', /^"long";r=2;t=(60|59)$/);
    assert.equal(reservation.headers['x-ratelimit-limit-requests'], '3');
    assert.equal(reservation.headers['x-ratelimit-remaining-requests'], '2');
    assert.match(reservation.headers['x-ratelimit-reset-requests'] ?? '', /^(1m0s|59s|60s)$/);
  });

  it('lists every limit, and tells OpenAI clients of the one with least left', async () => {
    const { reservation } = await limit(authorized(createProcessStore(), ['long', 'short']));
    assert.equal(reservation.headers['ratelimit-policy'], '"long";q=3;w=60, "short";q=2;w=2');
    assert.match(reservation.headers['ratelimit'] ?? '', /^"long";r=2;t=\d+, "short";r=1;t=\d$/);
    assert.equal(reservation.headers['x-ratelimit-limit-requests'], '2');
    assert.equal(reservation.headers['x-ratelimit-remaining-requests'], '1');
  });

  it('adds nothing on a route without limits', async () => {
    assert.deepEqual((await limit(authorized(createProcessStore(), []))).reservation.headers, {});
  });

  it('refuses beyond a long window and tells clients not to try again by themselves', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 3; count++) await limit(authorized(store, ['long']));
    const refusal = await refusalOf(() => limit(authorized(store, ['long'])));
    assert.equal(refusal.code, 'rate_limit_exceeded');
    assert.equal(refusal.reason, 'long');
    assert.ok(refusal.retryAfterSeconds !== undefined && refusal.retryAfterSeconds > 20);
    assert.equal(shouldRetry(refusal), 'false');
    assert.equal(refusal.headers?.['x-ratelimit-remaining-requests'], '0');
    assert.ok(Number(refusal.headers['retry-after-ms']) > 20_000);
    assert.match(refusal.publicMessage, /3 per 1m/);
  });

  it('refuses beyond a short window and lets clients wait', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 2; count++) await limit(authorized(store, ['short']));
    const refusal = await refusalOf(() => limit(authorized(store, ['short'])));
    assert.ok(refusal.retryAfterSeconds === 1 || refusal.retryAfterSeconds === 2);
    assert.equal(shouldRetry(refusal), undefined);
    assert.ok(Number(refusal.headers?.['retry-after-ms']) <= 2_000);
  });

  it('permits exactly the limit of 100 parallel requests', async () => {
    const store = createProcessStore();
    const attempts = Array.from({ length: 100 }, async () => limit(authorized(store, ['long'])));
    const settled = await Promise.allSettled(attempts);
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 3);
  });

  it('counts principals apart, also from one address', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 3; count++) await limit(authorized(store, ['long'], { principal: 'a' }));
    const other: Limited = await limit(authorized(store, ['long'], { principal: 'b' }));
    assert.equal(other.reservation.headers['x-ratelimit-remaining-requests'], '2');
  });

  it('counts one principal together, whatever the address', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 3; count++)
      await limit(authorized(store, ['long'], { callerAddress: `203.0.113.${count}` }));
    assert.equal(
      (await refusalOf(() => limit(authorized(store, ['long'], { callerAddress: '198.51.100.1' })))).code,
      'rate_limit_exceeded',
    );
  });

  it('counts an IPv6 network as one caller', async () => {
    const store = createProcessStore();
    await limit(authorized(store, ['address'], { callerAddress: '2001:db8::1' }));
    await limit(authorized(store, ['address'], { callerAddress: '2001:db8::2' }));
    assert.equal(
      (await refusalOf(() => limit(authorized(store, ['address'], { callerAddress: '2001:db8::3' })))).code,
      'rate_limit_exceeded',
    );
    await limit(authorized(store, ['address'], { callerAddress: '2001:db8:0:1::3' }));
  });

  it('counts anonymous callers by address although the limit says principal', async () => {
    const store = createProcessStore();
    const anonymous = (callerAddress: string): Authorized =>
      authorized(store, ['short'], {
        route: { anonymous: true },
        callerAddress,
        principal: `anonymous ${callerAddress}`,
      });
    await limit(anonymous('2001:db8::1'));
    await limit(anonymous('2001:db8::2'));
    assert.equal((await refusalOf(() => limit(anonymous('2001:db8::3')))).code, 'rate_limit_exceeded');
  });

  it('refuses rather than forget a limit that does not exist', async () => {
    assert.equal(
      (await refusalOf(() => limit(authorized(createProcessStore(), ['missing'])))).code,
      'internal_error',
    );
  });
});

describe('the gate before authenticate', () => {
  const request = (store: LimitStore, parts: ReceivedParts = {}): Received =>
    authorized(store, [], { headers: { authorization: 'Bearer bad' }, ...parts });

  it('listens to an address until it has failed too often', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 2; count++) {
      await admit(request(store));
      countFailedAuthentication(request(store), 'invalid_token');
    }
    const refusal = await refusalOf(() => admit(request(store)));
    assert.equal(refusal.code, 'rate_limit_exceeded');
    assert.equal(refusal.reason, 'failed_authentications');
    assert.equal(shouldRetry(refusal), 'false');
    assert.match(refusal.publicMessage, /2 failed authentications per 1m/);
  });

  it('does not let one address speak for another', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 5; count++) countFailedAuthentication(request(store), 'invalid_token');
    await admit(request(store, { callerAddress: '198.51.100.7' }));
  });

  it('counts an IPv6 network as one', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 2; count++)
      countFailedAuthentication(request(store, { callerAddress: `2001:db8::${count}` }), 'invalid_token');
    assert.equal(
      (await refusalOf(() => admit(request(store, { callerAddress: '2001:db8::ff' })))).code,
      'rate_limit_exceeded',
    );
  });

  it('does not count a request that brought no credential', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 5; count++)
      countFailedAuthentication(request(store, { headers: {} }), 'missing_credentials');
    await admit(request(store));
  });

  it('counts a client certificate that is no credential here', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 2; count++)
      countFailedAuthentication(request(store, { headers: {} }), 'invalid_token');
    assert.equal((await refusalOf(() => admit(request(store)))).code, 'rate_limit_exceeded');
  });

  it('counts a bad api-key as well', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 2; count++)
      countFailedAuthentication(request(store, { headers: { 'api-key': 'bad' } }), 'invalid_token');
    assert.equal((await refusalOf(() => admit(request(store)))).code, 'rate_limit_exceeded');
  });

  it('lets anonymous routes be, whose own limits count the address', async () => {
    const store = createProcessStore();
    for (let count = 0; count < 5; count++) countFailedAuthentication(request(store), 'invalid_token');
    await admit(request(store, { route: { anonymous: true } }));
  });

  it('refuses everything while the audit log cannot be written', async () => {
    const auditLog = {
      append: () => undefined,
      appendText: () => undefined,
      problem: () => 'the disk is full',
      close: () => Promise.resolve(),
    };
    for (const anonymous of [false, true]) {
      const refusal = await refusalOf(() =>
        admit(request(createProcessStore(), { services: { auditLog }, route: { anonymous } })),
      );
      assert.equal(refusal.code, 'audit_unavailable');
      assert.equal(refusal.definition.status, 503);
      assert.ok((refusal.retryAfterSeconds ?? 0) > 0);
    }
  });

  it('refuses while the store does not answer, and never throws when it cannot count', async () => {
    const down = (): Promise<never> =>
      Promise.reject(new GatewayError('limit_store_unavailable', { retryAfterSeconds: 1 }));
    const store: LimitStore = {
      kind: 'redis',
      adjust: () => Promise.resolve(),
      reserve: down,
      consume: down,
      countFailure: down,
      peek: down,
      problem: () => 'down',
      close: () => Promise.resolve(),
    };
    countFailedAuthentication(request(store), 'invalid_token');
    assert.equal((await refusalOf(() => admit(request(store)))).code, 'limit_store_unavailable');
    assert.equal((await refusalOf(() => limit(authorized(store, ['long'])))).code, 'limit_store_unavailable');
  });
});

describe('a Go duration', () => {
  for (const [milliseconds, text] of [
    [0, '0ms'],
    [120, '120ms'],
    [999.2, '1s'],
    [1_000, '1s'],
    [59_001, '1m0s'],
    [360_000, '6m0s'],
    [3_600_000, '1h0m0s'],
    [7_205_000, '2h0m5s'],
  ] as const) {
    it(`writes ${milliseconds} ms as ${text}`, () => assert.equal(goDuration(milliseconds), text));
  }
});
