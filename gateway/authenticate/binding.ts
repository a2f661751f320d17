// What an access token says it is bound to (RFC 7800 `cnf`). Whether the caller holds it: sender-constraint.ts.
import type { Binding } from '../principal.ts';
import type { Claims } from './claim-values.ts';
import { invalidToken } from './invalid-token.ts';
import type { IssuerRules } from './issuer-rules.ts';

/**
 * The binding of an access token, or null when it has none.
 * Checks: `cnf` holds `jkt`, `x5t#S256` or both, each a SHA-256 in base64url, and nothing else; where the policy requires
 * DPoP, the token has a `jkt`.
 * Does not check: that the caller can prove possession (sender-constraint.ts).
 * @throws GatewayError `invalid_token`
 */
export function bindingOf(claims: Claims, rules: IssuerRules['dpop']): Binding | null {
  const binding = Object.hasOwn(claims, 'cnf') ? confirmation(claims['cnf'], rules.nonce) : null;
  if (rules.required && (binding === null || binding.jkt === null)) throw invalidToken('unbound');
  return binding;
}

function confirmation(cnf: unknown, requiresNonce: boolean): Binding {
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) throw invalidToken('cnf');
  const { jkt, 'x5t#S256': certificate, ...others } = cnf as Claims; // Narrowed above: an object.
  // RFC 7800 §3.1: a confirmation that we do not understand could not be confirmed, so it is refused.
  if (Object.keys(others).length > 0) throw invalidToken('cnf');
  const binding = { jkt: thumbprint(jkt), certificateThumbprint: thumbprint(certificate), requiresNonce };
  if (binding.jkt === null && binding.certificateThumbprint === null) throw invalidToken('cnf');
  return Object.freeze(binding);
}

function thumbprint(value: unknown): string | null {
  if (value === undefined) return null;
  // 32 bytes in base64url: the last character carries four bits, so that there is one spelling.
  if (typeof value !== 'string' || !/^[\w-]{42}[AEIMQUYcgkosw048]$/.test(value)) throw invalidToken('cnf');
  return value;
}
