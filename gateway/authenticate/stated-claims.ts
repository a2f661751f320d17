// The principal behind claims that an asking service states (AuthZEN), without an access token to verify: judged by the
// same rules as one, so that the answer is the one its holder would get.
import { invalidToken } from './invalid-token.ts';
import type { IssuersPolicy } from './issuers-policy.ts';
import { judgeClaims, rulesByIssuer } from './judge-claims.ts';
import type { Claims } from './claim-values.ts';
import type { Principal } from '../principal.ts';

/** Judges the claims of one principal. @throws GatewayError `invalid_token`, `insufficient_scope` */
export type StatedClaimsJudge = (stated: Claims, nowMs: number) => Principal;

/**
 * Compiles the judge of a bundle.
 * Checks: that `iss` is an accepted issuer; every rule on the claims (judge-claims.ts). What belongs to the token and not
 * to its holder (aud, times, jti) may be left out; a client, scopes and whatever else the policies require may not.
 * Does not check: that the claims are true: the asking service is trusted to state what it verified.
 */
export function createStatedClaimsJudge(
  policy: IssuersPolicy,
  embeddedIssuer: string | null,
): StatedClaimsJudge {
  const byIssuer = rulesByIssuer(policy, embeddedIssuer);
  return (stated, nowMs) => {
    const { iss: issuer } = stated;
    const rules = typeof issuer === 'string' ? byIssuer.get(issuer) : undefined;
    if (rules === undefined) throw invalidToken('iss');
    const nowSeconds = Math.floor(nowMs / 1_000);
    const [audience = ''] = rules.audiences ?? [];
    const [algorithm = ''] = rules.algorithms;
    const [type = ''] = rules.types;
    const claims = {
      aud: audience,
      iat: nowSeconds,
      exp: nowSeconds + 60,
      jti: 'stated',
      ...stated,
    };
    const accessToken = { algorithm, keyId: '', type, issuer: rules.issuer, claims };
    return judgeClaims(accessToken, rules, nowSeconds);
  };
}
