// RFC 9449 (DPoP) at the stage and the renderer: which proof lets a request through, and what the others are answered.
// P1 to P7 are the statements of the security reference.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import {
  authenticate,
  createDpopServices,
  type Authentication,
  type DpopServices,
} from '../../gateway/authenticate/index.ts';
import { createDpopNonces } from '../../gateway/authenticate/dpop-nonces.ts';
import { renderRefusal } from '../../gateway/error-response.ts';
import type { Received } from '../../gateway/exchange.ts';
import type { LimitStore } from '../../gateway/limit/store.ts';
import {
  createDpopKey,
  mintProof,
  thumbprintOf,
  type DpopTestKey,
  type ProofParts,
} from '../support/dpop-proof.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import { signCompact } from '../support/mint-access-token.ts';
import { authenticationOf, entryFor } from '../gateway/authenticate/authentication-under-test.ts';

const publicUrl = 'https://gateway.example';
const path = '/v1/models';
const url = `${publicUrl}${path}`;
const key = createDpopKey();
const otherKey = createDpopKey();

let issuer: FakeIssuer;
let authentication: Authentication;
let withNonce: Authentication;
let onlyBound: Authentication;
let services: DpopServices;

before(async () => {
  issuer = await startFakeIssuer();
  const compile = (dpop: Record<string, unknown>): Authentication =>
    authenticationOf({ embedded: entryFor(issuer.issuer, { dpop }) }, { now: Date.now }).authentication;
  authentication = compile({});
  withNonce = compile({ nonce: true });
  onlyBound = compile({ required: true });
  await Promise.all([authentication, withNonce, onlyBound].map((each) => each.start()));
  services = createDpopServices(createDpopNonces(Buffer.alloc(32, 7)));
});
after(async () => {
  for (const each of [authentication, withNonce, onlyBound]) each.close();
  await issuer.close();
});

interface Asked {
  readonly fields: readonly string[];
  readonly by?: Authentication;
  readonly requiresBoundToken?: boolean;
  /** Null: Node did not say. */
  readonly method?: null;
  readonly publicUrl?: string;
  readonly dpop?: DpopServices;
  readonly limitStore?: Partial<LimitStore>;
  readonly receivedAt?: number;
}

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly reason: string | undefined;
  readonly challenge: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** Sends one request through the stage; an accepted one answers 200. */
async function ask(asked: Asked): Promise<Answer> {
  const set: Record<string, unknown> = {};
  const by = asked.by ?? authentication;
  const exchange = {
    request: {
      rawHeaders: asked.fields,
      headers: {},
      method: asked.method === null ? undefined : 'GET',
      socket: {},
    },
    response: { setHeader: (name: string, value: string) => (set[name] = value) },
    target: { path, query: '' },
    route: { anonymous: false, requiresBoundToken: asked.requiresBoundToken ?? false },
    callerAddress: '192.0.2.1',
    receivedAt: asked.receivedAt ?? Date.now(),
    outcome: { principal: null },
    services: {
      publicUrl: asked.publicUrl ?? publicUrl,
      dpop: asked.dpop ?? services,
      limitStore: asked.limitStore ?? { kind: 'process' },
      revocations: { judge: () => undefined },
    },
    snapshot: { authentication: by, basic: null, clientCertificates: null },
  } as unknown as Received; // The stage reads no other part.
  try {
    await authenticate(exchange);
    return { status: 200, code: '', reason: undefined, challenge: '', headers: set, body: '' };
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(exchange.outcome.principal, null);
    const isDpop = /^dpop /i.test(asked.fields[1] ?? '');
    const { status, headers, body } = renderRefusal(error, {
      id: 'req_x',
      surface: 'openai',
      publicUrl,
      scopes: by.scopesSupported,
      presentedScheme: isDpop ? 'DPoP' : 'Bearer',
    });
    const challenge = headers['www-authenticate'] ?? '';
    return { status, headers, body, challenge, code: error.code, reason: error.reason };
  }
}

const boundTo = (holder: DpopTestKey, claims: Record<string, unknown> = {}): string =>
  issuer.mint({ cnf: { jkt: holder.jkt }, ...claims });

/** Fields of a good request but for the given parts of its proof. */
function fieldsWith(parts: Partial<ProofParts> = {}, accessToken = boundTo(key)): string[] {
  const proof = mintProof({ key, url, accessToken, ...parts });
  return ['Authorization', `DPoP ${accessToken}`, 'DPoP', proof];
}

const seconds = (offset: number): number => Math.floor(Date.now() / 1000) + offset;

describe('RFC 9449: a good proof', () => {
  it('lets a bound access token through, with the scheme in any letter case (RFC 9449 §7.1)', async () => {
    assert.equal((await ask({ fields: fieldsWith() })).status, 200);
    const [, credential = '', ...proof] = fieldsWith();
    assert.equal(
      (await ask({ fields: ['authorization', credential.replace('DPoP', 'dPOP'), ...proof] })).status,
      200,
    );
  });

  for (const alg of ['ES256', 'ES384', 'RS256', 'PS256', 'Ed25519', 'EdDSA']) {
    it(`P1 may be signed with ${alg}`, async () => {
      const holder = createDpopKey(alg);
      const fields = fieldsWith({ key: holder }, boundTo(holder));
      assert.equal((await ask({ fields })).status, 200);
    });
  }

  const spellings = [
    `${url}?limit=5`,
    `${url}#part`,
    'HTTPS://Gateway.EXAMPLE/v1/models',
    'https://gateway.example:443/v1/models',
    'https://gateway.example/v1/./x/../models',
    'https://gateway.example/v1/%6Dodels',
  ];
  for (const htu of spellings) {
    it(`P2 may spell its htu as ${htu} (RFC 9449 §4.3, RFC 3986 §6.2)`, async () => {
      assert.equal((await ask({ fields: fieldsWith({ claims: { htu } }) })).status, 200);
    });
  }

  it('P2 is for the public URL, also below a path of a proxy', async () => {
    const below = 'https://proxy.example/llm';
    const fields = fieldsWith({ url: `${below}${path}` });
    assert.equal((await ask({ fields, publicUrl: below })).status, 200);
  });

  it('P2 may be as old and as far ahead as the window allows', async () => {
    for (const offset of [-58, 28])
      assert.equal((await ask({ fields: fieldsWith({ claims: { iat: seconds(offset) } }) })).status, 200);
  });

  it('carries a nonce that nobody asked for without harm', async () => {
    assert.equal((await ask({ fields: fieldsWith({ claims: { nonce: 'from elsewhere' } }) })).status, 200);
  });

  it('leaves unbound access tokens as Bearer alone, whatever DPoP field comes along', async () => {
    const fields = ['Authorization', `Bearer ${issuer.mint()}`, 'DPoP', 'garbage'];
    assert.equal((await ask({ fields })).status, 200);
  });
});

type Refusal = readonly [title: string, fields: () => string[], reason: string];

describe('RFC 9449: a proof is refused with invalid_dpop_proof', () => {
  const withHeader = (header: Record<string, unknown>) => () => fieldsWith({ header });
  const withClaims = (claims: Record<string, unknown>) => () => fieldsWith({ claims });
  const withProof = (proof: string) => () => [...fieldsWith().slice(0, 3), proof];
  const rsaJwk = (bits: number): unknown => createDpopKey('RS256', bits).publicJwk;
  const privateJwk = key.privateKey.export({ format: 'jwk' });
  const twoProofs = (): string[] => {
    const [scheme = '', credential = '', name = '', proof = ''] = fieldsWith();
    return [scheme, credential, name, proof, 'dpop', proof];
  };
  const rsa = createDpopKey('RS256');
  const signedByRsa =
    (jwk: Record<string, unknown>, alg = 'RS256') =>
    () =>
      fieldsWith({ key: rsa, header: { alg, jwk: { ...rsa.publicJwk, ...jwk } } }, boundTo(rsa));

  const refusals: readonly Refusal[] = [
    ['P1 no DPoP field', () => fieldsWith().slice(0, 2), 'proof_missing'],
    ['P1 two DPoP fields, even the same proof', twoProofs, 'proof_doubled'],
    [
      'P1 two proofs in one field',
      () => fieldsWith().map((field, index) => (index === 3 ? `${field}, ${field}` : field)),
      'proof_form',
    ],
    ['P1 an empty field', withProof(''), 'proof_form'],
    ['P1 more than 8192 characters', withClaims({ padding: 'x'.repeat(8_192) }), 'proof_size'],
    ['P1 padding behind a part', withProof('e30=.e30.AA'), 'proof_form'],
    ['P1 spare bits in a part', withProof('e31.e30.AB'), 'proof_encoding'],
    ['P1 a header that is no JSON', withProof(signCompact('nonsense', {}, key)), 'proof_header_json'],
    [
      'P1 a header with a member twice',
      withProof(signCompact('{"typ":"dpop+jwt","typ":"dpop+jwt"}', {}, key)),
      'proof_header_json',
    ],
    [
      'P1 claims that are no object',
      withProof(signCompact({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.publicJwk }, '[]', key)),
      'proof_claims_json',
    ],
    ['P1 typ JWT', withHeader({ typ: 'JWT' }), 'proof_typ'],
    ['P1 typ at+jwt', withHeader({ typ: 'at+jwt' }), 'proof_typ'],
    ['P1 no typ', withHeader({ typ: undefined }), 'proof_typ'],
    ['P1 alg none', withHeader({ alg: 'none' }), 'proof_alg'],
    ['P1 alg HS256', withHeader({ alg: 'HS256' }), 'proof_alg'],
    ['P1 an alg that is not listed', withHeader({ alg: 'ES256K' }), 'proof_alg'],
    ['P1 no alg', withHeader({ alg: undefined }), 'proof_alg'],
    ['P1 crit', withHeader({ crit: ['exp'] }), 'proof_header_parameter'],
    ['P1 b64', withHeader({ b64: false }), 'proof_header_parameter'],
    [
      'P1 a key address instead of a key',
      withHeader({ jku: 'https://evil.example' }),
      'proof_header_parameter',
    ],
    ['P1 a certificate chain', withHeader({ x5c: ['AA'] }), 'proof_header_parameter'],
    ['P1 no jwk', withHeader({ jwk: undefined }), 'proof_jwk'],
    ['P1 a jwk that is null', withHeader({ jwk: null }), 'proof_jwk'],
    ['P1 a jwk that is a list', withHeader({ jwk: [key.publicJwk] }), 'proof_jwk'],
    ['P1 a private jwk', withHeader({ jwk: privateJwk }), 'proof_jwk'],
    ['P1 a symmetric jwk', withHeader({ jwk: { kty: 'oct', k: 'AAAA' } }), 'proof_jwk'],
    [
      'P1 a public jwk with one private member of another kind',
      withHeader({ jwk: { ...key.publicJwk, dp: '' } }),
      'proof_jwk',
    ],
    ['P1 a jwk on another curve', withHeader({ jwk: createDpopKey('ES384').publicJwk }), 'proof_jwk'],
    ['P1 an EC jwk that says OKP', withHeader({ jwk: { ...key.publicJwk, kty: 'OKP' } }), 'proof_jwk'],
    [
      'P1 an Ed25519 jwk that says EC',
      withHeader({ alg: 'Ed25519', jwk: { ...createDpopKey('Ed25519').publicJwk, kty: 'EC' } }),
      'proof_jwk',
    ],
    [
      'P1 a jwk without coordinate',
      withHeader({ jwk: { kty: 'EC', crv: 'P-256', x: key.publicJwk['x'] } }),
      'proof_jwk',
    ],
    [
      'P1 a coordinate that is no base64url',
      withHeader({ jwk: { ...key.publicJwk, x: 'a b' } }),
      'proof_jwk',
    ],
    ['P1 an RSA jwk that says EC', signedByRsa({ kty: 'EC' }), 'proof_jwk'],
    ['P1 an RSA key of 1024 bits', withHeader({ alg: 'RS256', jwk: rsaJwk(1024) }), 'proof_jwk'],
    ['P1 an RSA key of 8192 bits', signedByRsa({ n: '_'.repeat(1024) }), 'proof_jwk'],
    ['P1 an RSA key with a huge exponent', signedByRsa({ e: '_'.repeat(100) }), 'proof_jwk'],
    ['P2 htm of another method', withClaims({ htm: 'POST' }), 'proof_htm'],
    ['P2 htm in lower case', withClaims({ htm: 'get' }), 'proof_htm'],
    ['P2 no htm', withClaims({ htm: undefined }), 'proof_htm'],
    ['P2 htu of another path', withClaims({ htu: `${publicUrl}/v1/completions` }), 'proof_htu'],
    ['P2 htu with a slash behind', withClaims({ htu: `${url}/` }), 'proof_htu'],
    ['P2 htu in another letter case of the path', withClaims({ htu: `${publicUrl}/V1/models` }), 'proof_htu'],
    ['P2 htu of another host', withClaims({ htu: `https://evil.example${path}` }), 'proof_htu'],
    ['P2 htu over http', withClaims({ htu: `http://gateway.example${path}` }), 'proof_htu'],
    ['P2 htu at another port', withClaims({ htu: `https://gateway.example:8443${path}` }), 'proof_htu'],
    ['P2 htu with credentials', withClaims({ htu: `https://a:b@gateway.example${path}` }), 'proof_htu'],
    ['P2 htu with a user', withClaims({ htu: `https://:b@gateway.example${path}` }), 'proof_htu'],
    ['P2 htu with backslashes', withClaims({ htu: 'https:\\\\gateway.example\\v1\\models' }), 'proof_htu'],
    ['P2 htu with a blank behind', withClaims({ htu: `${url} ` }), 'proof_htu'],
    ['P2 htu with an encoded slash', withClaims({ htu: `${publicUrl}/v1%2Fmodels` }), 'proof_htu'],
    ['P2 htu that is a path', withClaims({ htu: path }), 'proof_htu'],
    ['P2 htu that is no address', withClaims({ htu: 'https://[/v1/models' }), 'proof_htu'],
    ['P2 no htu', withClaims({ htu: undefined }), 'proof_htu'],
    ['P2 iat too long ago', withClaims({ iat: seconds(-62) }), 'proof_iat'],
    ['P2 iat too far ahead', withClaims({ iat: seconds(33) }), 'proof_iat'],
    ['P2 iat as text', withClaims({ iat: String(seconds(0)) }), 'proof_iat'],
    ['P2 iat in milliseconds', withClaims({ iat: Date.now() }), 'proof_iat'],
    ['P2 no iat', withClaims({ iat: undefined }), 'proof_iat'],
    ['P2 no jti', withClaims({ jti: undefined }), 'proof_jti'],
    ['P2 an empty jti', withClaims({ jti: '' }), 'proof_jti'],
    ['P2 a jti of more than 256 characters', withClaims({ jti: 'x'.repeat(257) }), 'proof_jti'],
    ['P3 ath of another access token', withClaims({ ath: 'x'.repeat(43) }), 'proof_ath'],
    ['P3 no ath', withClaims({ ath: undefined }), 'proof_ath'],
    ['P4 another key than the one of the access token', () => fieldsWith({ key: otherKey }), 'proof_jkt'],
    [
      'P4 the right key in the header, signed by another',
      () => fieldsWith({ key: otherKey, header: { jwk: key.publicJwk } }),
      'proof_signature',
    ],
    [
      'a changed signature',
      () => fieldsWith().map((field, index) => (index === 3 ? field.replace(/.{4}$/, 'AAAA') : field)),
      'proof_signature',
    ],
    ['RSA signed with another algorithm than it says', signedByRsa({}, 'PS256'), 'proof_signature'],
  ];
  for (const [title, fields, reason] of refusals) {
    it(title, async () => {
      const answer = await ask({ fields: fields() });
      assert.equal(answer.reason, reason, answer.code);
      assert.equal(answer.code, 'invalid_dpop_proof');
      assert.equal(answer.status, 401);
      // RFC 9449 §7.1: the challenge has the scheme DPoP, the error and the algorithms.
      assert.match(answer.challenge, /^DPoP realm="sallyport", error="invalid_dpop_proof", .*algs="ES256 /);
    });
  }

  it('P1 a point that is not on its curve', async () => {
    const jwk = { ...key.publicJwk, y: key.publicJwk['x'] };
    const accessToken = issuer.mint({ cnf: { jkt: thumbprintOf(jwk) } });
    const answer = await ask({ fields: fieldsWith({ header: { jwk } }, accessToken) });
    assert.equal(answer.code, 'invalid_dpop_proof');
  });

  it('P2 a request whose method is not known', async () => {
    const exchange = { fields: fieldsWith({ claims: { htm: undefined } }), method: null };
    assert.equal((await ask(exchange)).reason, 'proof_htm');
  });

  it('P3 a proof made for another access token of the same key', async () => {
    const [proofFor, presented] = [boundTo(key), boundTo(key)];
    const proof = mintProof({ key, url, accessToken: proofFor });
    const answer = await ask({ fields: ['Authorization', `DPoP ${presented}`, 'DPoP', proof] });
    assert.equal(answer.reason, 'proof_ath');
  });

  it('a gateway that listens on a Unix socket and has no public URL', async () => {
    const answer = await ask({ fields: fieldsWith(), publicUrl: 'unix:run/gateway.sock' });
    assert.equal(answer.reason, 'proof_htu');
  });

  it('never with a word about why, and never with the proof in the answer', async () => {
    const answers = new Set<string>();
    for (const claims of [{ htm: 'POST' }, { ath: 'x' }, { iat: 1 }, { jti: '' }]) {
      const fields = fieldsWith({ claims });
      const { status, challenge, body, headers } = await ask({ fields });
      answers.add(`${status} ${challenge} ${body}`);
      assert.ok(!JSON.stringify([body, headers]).includes((fields[3] ?? '').slice(0, 20)));
    }
    assert.equal(answers.size, 1);
  });
});

describe('RFC 9449: replay', () => {
  it('P2 refuses a proof that was accepted before, also with another token text around it', async () => {
    const fields = fieldsWith();
    assert.equal((await ask({ fields })).status, 200);
    const again = await ask({ fields });
    assert.deepEqual([again.status, again.code, again.reason], [401, 'invalid_dpop_proof', 'proof_replayed']);
  });

  it('P2 refuses a jti that was used in another proof of the same key', async () => {
    const claims = { jti: randomUUID() };
    assert.equal((await ask({ fields: fieldsWith({ claims }) })).status, 200);
    assert.equal((await ask({ fields: fieldsWith({ claims }) })).reason, 'proof_replayed');
  });

  it('keeps the jti of different keys apart', async () => {
    const claims = { jti: randomUUID() };
    assert.equal((await ask({ fields: fieldsWith({ claims }) })).status, 200);
    const fields = fieldsWith({ key: otherKey, claims }, boundTo(otherKey));
    assert.equal((await ask({ fields })).status, 200);
  });

  it('lets exactly one of many simultaneous uses through', async () => {
    const fields = fieldsWith();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask({ fields })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  });

  it('does not remember a proof that was refused', async () => {
    const accessToken = boundTo(key);
    const jti = randomUUID();
    await ask({ fields: fieldsWith({ key: otherKey, claims: { jti } }, accessToken) });
    await ask({ fields: fieldsWith({ claims: { jti, ath: 'x' } }, accessToken) });
    assert.equal((await ask({ fields: fieldsWith({ claims: { jti } }, accessToken) })).status, 200);
  });

  it('asks the shared counters where several processes answer, and obeys them', async () => {
    const seen = new Set<string>();
    const shared: Partial<LimitStore> = {
      kind: 'cluster',
      consume: (_rule, used) => {
        const permitted = !seen.has(used);
        seen.add(used);
        return Promise.resolve({ permitted, remaining: 0, resetMs: 0, endMs: 0 });
      },
    };
    const fields = fieldsWith();
    const anotherProcess = createDpopServices(createDpopNonces(Buffer.alloc(32, 7)));
    assert.equal((await ask({ fields, limitStore: shared })).status, 200);
    const elsewhere = await ask({ fields, limitStore: shared, dpop: anotherProcess });
    assert.equal(elsewhere.reason, 'proof_replayed');
  });

  it('refuses where the shared counters are out of reach', async () => {
    const down: Partial<LimitStore> = {
      kind: 'redis',
      consume: () => Promise.reject(new GatewayError('limit_store_unavailable')),
    };
    assert.equal((await ask({ fields: fieldsWith(), limitStore: down })).status, 503);
  });
});

describe('RFC 9449: the access token', () => {
  it('P5 is refused as Bearer when it is bound, with and without its proof (RFC 9449 §7.2)', async () => {
    const [, credential = '', ...proof] = fieldsWith();
    for (const rest of [proof, []]) {
      const answer = await ask({
        fields: ['Authorization', credential.replace('DPoP', 'Bearer'), ...rest],
      });
      assert.deepEqual(
        [answer.status, answer.code, answer.reason],
        [401, 'invalid_token', 'bound_as_bearer'],
      );
      assert.match(answer.challenge, /^Bearer .*error="invalid_token".*, DPoP algs="/);
    }
  });

  it('P5 is refused as api-key when it is bound', async () => {
    const exchangePath = '/openai/models';
    const accessToken = boundTo(key);
    const exchange = {
      request: { rawHeaders: ['api-key', accessToken], method: 'GET', socket: {} },
      target: { path: exchangePath, query: '' },
      route: { anonymous: false, requiresBoundToken: false },
      receivedAt: Date.now(),
      outcome: { principal: null },
      snapshot: { authentication },
    } as unknown as Received; // The stage reads no other part.
    await assert.rejects(async () => authenticate(exchange), { code: 'invalid_token' });
  });

  it('is refused as DPoP when it is not bound (RFC 9449 §7.1)', async () => {
    const answer = await ask({ fields: fieldsWith({}, issuer.mint()) });
    assert.deepEqual([answer.code, answer.reason], ['invalid_token', 'unbound']);
    assert.match(answer.challenge, /^DPoP realm="sallyport", error="invalid_token".*algs="/);
  });

  it('is judged before its proof: a bad one costs no place in the memory', async () => {
    const answer = await ask({ fields: fieldsWith({}, boundTo(key, { exp: 1 })) });
    assert.deepEqual([answer.code, answer.reason], ['invalid_token', 'exp']);
  });

  it('is refused unbound where its issuer must bind it (dpop.required)', async () => {
    const bearer = ['Authorization', `Bearer ${issuer.mint()}`];
    assert.equal((await ask({ fields: bearer, by: onlyBound })).reason, 'unbound');
    const certificate = issuer.mint({ cnf: { 'x5t#S256': key.jkt } });
    const answer = await ask({ fields: ['Authorization', `Bearer ${certificate}`], by: onlyBound });
    assert.equal(answer.reason, 'unbound');
    assert.equal((await ask({ fields: fieldsWith(), by: onlyBound })).status, 200);
  });

  it('is refused unbound where the route requires a sender constraint', async () => {
    const answer = await ask({
      fields: ['Authorization', `Bearer ${issuer.mint()}`],
      requiresBoundToken: true,
    });
    assert.deepEqual([answer.status, answer.code, answer.reason], [401, 'invalid_token', 'unbound']);
    assert.equal((await ask({ fields: fieldsWith(), requiresBoundToken: true })).status, 200);
  });

  const confirmations: [string, unknown][] = [
    ['null', null],
    ['a text', 'x'],
    ['a list', [{ jkt: key.jkt }]],
    ['empty', {}],
    ['a key that is no thumbprint', { jwk: key.publicJwk }],
    ['a thumbprint beside a member that we do not know', { jkt: key.jkt, kid: 'x' }],
    ['a thumbprint that is too short', { jkt: key.jkt.slice(1) }],
    ['a thumbprint with spare bits', { jkt: `${key.jkt.slice(0, 42)}B` }],
    ['a thumbprint that is a number', { jkt: 1 }],
    ['a thumbprint that is null', { jkt: null }],
  ];
  for (const [title, cnf] of confirmations) {
    it(`is refused when its cnf is ${title} (RFC 7800 §3.1)`, async () => {
      const answer = await ask({ fields: fieldsWith({}, issuer.mint({ cnf })) });
      assert.deepEqual([answer.code, answer.reason], ['invalid_token', 'cnf']);
    });
  }

  it('is malformed without its text', async () => {
    for (const credential of ['DPoP', 'DPoP ', 'DPoP a b', 'dpop "x"'])
      assert.equal((await ask({ fields: ['Authorization', credential] })).code, 'invalid_request');
  });
});

describe('RFC 9449: nonces of the gateway', () => {
  it('P6 are asked for with use_dpop_nonce, and the answer brings one (RFC 9449 §9)', async () => {
    const answer = await ask({ fields: fieldsWith(), by: withNonce });
    assert.deepEqual([answer.status, answer.code, answer.reason], [401, 'use_dpop_nonce', 'nonce_missing']);
    assert.match(answer.challenge, /^DPoP realm="sallyport", error="use_dpop_nonce", .*algs="ES256 /);
    const nonce = answer.headers['dpop-nonce'];
    assert.equal(typeof nonce, 'string');
    const fields = fieldsWith({ claims: { nonce } });
    const accepted = await ask({ fields, by: withNonce });
    assert.equal(accepted.status, 200);
  });

  const step = 60_000;
  const at = (offset: number): number => Math.floor(Date.now() / step) * step + offset;

  it('P6 are good for one step more, and the answer then brings the next', async () => {
    const now = at(1_000);
    const nonce = services.nonces.current(now - step);
    const fields = fieldsWith({ now, claims: { nonce } });
    const answer = await ask({ fields, by: withNonce, receivedAt: now });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['dpop-nonce'], services.nonces.current(now));
  });

  const stale: [string, (now: number) => unknown][] = [
    ['two steps old', (now) => services.nonces.current(now - 2 * step)],
    ['of the future', (now) => services.nonces.current(now + step)],
    ['of another key', (now) => createDpopNonces(Buffer.alloc(32, 8)).current(now)],
    ['changed', (now) => services.nonces.current(now).replace(/^./, '.')],
    ['longer', (now) => `${services.nonces.current(now)}A`],
    ['empty', () => ''],
    ['a number', () => 1],
  ];
  for (const [title, nonceAt] of stale) {
    it(`P6 are refused when ${title}`, async () => {
      const now = at(1_000);
      const fields = fieldsWith({ now, claims: { nonce: nonceAt(now) } });
      const answer = await ask({ fields, by: withNonce, receivedAt: now });
      assert.deepEqual([answer.code, answer.reason], ['use_dpop_nonce', 'nonce_unknown']);
      assert.equal(answer.headers['dpop-nonce'], services.nonces.current(now));
    });
  }

  it('P6 do not excuse a bad proof', async () => {
    const nonce = services.nonces.current(Date.now());
    const answer = await ask({ fields: fieldsWith({ claims: { nonce, htm: 'POST' } }), by: withNonce });
    assert.equal(answer.reason, 'proof_htm');
  });
});

describe('RFC 9449: challenges', () => {
  it('offer DPoP beside Bearer to a request without credentials, without an error (RFC 9449 §7.1)', async () => {
    const { challenge } = await ask({ fields: [] });
    assert.match(challenge, /^Bearer realm="sallyport", resource_metadata="[^"]+", DPoP algs="ES256 [^"]+"$/);
  });

  it('name only algorithms with a public key', async () => {
    const { challenge } = await ask({ fields: [] });
    const algorithms = /algs="([^"]+)"/.exec(challenge)?.[1]?.split(' ') ?? [];
    assert.ok(algorithms.length > 0);
    for (const alg of algorithms) assert.match(alg, /^(ES|PS|RS|Ed)/);
  });
});
