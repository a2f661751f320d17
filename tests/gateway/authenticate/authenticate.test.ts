// The stage itself: which field carries the credential, and what becomes of the exchange.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import { authenticate } from '../../../gateway/authenticate/index.ts';
import type { Received } from '../../../gateway/exchange.ts';
import { anonymousPrincipal, type Principal } from '../../../gateway/principal.ts';
import { assertRefused } from './authentication-under-test.ts';

interface Case {
  readonly headers?: readonly string[];
  readonly path?: string;
  readonly query?: string;
  readonly anonymous?: boolean;
  /** What is kept of the access token. */
  readonly known?: Principal | null;
  readonly verify?: (accessToken: string) => Principal | Promise<Principal>;
}

const principal = anonymousPrincipal('verified');

/** The parts of an exchange that the stage reads; `seen` lists the access tokens it asked about. */
function received({
  headers = [],
  path = '/v1/models',
  query = '',
  anonymous = false,
  known = null,
  verify = () => principal,
}: Case) {
  const seen: string[] = [];
  const exchange = {
    request: { rawHeaders: ['Host', 'x', ...headers, 'Accept', '*/*'] },
    target: { path, query },
    route: { anonymous },
    callerAddress: '192.0.2.1',
    outcome: { principal: null },
    snapshot: {
      basic: null,
      clientCertificates: null,
      authentication: {
        seen: () => known,
        verify: (accessToken: string) => {
          seen.push(accessToken);
          return verify(accessToken);
        },
      },
    },
  };
  return { exchange: exchange as unknown as Received, seen };
}

describe('authenticate', () => {
  it('fills the same exchange in place, at once for a token seen before', () => {
    const { exchange, seen } = received({ headers: ['Authorization', 'Bearer abc.def-ghi_~+/=='] });
    const authenticated = authenticate(exchange);
    assert.ok(!(authenticated instanceof Promise));
    assert.equal(authenticated, exchange);
    assert.equal(authenticated.principal, principal);
    assert.equal(exchange.outcome.principal, principal);
    assert.deepEqual(seen, ['abc.def-ghi_~+/==']);
  });

  it('asks for no verification where the access token is kept', () => {
    const kept = anonymousPrincipal('kept');
    const { exchange, seen } = received({ headers: ['Authorization', 'Bearer a'], known: kept });
    assert.equal(authenticate(exchange), exchange);
    assert.equal(exchange.outcome.principal, kept);
    assert.deepEqual(seen, []);
  });

  it('waits where the token has to be verified', async () => {
    const { exchange } = received({ headers: ['Authorization', 'Bearer a'], verify: async () => principal });
    const answer = authenticate(exchange);
    assert.ok(answer instanceof Promise);
    assert.equal(exchange.outcome.principal, null);
    assert.equal(await answer, exchange);
    assert.equal(exchange.outcome.principal, principal);
  });

  it('passes on the refusal, at once or later, and leaves no principal behind', async () => {
    const refusal = new GatewayError('invalid_token', { reason: 'exp' });
    for (const verify of [() => Promise.reject(refusal), () => assert.fail(refusal)]) {
      const { exchange } = received({ headers: ['Authorization', 'Bearer a'], verify });
      await assertRefused(() => authenticate(exchange), 'invalid_token', 'exp');
      assert.equal(exchange.outcome.principal, null);
    }
  });

  const acceptances: [string, Case, string][] = [
    [
      'the scheme in any letter case (RFC 6750 §2.1, RFC 9110 §11.1)',
      { headers: ['authorization', 'bEARER abc'] },
      'abc',
    ],
    ['the field name in any letter case', { headers: ['AUTHORIZATION', 'Bearer abc'] }, 'abc'],
    ['several blanks after the scheme', { headers: ['Authorization', 'Bearer   abc'] }, 'abc'],
    [
      'api-key under /openai/',
      { headers: ['Api-Key', 'abc'], path: '/openai/deployments/x/completions' },
      'abc',
    ],
    [
      'Authorization under /openai/',
      { headers: ['Authorization', 'Bearer abc'], path: '/openai/v1/models' },
      'abc',
    ],
    ['a query of other names', { headers: ['Authorization', 'Bearer abc'], query: 'limit=5' }, 'abc'],
    [
      'a query without a credential',
      { headers: ['Authorization', 'Bearer abc'], query: 'api-version=2024-10-21&x=access' },
      'abc',
    ],
    [
      'a query whose value only mentions it',
      { headers: ['Authorization', 'Bearer abc'], query: 'q=%61ccess_token' },
      'abc',
    ],
  ];
  for (const [title, parts, expected] of acceptances) {
    it(`takes ${title}`, async () => {
      const { exchange, seen } = received(parts);
      await authenticate(exchange);
      assert.deepEqual(seen, [expected]);
    });
  }

  const missing: [string, Case][] = [
    ['no field', {}],
    ['another scheme', { headers: ['Authorization', 'Basic YTpi'] }],
    ['another scheme alone', { headers: ['Authorization', 'Negotiate'] }],
    ['a scheme that begins like DPoP', { headers: ['Authorization', 'DPoPX abc'] }],
    ['a scheme that begins like Bearer', { headers: ['Authorization', 'BearerToken abc'] }],
    ['a bare token without scheme', { headers: ['Authorization', 'eyJhbGciOiJSUzI1NiJ9.e30.abc'] }],
    ['api-key elsewhere than under /openai/', { headers: ['api-key', 'abc'] }],
    [
      'api-key under a path that begins like /openai/',
      { headers: ['api-key', 'abc'], path: '/openai2/models' },
    ],
    ['api-key under /openai itself', { headers: ['api-key', 'abc'], path: '/openai' }],
    ['x-api-key', { headers: ['x-api-key', 'abc'] }],
    ['a cookie', { headers: ['cookie', 'access_token=abc'] }],
    ['Proxy-Authorization', { headers: ['Proxy-Authorization', 'Bearer abc'] }],
  ];
  for (const [title, parts] of missing) {
    it(`counts ${title} as no credential`, async () => {
      const { exchange, seen } = received(parts);
      await assertRefused(() => authenticate(exchange), 'missing_credentials', 'no_credentials');
      assert.deepEqual(seen, []);
    });
  }

  const malformed: [string, Case, string][] = [
    [
      'two Authorization fields',
      { headers: ['Authorization', 'Bearer a', 'authorization', 'Bearer b'] },
      'two_credentials',
    ],
    [
      'two equal Authorization fields',
      { headers: ['Authorization', 'Bearer a', 'Authorization', 'Bearer a'] },
      'two_credentials',
    ],
    [
      'Bearer beside Basic in two fields',
      { headers: ['Authorization', 'Bearer a', 'Authorization', 'Basic b'] },
      'two_credentials',
    ],
    [
      'two api-key fields',
      { headers: ['api-key', 'a', 'api-key', 'b'], path: '/openai/models' },
      'two_credentials',
    ],
    [
      'api-key beside Authorization',
      { headers: ['api-key', 'a', 'Authorization', 'Bearer a'], path: '/openai/models' },
      'two_credentials',
    ],
    [
      'api-key beside Authorization elsewhere',
      { headers: ['api-key', 'a', 'Authorization', 'Bearer a'] },
      'two_credentials',
    ],
    ['Bearer without a token', { headers: ['Authorization', 'Bearer'] }, 'malformed_credentials'],
    ['Bearer and a blank', { headers: ['Authorization', 'Bearer '] }, 'malformed_credentials'],
    ['Bearer and a tab', { headers: ['Authorization', 'Bearer\tabc'] }, 'malformed_credentials'],
    ['DPoP without a token', { headers: ['Authorization', 'DPoP'] }, 'malformed_credentials'],
    ['DPoP and a tab', { headers: ['Authorization', 'DPoP\tabc'] }, 'malformed_credentials'],
    [
      'DPoP beside Bearer in two fields',
      { headers: ['Authorization', 'DPoP a', 'Authorization', 'Bearer b'] },
      'two_credentials',
    ],
    ['two words', { headers: ['Authorization', 'Bearer a b'] }, 'malformed_credentials'],
    [
      'two credentials in one field',
      { headers: ['Authorization', 'Bearer a, Bearer b'] },
      'malformed_credentials',
    ],
    ['a quoted token', { headers: ['Authorization', 'Bearer "abc"'] }, 'malformed_credentials'],
    ['padding in the middle', { headers: ['Authorization', 'Bearer a=b'] }, 'malformed_credentials'],
    ['a character beyond ASCII', { headers: ['Authorization', 'Bearer abcé'] }, 'malformed_credentials'],
    ['an empty field', { headers: ['Authorization', ''] }, 'malformed_credentials'],
    ['no scheme at all', { headers: ['Authorization', '"abc"'] }, 'malformed_credentials'],
    [
      'an api-key with a blank',
      { headers: ['api-key', 'a b'], path: '/openai/models' },
      'malformed_credentials',
    ],
    ['an empty api-key', { headers: ['api-key', ''], path: '/openai/models' }, 'malformed_credentials'],
    ['access_token in the query (RFC 9700 §4.3.2)', { query: 'access_token=abc' }, 'credentials_in_query'],
    [
      'access_token in the query beside a good field',
      { headers: ['Authorization', 'Bearer a'], query: 'a=1&access_token=abc' },
      'credentials_in_query',
    ],
    ['an empty access_token in the query', { query: 'access_token' }, 'credentials_in_query'],
    ['access_token in the query, escaped', { query: 'access%5Ftoken=abc' }, 'credentials_in_query'],
    [
      'access_token in the query, wholly escaped',
      { query: '%61%63%63%65%73%73_token=abc' },
      'credentials_in_query',
    ],
    ['Access_Token in the query', { query: 'Access_Token=abc' }, 'credentials_in_query'],
  ];
  for (const [title, parts, reason] of malformed) {
    it(`refuses ${title}`, async () => {
      const { exchange, seen } = received(parts);
      await assertRefused(() => authenticate(exchange), 'invalid_request', reason);
      assert.deepEqual(seen, []);
    });
  }

  it('reads no credential on an anonymous route', async () => {
    for (const headers of [
      [],
      ['Authorization', 'Bearer a', 'Authorization', 'Bearer b'],
      ['Authorization', 'garbage "'],
    ]) {
      const { exchange, seen } = received({ headers, anonymous: true });
      const authenticated = await authenticate(exchange);
      assert.equal(authenticated, exchange);
      assert.equal(authenticated.principal.key, 'anonymous 192.0.2.1');
      assert.equal(exchange.outcome.principal, authenticated.principal);
      assert.deepEqual(seen, []);
    }
  });
});
