// Access tokens as the embedded identity server issues them (RFC 9068), signed before a run: each of another person.
import { createHmac, createPublicKey, generateKeyPair, randomUUID, sign } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);
const signAsync = promisify(sign);
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = { alg: 'RS256', typ: 'at+jwt', kid: 'bench' };

/** A 2048-bit RSA key (ES256: one on P-256, which signs many times faster) with its JWK Set and its public PEM. */
export async function signingKey(algorithm = 'RS256') {
  const { privateKey } = await (algorithm === 'RS256'
    ? generate('rsa', { modulusLength: 2048 })
    : generate('ec', { namedCurve: 'P-256' }));
  const publicKey = createPublicKey(privateKey);
  return {
    privateKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: algorithm }] },
  };
}

/** What access tokens of the bench say, beyond the person: also what the other contestants are told to check. */
export const claims = {
  audience: 'api://sallyport',
  role: 'LLM.User',
  tenant: '5a11b0a7-0000-4000-8000-000000000000',
  clientId: '5a11b0a7-0000-4000-8000-000000000001',
};

/** `count` distinct tokens, of about 1,290 bytes with RS256; signed in the thread pool. */
export async function accessTokens(count, { privateKey, issuer }) {
  const signed = [];
  for (let from = 0; from < count; from += 64) {
    const batch = Array.from({ length: Math.min(64, count - from) }, () =>
      signedWith(privateKey, claimsOf(issuer)),
    );
    signed.push(...(await Promise.all(batch)));
  }
  return signed;
}

/** Access tokens that no guard may let in, by what is wrong with them, with the statuses that are right. */
export async function badAccessTokens({ privateKey, pem, issuer }) {
  const now = Math.floor(Date.now() / 1000);
  const valid = claimsOf(issuer);
  const other = await signingKey();
  const [head, payload, signature] = (await signedWith(privateKey, valid)).split('.');
  const unsigned = part({ ...header, alg: 'none' });
  const symmetric = part({ ...header, alg: 'HS256' });
  const hmac = createHmac('sha256', pem).update(`${symmetric}.${payload}`).digest('base64url');
  const unauthenticated = [401];
  return [
    ['no token', null, unauthenticated],
    ['no JWT', 'x', unauthenticated],
    ['a changed signature', withChangedSignature(`${head}.${payload}.${signature}`), unauthenticated],
    ['changed claims', `${head}.${part({ ...valid, sub: randomUUID() })}.${signature}`, unauthenticated],
    ['another signer', await signedWith(other.privateKey, valid), unauthenticated],
    ['alg none', `${unsigned}.${payload}.`, unauthenticated],
    ['HS256 with the public key', `${symmetric}.${payload}.${hmac}`, unauthenticated],
    ['expired', await signedWith(privateKey, { ...valid, exp: now - 3_600 }), unauthenticated],
    ['another audience', await signedWith(privateKey, { ...valid, aud: 'api://other' }), unauthenticated],
    ['another issuer', await signedWith(privateKey, { ...valid, iss: `${issuer}x` }), unauthenticated],
    ['no role', await signedWith(privateKey, { ...valid, roles: [] }), [403, 404]],
    ['another role', await signedWith(privateKey, { ...valid, roles: ['Other'] }), [403, 404]],
  ];
}

/** The same token with another signature. */
export function withChangedSignature(accessToken) {
  const [head, payload, signature] = accessToken.split('.');
  return `${head}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
}

function claimsOf(issuer) {
  const now = Math.floor(Date.now() / 1000);
  const subject = randomUUID();
  return {
    iss: issuer,
    aud: claims.audience,
    sub: subject,
    iat: now,
    nbf: now - 1,
    exp: now + 3_600,
    jti: randomUUID(),
    tid: claims.tenant,
    oid: subject,
    client_id: claims.clientId,
    azp: claims.clientId,
    scp: 'LLM.Access',
    roles: [claims.role],
    groups: ['6a2f0c9e-0000-4000-8000-000000000001', '6a2f0c9e-0000-4000-8000-000000000002'],
    ver: '2.0',
    preferred_username: `${subject}@example.test`,
    name: 'A Person of the Bench',
  };
}

async function signedWith(privateKey, payload) {
  const isRsa = privateKey.asymmetricKeyType === 'rsa';
  const text = `${part(isRsa ? header : { ...header, alg: 'ES256' })}.${part(payload)}`;
  const key = isRsa ? privateKey : { key: privateKey, dsaEncoding: 'ieee-p1363' };
  const signature = await signAsync('sha256', Buffer.from(text), key);
  return `${text}.${signature.toString('base64url')}`;
}
