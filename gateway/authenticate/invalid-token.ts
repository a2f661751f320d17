// The refusal of an access token. Callers learn the code alone; the reason goes to the audit record.
import { GatewayError } from '../../core/errors.ts';

/** Why an access token was refused: a closed set, explained in docs/reference/token-validation.md. */
export const invalidTokenReasons = [
  'token_size',
  'token_form',
  'token_encoding',
  'header_json',
  'header_parameter',
  'claims_json',
  'alg',
  'typ',
  'kid',
  'kid_unknown',
  'key_issuer',
  'iss',
  'signature',
  'exp',
  'nbf',
  'iat',
  'aud',
  'sub',
  'jti',
  'client_id',
  'client_id_conflict',
  'client_audience',
  'ver',
  'tid',
  'oid',
  'identity_type',
  'client_authentication',
  'not_an_access_token',
  'cnf',
  'unbound',
  'bound_as_bearer',
  'certificate_missing',
  'certificate_untrusted',
  'certificate_expired',
  'certificate_mismatch',
  'certificate_form',
  'certificate_revoked',
  'certificate_list_expired',
  'certificate_usage',
  'certificate_unknown',
  'claim_type',
  'inactive',
] as const;
/** One of them. */
export type InvalidTokenReason = (typeof invalidTokenReasons)[number];

/** Builds the 401 with its private reason. */
export function invalidToken(reason: InvalidTokenReason, cause?: unknown): GatewayError {
  return new GatewayError('invalid_token', cause === undefined ? { reason } : { reason, cause });
}
