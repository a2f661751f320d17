// The public key in a DPoP proof's header: which kinds are taken, and its thumbprint.
import { calculateJwkThumbprint, importJWK, type CryptoKey, type JWK } from 'jose';
import { dpopAlgorithms, type DpopAlgorithm } from '../dpop-algorithms.ts';
import { invalidDpopProof } from './invalid-dpop-proof.ts';

/** A key that verifies one proof. */
export interface DpopKey {
  /** RFC 7638 thumbprint, SHA-256 in base64url. */
  readonly jkt: string;
  /** Imports it; costs more than the thumbprint, so it comes after the comparison. */
  readonly verifier: () => Promise<CryptoKey>;
}

// Members of a private or symmetric key (RFC 7518 §6).
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const ellipticCurves: Readonly<Partial<Record<DpopAlgorithm, string>>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
  Ed25519: 'Ed25519',
};

/**
 * Reads the `jwk` of a proof.
 * Checks: a public key, of the kind and curve of `alg`; RSA of 2048 to 4096 bits with an exponent of at most 32 bits.
 * Does not check: that the access token is bound to it (dpop-proof.ts); points of a curve (import, when it verifies).
 * @throws GatewayError `invalid_dpop_proof`
 */
export async function readDpopKey(jwk: unknown, alg: DpopAlgorithm): Promise<DpopKey> {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) throw invalidDpopProof('proof_jwk');
  const members = jwk as Readonly<Record<string, unknown>>; // Narrowed above: an object.
  // RFC 9449 §4.3: the jwk does not contain a private key.
  if (privateMembers.some((name) => Object.hasOwn(members, name))) throw invalidDpopProof('proof_jwk');
  const publicKey = publicMembers(members, alg);
  return {
    jkt: await calculateJwkThumbprint(publicKey, 'sha256'),
    verifier: async () => {
      try {
        return (await importJWK(publicKey, alg)) as CryptoKey; // Bytes come of symmetric keys alone.
      } catch (error) {
        throw invalidDpopProof('proof_jwk', error);
      }
    },
  };
}

/** Whether a text names a listed algorithm. */
export function isDpopAlgorithm(alg: unknown): alg is DpopAlgorithm {
  return dpopAlgorithms.some((listed) => listed === alg);
}

// Only what makes the key: `use`, `key_ops`, `alg` and the like could make two readers see two keys.
function publicMembers(members: Readonly<Record<string, unknown>>, alg: DpopAlgorithm): JWK {
  const curve = ellipticCurves[alg];
  if (curve === undefined) {
    const [n, e] = [textOf(members, 'n'), textOf(members, 'e')];
    const bits = Buffer.from(n, 'base64url').length * 8;
    // A huge key or exponent costs us more than it costs the caller.
    if (members['kty'] !== 'RSA' || bits < 2048 || bits > 4096 || Buffer.from(e, 'base64url').length > 4)
      throw invalidDpopProof('proof_jwk');
    return { kty: 'RSA', n, e };
  }
  if (members['crv'] !== curve) throw invalidDpopProof('proof_jwk');
  const x = textOf(members, 'x');
  if (curve === 'Ed25519') {
    if (members['kty'] !== 'OKP') throw invalidDpopProof('proof_jwk');
    return { kty: 'OKP', crv: curve, x };
  }
  if (members['kty'] !== 'EC') throw invalidDpopProof('proof_jwk');
  return { kty: 'EC', crv: curve, x, y: textOf(members, 'y') };
}

function textOf(members: Readonly<Record<string, unknown>>, name: string): string {
  const value = members[name];
  if (typeof value !== 'string' || !/^[\w-]{1,1024}$/.test(value)) throw invalidDpopProof('proof_jwk');
  return value;
}
