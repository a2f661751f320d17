// RFC 6750 (Bearer tokens) at the stage and the renderer: which request gets which status, error and challenge.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import { authenticate, type Authentication } from '../../gateway/authenticate/index.ts';
import { renderRefusal } from '../../gateway/error-response.ts';
import type { Received } from '../../gateway/exchange.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import { authenticationOf, entryFor } from '../gateway/authenticate/authentication-under-test.ts';

let issuer: FakeIssuer;
let authentication: Authentication;

before(async () => {
  issuer = await startFakeIssuer();
  ({ authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) }, { now: Date.now }));
  await authentication.start();
});
after(async () => {
  authentication.close();
  await issuer.close();
});

interface Answer {
  readonly status: number;
  readonly challenge: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends one request through the stage; an accepted one answers 200. */
async function ask(fields: readonly string[], query = '', path = '/v1/models'): Promise<Answer> {
  const exchange = {
    request: { rawHeaders: fields },
    target: { path, query },
    route: { anonymous: false },
    callerAddress: '192.0.2.1',
    outcome: { principal: null },
    snapshot: { authentication, basic: null, clientCertificates: null },
  } as unknown as Received; // The stage reads no other part.
  try {
    await authenticate(exchange);
    return { status: 200, challenge: '', headers: {}, body: '' };
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    const context = {
      id: 'req_x',
      surface: 'openai',
      publicUrl: 'http://127.0.0.1:8080',
      scopes: authentication.scopesSupported,
    } as const;
    const { status, headers, body } = renderRefusal(error, context);
    return { status, headers, body, challenge: headers['www-authenticate'] ?? '' };
  }
}
const bearer = (accessToken: string): readonly string[] => ['Authorization', `Bearer ${accessToken}`];

describe('RFC 6750', () => {
  it('accepts a token in the Authorization field (RFC 6750 §2.1)', async () => {
    assert.equal((await ask(bearer(issuer.mint()))).status, 200);
  });

  it('compares the scheme without regard to case (RFC 9110 §11.1)', async () => {
    assert.equal((await ask(['authorization', `bearer ${issuer.mint()}`])).status, 200);
    assert.equal((await ask(['authorization', `BEARER ${issuer.mint()}`])).status, 200);
  });

  it('L1 answers 401 with a challenge without error when no credentials came (RFC 6750 §3.1)', async () => {
    for (const fields of [[], ['Authorization', 'Basic YTpi'], ['api-key', issuer.mint()]]) {
      const { status, challenge } = await ask(fields);
      assert.equal(status, 401);
      assert.match(challenge, /^Bearer realm="sallyport", resource_metadata="http:\/\/127/);
      assert.doesNotMatch(challenge, /error/);
    }
  });

  it('L2 answers 400 invalid_request to two credentials, two methods or a malformed field (RFC 6750 §3.1)', async () => {
    const accessToken = issuer.mint();
    const cases: [readonly string[], string, string][] = [
      [[...bearer(accessToken), ...bearer(accessToken)], '', '/v1/models'],
      [bearer(accessToken), `access_token=${accessToken}`, '/v1/models'],
      [[...bearer(accessToken), 'api-key', accessToken], '', '/openai/models'],
      [['Authorization', 'Bearer'], '', '/v1/models'],
      [['Authorization', `Bearer ${accessToken} x`], '', '/v1/models'],
    ];
    for (const [fields, query, path] of cases) {
      const { status, challenge } = await ask(fields, query, path);
      assert.equal(status, 400);
      assert.match(challenge, /error="invalid_request"/);
    }
  });

  it('L3 answers 401 invalid_token to a bad, expired or unknown token (RFC 6750 §3.1)', async () => {
    for (const accessToken of [
      'garbage',
      issuer.mint({ exp: 1 }),
      issuer.mint({ aud: 'x' }),
      issuer.mint({}, { kid: 'x' }),
    ]) {
      const { status, challenge } = await ask(bearer(accessToken));
      assert.equal(status, 401);
      assert.match(challenge, /error="invalid_token"/);
    }
  });

  it('L4 answers 403 insufficient_scope with the scope to a valid token that lacks it (RFC 6750 §3.1)', async () => {
    const { status, challenge } = await ask(bearer(issuer.mint({ scp: 'openid' })));
    assert.equal(status, 403);
    assert.match(challenge, /error="insufficient_scope".*scope="LLM\.Access"/);
  });

  it('L5 refuses a token in the query, also alone (RFC 6750 §2.3, RFC 9700 §4.3.2)', async () => {
    assert.equal((await ask([], `access_token=${issuer.mint()}`)).status, 400);
  });

  it('L7 forbids caches to keep a refusal (RFC 6750 §5.3)', async () => {
    assert.equal((await ask([])).headers['cache-control'], 'no-store');
  });

  it('L8 gives the same answer for every cause of 401', async () => {
    const answers = new Set<string>();
    for (const accessToken of [
      'garbage',
      issuer.mint({ exp: 1 }),
      issuer.mint({ iss: 'https://evil.example' }),
      issuer.mint({ aud: 'x' }),
      issuer.mint({ azp: 'x', client_id: 'x' }),
      issuer.mint({}, { alg: 'none' }),
      issuer.mint({}, { kid: 'x' }),
      issuer.mint({}, { typ: 'JWT' }),
      `${issuer.mint()}A`,
    ]) {
      const { status, body, challenge } = await ask(bearer(accessToken));
      answers.add(`${status} ${challenge} ${body}`);
    }
    assert.equal(answers.size, 1);
  });

  it('never repeats the token in an answer', async () => {
    const accessToken = issuer.mint({ exp: 1 });
    const { body, headers } = await ask(bearer(accessToken));
    assert.ok(!JSON.stringify([body, headers]).includes(accessToken.slice(0, 20)));
  });
});
