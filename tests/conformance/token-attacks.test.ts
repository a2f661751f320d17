// Attacks on access tokens that are known from the field, beyond single mutations (tests/gateway/authenticate/
// verify-access-token.test.ts) and signature vectors (jws-vectors.test.ts): lookalike text, odd JSON, other kinds of JWT,
// injections through kid, size. Each is refused as invalid_token, and nothing in it is fetched.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import type { Authentication } from '../../gateway/authenticate/index.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  verified,
} from '../gateway/authenticate/authentication-under-test.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import {
  encodePart,
  signCompact,
  testAudience,
  testClientId,
  validClaims,
  type Claims,
} from '../support/mint-access-token.ts';

let issuer: FakeIssuer;
let authentication: Authentication;

before(async () => {
  issuer = await startFakeIssuer();
  ({ authentication } = authenticationOf({ it: entryFor(issuer.issuer) }));
  await authentication.start();
});
after(async () => {
  authentication.close();
  assert.equal(issuer.requests.other, 0);
  await issuer.close();
});

const header = (changes: Claims = {}): Claims => ({
  alg: 'RS256',
  typ: 'at+jwt',
  kid: issuer.key().kid,
  ...changes,
});
const claims = (changes: Claims = {}): Claims => ({ ...validClaims(issuer.issuer), ...changes });
const signed = (head: unknown, payload: unknown): string => signCompact(head, payload, issuer.key());
const text = (changes: Claims = {}): string => JSON.stringify(claims(changes));

type Attack = readonly [title: string, make: () => string, reason: string];

const lookalikes: Attack[] = [
  ...[
    ['a trailing dot in the host', (iss: string) => iss.replace('127.0.0.1', '127.0.0.1.')],
    ['a shorter spelling of the host', (iss: string) => iss.replace('127.0.0.1', '127.1')],
    ['the host in IPv6', (iss: string) => iss.replace('127.0.0.1', '[::ffff:127.0.0.1]')],
    ['user information', (iss: string) => iss.replace('://', '://issuer@')],
    ['another host behind user information', (iss: string) => `${iss}@evil.example`],
    ['a fragment', (iss: string) => `${iss}#`],
    ['a query', (iss: string) => `${iss}?`],
    ['a dot segment', (iss: string) => `${iss}/.`],
    ['a parent segment', (iss: string) => iss.replace(/\/v2\.0$/, '/x/../v2.0')],
    ['a doubled slash', (iss: string) => iss.replace('/v2.0', '//v2.0')],
    ['a backslash', (iss: string) => iss.replace('/v2.0', '\\v2.0')],
    ['a full-width digit', (iss: string) => iss.replace('2.0', '２.0')],
    ['a NUL at the end', (iss: string) => `${iss}\u0000`],
    ['a zero-width space', (iss: string) => `${iss}\u200b`],
    ['a newline', (iss: string) => `${iss}\n`],
    ['the scheme in capitals', (iss: string) => iss.replace('http', 'HTTP')],
    ['https for http', (iss: string) => iss.replace('http:', 'https:')],
  ].map(([title, change]): Attack => {
    const changed = change as (iss: string) => string; // The pairs above: a title and a function.
    return [
      `iss with ${String(title)}`,
      () => signed(header(), claims({ iss: changed(issuer.issuer) })),
      'iss',
    ];
  }),
  ...[
    ['a Cyrillic letter', testAudience.replace('a', 'а')],
    ['a combining mark', `${testAudience}\u0301`],
    ['a soft hyphen', `${testAudience}\u00ad`],
    ['a NUL', `${testAudience}\u0000`],
    ['a trailing dot', `${testAudience}.`],
    ['percent-encoding', testAudience.replace(':', '%3A')],
    ['a longer name', `${testAudience}.evil.example`],
    ['ours and another in one text', `${testAudience} https://elsewhere`],
    ['ours and another by comma', `${testAudience},https://elsewhere`],
    ['a pattern', 'api://*'],
  ].map(([title, aud]): Attack => [
    `aud with ${title ?? ''}`,
    () => signed(header(), claims({ aud })),
    'aud',
  ]),
  ...[
    ['full-width letters', 'ａt+jwt'],
    ['a Cyrillic letter', 'аt+jwt'],
    ['a NUL', 'at+jwt\u0000'],
    ['a blank', 'at+jwt '],
    ['another type behind', 'at+jwt, JWT'],
    ['two prefixes', 'application/application/at+jwt'],
  ].map(([title, typ]): Attack => [
    `typ with ${title ?? ''}`,
    () => signed(header({ typ }), claims()),
    'typ',
  ]),
  [
    'a client id with a NUL',
    () => signed(header(), claims({ azp: `${testClientId}\u0000`, client_id: `${testClientId}\u0000` })),
    'client_id',
  ],
  [
    'a client id with a blank',
    () => signed(header(), claims({ azp: `${testClientId} `, client_id: `${testClientId} ` })),
    'client_id',
  ],
];

const injected = [
  '../../../../../../dev/null',
  '..%2f..%2fdev%2fnull',
  '/proc/self/environ',
  'file:///etc/passwd',
  'C:\\windows\\win.ini',
  "' UNION SELECT 'secret' -- ",
  '"; DROP TABLE keys; --',
  '| cat /etc/passwd',
  '$(id)',
  '`id`',
  '${jndi:ldap://127.0.0.1:9/x}',
  '{{7*7}}',
  '<script>',
  'http://127.0.0.1:9/keys',
  '\r\nx-injected: 1',
  '__proto__',
  'hasOwnProperty',
  '*',
  '0',
  'x'.repeat(4_000),
];

/** The classics: a secret that everybody knows, because the kid leads to an empty or public file. */
const withKnownSecret = (kid: string, secret: string): string => {
  const input = `${encodePart({ alg: 'HS256', typ: 'at+jwt', kid })}.${encodePart(claims())}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};

const odd: Attack[] = [
  ['claims with a comment', () => signed(header(), text().replace('{', '{/* x */')), 'claims_json'],
  ['claims with a trailing comma', () => signed(header(), text().replace(/}$/, ',}')), 'claims_json'],
  ['claims in single quotes', () => signed(header(), text().replaceAll('"', "'")), 'claims_json'],
  [
    'claims with Infinity',
    () => signed(header(), text({ exp: 0 }).replace('"exp":0', '"exp":Infinity')),
    'claims_json',
  ],
  [
    'claims with minus Infinity',
    () => signed(header(), text({ nbf: 0 }).replace('"nbf":0', '"nbf":-1e999')),
    'claims_json',
  ],
  [
    'claims with a number in hexadecimal',
    () => signed(header(), text({ exp: 0 }).replace('"exp":0', '"exp":0xffffffffff')),
    'claims_json',
  ],
  [
    'claims with a leading zero',
    () => signed(header(), text({ exp: 0 }).replace('"exp":0', '"exp":09999999999')),
    'claims_json',
  ],
  [
    'claims with a plus sign',
    () => signed(header(), text({ exp: 0 }).replace('"exp":0', '"exp":+9999999999')),
    'claims_json',
  ],
  ['claims with a byte order mark', () => signed(header(), `\ufeff${text()}`), 'claims_json'],
  ['claims with a NUL behind', () => signed(header(), `${text()}\u0000`), 'claims_json'],
  [
    'claims with an overlong slash',
    () =>
      signed(header(), Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])),
    'claims_json',
  ],
  [
    'claims with a surrogate in UTF-8',
    () =>
      signed(
        header(),
        Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
      ),
    'claims_json',
  ],
  [
    'a doubled member deep inside',
    () => signed(header(), text({ deep: 0 }).replace('"deep":0', '"deep":{"a":1,"a":2}')),
    'claims_json',
  ],
  ['exp twice, the first one good', () => signed(header(), text().replace(/}$/, ',"exp":1}')), 'claims_json'],
  [
    'exp twice, once escaped',
    () => signed(header(), text().replace(/}$/, ',"\\u0065xp":9999999999}')),
    'claims_json',
  ],
  [
    'alg twice',
    () => signed(JSON.stringify(header()).replace(/}$/, ',"alg":"none"}'), claims()),
    'header_json',
  ],
  [
    'alg twice, once escaped',
    () => signed(JSON.stringify(header()).replace(/}$/, ',"\\u0061lg":"none"}'), claims()),
    'header_json',
  ],
  ['exp as a date', () => signed(header(), claims({ exp: '2099-01-01T00:00:00Z' })), 'exp'],
  ['exp as a number in text', () => signed(header(), claims({ exp: '9999999999' })), 'exp'],
  ['exp of minus one', () => signed(header(), claims({ exp: -1 })), 'exp'],
  ['exp of minus zero', () => signed(header(), text({ exp: 0 }).replace('"exp":0', '"exp":-0')), 'exp'],
  ['exp too small to be seen', () => signed(header(), claims({ exp: 5e-324 })), 'exp'],
  ['nbf beyond every clock', () => signed(header(), claims({ nbf: 1e300 })), 'nbf'],
  [
    'iss with a lone surrogate',
    () => signed(header(), text({ iss: 'x' }).replace('"iss":"x"', '"iss":"\\ud800"')),
    'iss',
  ],
  [
    'sub with a lone surrogate',
    () => signed(header(), text({ sub: 'x' }).replace('"sub":"x"', '"sub":"\\udfff"')),
    'sub',
  ],
  ['sub with a line separator', () => signed(header(), claims({ sub: 'alice\u2028bob' })), 'sub'],
  [
    'a compressed payload that says so',
    () => signed(header({ zip: 'DEF' }), deflateRawSync(Buffer.alloc(10_000_000, ' '))),
    'header_parameter',
  ],
  [
    'a compressed payload that does not',
    () => signed(header(), deflateRawSync(Buffer.from(text()))),
    'claims_json',
  ],
  [
    'a payload that is not encoded (b64)',
    () => signed(header({ b64: false, crit: ['b64'] }), claims()),
    'header_parameter',
  ],
  ['b64 true without crit', () => signed(header({ b64: true }), claims()), 'header_parameter'],
  ['crit with a known name', () => signed(header({ crit: ['alg'] }), claims()), 'header_parameter'],
  ['crit that is empty', () => signed(header({ crit: [] }), claims()), 'header_parameter'],
  ['a nested token with cty', () => signed(header({ cty: 'jwt' }), issuer.mint()), 'header_parameter'],
  ['a nested token without cty', () => signed(header(), issuer.mint()), 'claims_json'],
  ['one character more than the limit', () => sized(16_385), 'token_size'],
  ['ten million characters', () => `${'A'.repeat(10_000_000)}.AA.AA`, 'token_size'],
  ['ten thousand dots', () => '.'.repeat(10_000), 'token_form'],
];

/** A good token of about that many characters: base64 grows in steps, so a claim and the signature share the filling. */
function sized(length: number): string {
  for (let filling = Math.floor((length * 3) / 4) - 900; ; filling++) {
    const accessToken = signed(header(), claims({ filling: 'x'.repeat(filling) }));
    if (accessToken.length >= length) return accessToken;
  }
}

const kinds: Attack[] = [
  [
    'an ID token',
    () => signed(header({ typ: 'JWT' }), claims({ aud: testClientId, nonce: 'n', at_hash: 'h' })),
    'typ',
  ],
  [
    'an ID token with the type of an access token',
    () => signed(header(), claims({ nonce: 'n', at_hash: 'h' })),
    'not_an_access_token',
  ],
  ['an ID token for the client as audience', () => signed(header(), claims({ aud: testClientId })), 'aud'],
  [
    'a logout token',
    () =>
      signed(
        header(),
        claims({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} }, sid: 's' }),
      ),
    'not_an_access_token',
  ],
  ['a refresh token of Keycloak', () => signed(header(), claims({ typ: 'Refresh' })), 'not_an_access_token'],
  ['an offline token of Keycloak', () => signed(header(), claims({ typ: 'Offline' })), 'not_an_access_token'],
  ['an ID token of Cognito', () => signed(header(), claims({ token_use: 'id' })), 'not_an_access_token'],
  [
    'a client assertion',
    () =>
      signed(header({ typ: 'JWT' }), {
        iss: testClientId,
        sub: testClientId,
        aud: issuer.issuer,
        jti: 'j',
        exp: 9e9,
      }),
    'iss',
  ],
  [
    'a DPoP proof',
    () =>
      signed(
        { alg: 'RS256', typ: 'dpop+jwt', jwk: issuer.key().jwk },
        { htm: 'GET', htu: 'http://x', jti: 'j', iat: 1 },
      ),
    'header_parameter',
  ],
  [
    'an assertion of the gateway itself',
    () => signed(header({ typ: 'sallyport-assertion+jwt' }), claims()),
    'typ',
  ],
  [
    'an introspection answer',
    () => signed(header({ typ: 'token-introspection+jwt' }), claims({ token_introspection: claims() })),
    'typ',
  ],
  [
    'a token for another API of the same issuer',
    () => signed(header(), claims({ aud: 'https://graph.microsoft.com' })),
    'aud',
  ],
  [
    'a token for another client',
    () => signed(header(), claims({ azp: 'other', client_id: 'other' })),
    'client_id',
  ],
];

describe('an attack on an access token', () => {
  for (const [title, make, reason] of [...lookalikes, ...odd, ...kinds]) {
    it(`by ${title} is refused`, () =>
      assertRefused(() => authentication.verify(make()), 'invalid_token', reason));
  }

  for (const kid of injected) {
    it(`through the kid ${JSON.stringify(kid.slice(0, 40))} is refused, with a signature and with a secret`, async () => {
      await assertRefused(
        () => authentication.verify(signed(header({ kid }), claims())),
        'invalid_token',
        'kid_unknown',
      );
      for (const secret of ['', '\u0000', '\n'])
        await assertRefused(
          () => authentication.verify(withKnownSecret(kid, secret)),
          'invalid_token',
          'alg',
        );
    });
  }

  it('leaves good tokens good, up to the size that is accepted', async () => {
    await verified(authentication, issuer.mint());
    const accessToken = sized(16_381);
    assert.ok(accessToken.length <= 16_384);
    await verified(authentication, accessToken);
  });

  it('with an absurd but true expiry is accepted for no longer than the process lives, and harms nothing', async () => {
    const principal = await verified(authentication, issuer.mint({ exp: 1e300 }));
    assert.equal(Number.isFinite(principal.expiresAt), true);
  });
});

describe('two issuers that publish one key', () => {
  it('stay apart: a token counts for the issuer that it names, and as its subject', async () => {
    const neighbour = await startFakeIssuer({ keys: [issuer.key()] });
    const { authentication: both } = authenticationOf({
      it: entryFor(issuer.issuer),
      neighbour: entryFor(neighbour.issuer, { audiences: ['api://elsewhere'] }),
    });
    await both.start();
    assert.equal((await verified(both, issuer.mint())).issuerName, 'it');
    await assertRefused(() => both.verify(neighbour.mint()), 'invalid_token', 'aud');
    assert.equal((await verified(both, neighbour.mint({ aud: 'api://elsewhere' }))).issuerName, 'neighbour');
    both.close();
    await neighbour.close();
  });
});
