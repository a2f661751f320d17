// The principal of a verified access token.
import type { Credential, Principal } from '../principal.ts';
import { bindingOf } from './binding.ts';
import { claimAt, isIdentifier, optionalText, textsAt, type Claims } from './claim-values.ts';
import { identityTypeOf } from './entra-claims.ts';
import { invalidToken } from './invalid-token.ts';
import type { IssuerRules } from './issuer-rules.ts';

/**
 * Maps claims to a principal as the policy says.
 * Checks: the subject is a usable identifier; roles, groups and scopes are texts; a `cnf` that we understand.
 * Does not check: what these permit (authorize), that the caller holds what the token is bound to (sender-constraint.ts).
 * @throws GatewayError `invalid_token`
 */
export function principalFromClaims(
  claims: Claims,
  rules: IssuerRules,
  clientId: string | null,
  isPassing: boolean,
): Principal {
  const subject = claimAt(claims, rules.claims.subject);
  if (!isIdentifier(subject)) throw invalidToken('sub');
  const tenantId = optionalText(claims, 'tid', 'tid');
  const { acr, amr, auth_time: authTime } = claims;
  const groupsUnknown = isOverage(claims, rules.claims.groups);
  return Object.freeze({
    issuerName: rules.name,
    issuer: rules.issuer,
    subject,
    key: keyOf(claims, rules, subject),
    clientId,
    tenantId,
    roles: textsAt(claims, rules.claims.roles, false),
    groups: groupsUnknown ? new Set<string>() : textsAt(claims, rules.claims.groups, false),
    groupsUnknown,
    identityType: rules.entra === null ? undefined : identityTypeOf(claims),
    scopes: textsAt(claims, rules.claims.scopes ?? [Object.hasOwn(claims, 'scp') ? 'scp' : 'scope'], true),
    acr: typeof acr === 'string' ? acr : null,
    amr: Array.isArray(amr) ? amr.filter((method) => typeof method === 'string') : [],
    authTime: typeof authTime === 'number' ? authTime : null,
    credential: credentialOf(claims),
    binding: bindingOf(claims, rules.dpop),
    expiresAt: Number(claims['exp']) + rules.clockSkewSeconds,
    claims,
    isPassing,
  });
}

// Entra's `uti` is the id of the token where there is no `jti`.
function credentialOf(claims: Claims): Credential {
  const id = claims['jti'] ?? claims['uti'];
  const issuedAt = claims['iat'];
  return {
    kind: 'access_token',
    id: typeof id === 'string' ? id : null,
    issuedAt: typeof issuedAt === 'number' ? issuedAt : null,
  };
}

// RFC 7519 §4.1.2: a subject is unique within its issuer. Entra's `sub` differs per application, so limits and audit
// count `tid` and `oid`, whatever application and token version the person came through.
function keyOf(claims: Claims, rules: IssuerRules, subject: string): string {
  if (rules.entra === null) return `${rules.issuer} ${subject}`;
  return `entra:${rules.entra.tenantId} ${String(claims['oid']).toLowerCase()}`;
}

// Entra leaves the groups out of tokens of people with many. Their endpoint is not followed, and a partial list is not
// read: the groups are unknown, which is not the same as none. OpenID Connect Core §5.6.2: so is any claim that is named
// as lying elsewhere.
function isOverage(claims: Claims, [groups = '']: readonly string[]): boolean {
  const { hasgroups } = claims;
  const isElsewhere = (name: string): boolean => claimAt(claims, ['_claim_names', name]) !== undefined;
  return hasgroups === true || hasgroups === 'true' || isElsewhere('groups') || isElsewhere(groups);
}
