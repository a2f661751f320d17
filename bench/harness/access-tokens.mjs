// Access tokens as the embedded identity server issues them (RFC 9068), signed before a run: each of another person.
import { createPublicKey, generateKeyPair, randomUUID, sign } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);
const signAsync = promisify(sign);
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const headOf = (algorithm) => part({ alg: algorithm, typ: 'at+jwt', kid: 'bench' });

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
  const now = Math.floor(Date.now() / 1000);
  for (let from = 0; from < count; from += 64) {
    const batch = Array.from({ length: Math.min(64, count - from) }, () =>
      accessToken(privateKey, issuer, now),
    );
    signed.push(...(await Promise.all(batch)));
  }
  return signed;
}

async function accessToken(privateKey, issuer, now) {
  const subject = randomUUID();
  const payload = part({
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
  });
  const isRsa = privateKey.asymmetricKeyType === 'rsa';
  const head = headOf(isRsa ? 'RS256' : 'ES256');
  const key = isRsa ? privateKey : { key: privateKey, dsaEncoding: 'ieee-p1363' };
  const signature = await signAsync('sha256', Buffer.from(`${head}.${payload}`), key);
  return `${head}.${payload}.${signature.toString('base64url')}`;
}
