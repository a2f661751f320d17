// One valid access token and every way in which it can be wrong. Each row changes one thing.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { CompactEncrypt } from 'jose';
import type { ErrorCode } from '../../../core/errors.ts';
import type { Authentication } from '../../../gateway/authenticate/index.ts';
import type { InPlaceTime } from '../../../gateway/in-place-time.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import {
  createSigningKey,
  encodePart,
  signCompact,
  testAudience,
  testClientId,
  validClaims,
  type SigningKey,
} from '../../support/mint-access-token.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  kept,
  verified,
  type FrozenClock,
} from './authentication-under-test.ts';

let issuer: FakeIssuer;
let other: FakeIssuer;
let authentication: Authentication;
/** The same, but nothing is ever checked in place. */
let pooled: Authentication;
let clock: FrozenClock;
let spy: { url: string; count: number; close: () => void };
const strangerKey = createSigningKey('RS256', 'stranger');
const ellipticKey = createSigningKey('ES256', 'elliptic');

before(async () => {
  issuer = await startFakeIssuer();
  other = await startFakeIssuer();
  // The EC and PS keys are published too, so that only the allow-list keeps them out.
  issuer.publish([issuer.key().jwk, ellipticKey.jwk]);
  const server = createServer((_, response) => {
    spy.count++;
    response.end(JSON.stringify({ keys: [strangerKey.jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  spy = { url: `http://127.0.0.1:${port}/keys`, count: 0, close: () => server.close() };
  const underTest = authenticationOf({ embedded: entryFor(issuer.issuer), other: entryFor(other.issuer) });
  ({ authentication, clock } = underTest);
  await authentication.start();
  const inPlace = { spend: () => null } as unknown as InPlaceTime; // Its one method: there is never time.
  ({ authentication: pooled } = authenticationOf(
    { embedded: entryFor(issuer.issuer), other: entryFor(other.issuer) },
    { inPlace, now: clock.now, monotonic: clock.monotonic },
  ));
  await pooled.start();
});

after(async () => {
  assert.equal(spy.count, 0, 'a key address in a token was followed');
  assert.equal(issuer.requests.other + other.requests.other, 0);
  authentication.close();
  pooled.close();
  spy.close();
  await Promise.all([issuer.close(), other.close()]);
});

const header = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  alg: 'RS256',
  typ: 'at+jwt',
  kid: issuer.key().kid,
  ...changes,
});
const claims = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...validClaims(issuer.issuer, clock.wallMs),
  ...changes,
});
const mint = (
  claimChanges: Record<string, unknown> = {},
  headerChanges: Record<string, unknown> = {},
): string => signCompact(header(headerChanges), claims(claimChanges), issuer.key());
const seconds = (): number => Math.floor(clock.wallMs / 1000);
const hmac = (head: unknown, secret: string | Buffer, hash = 'sha256'): string => {
  const input = `${encodePart(head)}.${encodePart(claims())}`;
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
};
const jsonText = (value: Record<string, unknown>, extra: string): string =>
  `${JSON.stringify(value).slice(0, -1)},${extra}}`;
const parts = (accessToken: string): [string, string, string] => {
  const [first = '', second = '', third = ''] = accessToken.split('.');
  return [first, second, third];
};
const pem = (key: SigningKey): string => String(key.publicKey.export({ type: 'spki', format: 'pem' }));

describe('a valid access token', () => {
  it('yields a principal', async () => {
    const principal = await verified(
      authentication,
      mint({ groups: ['g1'], acr: 'urn:x', amr: ['pwd', 7], auth_time: 12 }),
    );
    assert.equal(principal.issuerName, 'embedded');
    assert.equal(principal.issuer, issuer.issuer);
    assert.equal(principal.subject, 'account-1');
    assert.equal(principal.key, `${issuer.issuer} account-1`);
    assert.equal(principal.clientId, testClientId);
    assert.equal(principal.tenantId, '5a11b0a7-0000-4000-8000-000000000000');
    assert.deepEqual([...principal.roles], ['LLM.User']);
    assert.deepEqual([...principal.groups], ['g1']);
    assert.deepEqual([...principal.scopes], ['LLM.Access']);
    assert.equal(principal.acr, 'urn:x');
    assert.deepEqual(principal.amr, ['pwd']);
    assert.equal(principal.authTime, 12);
    assert.equal(principal.expiresAt, seconds() + 3600 + 30);
    assert.equal(principal.claims['preferred_username'], 'ada');
    assert.ok(
      Object.isFrozen(principal) &&
        Object.isFrozen(principal.claims) &&
        Object.isFrozen(principal.claims['roles']),
    );
  });

  const acceptances: [string, () => string][] = [
    ['with typ application/at+jwt', () => mint({}, { typ: 'application/at+jwt' })],
    ['with typ AT+JWT, since media types ignore case', () => mint({}, { typ: 'AT+JWT' })],
    [
      'with x5t in the header, which names a key and brings none',
      () => mint({}, { x5t: 'abc', 'x5t#S256': 'abc' }),
    ],
    ['whose aud is a list that holds us', () => mint({ aud: ['https://elsewhere', testAudience] })],
    ['whose scp is a list', () => mint({ scp: ['LLM.Access', 'more'] })],
    ['whose scp holds further scopes', () => mint({ scp: 'openid  LLM.Access profile' })],
    ['without roles', () => mint({ roles: undefined })],
    ['with one role as text', () => mint({ roles: 'LLM.User' })],
    ['without nbf', () => mint({ nbf: undefined })],
    ['whose exp has a fraction', () => mint({ exp: seconds() + 10.5 })],
    [
      'with the claim names constructor, toString and hasOwnProperty',
      () => mint({ constructor: 1, toString: 2, hasOwnProperty: 3 }),
    ],
    ['with a subject in Unicode', () => mint({ sub: 'Zoë 🦊 中文' })],
    [
      'whose acr, amr and auth_time are of odd types, which count as absent',
      () => mint({ acr: 1, amr: 'pwd', auth_time: 'x' }),
    ],
    ['marked as Bearer by Keycloak', () => mint({ typ: 'Bearer' })],
    ['marked as access token by Cognito', () => mint({ token_use: 'access' })],
  ];
  for (const [title, make] of acceptances) {
    it(`is accepted ${title}`, async () => {
      const accessToken = make();
      const principal = await verified(authentication, accessToken);
      assert.deepEqual(await verified(pooled, accessToken), principal);
      assert.equal(principal.issuerName, 'embedded');
    });
  }

  it('leaves no role behind from the prototype', async () => {
    await verified(authentication, mint({ constructor: { prototype: { admin: true } } }));
    assert.equal(({} as Record<string, unknown>)['admin'], undefined);
  });

  it('reads a list of blank or doubled roles as a set', async () => {
    const principal = await verified(
      authentication,
      mint({ roles: ['LLM.User', 'LLM.User'], scp: 'LLM.Access LLM.Access' }),
    );
    assert.equal(principal.roles.size, 1);
    assert.equal(principal.scopes.size, 1);
  });
});

type Row = [title: string, make: () => string | Promise<string>, reason: string, code?: ErrorCode];

const refusals: Record<string, Row[]> = {
  form: [
    ['an empty text', () => '', 'token_form'],
    ['a word', () => 'garbage', 'token_form'],
    ['an opaque key', () => 'sp_0123456789abcdef', 'token_form'],
    ['two parts', () => parts(mint()).slice(0, 2).join('.'), 'token_form'],
    ['four parts', () => `${mint()}.AAAA`, 'token_form'],
    ['an empty signature', () => `${parts(mint()).slice(0, 2).join('.')}.`, 'token_form'],
    ['an empty header', () => mint().replace(/^[^.]+/, ''), 'token_form'],
    ['empty claims', () => `${parts(mint())[0]}..${parts(mint())[2]}`, 'token_form'],
    ['a leading blank', () => ` ${mint()}`, 'token_form'],
    ['a trailing newline', () => `${mint()}\n`, 'token_form'],
    ['padding', () => `${mint()}=`, 'token_form'],
    ['plain base64 letters', () => mint().replace(/.$/, '+'), 'token_form'],
    ['a blank inside the signature', () => mint().replace(/(.)$/, ' $1'), 'token_form'],
    ['a character beyond ASCII', () => `${mint()}é`, 'token_form'],
    ['spare bits in the signature', () => spareBits(mint()), 'token_encoding'],
    ['a part of impossible length', () => `${parts(mint())[0]}.${parts(mint())[1]}.AAAAA`, 'token_encoding'],
    ['more than 16 KB', () => mint({ padding: 'x'.repeat(16_384) }), 'token_size'],
    ['the flattened JSON serialization', () => jsonSerialization(mint()), 'token_form'],
    [
      'the general JSON serialization',
      () => JSON.stringify({ payload: parts(mint())[1], signatures: [] }),
      'token_form',
    ],
    ['a JWE of five parts', () => encrypted(), 'token_form'],
    [
      'a token inside a token',
      () => signCompact(header({ cty: 'JWT' }), mint(), issuer.key()),
      'header_parameter',
    ],
    ['a token as claims, without cty', () => signCompact(header(), mint(), issuer.key()), 'claims_json'],
  ],
  'header JSON': [
    ['a header that is not JSON', () => signCompact('not json', claims(), issuer.key()), 'header_json'],
    ['a header that is a list', () => signCompact([header()], claims(), issuer.key()), 'header_json'],
    ['a header that is null', () => signCompact('null', claims(), issuer.key()), 'header_json'],
    [
      'a header with a member twice',
      () => signCompact(jsonText(header(), '"alg":"none"'), claims(), issuer.key()),
      'header_json',
    ],
    [
      'a header with __proto__',
      () => signCompact(jsonText(header(), '"__proto__":{}'), claims(), issuer.key()),
      'header_json',
    ],
    [
      'a header with a byte order mark',
      () => signCompact(`\ufeff${JSON.stringify(header())}`, claims(), issuer.key()),
      'header_json',
    ],
    [
      'a header in UTF-16',
      () => signCompact(Buffer.from(JSON.stringify(header()), 'utf16le'), claims(), issuer.key()),
      'header_json',
    ],
    [
      'a deeply nested header',
      () =>
        signCompact(jsonText(header(), `"x":${'['.repeat(3000)}${']'.repeat(3000)}`), claims(), issuer.key()),
      'header_json',
    ],
    ...['crit', 'b64', 'jku', 'jwk', 'x5u', 'x5c', 'zip', 'enc', 'cty'].map((name): Row => [
      `a header with ${name}`,
      () => signCompact(header({ [name]: headerValue(name) }), claims(), strangerKey),
      'header_parameter',
    ]),
    ['jku beside a good signature', () => mint({}, { jku: spy.url }), 'header_parameter'],
    ['crit with nothing in it', () => mint({}, { crit: [] }), 'header_parameter'],
    ['jwk null', () => mint({}, { jwk: null }), 'header_parameter'],
  ],
  algorithm: [
    ...['none', 'None', 'NONE', 'nOnE'].map((alg): Row => [
      `alg ${alg} with the old signature`,
      () => `${encodePart(header({ alg }))}.${parts(mint()).slice(1).join('.')}`,
      'alg',
    ]),
    [
      'alg none without a signature',
      () => `${encodePart(header({ alg: 'none' }))}.${encodePart(claims())}.`,
      'token_form',
    ],
    [
      'HS256 with the public key in PEM as secret',
      () => hmac(header({ alg: 'HS256' }), pem(issuer.key())),
      'alg',
    ],
    [
      'HS256 with the public key in DER as secret',
      () => hmac(header({ alg: 'HS256' }), issuer.key().publicKey.export({ type: 'spki', format: 'der' })),
      'alg',
    ],
    [
      'HS256 with the JWK as secret',
      () => hmac(header({ alg: 'HS256' }), JSON.stringify(issuer.key().jwk)),
      'alg',
    ],
    ['HS512 with the public key', () => hmac(header({ alg: 'HS512' }), pem(issuer.key()), 'sha512'), 'alg'],
    ['RS256 in the header over an HMAC', () => hmac(header(), pem(issuer.key())), 'signature'],
    [
      'PS256 of the right key',
      () =>
        signCompact(header({ alg: 'PS256' }), claims(), {
          alg: 'PS256',
          privateKey: issuer.key().privateKey,
        }),
      'alg',
    ],
    [
      'RS512 of the right key',
      () =>
        signCompact(header({ alg: 'RS512' }), claims(), {
          alg: 'RS512',
          privateKey: issuer.key().privateKey,
        }),
      'alg',
    ],
    [
      'ES256 of a key that the issuer publishes',
      () => signCompact(header({ alg: 'ES256', kid: 'elliptic' }), claims(), ellipticKey),
      'alg',
    ],
    [
      'RS256 with the id of the EC key',
      () => signCompact(header({ kid: 'elliptic' }), claims(), issuer.key()),
      'kid_unknown',
    ],
    ['rs256 in small letters', () => mint({}, { alg: 'rs256' }), 'alg'],
    ['RS256 with a blank', () => mint({}, { alg: 'RS256 ' }), 'alg'],
    ['alg missing', () => mint({}, { alg: undefined }), 'alg'],
    ['alg null', () => mint({}, { alg: null }), 'alg'],
    ['alg a list', () => mint({}, { alg: ['RS256'] }), 'alg'],
    ['alg __proto__', () => mint({}, { alg: '__proto__' }), 'alg'],
    [
      'PBES2 with a huge count',
      () =>
        `${encodePart({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2 ** 31, p2s: 'AAAA' })}.${'A'.repeat(4)}.AAAA.AAAA.AAAA`,
      'token_form',
    ],
  ],
  type: [
    ['no typ', () => mint({}, { typ: undefined }), 'typ'],
    ['typ JWT, as an ID token has', () => mint({}, { typ: 'JWT' }), 'typ'],
    ['typ logout+jwt', () => mint({}, { typ: 'logout+jwt' }), 'typ'],
    ['typ dpop+jwt', () => mint({}, { typ: 'dpop+jwt' }), 'typ'],
    ['typ sallyport-assertion+jwt', () => mint({}, { typ: 'sallyport-assertion+jwt' }), 'typ'],
    ['typ with a parameter', () => mint({}, { typ: 'at+jwt;v=1' }), 'typ'],
    ['typ application/application/at+jwt', () => mint({}, { typ: 'application/application/at+jwt' }), 'typ'],
    ['typ a number', () => mint({}, { typ: 7 }), 'typ'],
    ['an at_hash, as an ID token has', () => mint({ at_hash: 'abc' }), 'not_an_access_token'],
    ['a c_hash', () => mint({ c_hash: 'abc' }), 'not_an_access_token'],
    ['events, as a logout token has', () => mint({ events: {} }), 'not_an_access_token'],
    ['the mark of a Keycloak refresh token', () => mint({ typ: 'Refresh' }), 'not_an_access_token'],
    ['the mark of a Cognito ID token', () => mint({ token_use: 'id' }), 'not_an_access_token'],
    ['cnf: bound to a key, presented without proof', () => mint({ cnf: { jkt: 'abc' } }), 'cnf'],
    ['cnf of a certificate', () => mint({ cnf: { 'x5t#S256': 'abc' } }), 'cnf'],
    ['cnf null', () => mint({ cnf: null }), 'cnf'],
  ],
  key: [
    ['no kid', () => mint({}, { kid: undefined }), 'kid'],
    ['an empty kid', () => mint({}, { kid: '' }), 'kid'],
    ['a kid that is a number', () => mint({}, { kid: 1 }), 'kid'],
    ['a kid that is an object', () => mint({}, { kid: { a: 1 } }), 'kid'],
    ['an unknown kid', () => mint({}, { kid: 'nobody' }), 'kid_unknown'],
    ['a kid that is a path', () => mint({}, { kid: '../../../../dev/null' }), 'kid_unknown'],
    ['a kid that is SQL', () => mint({}, { kid: "' OR 1=1 --" }), 'kid_unknown'],
    ['a kid that is an address', () => mint({}, { kid: spy.url }), 'kid_unknown'],
    ['a kid with NUL', () => mint({}, { kid: `${issuer.key().kid}\u0000` }), 'kid_unknown'],
    ['the kid __proto__', () => mint({}, { kid: '__proto__' }), 'kid_unknown'],
    ['the kid constructor', () => mint({}, { kid: 'constructor' }), 'kid_unknown'],
    ['a kid in other letter case', () => mint({}, { kid: issuer.key().kid.toUpperCase() }), 'kid_unknown'],
  ],
  signature: [
    [
      'an all-zero signature',
      () => `${parts(mint()).slice(0, 2).join('.')}.${Buffer.alloc(256).toString('base64url')}`,
      'signature',
    ],
    [
      'a random signature',
      () => `${parts(mint()).slice(0, 2).join('.')}.${randomBytes(256).toString('base64url')}`,
      'signature',
    ],
    ['a signature one byte short', () => shortened(mint()), 'signature'],
    [
      'the signature of other claims',
      () => [...parts(mint({ sub: 'a' })).slice(0, 2), parts(mint({ sub: 'b' }))[2]].join('.'),
      'signature',
    ],
    ['claims changed after signing', () => swapped(mint(), 1, claims({ roles: ['LLM.Admin'] })), 'signature'],
    ['a header changed after signing', () => swapped(mint(), 0, header({ x: 1 })), 'signature'],
    [
      'the key of a stranger under the right kid',
      () => signCompact(header(), claims(), strangerKey),
      'signature',
    ],
    [
      "another listed issuer's key under the right kid",
      () => signCompact(header(), claims(), other.key()),
      'signature',
    ],
    [
      "another listed issuer's key under its own kid",
      () => signCompact(header({ kid: other.key().kid }), claims(), other.key()),
      'kid_unknown',
    ],
    ['a key of this issuer in a token that says the other', () => mint({ iss: other.issuer }), 'kid_unknown'],
  ],
  issuer: [
    ['no iss', () => mint({ iss: undefined }), 'iss'],
    ['iss null', () => mint({ iss: null }), 'iss'],
    ['iss a list', () => mint({ iss: [issuer.issuer] }), 'iss'],
    ['an empty iss', () => mint({ iss: '' }), 'iss'],
    ['iss with a slash more', () => mint({ iss: `${issuer.issuer}/` }), 'iss'],
    ['iss in capitals', () => mint({ iss: issuer.issuer.toUpperCase() }), 'iss'],
    ['iss with a blank', () => mint({ iss: ` ${issuer.issuer}` }), 'iss'],
    ['iss with a longer path', () => mint({ iss: `${issuer.issuer}/evil` }), 'iss'],
    ['iss of another tenant', () => mint({ iss: issuer.issuer.replace('5a11b0a7', '5a11b0a8') }), 'iss'],
    ['iss of a stranger', () => mint({ iss: 'https://evil.example' }), 'iss'],
    ['iss percent-encoded', () => mint({ iss: issuer.issuer.replace('v2.0', '%762.0') }), 'iss'],
    [
      'iss localhost for 127.0.0.1',
      () => mint({ iss: issuer.issuer.replace('127.0.0.1', 'localhost') }),
      'iss',
    ],
  ],
  'claims JSON': [
    ['claims that are not JSON', () => signCompact(header(), 'nothing', issuer.key()), 'claims_json'],
    ['claims that are a list', () => signCompact(header(), [claims()], issuer.key()), 'claims_json'],
    ['claims that are null', () => signCompact(header(), 'null', issuer.key()), 'claims_json'],
    [
      'claims with a member twice',
      () => signCompact(header(), jsonText(claims(), '"aud":"x"'), issuer.key()),
      'claims_json',
    ],
    [
      'claims with a member twice, once escaped',
      () => signCompact(header(), jsonText(claims(), '"\\u0061ud":"x"'), issuer.key()),
      'claims_json',
    ],
    [
      'claims with __proto__',
      () => signCompact(header(), jsonText(claims(), '"__proto__":{"roles":["LLM.Admin"]}'), issuer.key()),
      'claims_json',
    ],
    [
      'claims with __proto__ inside, escaped',
      () => signCompact(header(), jsonText(claims(), '"a":{"__pr\\u006fto__":1}'), issuer.key()),
      'claims_json',
    ],
    [
      'claims in invalid UTF-8',
      () =>
        signCompact(
          header(),
          Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]),
          issuer.key(),
        ),
      'claims_json',
    ],
    [
      'claims nested 100 levels',
      () =>
        signCompact(header(), jsonText(claims(), `"a":${'['.repeat(100)}${']'.repeat(100)}`), issuer.key()),
      'claims_json',
    ],
    [
      'claims with two documents',
      () => signCompact(header(), `${JSON.stringify(claims())}{}`, issuer.key()),
      'claims_json',
    ],
    [
      'exp 1e400',
      () => signCompact(header(), JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e400'), issuer.key()),
      'claims_json',
    ],
    [
      'exp NaN',
      () => signCompact(header(), JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":NaN'), issuer.key()),
      'claims_json',
    ],
  ],
  time: [
    ['no exp', () => mint({ exp: undefined }), 'exp'],
    ['exp as text', () => mint({ exp: String(seconds() + 60) }), 'exp'],
    ['exp null', () => mint({ exp: null }), 'exp'],
    ['exp a list', () => mint({ exp: [seconds() + 60] }), 'exp'],
    ['exp an object', () => mint({ exp: {} }), 'exp'],
    ['exp true', () => mint({ exp: true }), 'exp'],
    ['exp zero', () => mint({ exp: 0 }), 'exp'],
    ['exp negative', () => mint({ exp: -1 }), 'exp'],
    ['exp an hour ago', () => mint({ exp: seconds() - 3600 }), 'exp'],
    ['nbf in an hour', () => mint({ nbf: seconds() + 3600 }), 'nbf'],
    ['nbf as text', () => mint({ nbf: String(seconds()) }), 'nbf'],
    ['nbf null', () => mint({ nbf: null }), 'nbf'],
    ['nbf a list', () => mint({ nbf: [seconds()] }), 'nbf'],
    ['iat in an hour', () => mint({ iat: seconds() + 3600 }), 'iat'],
    ['iat as text', () => mint({ iat: String(seconds()) }), 'iat'],
    ['iat null', () => mint({ iat: null }), 'iat'],
    ['iat in milliseconds', () => mint({ iat: clock.wallMs }), 'iat'],
  ],
  audience: [
    ['no aud', () => mint({ aud: undefined }), 'aud'],
    ['aud null', () => mint({ aud: null }), 'aud'],
    ['an empty aud', () => mint({ aud: '' }), 'aud'],
    ['an empty list', () => mint({ aud: [] }), 'aud'],
    ['aud an object', () => mint({ aud: { [testAudience]: true } }), 'aud'],
    ['aud a number', () => mint({ aud: 1 }), 'aud'],
    ['another aud', () => mint({ aud: 'api://other' }), 'aud'],
    ['aud with a slash more', () => mint({ aud: `${testAudience}/` }), 'aud'],
    ['aud in capitals', () => mint({ aud: testAudience.toUpperCase() }), 'aud'],
    ['aud that only begins like ours', () => mint({ aud: `${testAudience}.evil.example` }), 'aud'],
    ['our client id as aud, as an ID token has', () => mint({ aud: testClientId }), 'aud'],
    ['a list in a list', () => mint({ aud: [[testAudience]] }), 'aud'],
    ['a list with something else than text', () => mint({ aud: [testAudience, 7] }), 'aud'],
  ],
  client: [
    ['another client', () => mint({ azp: 'x', client_id: 'x' }), 'client_id'],
    ['azp and client_id that disagree', () => mint({ azp: 'x' }), 'client_id_conflict'],
    ['appid and client_id that disagree', () => mint({ appid: 'x' }), 'client_id_conflict'],
    ['a client id that is a number', () => mint({ azp: 7 }), 'client_id'],
    ['a client id that is a list', () => mint({ client_id: [testClientId], azp: undefined }), 'client_id'],
    ['an empty client id', () => mint({ client_id: '' }), 'client_id'],
    ['client id null', () => mint({ client_id: null }), 'client_id'],
    ['no client at all', () => mint({ azp: undefined, client_id: undefined }), 'client_id'],
    [
      'a client id in other letter case',
      () => mint({ azp: testClientId.toUpperCase(), client_id: testClientId.toUpperCase() }),
      'client_id',
    ],
  ],
  subject: [
    ['no sub', () => mint({ sub: undefined }), 'sub'],
    ['sub a number', () => mint({ sub: 42 }), 'sub'],
    ['sub null', () => mint({ sub: null }), 'sub'],
    ['an empty sub', () => mint({ sub: '' }), 'sub'],
    ['sub a list', () => mint({ sub: ['account-1'] }), 'sub'],
    ['sub with a line break', () => mint({ sub: 'a\nb' }), 'sub'],
    ['sub with NUL', () => mint({ sub: 'a\u0000' }), 'sub'],
    ['sub with a lone surrogate', () => mint({ sub: 'a\ud800' }), 'sub'],
    ['sub of 600 characters', () => mint({ sub: 'a'.repeat(600) }), 'sub'],
    ['tid a number', () => mint({ tid: 7 }), 'tid'],
  ],
  'claim types': [
    ['roles an object', () => mint({ roles: { 'LLM.Admin': true } }), 'claim_type'],
    ['roles a number', () => mint({ roles: 1 }), 'claim_type'],
    ['roles null', () => mint({ roles: null }), 'claim_type'],
    ['roles with a list inside', () => mint({ roles: [['LLM.Admin']] }), 'claim_type'],
    ['groups true', () => mint({ groups: true }), 'claim_type'],
    ['scp an object', () => mint({ scp: { 'LLM.Access': 1 } }), 'claim_type'],
    ['scp a number', () => mint({ scp: 3 }), 'claim_type'],
  ],
  'required claims': [
    ['no scp', () => mint({ scp: undefined }), 'required_claim_scp', 'insufficient_scope'],
    ['an empty scp', () => mint({ scp: '' }), 'required_claim_scp', 'insufficient_scope'],
    ['another scope', () => mint({ scp: 'openid profile' }), 'required_claim_scp', 'insufficient_scope'],
    [
      'a scope that only begins like ours',
      () => mint({ scp: 'LLM.Access.All' }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'the scope in small letters',
      () => mint({ scp: 'llm.access' }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'the scope split by a comma',
      () => mint({ scp: 'openid,LLM.Access' }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'the scope split by a tab',
      () => mint({ scp: 'openid\tLLM.Access' }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'the scope in a list as one of several words',
      () => mint({ scp: ['openid LLM.Access'] }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'the scope in scope instead of scp',
      () => mint({ scp: undefined, scope: 'LLM.Access' }),
      'required_claim_scp',
      'insufficient_scope',
    ],
    [
      'a lacking scope and an expired token, which is the greater fault',
      () => mint({ scp: 'openid', exp: 1 }),
      'exp',
    ],
  ],
};

for (const [group, rows] of Object.entries(refusals)) {
  describe(`refuses by its ${group}`, () => {
    for (const [title, make, reason, code = 'invalid_token'] of rows) {
      it(title, async () => {
        const accessToken = await make();
        await assertRefused(() => authentication.verify(accessToken), code, reason);
        await assertRefused(() => pooled.verify(accessToken), code, reason);
      });
    }
  });
}

describe('after all these', () => {
  it('the next good token is accepted', async () => {
    assert.equal((await verified(authentication, mint())).subject, 'account-1');
  });

  it('has tried more than a hundred bad tokens', () => {
    assert.ok(Object.values(refusals).flat().length > 100);
  });
});

describe('the skew', () => {
  const skewMs = 30_000;
  const rows: [string, () => string, boolean][] = [
    [
      'B1 exp two seconds within the skew is accepted',
      () => mint({ exp: (clock.wallMs - (skewMs - 2000)) / 1000 }),
      true,
    ],
    [
      'B1 exp one millisecond within the skew is accepted',
      () => mint({ exp: (clock.wallMs - skewMs + 1) / 1000 }),
      true,
    ],
    ['B1 exp exactly at the skew is refused', () => mint({ exp: (clock.wallMs - skewMs) / 1000 }), false],
    [
      'B1 exp two seconds beyond the skew is refused',
      () => mint({ exp: (clock.wallMs - (skewMs + 2000)) / 1000 }),
      false,
    ],
    ['B1 nbf exactly at the skew is accepted', () => mint({ nbf: (clock.wallMs + skewMs) / 1000 }), true],
    [
      'B1 nbf two seconds beyond the skew is refused',
      () => mint({ nbf: (clock.wallMs + skewMs + 2000) / 1000 }),
      false,
    ],
    ['B1 iat exactly at the skew is accepted', () => mint({ iat: (clock.wallMs + skewMs) / 1000 }), true],
    [
      'B1 iat two seconds beyond the skew is refused',
      () => mint({ iat: (clock.wallMs + skewMs + 2000) / 1000 }),
      false,
    ],
  ];
  for (const [title, make, isAccepted] of rows) {
    it(title, async () => {
      if (isAccepted) await verified(authentication, make());
      else await assertRefused(() => authentication.verify(make()), 'invalid_token');
    });
  }

  it('B2 a token accepted once is refused after exp and skew, from the cache too', async () => {
    const accessToken = mint({ exp: seconds() + 60 });
    await kept(authentication, accessToken);
    clock.advance(60_000 + skewMs - 1000);
    assert.ok(!(authentication.verify(accessToken) instanceof Promise));
    clock.advance(2000);
    await assertRefused(() => authentication.verify(accessToken), 'invalid_token', 'exp');
  });

  it('B3 a wall clock that jumps back or a day ahead neither crashes nor makes tokens eternal', async () => {
    const accessToken = mint();
    await kept(authentication, accessToken);
    clock.wallMs -= 600_000;
    await verified(authentication, accessToken);
    clock.wallMs += 600_000 + 86_400_000;
    await assertRefused(() => authentication.verify(accessToken), 'invalid_token', 'exp');
    assert.equal(authentication.status()[0]?.ready, true);
    await verified(authentication, mint());
    clock.wallMs -= 86_400_000;
  });
});

function spareBits(accessToken: string): string {
  // 256 bytes are 342 characters of 6 bits: the last character carries 4 spare bits.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(accessToken.slice(-1));
  return accessToken.slice(0, -1) + (alphabet[last | 1] ?? '');
}

function jsonSerialization(accessToken: string): string {
  const [protectedHeader, payload, signature] = parts(accessToken);
  return JSON.stringify({ protected: protectedHeader, payload, signature });
}

function swapped(accessToken: string, index: 0 | 1, part: unknown): string {
  const all = parts(accessToken);
  all[index] = encodePart(part);
  return all.join('.');
}

function shortened(accessToken: string): string {
  const [first, second, third] = parts(accessToken);
  return `${first}.${second}.${Buffer.from(third, 'base64url').subarray(0, -1).toString('base64url')}`;
}

async function encrypted(): Promise<string> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return await new CompactEncrypt(Buffer.from(mint()))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT' })
    .encrypt(publicKey);
}

function headerValue(name: string): unknown {
  if (name === 'jku' || name === 'x5u') return spy.url;
  if (name === 'jwk') return strangerKey.jwk;
  if (name === 'crit') return ['b64'];
  if (name === 'b64') return false;
  return name === 'x5c' ? ['MIIB'] : 'JWT';
}
