// What access tokens of Microsoft Entra ID must say beside what every access token must: version, tenant, object, who is
// behind it (a person or an application), and how the client application proved to be itself.
import type { Principal } from '../principal.ts';
import type { Claims } from './claim-values.ts';
import { clientAuthentications } from './entra-policy.ts';
import { invalidToken } from './invalid-token.ts';
import type { EntraRules } from './issuer-rules.ts';

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Checks: `ver` fits `iss`, `tid` is the tenant in `iss`, `oid`, the client claim of the version, identity type and client
 * authentication as the policy asks.
 * Does not check: groups (principal-from-claims.ts), everything that other issuers' tokens must say too (check-claims.ts).
 * @throws GatewayError `invalid_token`
 */
export function checkEntra(claims: Claims, expected: EntraRules): void {
  const { ver, tid, oid } = claims;
  // `ver` selects the form of `iss`; the two must agree.
  if (ver !== expected.version) throw invalidToken('ver');
  if (typeof tid !== 'string' || !guid.test(tid) || tid.toLowerCase() !== expected.tenantId)
    throw invalidToken('tid');
  if (typeof oid !== 'string' || !guid.test(oid)) throw invalidToken('oid');
  const isV1 = expected.version === '1.0';
  // An ID token of the same tenant has no client claim; an access token of this version has its own.
  if (claims[isV1 ? 'appid' : 'azp'] === undefined) throw invalidToken('client_id');
  if (expected.identityType !== 'any' && identityTypeOf(claims) !== expected.identityType)
    throw invalidToken('identity_type');
  if (!isStrongEnough(claims[isV1 ? 'appidacr' : 'azpacr'], expected))
    throw invalidToken('client_authentication');
}

/**
 * Who is behind an Entra token. `idtyp` says it where the API asks for that claim. Without it: a token with scopes is a
 * person's; one without whose `sub` is its `oid` is an application's own (a person's `sub` differs in every application).
 * Anything else, contradictions included, is unproven.
 */
export function identityTypeOf({ idtyp, scp, oid, sub }: Claims): NonNullable<Principal['identityType']> {
  if (idtyp === 'app') return scp === undefined ? 'app' : 'unproven';
  if (idtyp !== undefined) return idtyp === 'user' ? 'user' : 'unproven';
  if (scp !== undefined) return typeof scp === 'string' && scp.trim() !== '' ? 'user' : 'unproven';
  return typeof oid === 'string' && oid === sub ? 'app' : 'unproven';
}

/** An absent or unknown strength counts as none. */
function isStrongEnough(strength: unknown, { clientAuthentication }: EntraRules): boolean {
  const needed = clientAuthentications.indexOf(clientAuthentication);
  return needed === 0 || (typeof strength === 'string' && ['0', '1', '2'].indexOf(strength) >= needed);
}
