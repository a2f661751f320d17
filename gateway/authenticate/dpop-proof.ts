// Verifies one DPoP proof (RFC 9449 §4.3) for a request whose access token is valid already. Whether it was seen before
// and its nonce: sender-constraint.ts.
import { hash } from 'node:crypto';
import { compactVerify } from 'jose';
import type { Claims } from './claim-values.ts';
import { parseCompactJws, type CompactFault } from './compact-jws.ts';
import { isDpopAlgorithm, readDpopKey } from './dpop-key.ts';
import { invalidDpopProof, type InvalidDpopProofReason } from './invalid-dpop-proof.ts';

/** What a proof must be for. */
export interface ProvenRequest {
  readonly method: string;
  /** As callers know it: the gateway's public URL and the path. */
  readonly url: string;
  readonly accessToken: string;
  /** Thumbprint of the key that the access token is bound to. */
  readonly jkt: string;
  readonly nowMs: number;
}

/** A good proof: what must be unique in it, and its nonce. */
export interface VerifiedProof {
  readonly jti: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  readonly nonce: unknown;
}

/** How old a proof may be, and how far its clock may be ahead of ours. */
export const proofWindow = { maxAgeSeconds: 60, maxAheadSeconds: 30 } as const;

const maxProofLength = 8_192;
// Each of these would change how the signature is checked or name another key.
const refusedHeaderParameters = ['crit', 'b64', 'jku', 'x5u', 'x5c', 'zip', 'enc', 'cty'];
const reasons: Readonly<Record<CompactFault, InvalidDpopProofReason>> = {
  form: 'proof_form',
  encoding: 'proof_encoding',
  header_json: 'proof_header_json',
  claims_json: 'proof_claims_json',
};

/**
 * Verifies a proof.
 * Checks: size and form, typ, alg, a public jwk whose thumbprint is the one of the access token, htm, htu, iat, jti, ath,
 * signature; the cheap ones first.
 * Does not check: nonce and replay (sender-constraint.ts), the access token itself (verify-access-token.ts).
 * @throws GatewayError `invalid_dpop_proof`
 */
export async function verifyDpopProof(proof: string, expected: ProvenRequest): Promise<VerifiedProof> {
  if (proof.length > maxProofLength) throw invalidDpopProof('proof_size');
  const { header, readClaims } = parseCompactJws(proof, (fault, cause) =>
    invalidDpopProof(reasons[fault], cause),
  );
  if (refusedHeaderParameters.some((name) => Object.hasOwn(header, name)))
    throw invalidDpopProof('proof_header_parameter');
  // RFC 9449 §4.3: typ is dpop+jwt, so that no other JWT of the caller passes as a proof.
  if (header['typ'] !== 'dpop+jwt') throw invalidDpopProof('proof_typ');
  const { alg } = header;
  // RFC 9449 §4.3: alg is an asymmetric algorithm that is listed, never none.
  if (!isDpopAlgorithm(alg)) throw invalidDpopProof('proof_alg');
  const key = await readDpopKey(header['jwk'], alg);
  // RFC 9449 §4.3: the access token is bound to the very key of the proof.
  if (key.jkt !== expected.jkt) throw invalidDpopProof('proof_jkt');
  const verified = checkProofClaims(readClaims(), expected);
  try {
    await compactVerify(proof, await key.verifier(), { algorithms: [alg] });
  } catch (error) {
    throw invalidDpopProof('proof_signature', error);
  }
  return verified;
}

function checkProofClaims(claims: Claims, expected: ProvenRequest): VerifiedProof {
  const { jti, htm, htu, iat, ath, nonce } = claims;
  // RFC 9449 §4.2: jti is unique for each proof; bounded, since it is remembered.
  if (typeof jti !== 'string' || jti === '' || jti.length > 256) throw invalidDpopProof('proof_jti');
  // RFC 9449 §4.3: htm is the method of this request, exact.
  if (htm !== expected.method) throw invalidDpopProof('proof_htm');
  // RFC 9449 §4.3: htu is compared without query and fragment.
  const target = typeof htu === 'string' ? normalisedUrl(htu) : null;
  if (target === null || target !== normalisedUrl(expected.url)) throw invalidDpopProof('proof_htu');
  // RFC 9449 §4.3: iat lies within an acceptable window. NaN and text compare as refused.
  const age = typeof iat === 'number' ? expected.nowMs / 1000 - iat : Number.NaN;
  if (typeof iat !== 'number' || !(age <= proofWindow.maxAgeSeconds && age >= -proofWindow.maxAheadSeconds))
    throw invalidDpopProof('proof_iat');
  // RFC 9449 §4.3: ath is the SHA-256 of the access token that came with the proof.
  if (ath !== hash('sha256', expected.accessToken, 'base64url')) throw invalidDpopProof('proof_ath');
  return { jti, issuedAt: iat, nonce };
}

/**
 * Scheme and host in lower case, no default port, no dot segments, unreserved characters not encoded (RFC 3986 §6.2.2,
 * §6.2.3), no query and fragment; null for what is no such address.
 */
function normalisedUrl(text: string): string | null {
  // URL() would repair blanks, backslashes and controls; a proof that needs repair is refused.
  if (!/^https?:\/\/[!#-;=?-[\]_a-z~%]+$/i.test(text)) return null;
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '') return null;
  const path = url.pathname.replaceAll(/%([0-9a-f]{2})/gi, (encoded, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    return /[\w.~-]/.test(character) ? character : encoded.toUpperCase();
  });
  return `${url.origin}${path}`;
}
