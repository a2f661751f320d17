// What an access token must say, apart from its key and signature. The gateway asks this after the signature; the policy
// tools ask it alone, so that a test or an explanation never judges by other rules than the gateway.
import type { Principal } from '../principal.ts';
import type { UnverifiedAccessToken } from './access-token.ts';
import { checkClaims } from './check-claims.ts';
import { invalidToken } from './invalid-token.ts';
import { issuerRules, type IssuerRules } from './issuer-rules.ts';
import { issuerForms } from './issuer-url.ts';
import type { IssuersPolicy } from './issuers-policy.ts';
import { principalFromClaims } from './principal-from-claims.ts';
import { checkRequiredClaims } from './required-claims.ts';

/** The rules of every accepted `iss`, by its exact text. */
export function rulesByIssuer(
  policy: IssuersPolicy,
  embeddedIssuer: string | null,
): ReadonlyMap<string, IssuerRules> {
  return new Map(
    Object.entries(policy.issuers).flatMap(([name, entry]) =>
      issuerForms(entry, embeddedIssuer).map(
        (form) => [form.issuer, issuerRules(name, entry, form)] as const,
      ),
    ),
  );
}

/**
 * Checks: algorithm and type against the policy. Does not check: that the key fits the algorithm (verify-access-token.ts).
 * @throws GatewayError `invalid_token`
 */
export function checkHeader(accessToken: UnverifiedAccessToken, rules: IssuerRules): void {
  // RFC 8725 §3.1: the policy lists the algorithms; the header only chooses among them.
  if (!rules.algorithms.has(accessToken.algorithm)) throw invalidToken('alg');
  // RFC 9068 §4, RFC 8725 §3.11: explicit types, so that no other kind of JWT passes.
  if (!rules.types.has(accessToken.type)) throw invalidToken('typ');
}

/**
 * The principal that the claims make.
 * Checks: every rule on the claims (check-claims.ts), the mapping (principal-from-claims.ts), required claims.
 * Does not check: header (checkHeader), key and signature (verify-access-token.ts).
 * @throws GatewayError `invalid_token`, `insufficient_scope`
 */
export function judgeClaims(
  accessToken: UnverifiedAccessToken,
  rules: IssuerRules,
  nowSeconds: number,
  isPassing = false,
): Principal {
  const clientId = checkClaims(accessToken, rules, nowSeconds);
  const principal = principalFromClaims(accessToken.claims, rules, clientId, isPassing);
  checkRequiredClaims(accessToken.claims, rules.requiredClaims);
  return principal;
}
