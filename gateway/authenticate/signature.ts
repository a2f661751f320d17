// Checks the signature of a compact JWS with one key, in the thread pool or in place. Node's own verification takes raw
// bytes and a key that was imported once: a third less processor time than by way of WebCrypto, which copies and wraps both.
import { constants, verify, type KeyObject, type VerifyKeyObjectInput } from 'node:crypto';
import type { IssuerKey } from './issuer-keys.ts';
import type { SignatureAlgorithm } from './issuers-policy.ts';

interface Parameters {
  /** Null: the algorithm has its own. */
  readonly digest: string | null;
  /** Null: what Node takes for the key, PKCS#1 v1.5 for RSA. A key by itself is 10 µs cheaper than one with options. */
  readonly options: Omit<VerifyKeyObjectInput, 'key'> | null;
}

// RFC 7518 §3.5: the salt is as long as the digest, no other length is tried.
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
// RFC 7518 §3.4: r and s at full length one after the other, not DER.
const ecdsa = { dsaEncoding: 'ieee-p1363' } as const;

const parameters: Readonly<Record<SignatureAlgorithm, Parameters>> = {
  RS256: { digest: 'sha256', options: null },
  RS384: { digest: 'sha384', options: null },
  RS512: { digest: 'sha512', options: null },
  PS256: { digest: 'sha256', options: pss },
  PS384: { digest: 'sha384', options: pss },
  PS512: { digest: 'sha512', options: pss },
  ES256: { digest: 'sha256', options: ecdsa },
  ES384: { digest: 'sha384', options: ecdsa },
  ES512: { digest: 'sha512', options: ecdsa },
  EdDSA: { digest: null, options: null },
  Ed25519: { digest: null, options: null },
};

type VerifyingKey = Pick<IssuerKey, 'key' | 'algorithm'>;

/**
 * Whether one check with this key takes some tens of microseconds and not many times that: RSA of at most 3,072 bits,
 * P-256, Ed25519.
 */
export function isQuick({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') return (asymmetricKeyDetails?.modulusLength ?? Infinity) <= 3_072;
  return asymmetricKeyType === 'ed25519' || asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/**
 * Resolves to whether the signature of a compact JWS is one of this key, as the thread pool finds; what cannot be
 * checked is none.
 * Checks: the signature over the text before the last dot, with the key's one algorithm.
 * Does not check: form and base64url (compact-jws.ts), kind and strength of the key (issuer-keys.ts), that header and
 * policy name the key's algorithm (verify-access-token.ts).
 */
export function isSignedBy(jws: string, verifyingKey: VerifyingKey): Promise<boolean> {
  const { digest, signed, key, signature } = verification(jws, verifyingKey);
  return new Promise((resolve) => {
    verify(digest, signed, key, signature, (error, isGood) => resolve(error === null && isGood));
  });
}

/** As `isSignedBy`, in place: for a quick key, within the time that may be spent so (in-place-time.ts). */
export function isSignedByInPlace(jws: string, verifyingKey: VerifyingKey): boolean {
  const { digest, signed, key, signature } = verification(jws, verifyingKey);
  try {
    return verify(digest, signed, key, signature);
  } catch {
    return false;
  }
}

function verification(jws: string, { key, algorithm }: VerifyingKey) {
  const { digest, options } = parameters[algorithm];
  const dot = jws.lastIndexOf('.');
  return {
    digest,
    // Both parts are ASCII by now: one byte for each character.
    signed: Buffer.from(jws.slice(0, dot), 'latin1'),
    key: options === null ? key : { key, ...options },
    signature: Buffer.from(jws.slice(dot + 1), 'base64url'),
  };
}
