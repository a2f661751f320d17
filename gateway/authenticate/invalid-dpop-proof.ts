// The refusal of a DPoP proof. Callers learn the code alone; the reason goes to the audit record.
import { GatewayError } from '../../core/errors.ts';

/** Why a proof was refused: a closed set, explained in docs/reference/sender-constrained-tokens.md. */
export const invalidDpopProofReasons = [
  'proof_missing',
  'proof_doubled',
  'proof_size',
  'proof_form',
  'proof_encoding',
  'proof_header_json',
  'proof_claims_json',
  'proof_header_parameter',
  'proof_typ',
  'proof_alg',
  'proof_jwk',
  'proof_jkt',
  'proof_htm',
  'proof_htu',
  'proof_iat',
  'proof_jti',
  'proof_ath',
  'proof_signature',
  'proof_replayed',
  'proof_too_many',
] as const;
/** One of them. */
export type InvalidDpopProofReason = (typeof invalidDpopProofReasons)[number];

/** Builds the 401 with its private reason. */
export function invalidDpopProof(reason: InvalidDpopProofReason, cause?: unknown): GatewayError {
  return new GatewayError('invalid_dpop_proof', cause === undefined ? { reason } : { reason, cause });
}
