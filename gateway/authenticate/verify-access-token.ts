// The checks of one access token in their order: form, issuer, algorithm and type, key, signature, claims, required
// claims. Runs for each token whose principal is not kept (verified-tokens.ts); its signature is checked once.
import type { InPlaceTime } from '../in-place-time.ts';
import type { Principal } from '../principal.ts';
import type { SecondSight } from '../second-sight.ts';
import type { GroupDirectory } from './directory/group-directory.ts';
import { parseAccessToken, type UnverifiedAccessToken } from './access-token.ts';
import { invalidToken } from './invalid-token.ts';
import type { IssuerKey } from './issuer-keys.ts';
import type { IssuerRules } from './issuer-rules.ts';
import { checkHeader, judgeClaims } from './judge-claims.ts';
import type { KeySet } from './key-set.ts';
import type { KnownSignatures } from './known-signatures.ts';
import { isSignedBy, isSignedByInPlace } from './signature.ts';
import type { VerificationQueue } from './verification-queue.ts';
import type { VerifiedAccessToken } from './verified-tokens.ts';

/** An accepted `iss`: its rules, its keys, and who knows the groups of people in too many. */
export interface AcceptedIssuer {
  readonly rules: IssuerRules;
  readonly keySet: KeySet;
  /** Null leaves them unknown. */
  readonly directory: GroupDirectory | null;
}

/** What the verification of access tokens stands on. */
export interface Verification {
  readonly issuers: ReadonlyMap<string, AcceptedIssuer>;
  readonly signatures: KnownSignatures;
  /** Which access tokens came lately, by digest: the principal of any other passes and is not kept. */
  readonly lately: SecondSight;
  /** What may be checked in place; the rest waits for the thread pool. */
  readonly inPlace: InPlaceTime;
  readonly queue: VerificationQueue;
  /** Epoch ms. */
  readonly now: () => number;
}

/**
 * Verifies an access token; `digest` is its SHA-256 in latin1. At once where its signature was found good before, or is
 * checked in place. Without room its principal passes.
 * Checks: everything that makes it valid here; a valid one that lacks a required claim is `insufficient_scope`.
 * Does not check: revocation, roles (authorize).
 * @throws GatewayError `invalid_token`, `insufficient_scope`, `issuer_unavailable`, `directory_unavailable`,
 * `server_is_overloaded`
 */
export function verifyAccessToken(
  accessToken: string,
  digest: string,
  verification: Verification,
  hasRoom = true,
): VerifiedAccessToken | Promise<VerifiedAccessToken> {
  const { issuers, signatures } = verification;
  const unverified = parseAccessToken(accessToken);
  // RFC 8725 §3.8: iss is compared as exact text, and its issuer's keys alone are tried.
  const accepted = issuers.get(unverified.issuer);
  if (accepted === undefined) throw invalidToken('iss');
  checkHeader(unverified, accepted.rules);
  const known = accepted.keySet.knownKey(unverified.keyId);
  if (known !== undefined) {
    checkKey(known, unverified, accepted.rules);
    if (signatures.has(digest, known))
      return judged({ digest, hasRoom, unverified, accepted }, known, verification);
    const isGood = known.isQuick
      ? verification.inPlace.spend(() => isSignedByInPlace(accessToken, known))
      : null;
    if (isGood === false) throw invalidToken('signature');
    if (isGood === true) {
      signatures.add(digest, known);
      return judged({ digest, hasRoom, unverified, accepted }, known, verification);
    }
  }
  return firstSight({ accessToken, digest, hasRoom, unverified, accepted }, verification);
}

/** An access token in parts, with whose it says that it is. */
interface Sight {
  readonly digest: string;
  readonly hasRoom: boolean;
  readonly unverified: UnverifiedAccessToken;
  readonly accepted: AcceptedIssuer;
}

/** One whose signature was never checked and is not checked in place. */
interface FirstSight extends Sight {
  readonly accessToken: string;
}

async function firstSight(sight: FirstSight, verification: Verification): Promise<VerifiedAccessToken> {
  const { accessToken, digest, unverified, accepted } = sight;
  const { rules, keySet } = accepted;
  const key = keySet.knownKey(unverified.keyId) ?? (await keySet.keyFor(unverified.keyId));
  checkKey(key, unverified, rules);
  if (!(await verification.queue.run(() => isSignedBy(accessToken, key)))) throw invalidToken('signature');
  verification.signatures.add(digest, key);
  return judged(sight, key, verification);
}

function checkKey(key: IssuerKey, { algorithm }: UnverifiedAccessToken, { entra }: IssuerRules): void {
  // A key of one tenant never verifies a token of another, although both are accepted and share the document.
  if (key.tenantId !== null && key.tenantId !== entra?.tenantId) throw invalidToken('key_issuer');
  // RFC 8725 §3.2: one algorithm for each key, whatever else the policy lists.
  if (key.algorithm !== algorithm) throw invalidToken('alg');
}

/** What remains once the signature is known to be good. */
function judged(
  { digest, hasRoom, unverified, accepted }: Sight,
  key: IssuerKey,
  { now, lately }: Verification,
): VerifiedAccessToken | Promise<VerifiedAccessToken> {
  const { rules, keySet, directory } = accepted;
  const isPassing = !lately.came(digest) || !hasRoom;
  const principal = judgeClaims(unverified, rules, now() / 1000, isPassing);
  const { tenantId, groupsUnknown, identityType } = principal;
  if (directory === null || groupsUnknown !== true || tenantId === null)
    return { principal, key, keySet, usableUntil: Number.POSITIVE_INFINITY };
  const member = {
    tenantId: tenantId.toLowerCase(),
    objectId: String(unverified.claims['oid']).toLowerCase(),
    isApplication: identityType === 'app',
  };
  return directory.groupsOf(member).then(({ groups, until }) => ({
    principal: withGroups(principal, groups),
    key,
    keySet,
    usableUntil: until,
  }));
}

/** The principal with the groups that the directory knows, in the claim too: a partial list there counts for nothing. */
function withGroups(principal: Principal, groups: ReadonlySet<string>): Principal {
  const claims = Object.freeze({ ...principal.claims, groups: Object.freeze([...groups]) });
  return Object.freeze({ ...principal, groups, groupsUnknown: false, claims });
}
