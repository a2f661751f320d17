// Access tokens that must open nothing, made from a good one of the same issuer: each differs in what its name says.
import { createHmac, randomBytes } from 'node:crypto';
import type { FakeIssuer } from '../support/fake-issuer.ts';
import {
  createSigningKey,
  encodePart,
  signCompact,
  validClaims,
  type Claims,
} from '../support/mint-access-token.ts';

/** One bad token by name; the name never holds any of it. */
export type BadToken = readonly [title: string, accessToken: string];

/** A few hundred of them. `good` is what the gateway accepts. */
export function badTokens(issuer: FakeIssuer, good: string): readonly BadToken[] {
  return [
    ...byHeader(issuer),
    ...byClaim(issuer),
    ...bySignature(issuer, good),
    ...byForm(issuer, good),
    ...byInjection(),
    ...byMutation(good),
  ];
}

const claimsOf = (issuer: FakeIssuer): Claims => validClaims(issuer.issuer);

function byHeader(issuer: FakeIssuer): BadToken[] {
  const key = issuer.key();
  const headers: Record<string, Claims> = {
    'no typ': { typ: undefined },
    'typ JWT': { typ: 'JWT' },
    'typ dpop+jwt': { typ: 'dpop+jwt' },
    'typ logout+jwt': { typ: 'logout+jwt' },
    'typ id_token': { typ: 'id_token+jwt' },
    'typ with a blank': { typ: ' at+jwt' },
    'typ with a NUL': { typ: 'at+jwt\0' },
    'typ as list': { typ: ['at+jwt'] },
    'typ as number': { typ: 1 },
    'no alg': { alg: undefined },
    'alg in lower case': { alg: 'rs256' },
    'alg with a blank': { alg: 'RS256 ' },
    'alg as list': { alg: ['RS256'] },
    'alg null': { alg: null },
    'alg RS384': { alg: 'RS384' },
    'alg RS512': { alg: 'RS512' },
    'alg PS256': { alg: 'PS256' },
    'alg ES256': { alg: 'ES256' },
    'alg EdDSA': { alg: 'EdDSA' },
    'alg HS256': { alg: 'HS256' },
    'alg HS512': { alg: 'HS512' },
    'alg RSA-OAEP': { alg: 'RSA-OAEP' },
    'alg PBES2-HS256+A128KW with a huge p2c': { alg: 'PBES2-HS256+A128KW', p2c: 2 ** 31 },
    'alg none': { alg: 'none' },
    'alg None': { alg: 'None' },
    'alg NONE': { alg: 'NONE' },
    'alg nOnE': { alg: 'nOnE' },
    'alg of the prototype': { alg: 'constructor' },
    'no kid': { kid: undefined },
    'an empty kid': { kid: '' },
    'an unknown kid': { kid: 'unknown' },
    'kid as number': { kid: 0 },
    'kid as list': { kid: [key.kid] },
    'kid as path': { kid: '../../../../dev/null' },
    'kid as SQL': { kid: "x' UNION SELECT 'key'--" },
    'kid as address': { kid: 'http://169.254.169.254/latest/meta-data' },
    'kid of the prototype': { kid: '__proto__' },
    'kid with a line end': { kid: `${key.kid}\r\nx: y` },
    'kid with a NUL': { kid: `${key.kid}\0` },
    'kid of 8 kB': { kid: 'k'.repeat(8_192) },
    jku: { jku: `${issuer.origin}/keys` },
    x5u: { x5u: `${issuer.origin}/certificate` },
    jwk: { jwk: key.jwk },
    x5c: { x5c: ['MIIB'] },
    crit: { crit: ['exp'] },
    'an empty crit': { crit: [] },
    'b64 false': { b64: false, crit: ['b64'] },
    zip: { zip: 'DEF' },
    enc: { enc: 'A256GCM' },
    cty: { cty: 'JWT' },
  };
  return Object.entries(headers).map(([title, header]) => [title, issuer.mint({}, header)]);
}

function byClaim(issuer: FakeIssuer): BadToken[] {
  const now = Math.floor(Date.now() / 1000);
  const own = issuer.issuer;
  const claims: Record<string, Claims> = {
    'no iss': { iss: undefined },
    'iss with a slash more': { iss: `${own}/` },
    'iss in capitals': { iss: own.toUpperCase() },
    'iss as list': { iss: [own] },
    'iss of somebody else': { iss: 'https://evil.example' },
    'iss with a user': { iss: own.replace('//', '//evil@') },
    'iss with a fragment': { iss: `${own}#` },
    'iss with a query': { iss: `${own}?` },
    'iss with a dot segment': { iss: `${own}/.` },
    'iss with a blank': { iss: `${own} ` },
    'iss null': { iss: null },
    'no aud': { aud: undefined },
    'an empty aud': { aud: '' },
    'an empty list of aud': { aud: [] },
    'aud as object': { aud: { 'api://sallyport': true } },
    'aud with a slash more': { aud: 'api://sallyport/' },
    'aud in capitals': { aud: 'API://SALLYPORT' },
    'aud that begins alike': { aud: 'api://sallyport-evil' },
    'aud that is the start': { aud: 'api://sally' },
    'aud with a blank': { aud: ' api://sallyport' },
    'aud as joined list': { aud: 'api://sallyport api://other' },
    'aud with a number beside': { aud: ['api://sallyport', 1] },
    'aud within a list within a list': { aud: [['api://sallyport']] },
    'aud of the client': { aud: '5a11b0a7-0000-4000-8000-000000000001' },
    'aud *': { aud: '*' },
    'no client': { azp: undefined, client_id: undefined },
    'another client': { azp: 'evil', client_id: 'evil' },
    'two clients that disagree': { azp: 'evil' },
    'a client that disagrees in appid': { appid: 'evil' },
    'client_id as list': { client_id: ['5a11b0a7-0000-4000-8000-000000000001'] },
    'client_id in capitals': {
      azp: '5A11B0A7-0000-4000-8000-000000000001',
      client_id: '5A11B0A7-0000-4000-8000-000000000001',
    },
    'client_id null': { client_id: null },
    'no exp': { exp: undefined },
    'exp an hour ago': { exp: now - 3_600 },
    'exp beyond the skew': { exp: now - 32 },
    'exp zero': { exp: 0 },
    'exp negative': { exp: -1 },
    'exp as text': { exp: String(now + 3_600) },
    'exp null': { exp: null },
    'exp as list': { exp: [now + 3_600] },
    'exp as object': { exp: { valueOf: now + 3_600 } },
    'exp true': { exp: true },
    'nbf ahead': { nbf: now + 3_600 },
    'nbf beyond the skew': { nbf: now + 40 },
    'nbf as text': { nbf: String(now) },
    'nbf null': { nbf: null },
    'iat ahead': { iat: now + 3_600 },
    'iat as text': { iat: 'now' },
    'iat null': { iat: null },
    'no iat': { iat: undefined },
    'no sub': { sub: undefined },
    'an empty sub': { sub: '' },
    'sub as number': { sub: 1 },
    'sub as list': { sub: ['alice'] },
    'sub null': { sub: null },
    'no jti': { jti: undefined },
    'jti as number': { jti: 1 },
    'at_hash, as ID tokens have': { at_hash: 'x' },
    'events, as logout tokens have': { events: {} },
    'a key that it is bound to': { cnf: { jkt: 'x' } },
    'a certificate that it is bound to': { cnf: { 'x5t#S256': 'x' } },
    'typ ID among the claims': { typ: 'ID' },
    'typ Refresh among the claims': { typ: 'Refresh' },
    'token_use id': { token_use: 'id' },
  };
  return Object.entries(claims).map(([title, changed]) => [
    title,
    issuer.mint({ aud: 'api://sallyport', sub: 'alice', ...changed }),
  ]);
}

function bySignature(issuer: FakeIssuer, good: string): BadToken[] {
  const [header = '', payload = '', signature = ''] = good.split('.');
  const key = issuer.key();
  const stranger = createSigningKey('RS256', key.kid);
  const publicPem = key.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const input = (alg: string): string => `${encodePart({ alg, typ: 'at+jwt', kid: key.kid })}.${payload}`;
  const hmac = (secret: string | Buffer, alg = 'HS256'): string =>
    `${input(alg)}.${createHmac(alg.replace('HS', 'sha'), secret).update(input(alg)).digest('base64url')}`;
  return [
    [
      'a stranger’s key under a known kid',
      signCompact({ alg: 'RS256', typ: 'at+jwt', kid: key.kid }, claimsOf(issuer), stranger),
    ],
    ['HS256 with the public key as PEM', hmac(publicPem)],
    ['HS256 with the trimmed PEM', hmac(publicPem.trim())],
    ['HS256 with the public key as DER', hmac(key.publicKey.export({ type: 'spki', format: 'der' }))],
    ['HS256 with the JWK', hmac(JSON.stringify(key.jwk))],
    ['HS256 with the modulus', hmac(String(key.jwk['n']))],
    ['HS512 with the public key as PEM', hmac(publicPem, 'HS512')],
    ['HS256 with an empty secret', hmac('')],
    ['HS256 with "secret"', hmac('secret')],
    ['no signature', `${header}.${payload}.`],
    ['no signature and no dot', `${header}.${payload}`],
    ['alg none without signature', `${encodePart({ alg: 'none', typ: 'at+jwt', kid: key.kid })}.${payload}.`],
    [
      'alg none with the signature',
      `${encodePart({ alg: 'none', typ: 'at+jwt', kid: key.kid })}.${payload}.${signature}`,
    ],
    ['a signature of zeros', `${header}.${payload}.${Buffer.alloc(256).toString('base64url')}`],
    ['a signature of one byte', `${header}.${payload}.AA`],
    ['a random signature', `${header}.${payload}.${randomBytes(256).toString('base64url')}`],
    ['a signature of 4 kB', `${header}.${payload}.${randomBytes(4_096).toString('base64url')}`],
    [
      'the signature over another payload',
      `${header}.${encodePart({ ...claimsOf(issuer), roles: ['LLM.Admin'] })}.${signature}`,
    ],
    [
      'another header over the signature',
      `${encodePart({ alg: 'RS256', typ: 'at+jwt', kid: key.kid, x: 1 })}.${payload}.${signature}`,
    ],
    [
      'the signature turned round',
      `${header}.${payload}.${Buffer.from(signature, 'base64url').reverse().toString('base64url')}`,
    ],
  ];
}

function byForm(issuer: FakeIssuer, good: string): BadToken[] {
  const [header = '', payload = '', signature = ''] = good.split('.');
  const key = issuer.key();
  const text = JSON.stringify(claimsOf(issuer));
  const signed = (claims: string | Buffer): string =>
    signCompact({ alg: 'RS256', typ: 'at+jwt', kid: key.kid }, claims, key);
  const signedHeader = (bytes: string): string => signCompact(bytes, claimsOf(issuer), key);
  return [
    ['four parts', `${good}.x`],
    ['five parts', `${header}.a.b.c.d`],
    ['an empty header', `.${payload}.${signature}`],
    ['an empty payload', `${header}..${signature}`],
    ['dots alone', '..'],
    ['padding', `${header}=.${payload}.${signature}`],
    ['padding at the end', `${good}==`],
    ['the other base64 alphabet', `${good}+/`],
    ['spare bits in the signature', respelt(good)],
    ['a payload that is no JSON', signed('claims')],
    ['a payload that is a list', signed(`[${text}]`)],
    ['a payload that is text', signed('"claims"')],
    ['a payload that is null', signed('null')],
    ['a payload with a byte order mark', signed(`\ufeff${text}`)],
    ['a payload in UTF-16', signed(Buffer.from(text, 'utf16le'))],
    ['a payload that is not UTF-8', signed(Buffer.from(text.replace('ada', 'ad\xff'), 'latin1'))],
    ['a payload with a member twice', signed(`{"roles":["LLM.Admin"],${text.slice(1)}`)],
    ['a payload with a member twice, once escaped', signed(`{"rol\\u0065s":["LLM.Admin"],${text.slice(1)}`)],
    ['a payload with __proto__', signed(`{"__proto__":{"roles":["LLM.Admin"]},${text.slice(1)}`)],
    ['a payload that is nested deeply', signed(`{"x":${'['.repeat(500)}${']'.repeat(500)},${text.slice(1)}`)],
    ['a payload with 1e400', signed(text.replace(/"exp":\d+/, '"exp":1e400'))],
    ['a payload with rubbish behind', signed(`${text} {}`)],
    ['a payload with a comment', signed(`/**/${text}`)],
    [
      'a header with a member twice',
      signedHeader(`{"alg":"RS256","alg":"none","typ":"at+jwt","kid":"${key.kid}"}`),
    ],
    [
      'a header with __proto__',
      signedHeader(`{"__proto__":{},"alg":"RS256","typ":"at+jwt","kid":"${key.kid}"}`),
    ],
    ['a header that is no JSON', signedHeader('alg:RS256')],
    ['a payload of 20 kB', issuer.mint({ padding: 'x'.repeat(20_000) })],
  ];
}

function byInjection(): BadToken[] {
  const texts = [
    'x',
    'null',
    'undefined',
    'true',
    '-',
    '~',
    '/',
    '0',
    '../../etc/passwd',
    'admin+1',
    'a.b.c',
    '%00',
  ];
  const lengths = [1, 20, 1_000, 16_384, 16_385, 24_000];
  return [
    ...texts.map((text): BadToken => [`the text ${text}`, text]),
    ...lengths.map((length): BadToken => [`${length} letters`, 'A'.repeat(length)]),
    ...lengths.map((length): BadToken => [`${length} dots`, '.'.repeat(Math.min(length, 8_000))]),
  ];
}

/** The good token with one character replaced, all over it. */
function byMutation(good: string): BadToken[] {
  const step = Math.ceil(good.length / 60);
  return Array.from({ length: Math.floor(good.length / step) }, (_, index): BadToken => {
    const at = index * step;
    const replaced = good[at] === 'A' ? 'B' : 'A';
    return [`character ${index} of 60 replaced`, good.slice(0, at) + replaced + good.slice(at + 1)];
  });
}

/** Another spelling of the same bytes: the last character has bits to spare. */
function respelt(good: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(good.at(-1) ?? 'A');
  return good.slice(0, -1) + (alphabet[last ^ 1] ?? 'A');
}
