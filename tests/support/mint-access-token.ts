// Access tokens for tests: minted here, never pasted. Everything can be set, so that bad tokens are as easy as good ones.
import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';

/** Client ids of the embedded identity, as in policies/issuers.yaml. */
export const testClientId = '5a11b0a7-0000-4000-8000-000000000001';
export const testTenantId = '5a11b0a7-0000-4000-8000-000000000000';
export const testAudience = 'api://sallyport';

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** As the JWKS lists it. */
  readonly jwk: Record<string, unknown>;
}

export type Claims = Record<string, unknown>;

/** A fresh key pair with a JWK for its public half. */
export function createSigningKey(
  alg = 'RS256',
  kid = `kid-${randomUUID().slice(0, 8)}`,
  rsaBits = 2048,
): SigningKey {
  const { privateKey, publicKey } = keyPair(alg, rsaBits);
  return {
    kid,
    alg,
    privateKey,
    publicKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
  };
}

function keyPair(alg: string, rsaBits: number): { privateKey: KeyObject; publicKey: KeyObject } {
  if (alg === 'EdDSA' || alg === 'Ed25519') return generateKeyPairSync('ed25519');
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (alg === 'ES384') return generateKeyPairSync('ec', { namedCurve: 'P-384' });
  if (alg === 'ES512') return generateKeyPairSync('ec', { namedCurve: 'P-521' });
  return generateKeyPairSync('rsa', { modulusLength: rsaBits });
}

/** Base64url of JSON, or of a text or bytes as they are. */
export function encodePart(part: unknown): string {
  if (typeof part === 'string' || Buffer.isBuffer(part))
    return Buffer.from(part as string).toString('base64url');
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

/** A compact JWS over any header and payload: objects are serialised, texts and buffers taken as they are. */
export function signCompact(
  header: unknown,
  payload: unknown,
  key: Pick<SigningKey, 'alg' | 'privateKey'>,
): string {
  const input = `${encodePart(header)}.${encodePart(payload)}`;
  return `${input}.${signature(input, key).toString('base64url')}`;
}

function signature(input: string, { alg, privateKey }: Pick<SigningKey, 'alg' | 'privateKey'>): Buffer {
  const bytes = Buffer.from(input);
  if (alg === 'EdDSA' || alg === 'Ed25519') return sign(null, bytes, privateKey);
  const digest = `sha${alg.slice(2)}`;
  if (alg.startsWith('ES')) return sign(digest, bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS')) return sign(digest, bytes, { key: privateKey, padding: 6, saltLength: -1 });
  return sign(digest, bytes, privateKey);
}

/** Claims of a valid access token of the embedded identity, at `now` (epoch ms). */
export function validClaims(issuer: string, now = Date.now()): Claims {
  const seconds = Math.floor(now / 1000);
  return {
    iss: issuer,
    aud: testAudience,
    sub: 'account-1',
    oid: '0a0a0a0a-0000-4000-8000-000000000001',
    tid: testTenantId,
    azp: testClientId,
    client_id: testClientId,
    scp: 'LLM.Access',
    roles: ['LLM.User'],
    groups: [],
    ver: '2.0',
    preferred_username: 'ada',
    iat: seconds,
    nbf: seconds,
    exp: seconds + 3600,
    jti: randomUUID(),
  };
}

/** Mints a valid access token; a claim or header member set to undefined is left out. */
export function mintAccessToken(options: {
  readonly issuer: string;
  readonly key: SigningKey;
  readonly claims?: Claims;
  readonly header?: Claims;
  readonly now?: number;
}): string {
  const { issuer, key, claims, header, now } = options;
  return signCompact(
    { alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header },
    { ...validClaims(issuer, now), ...claims },
    key,
  );
}
