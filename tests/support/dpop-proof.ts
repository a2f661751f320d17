// DPoP keys and proofs for tests: minted here, never pasted. Everything can be set, so that bad proofs are as easy as
// good ones.
import { createHash, randomUUID } from 'node:crypto';
import { createSigningKey, signCompact, type Claims, type SigningKey } from './mint-access-token.ts';

export interface DpopTestKey extends SigningKey {
  /** As the header of a proof holds it. */
  readonly publicJwk: Readonly<Record<string, unknown>>;
  readonly jkt: string;
}

/** A fresh key pair with its RFC 7638 thumbprint, computed apart from the code under test. */
export function createDpopKey(alg = 'ES256', rsaBits = 2048): DpopTestKey {
  const key = createSigningKey(alg, undefined, rsaBits);
  const publicJwk = key.publicKey.export({ format: 'jwk' }) as Record<string, unknown>; // Public members alone.
  return { ...key, publicJwk, jkt: thumbprintOf(publicJwk) };
}

/** RFC 7638: SHA-256 over the members that make the key, in their order. */
export function thumbprintOf(jwk: Readonly<Record<string, unknown>>): string {
  const members = ['crv', 'e', 'kty', 'n', 'x', 'y'].filter((name) => jwk[name] !== undefined);
  return sha256(JSON.stringify(Object.fromEntries(members.map((name) => [name, jwk[name]]))));
}

/** SHA-256 in base64url. */
export function sha256(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('base64url');
}

export interface ProofParts {
  readonly key: DpopTestKey;
  readonly method?: string;
  readonly url: string;
  readonly accessToken: string;
  /** Epoch ms. */
  readonly now?: number;
  /** Claims and header members that replace or (undefined) remove those of a good proof. */
  readonly claims?: Claims;
  readonly header?: Claims;
}

/** A good proof but for the given claims and header members. */
export function mintProof({
  key,
  method = 'GET',
  url,
  accessToken,
  now = Date.now(),
  claims,
  header,
}: ProofParts): string {
  return signCompact(
    { typ: 'dpop+jwt', alg: key.alg, jwk: key.publicJwk, ...header },
    {
      jti: randomUUID(),
      htm: method,
      htu: url,
      iat: Math.floor(now / 1000),
      ath: sha256(accessToken),
      ...claims,
    },
    key,
  );
}
