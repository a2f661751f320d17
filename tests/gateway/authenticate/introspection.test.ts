// Opaque tokens of issuers that are asked (RFC 7662): which credential goes where, how the gateway proves who it is, how
// long an answer counts, and what random credentials and an issuer that is down cost.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { issuersSchema } from '../../../gateway/authenticate/index.ts';
import { Circuit } from '../../../gateway/authenticate/introspection/circuit.ts';
import {
  checkIntrospection,
  isJwtShaped,
} from '../../../gateway/authenticate/introspection/compile-introspection.ts';
import { startFakeIdentity, type FakeIdentity } from '../../support/fake-identity.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import { testAudience, testClientId } from '../../support/mint-access-token.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  verified,
  type UnderTest,
} from './authentication-under-test.ts';

let folder: string;
let issuer: FakeIssuer;
let endpoint: FakeIdentity;
let serial = 0;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-introspection-'));
  writeFileSync(join(folder, 'secret'), 'p:ss wörd\n');
  issuer = await startFakeIssuer();
  endpoint = await startFakeIdentity();
  issuer.setMetadata({ introspection_endpoint: `${endpoint.url}/introspect` });
});
after(async () => {
  await Promise.all([issuer.close(), endpoint.close()]);
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => endpoint.fail(false));

const introspection = (extra: object = {}): object => ({
  client_id: 'gateway:1',
  client_secret: `file:${join(folder, 'secret')}`,
  ...extra,
});

function underTest(extra: object = {}, deps: Parameters<typeof authenticationOf>[1] = {}): UnderTest {
  return authenticationOf({ other: entryFor(issuer.issuer, { introspection: introspection(extra) }) }, deps);
}

/** An opaque token that the endpoint knows. */
function opaque(members: object = {}): string {
  const credential = `opaque-${++serial}`;
  endpoint.know(credential, {
    active: true,
    iss: issuer.issuer,
    sub: 'alice',
    client_id: testClientId,
    aud: testAudience,
    scope: 'openid LLM.Access',
    roles: ['LLM.User'],
    ...members,
  });
  return credential;
}

describe('an opaque token', () => {
  it('is looked up at the endpoint of the metadata, with Basic credentials that are form-encoded (RFC 6749 §2.3.1)', async () => {
    const { authentication } = underTest();
    const principal = await verified(authentication, opaque({ jti: 'id-7', iat: 1_000, exp: undefined }));
    assert.deepEqual(
      [principal.key, [...principal.scopes]],
      [`${issuer.issuer} alice`, ['openid', 'LLM.Access']],
    );
    assert.deepEqual(principal.credential, { kind: 'access_token', id: 'id-7', issuedAt: 1_000 });
    assert.equal(principal.expiresAt, Number.POSITIVE_INFINITY);
    const { authorization } = endpoint.forms.at(-1) ?? {};
    assert.equal(
      Buffer.from(authorization?.slice('Basic '.length) ?? '', 'base64').toString(),
      'gateway%3A1:p%3Ass+w%C3%B6rd',
    );
  });

  it('is looked up with client_secret_post where the entry says so', async () => {
    const { authentication } = underTest({ client_authentication: 'client_secret_post' });
    await verified(authentication, opaque());
    const { form, authorization } = endpoint.forms.at(-1) ?? {};
    assert.equal(authorization, undefined);
    assert.deepEqual([form?.get('client_id'), form?.get('client_secret')], ['gateway:1', 'p:ss wörd']);
  });

  it('may be bound to a DPoP key or a certificate, and then never counts without', async () => {
    const { authentication } = underTest();
    const jkt = 'A'.repeat(43);
    const principal = await verified(authentication, opaque({ token_type: 'DPoP', cnf: { jkt } }));
    assert.equal(principal.binding?.jkt, jkt);
  });

  it('is refused unbound where the entry requires DPoP', async () => {
    const { authentication } = authenticationOf({
      other: entryFor(issuer.issuer, { introspection: introspection(), dpop: { required: true } }),
    });
    await assertRefused(() => verified(authentication, opaque()), 'invalid_token', 'unbound');
  });

  it('of Hydra is known by its use', async () => {
    const { authentication } = underTest();
    await verified(authentication, opaque({ token_use: 'access_token', token_type: 'Bearer' }));
    await assertRefused(
      () => verified(authentication, opaque({ token_use: 'refresh_token' })),
      'invalid_token',
      'not_an_access_token',
    );
  });

  it('is refused when it is longer than any', async () => {
    await assertRefused(
      () => verified(underTest().authentication, 'o'.repeat(4_097)),
      'invalid_token',
      'token_size',
    );
  });
});

describe('an answer', () => {
  it('counts for cache, then is asked for anew', async () => {
    const { authentication, clock } = underTest({ cache: '30s' });
    const credential = opaque();
    const count = (): number => endpoint.lookups.filter((each) => each === credential).length;
    await verified(authentication, credential);
    clock.advance(29_999);
    await verified(authentication, credential);
    assert.equal(count(), 1);
    clock.advance(1);
    endpoint.know(credential, { active: false });
    await assertRefused(() => verified(authentication, credential), 'invalid_token', 'inactive');
    assert.equal(count(), 2);
  });

  it('never counts past exp (RFC 7662 §4)', async () => {
    const { authentication, clock } = underTest({ cache: '5m' });
    const credential = opaque({ exp: Math.floor(clock.wallMs / 1_000) + 10 });
    await verified(authentication, credential);
    endpoint.know(credential, { active: false });
    clock.advance(10_000);
    await assertRefused(() => verified(authentication, credential), 'invalid_token', 'inactive');
  });

  it('is not kept with cache: 0s', async () => {
    const { authentication } = underTest({ cache: '0s' });
    const credential = opaque();
    await verified(authentication, credential);
    await verified(authentication, credential);
    assert.equal(endpoint.lookups.filter((each) => each === credential).length, 2);
  });

  it('that refuses is believed for negative_cache', async () => {
    const { authentication, clock } = underTest({ negative_cache: '5s' });
    const credential = opaque({ active: false });
    await assertRefused(() => verified(authentication, credential), 'invalid_token', 'inactive');
    endpoint.know(credential, {
      active: true,
      iss: issuer.issuer,
      sub: 'a',
      client_id: testClientId,
      aud: testAudience,
      scope: 'LLM.Access',
    });
    await assertRefused(() => verified(authentication, credential), 'invalid_token', 'inactive');
    clock.advance(5_000);
    await verified(authentication, credential);
  });

  it('is not pushed out by credentials that nobody knows', async () => {
    const { authentication } = underTest();
    const credential = opaque();
    await verified(authentication, credential);
    for (let index = 0; index < 300; index++)
      await assertRefused(() => verified(authentication, `random-${index}`), 'invalid_token', 'inactive');
    await verified(authentication, credential);
    assert.equal(endpoint.lookups.filter((each) => each === credential).length, 1);
  });

  it('falls to half a second while the feed of its issuer is lost', async () => {
    const state = { isLost: false };
    const { authentication, clock } = underTest(
      {},
      {
        revocations: {
          generation: 0,
          judgeSigned: () => undefined,
          isRevoked: () => false,
          isFeedLost: () => state.isLost,
        },
      },
    );
    const credential = opaque();
    await verified(authentication, credential);
    clock.advance(10_000);
    await verified(authentication, credential);
    state.isLost = true;
    endpoint.know(credential, { active: false });
    await assertRefused(() => verified(authentication, credential), 'invalid_token', 'inactive');
  });
});

describe('a JWT', () => {
  it('is not sent anywhere, whatever is wrong with it', async () => {
    const { authentication } = underTest();
    const before = endpoint.lookups.length;
    await verified(authentication, issuer.mint());
    for (const jwt of [
      `${issuer.mint()}x`,
      'a.b.c',
      '..',
      'a.b.c.d.e',
      issuer.mint({ iss: 'https://evil.example' }),
    ])
      await assertRefused(() => verified(authentication, jwt), 'invalid_token');
    assert.equal(endpoint.lookups.length, before);
  });

  it('is looked up as well with also_jwt, once it is valid by itself, and must be active', async () => {
    const { authentication } = underTest({ also_jwt: true, cache: '0s' });
    const jwt = issuer.mint({ sub: 'alice' });
    await assertRefused(() => verified(authentication, jwt), 'invalid_token', 'inactive');
    endpoint.know(jwt, {
      active: true,
      sub: 'alice',
      client_id: testClientId,
      aud: testAudience,
      scope: 'LLM.Access',
      exp: 4_000_000_000,
    });
    const fresh = underTest({ also_jwt: true });
    assert.equal((await verified(fresh.authentication, jwt)).subject, 'alice');
    endpoint.know(jwt, {
      active: true,
      sub: 'bob',
      client_id: testClientId,
      aud: testAudience,
      scope: 'LLM.Access',
    });
    fresh.clock.advance(31_000);
    await assertRefused(() => verified(fresh.authentication, jwt), 'invalid_token', 'sub');
    const before = endpoint.lookups.length;
    await assertRefused(
      () => verified(fresh.authentication, issuer.mint({ aud: 'other' })),
      'invalid_token',
      'aud',
    );
    assert.equal(endpoint.lookups.length, before, 'what is bad by itself is not sent');
  });

  it('is known by its dots', () => {
    for (const [credential, isJwt] of [
      ['a.b.c', true],
      ['..', true],
      ['a.b.c.d.e', true],
      ['a', false],
      ['a.b', false],
      ['a.b.c.d', false],
      ['a.b.c.d.e.f', false],
    ] as const)
      assert.equal(isJwtShaped(credential), isJwt, credential);
  });
});

describe('an issuer that cannot be asked', () => {
  it('is a 503, and after three failures asked only once after each pause', async () => {
    const { authentication, clock, logLines } = underTest();
    endpoint.fail(true);
    const before = endpoint.lookups.length;
    for (let index = 0; index < 10; index++)
      await assertRefused(
        () => verified(authentication, opaque()),
        'issuer_unavailable',
        'introspection_unavailable',
      );
    assert.equal(endpoint.lookups.length - before, 3);
    clock.advance(600);
    const trials = await Promise.allSettled([1, 2, 3].map(() => verified(authentication, opaque())));
    assert.ok(trials.every(({ status }) => status === 'rejected'));
    assert.equal(endpoint.lookups.length - before, 4);
    assert.match(String(authentication.status()[0]?.introspectionProblem), /the answer is 500$/);
    endpoint.fail(false);
    clock.advance(20_000);
    await verified(authentication, opaque());
    assert.equal(authentication.status()[0]?.introspectionProblem, null);
    assert.equal(logLines.filter(({ msg }) => String(msg).includes('cannot be asked')).length, 1);
    assert.doesNotMatch(JSON.stringify(logLines), /opaque-|p:ss/);
  });

  it('is not what one odd credential makes of it', async () => {
    const { authentication } = underTest();
    for (let index = 0; index < 5; index++) {
      const odd = `odd-${++serial}`;
      endpoint.know(
        odd,
        (response) => void response.writeHead(400, { 'content-type': 'application/json' }).end('{}'),
      );
      await assertRefused(() => verified(authentication, odd), 'issuer_unavailable');
    }
    await verified(authentication, opaque());
  });

  for (const [title, members] of [
    ['names another issuer', { issuer: 'https://evil.example' }],
    ['has no introspection endpoint', { introspection_endpoint: undefined }],
    ['has an endpoint that is no address', { introspection_endpoint: 'nowhere' }],
    ['sends the credential over plain HTTP', { introspection_endpoint: 'http://192.0.2.1/introspect' }],
  ] as const) {
    it(`because its metadata ${title}: 503`, async () => {
      issuer.setMetadata(members);
      try {
        await assertRefused(() => verified(underTest().authentication, opaque()), 'issuer_unavailable');
      } finally {
        issuer.setMetadata({ introspection_endpoint: `${endpoint.url}/introspect` });
      }
    });
  }

  it('because the secret is not there: 503, and the word of it is in /readyz without the secret', async () => {
    const { authentication } = underTest({ client_secret: 'file:/nowhere/secret' });
    await assertRefused(() => verified(authentication, opaque()), 'issuer_unavailable');
    assert.match(String(authentication.status()[0]?.introspectionProblem), /secret file/);
  });

  it('because it is embedded and its address is not set: 503', async () => {
    const { authentication } = authenticationOf(
      { embedded: entryFor('embedded', { introspection: { token_prefixes: ['sp_'] } }) },
      { embeddedIssuer: issuer.issuer },
    );
    await assertRefused(() => verified(authentication, 'sp_x'), 'issuer_unavailable');
    await assertRefused(() => verified(authentication, 'other'), 'invalid_token', 'token_form');
  });

  it('keeps places for credentials that were good before', async () => {
    const circuit = new Circuit(() => 0, { maxInFlight: 3, reserved: 1 });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const asked = [false, false, false, true, true].map((isKnown) => circuit.pass(isKnown, () => held));
    assert.deepEqual(
      asked.map((each) => each !== null),
      [true, true, false, true, false],
    );
    release();
    for (const each of asked) await each;
    assert.notEqual(
      circuit.pass(false, () => Promise.resolve()),
      null,
    );
  });
});

describe('issuers.yaml', () => {
  const entry = (extra: object): object => ({
    issuer: 'https://a.example',
    audiences: ['x'],
    client_ids: ['y'],
    ...extra,
  });
  for (const [title, bad] of [
    [
      'entra',
      {
        issuer: undefined,
        entra: { tenant_id: '3f6c0000-0000-4000-8000-00000000000a' },
        introspection: introspection(),
      },
    ],
    ['no client id', { introspection: { client_secret: 'env:X' } }],
    ['no secret', { introspection: { client_id: 'x' } }],
    ['a secret in the file', { introspection: introspection({ client_secret: 'hunter2' }) }],
    ['an endpoint over plain HTTP', { introspection: introspection({ endpoint: 'http://a.example/i' }) }],
    ['an endpoint with a query', { introspection: introspection({ endpoint: 'https://a.example/i?x=1' }) }],
    ['a long cache', { introspection: introspection({ cache: '6m' }) }],
    ['a long negative cache', { introspection: introspection({ negative_cache: '2m' }) }],
    ['no timeout', { introspection: introspection({ timeout: '0s' }) }],
    ['a prefix of JWTs', { introspection: introspection({ token_prefixes: ['eyJ'] }) }],
    ['a prefix of one letter', { introspection: introspection({ token_prefixes: ['s'] }) }],
    ['an endpoint of the embedded identity', { issuer: 'embedded', introspection: introspection() }],
    ['an unknown key', { introspection: introspection({ insecure: true }) }],
  ] as const) {
    it(`refuses ${title}`, () => {
      assert.equal(issuersSchema.safeParse({ issuers: { a: entry(bad) } }).success, false);
    });
  }

  it('refuses two issuers that are asked about the same credentials', () => {
    const faults = (first: string[], second: string[]): number =>
      checkIntrospection(
        issuersSchema.parse({
          issuers: {
            a: entry({ introspection: introspection({ token_prefixes: first }) }),
            b: entry({
              issuer: 'https://b.example',
              introspection: introspection({ token_prefixes: second }),
            }),
          },
        }),
      ).length;
    assert.deepEqual(
      [
        faults(['ab'], ['cd']),
        faults(['ab'], []),
        faults([], []),
        faults(['ab'], ['ab']),
        faults(['ab'], ['abc']),
      ],
      [0, 0, 1, 1, 1],
    );
  });
});
