// The checks of one access token in their order: form, issuer, algorithm and type, key, signature, claims, required
// claims. Runs once for each distinct token (verified-tokens.ts).
import { compactVerify } from 'jose';
import type { Principal } from '../principal.ts';
import type { GroupDirectory } from './directory/group-directory.ts';
import { parseAccessToken, type UnverifiedAccessToken } from './access-token.ts';
import { invalidToken } from './invalid-token.ts';
import type { IssuerKey } from './issuer-keys.ts';
import type { IssuerRules } from './issuer-rules.ts';
import { checkHeader, judgeClaims } from './judge-claims.ts';
import type { KeySet } from './key-set.ts';
import type { VerifiedAccessToken } from './verified-tokens.ts';

/** An accepted `iss`: its rules, its keys, and who knows the groups of people in too many. */
export interface AcceptedIssuer {
  readonly rules: IssuerRules;
  readonly keySet: KeySet;
  /** Null leaves them unknown. */
  readonly directory: GroupDirectory | null;
}

/**
 * Verifies an access token.
 * Checks: everything that makes it valid here; a valid one that lacks a required claim is `insufficient_scope`.
 * Does not check: revocation, roles (authorize).
 * @throws GatewayError `invalid_token`, `insufficient_scope`, `issuer_unavailable`, `directory_unavailable`
 */
export async function verifyAccessToken(
  accessToken: string,
  issuers: ReadonlyMap<string, AcceptedIssuer>,
  nowMs: () => number,
): Promise<VerifiedAccessToken> {
  const unverified = parseAccessToken(accessToken);
  // RFC 8725 §3.8: iss is compared as exact text, and its issuer's keys alone are tried.
  const accepted = issuers.get(unverified.issuer);
  if (accepted === undefined) throw invalidToken('iss');
  const { rules, keySet, directory } = accepted;
  checkHeader(unverified, rules);
  const key = await keySet.keyFor(unverified.keyId);
  // A key of one tenant never verifies a token of another, although both are accepted and share the document.
  if (key.tenantId !== null && key.tenantId !== rules.entra?.tenantId) throw invalidToken('key_issuer');
  await verifySignature(accessToken, unverified, key);
  const principal = judgeClaims(unverified, rules, nowMs() / 1000);
  const { tenantId, groupsUnknown, identityType } = principal;
  if (directory === null || groupsUnknown !== true || tenantId === null)
    return { principal, key, keySet, usableUntil: Number.POSITIVE_INFINITY };
  const member = {
    tenantId: tenantId.toLowerCase(),
    objectId: String(unverified.claims['oid']).toLowerCase(),
    isApplication: identityType === 'app',
  };
  const { groups, until } = await directory.groupsOf(member);
  return { principal: withGroups(principal, groups), key, keySet, usableUntil: until };
}

/** The principal with the groups that the directory knows, in the claim too: a partial list there counts for nothing. */
function withGroups(principal: Principal, groups: ReadonlySet<string>): Principal {
  const claims = Object.freeze({ ...principal.claims, groups: Object.freeze([...groups]) });
  return Object.freeze({ ...principal, groups, groupsUnknown: false, claims });
}

async function verifySignature(
  accessToken: string,
  unverified: UnverifiedAccessToken,
  key: IssuerKey,
): Promise<void> {
  // RFC 8725 §3.2: one algorithm for each key, whatever else the policy lists.
  if (key.algorithm !== unverified.algorithm) throw invalidToken('alg');
  try {
    await compactVerify(accessToken, key.key, { algorithms: [key.algorithm] });
  } catch (error) {
    throw invalidToken('signature', error);
  }
}
